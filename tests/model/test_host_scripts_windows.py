"""The probe for Windows under the genuine PowerShell engine, with stand-ins for CIM, the registry and the service."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from drkit.model import host_scripts
from drkit.model.estate import Baseline, GuestIdentity, Host
from drkit.survey.baseline_comparison import HostObservation, signals
from drkit.survey.probe import ProbeResult, parse, registrations_parameter
from tests.model.host_folder import MOST, key_blob, metadata_service
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

ENGINE = Path(__file__).parents[3] / "shared" / "tools" / "psengine"
needs_engine = pytest.mark.skipif(
    not ENGINE.exists(), reason="the PowerShell engine (shared/tools/psengine) is not here"
)
SCRIPT = Path(host_scripts.__file__).parent / "probe.ps1"
NOWHERE = "http://127.0.0.1:9"  # nothing listens on the discard port
ID = "1d2c3b4a-0001-4000-8000-00000000aaaa"
VM = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm-desktop-win"

STAND_INS = r"""
$facts = [System.IO.File]::ReadAllText($args_facts) | ConvertFrom-Json
function Find-Fact([string] $Kind, [string] $Name) {
    $group = $facts.PSObject.Properties[$Kind]
    if ($null -eq $group) { throw "there is no $Kind" }
    $fact = $group.Value.PSObject.Properties[$Name]
    if ($null -eq $fact) { throw "there is no $Name" }
    $fact.Value
}
function Get-CimInstance {
    param([string] $ClassName, [string] $Query, [uint32] $OperationTimeoutSec)
    if ($Query) { $ClassName = $Query }
    foreach ($one in @(Find-Fact 'cim' $ClassName)) {
        $started = $one.PSObject.Properties['LastBootUpTime']
        if ($null -ne $started -and $started.Value -is [string] -and $started.Value -ne 'odd') {
            $started.Value = [DateTime]::Parse($started.Value, [Globalization.CultureInfo]::InvariantCulture)
        }
        $one
    }
}
function Get-ItemProperty {
    param([string] $LiteralPath, [string] $Name)
    $value = Find-Fact 'registry' "$LiteralPath\$Name"
    if ($value -is [string]) { $value = $value.Replace('<half>', [string] [char] 0xd800) } # JSON cannot hold it
    [pscustomobject] @{ $Name = $value }
}
function Get-Service {
    param([string] $Name)
    [pscustomobject] @{ Status = (Find-Fact 'service' $Name) }
}
"""
# One engine looks at many hosts: what a start of it costs is most of a probe.
MANY = r"""
param([string] $Script)
while ($null -ne ($line = [Console]::In.ReadLine())) {
    $case = $line | ConvertFrom-Json
    foreach ($one in $case.variables.PSObject.Properties) { [Environment]::SetEnvironmentVariable($one.Name, $one.Value) }
    . $case.prelude
    $told = @(& $Script -drkit_registrations $case.registrations)
    [Console]::Out.WriteLine(($told + 'end') -join "`n")
    [Console]::Out.Flush()
}
"""
WHOLE: dict[str, Any] = {
    "cim": {
        "Win32_ComputerSystem": {"DNSHostName": "vm-desktop-win"},
        "Win32_OperatingSystem": {"LastBootUpTime": "2026-11-02T05:12:08.6+01:00"},
        "Win32_ComputerSystemProduct": {"UUID": "544CDFD0-CB4E-4B4A-9954-5BDF3ED5C3B8"},
        "Win32_NetworkAdapter": [
            {"MACAddress": "00:0D:3A:B1:02:03", "PhysicalAdapter": True},
            {"MACAddress": "00:0D:3A:A1:02:03", "PhysicalAdapter": True},
            {"MACAddress": "00:0D:3A:B1:02:03", "PhysicalAdapter": True},
            {"MACAddress": "20:41:53:59:4E:FF", "PhysicalAdapter": False},
            {"MACAddress": None, "PhysicalAdapter": True},
        ],
    },
    "registry": {
        r"HKLM:\SOFTWARE\Microsoft\Cryptography\MachineGuid": "8B5A9F3E-1111-4222-8333-944445555666",
        r"HKLM:\SOFTWARE\Microsoft\Virtual Machine\Guest\Parameters\PhysicalHostName": "CO2AA1050611004",
    },
    "service": {"vmickvpexchange": "Running"},
}
IMDS = {
    "compute": {"vmId": "D0DF4C54-4ECB-4A4B-9954-5BDF3ED5C3B8", "resourceId": VM, "location": "northeurope", "zone": ""}
}


class Engine:
    """A PowerShell engine that runs the probe on one host after another."""

    def __init__(self, folder: Path) -> None:
        driver, self.log = folder / "many.ps1", folder / "engine.log"
        driver.write_text(MANY)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(ENGINE), "run", str(driver), "-Script", str(SCRIPT)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
                env={"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(folder))},
            )  # fmt: skip

    def run(self, prelude: Path, registrations: str, variables: Mapping[str, str]) -> bytes:
        """What the probe prints on a host."""
        assert self.process.stdin
        assert self.process.stdout
        case = {"prelude": str(prelude), "registrations": registrations, "variables": dict(variables)}
        self.process.stdin.write(json.dumps(case).encode() + b"\n")
        self.process.stdin.flush()
        lines: list[bytes] = []
        while (line := self.process.stdout.readline()) != b"end\n":
            assert line, self.log.read_text()
            lines.append(line)
        assert self.log.read_bytes() == b""
        return b"".join(lines)

    def end(self) -> None:
        self.process.communicate(timeout=PATIENCE)


class Windows:
    """A Windows host of stand-ins: its facts, and the folders its profiles and keys are in."""

    def __init__(self, folder: Path, engine: Engine) -> None:
        self.folder, self.engine = folder, engine
        self.facts = deepcopy(WHOLE)
        self.variables = {"ProgramData": str(folder / "ProgramData"), "DRKIT_IMDS": NOWHERE}
        self.profiles: list[dict[str, Any]] = []

    def profile(self, user: str, *, local: bool = True) -> Path:
        """A user with a profile; the account is known where it is local."""
        sid = f"S-1-5-21-1-2-3-{1000 + len(self.profiles)}"
        home = self.folder / "Users" / user
        home.mkdir(parents=True)
        self.profiles.append({"LocalPath": str(home), "SID": sid})
        self.facts["cim"]["Win32_UserProfile"] = self.profiles
        query = f"SELECT Name FROM Win32_UserAccount WHERE LocalAccount = TRUE AND SID = '{sid}'"
        self.facts["cim"][query] = {"Name": user} if local else []
        return home

    def register(self, home: Path, content: bytes | None = None) -> Path:
        path = home / ".vsonline" / "environment.json"
        path.parent.mkdir(parents=True)
        path.write_bytes(b'{"environmentId": "%s"}' % ID.upper().encode() if content is None else content)
        return path

    def key(self, name: str, blob: str) -> str:
        folder = self.folder / "ProgramData" / "ssh"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"ssh-ed25519 {blob} someone@somewhere\r\n")
        digest = hashlib.sha256(base64.b64decode(blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def run(self, *arguments: str) -> dict[str, Any]:
        """Runs the probe as Azure does, in a process of its own, and returns the object it printed."""
        words = [str(ENGINE), "run", "-p", str(self._prelude()), str(SCRIPT), *arguments]
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(self.folder)), **self.variables}
        ran = subprocess.run(words, capture_output=True, env=environment, timeout=PATIENCE, check=False)
        assert (ran.returncode, ran.stderr) == (0, b"")
        return self._told(ran.stdout)

    def _prelude(self) -> Path:
        facts, prelude = self.folder / "facts.json", self.folder / "stand-ins.ps1"
        facts.write_text(json.dumps(self.facts))
        prelude.write_text(f"$args_facts = '{facts}'\n{STAND_INS}")
        return prelude

    def _told(self, printed: bytes) -> dict[str, Any]:
        """The object that a probe printed, after looking at what holds always."""
        (line,) = printed.splitlines()
        assert line.isascii()
        assert len(line) <= MOST
        value = json.loads(line)
        assert isinstance(value, dict)
        assert list(value) == FIELDS
        assert parse(printed.decode()) is not None
        return value

    def probe(self, registrations: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Runs the probe in the engine that many share, and returns the object it printed."""
        given = dict(encoded(registrations or {}))
        return self._told(self.engine.run(self._prelude(), given.get("drkit_registrations", ""), self.variables))


def encoded(registrations: Mapping[str, str]) -> Sequence[tuple[str, str]]:
    """The probe's parameters as they travel: none that is empty."""
    return host_scripts.load("probe_windows").encode({"drkit_registrations": registrations_parameter(registrations)})


FIELDS = [
    "drkit", "time", "hostname", "os", "machine_id", "boot_id", "smbios_uuid", "physical_host", "ssh_host_keys", "macs",
    "imds", "registrations", "partial",
]  # fmt: skip
READ = FIELDS[4:12]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    one = Engine(tmp_path_factory.mktemp("engine"))
    yield one
    one.end()


@pytest.fixture
def windows(tmp_path: Path, engine: Engine) -> Windows:
    return Windows(tmp_path, engine)


HOME = {"codespaces": "~/.vsonline/environment.json"}


def test_the_script_is_one_ascii_file_for_powershell() -> None:
    script = host_scripts.load("probe_windows")
    assert (script.shell, script.text) == ("powershell", SCRIPT.read_text("ascii"))
    assert script.sha256 == hashlib.sha256(script.text.encode()).hexdigest()
    assert script.text.startswith("#Requires -Version 5.1\n")
    assert "Set-StrictMode -Version Latest" in script.text
    assert host_scripts.probe_for("windows") == script
    assert host_scripts.probe_for("linux") == host_scripts.probe_for("") == host_scripts.load("probe")


def test_an_empty_value_does_not_travel_to_powershell() -> None:
    assert host_scripts.load("probe_windows").encode({"drkit_registrations": ""}) == []
    assert host_scripts.load("probe").encode({"drkit_registrations": ""}) == [("drkit_registrations", "-")]
    with pytest.raises(KeyError):
        host_scripts.load("probe_windows").encode({})


@needs_engine
def test_windows_powershell_5_1_has_all_that_it_uses() -> None:
    ran = subprocess.run([str(ENGINE), "check", str(SCRIPT)], capture_output=True, text=True, check=False)
    (found,) = json.loads(ran.stdout)
    assert (ran.returncode, found["errors"], found["not_in_5_1"]) == (0, [], [])
    reads = {"Get-CimInstance", "Get-ItemProperty", "Get-Service"}
    assert set(found["calls"]) <= reads | {"ConvertFrom-Json", "New-Object", "Set-StrictMode", "Where-Object"}


@needs_engine
def test_a_whole_host(windows: Windows) -> None:
    keys = [
        windows.key("ssh_host_ed25519_key.pub", key_blob()),
        windows.key("ssh_host_rsa_key.pub", key_blob(b"ssh-rsa")),
    ]
    windows.key("ssh_host_ed25519_key", key_blob(b"private"))
    home = windows.profile("anna")
    path = windows.register(home)
    windows.profile("bert")
    with metadata_service(json.dumps(IMDS).encode()) as (url, calls):
        windows.variables |= {"DRKIT_IMDS": url, "http_proxy": NOWHERE, "HTTP_PROXY": NOWHERE}
        seen = windows.run(*(word for name, value in encoded(HOME) for word in (f"-{name}", value)))
    assert calls == ["/metadata/instance?api-version=2025-04-07"]
    assert {name: seen[name] for name in FIELDS if name not in ("drkit", "time")} == {
        "hostname": "vm-desktop-win",
        "os": "windows",
        "machine_id": "8b5a9f3e-1111-4222-8333-944445555666",
        "boot_id": "2026-11-02T04:12:09Z",
        "smbios_uuid": "544cdfd0-cb4e-4b4a-9954-5bdf3ed5c3b8",
        "physical_host": "CO2AA1050611004",
        "ssh_host_keys": sorted(keys),
        "macs": ["00:0d:3a:a1:02:03", "00:0d:3a:b1:02:03"],
        "imds": {
            "vmId": "d0df4c54-4ecb-4a4b-9954-5bdf3ed5c3b8",
            "resourceId": VM,
            "location": "northeurope",
            "zone": None,
            "physicalZone": None,
        },
        "registrations": [{"product": "codespaces", "id": ID, "user": "anna", "path": str(path)}],
        "partial": False,
    }


@needs_engine
def test_a_host_of_which_nothing_can_be_read_knows_nothing(windows: Windows) -> None:
    windows.facts = {}
    seen = windows.probe(HOME)
    assert {name: seen[name] for name in READ} == dict.fromkeys(READ)
    assert seen["partial"] is True
    assert windows.probe()["partial"] is False


HALVES: dict[str, tuple[str, str, object, dict[str, object]]] = {
    "no service": ("service", "vmickvpexchange", ..., {"physical_host": None}),
    "a service that is stopped": ("service", "vmickvpexchange", "Stopped", {"physical_host": None}),
    "no MachineGuid": ("registry", r"HKLM:\SOFTWARE\Microsoft\Cryptography\MachineGuid", ..., {"machine_id": None}),
    "an odd MachineGuid": ("registry", r"HKLM:\SOFTWARE\Microsoft\Cryptography\MachineGuid", "x", {"machine_id": None}),
    "a number for a MachineGuid": ("registry", r"HKLM:\SOFTWARE\Microsoft\Cryptography\MachineGuid", 7, {"machine_id": None}),
    "no system": ("cim", "Win32_OperatingSystem", ..., {"boot_id": None}),
    "an odd start": ("cim", "Win32_OperatingSystem", {"LastBootUpTime": "odd"}, {"boot_id": None}),
    "no start": ("cim", "Win32_OperatingSystem", {}, {"boot_id": None}),
    "a UUID of ones": (
        "cim", "Win32_ComputerSystemProduct", {"UUID": "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF"}, {"smbios_uuid": None},
    ),
    "a UUID of zeros": (
        "cim", "Win32_ComputerSystemProduct", {"UUID": "00000000-0000-0000-0000-000000000000"}, {"smbios_uuid": None},
    ),
    "two products": ("cim", "Win32_ComputerSystemProduct", [{"UUID": ID}, {"UUID": ID}], {"smbios_uuid": None}),
    "no adapters": ("cim", "Win32_NetworkAdapter", [], {"macs": None}),
    "an adapter without its properties": (
        "cim", "Win32_NetworkAdapter", [{"MACAddress": "00:0D:3A:B1:02:03", "PhysicalAdapter": True}, {}], {"macs": None},
    ),
}  # fmt: skip


@needs_engine
@pytest.mark.parametrize("case", HALVES)
def test_what_is_missing_is_null_and_the_rest_is_read(windows: Windows, case: str) -> None:
    kind, name, value, expected = HALVES[case]
    if value is ...:
        del windows.facts[kind][name]
    else:
        windows.facts[kind][name] = value
    seen = windows.probe()
    given = {"machine_id", "boot_id", "smbios_uuid", "physical_host", "macs"}
    assert {name: seen[name] for name in expected} == expected
    assert all(seen[name] is not None for name in given - set(expected))


@needs_engine
def test_a_host_without_a_name_in_cim_still_has_one(windows: Windows) -> None:
    windows.facts["cim"]["Win32_ComputerSystem"] = {"DNSHostName": None}
    assert windows.probe()["hostname"]


@needs_engine
@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"<html>", 200),
        (b"", 200),
        (b"[1]", 200),
        (b'{"compute": "none"}', 200),
        (b'{"compute": {"vmId": "x"}}', 200),
        (json.dumps(IMDS).encode(), 500),
        (json.dumps(IMDS).encode(), 302),
    ],
)
def test_a_metadata_service_that_makes_no_sense_is_unknown(windows: Windows, answer: bytes, status: int) -> None:
    with metadata_service(answer, status) as (url, _):
        windows.variables["DRKIT_IMDS"] = url
        seen = windows.probe()
    assert seen["imds"] is None
    assert seen["machine_id"] is not None


@needs_engine
def test_a_metadata_service_that_hangs_does_not_hold_the_probe_up(windows: Windows) -> None:
    with metadata_service(json.dumps(IMDS).encode(), delay=30) as (url, _):
        windows.variables["DRKIT_IMDS"] = url
        assert windows.probe()["imds"] is None


@needs_engine
def test_invalid_keys_are_left_out(windows: Windows) -> None:
    kept = windows.key("ssh_host_ed25519_key.pub", key_blob())
    windows.key("ssh_host_dsa_key.pub", "%%%")
    windows.key("ssh_host_ecdsa_key.pub", "")
    assert windows.probe()["ssh_host_keys"] == [kept]


@needs_engine
def test_names_of_other_people_are_only_ever_text(windows: Windows) -> None:
    hostile = 'it\'s "a" $(throw 1) `n $env:PATH\\\x00\x01\x7f {0} \U0001f680 東京 </script>'
    windows.facts["cim"]["Win32_ComputerSystem"]["DNSHostName"] = hostile
    windows.facts["registry"][r"HKLM:\SOFTWARE\Microsoft\Virtual Machine\Guest\Parameters\PhysicalHostName"] = "x" * 500
    home = windows.profile("o'ne $(throw) `$x é {0}")
    path = windows.register(home)
    seen = windows.probe(HOME | {"$(throw 1)'\"{1}": f"{home}/nothing", "two": str(path)})
    assert hostile.startswith(seen["hostname"])
    assert seen["hostname"]
    assert seen["physical_host"] == "x" * 128
    assert [(one["product"], one["user"], one["path"]) for one in seen["registrations"]] == [
        ("codespaces", home.name, str(path)),
        ("two", None, str(path)),
    ]


@needs_engine
def test_half_a_surrogate_is_the_replacement_character(windows: Windows) -> None:
    windows.facts["registry"][r"HKLM:\SOFTWARE\Microsoft\Virtual Machine\Guest\Parameters\PhysicalHostName"] = (
        "a<half>b"
    )
    assert windows.probe()["physical_host"] == "a\ufffdb"


@needs_engine
def test_the_worst_host_still_fits(windows: Windows) -> None:
    wide = "\u6771" * 1000
    windows.facts["cim"]["Win32_ComputerSystem"]["DNSHostName"] = wide
    windows.facts["cim"]["Win32_NetworkAdapter"] = [
        {"MACAddress": f"00:0D:3A:00:00:{number:02X}", "PhysicalAdapter": True} for number in range(40)
    ]
    windows.facts["registry"][r"HKLM:\SOFTWARE\Microsoft\Virtual Machine\Guest\Parameters\PhysicalHostName"] = wide
    for number in range(12):
        windows.key(f"ssh_host_{number}_key.pub", key_blob(body=bytes([number]) * 32))
    for number in range(30):
        windows.register(windows.profile(f"user{number}-{'東' * 20}"))
    body = {"compute": dict.fromkeys(("resourceId", "location", "zone", "physicalZone"), wide) | {"vmId": ID}}
    with metadata_service(json.dumps(body).encode()) as (url, _):
        windows.variables["DRKIT_IMDS"] = url
        seen = windows.probe(HOME)
    assert (len(seen["macs"]), len(seen["ssh_host_keys"])) == (16, 8)
    assert 0 < len(seen["registrations"]) < 30
    assert seen["partial"] is True


# ---- registrations ----


@needs_engine
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", None),
        (b"no id here", None),
        (f'{{"id": "{ID}"}}'.encode("utf-16"), ID),
        (b"\xff\xfe\x00" + ID.encode() + b"\x00", ID),
        (b"f" + ID.encode(), None),
    ],
)
def test_the_first_guid_of_a_registration_is_its_id(windows: Windows, content: bytes, expected: str | None) -> None:
    windows.register(windows.profile("anna"), content)
    (found,) = windows.probe(HOME)["registrations"]
    assert found["id"] == expected


@needs_engine
def test_every_profile_is_looked_at_and_an_account_windows_cannot_name_is_null(windows: Windows) -> None:
    for user in ("anna", "bert"):
        windows.register(windows.profile(user, local=user == "anna"))
    windows.profiles.append({"LocalPath": None, "SID": "S-1-5-18"})
    windows.profiles.append({"LocalPath": str(windows.folder / "gone"), "SID": "S-1-5-19"})
    seen = windows.probe(HOME)
    assert [one["user"] for one in seen["registrations"]] == ["anna", None]
    assert seen["partial"] is False


@needs_engine
def test_a_link_in_a_profile_shows_nothing_of_what_it_leads_to(windows: Windows) -> None:
    secret = windows.folder / "secret"
    secret.mkdir()
    (secret / "environment.json").write_text(ID)
    homes = [windows.profile(user) for user in ("anna", "bert")]
    (homes[0] / ".vsonline").symlink_to(secret)
    (homes[1] / ".vsonline").mkdir()
    (homes[1] / ".vsonline" / "environment.json").symlink_to(secret / "environment.json")
    seen = windows.probe(HOME | {"odd": str(homes[0] / ".vsonline" / "environment.json")})
    assert [(one["product"], one["user"], one["id"]) for one in seen["registrations"]] == [
        ("codespaces", "anna", None), ("codespaces", "bert", None), ("odd", None, None),
    ]  # fmt: skip


@needs_engine
def test_no_registration_is_distinguished_from_an_unknown_one(windows: Windows) -> None:
    windows.profile("anna")
    seen = windows.probe(HOME)
    assert (seen["registrations"], seen["partial"]) == ([], False)
    seen = windows.probe({"codespaces": "//server/share/x"})
    assert (seen["registrations"], seen["partial"]) == (None, True)
    del windows.facts["cim"]["Win32_UserProfile"]
    seen = windows.probe(HOME)
    assert (seen["registrations"], seen["partial"]) == (None, True)


@needs_engine
@pytest.mark.parametrize("value", ["!!!", "AAAAA", "_w", "a b"])
def test_a_parameter_that_is_malformed_leaves_registrations_unknown(windows: Windows, value: str) -> None:
    windows.profile("anna")
    seen = windows.run("-drkit_registrations", value)
    assert (seen["registrations"], seen["partial"]) == (None, True)
    assert seen["machine_id"] is not None


@needs_engine
def test_a_parameter_in_its_place_or_with_its_name_in_front(windows: Windows) -> None:
    windows.register(windows.profile("anna"))
    value = host_scripts.encode(registrations_parameter(HOME))
    for argument in (value, f"drkit_registrations={value}"):
        assert len(windows.run(argument)["registrations"]) == 1
    assert windows.run()["registrations"] is None


@needs_engine
def test_it_writes_nothing(windows: Windows) -> None:
    windows.register(windows.profile("anna"))
    windows.probe(HOME)
    before = {path: path.stat().st_mtime_ns for path in sorted(windows.folder.rglob("*")) if path.is_file()}
    windows.probe(HOME)
    after = {path: path.stat().st_mtime_ns for path in sorted(windows.folder.rglob("*")) if path.is_file()}
    mine = {windows.folder / "facts.json", windows.folder / "stand-ins.ps1"}
    assert {path: time for path, time in before.items() if path not in mine} == {
        path: time for path, time in after.items() if path not in mine
    }
    assert set(before) == set(after)


# ---- what is made of it ----


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("2026-11-02T04:12:09Z", "2026-11-02T04:12:09Z", "same"),
        ("2026-11-02T04:12:09Z", "2026-11-02T04:13:09Z", "same"),
        ("2026-11-02T04:12:09Z", "2026-11-02T04:11:10Z", "same"),
        ("2026-11-02T04:12:09Z", "2026-11-02T04:13:10Z", "different"),
        ("2026-11-02T04:12:09Z", "odd", "different"),
        ("2026-11-02T04:12:09Z", None, "unknown"),
        (None, "2026-11-02T04:12:09Z", "unknown"),
        (ID, ID.upper(), "same"),
        (ID, "2026-11-02T04:12:09Z", "different"),
        (ID, ID.replace("1d", "2d"), "different"),
    ],
)
def test_a_start_within_a_minute_is_the_same_start(before: str | None, after: str | None, expected: str) -> None:
    host = Host(VM, "azure-vm", "vm", os="windows", baseline=Baseline(guest=GuestIdentity(boot_id=before)))
    probed = ProbeResult("up", "2026-11-20T00:00:00Z", GuestIdentity(boot_id=after))
    assert signals(host, HostObservation(arm="found", probe=probed)).boot == expected
