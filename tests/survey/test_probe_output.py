"""Probes that people ran by hand: to which host an output belongs, which outputs cannot be used, and what follows from the others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.errors import UsageError
from drkit.model import host_scripts
from drkit.model.clock import rfc3339
from drkit.model.estate import Baseline, GuestIdentity, Host
from drkit.model.ids import ArmId
from drkit.simulator import sample_seed
from drkit.survey import probe_output
from drkit.survey.probe import ProbeResult, parse
from tests.support.builders import a_plan, a_vm, hosted, one_lost
from tests.support.command_line import Cloud, Here, drkit, settings

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
ID = "1d2c3b4a-0001-4000-8000-00000000aaaa"


def output(hostname: str | None = None, *, minutes: float = 5, **more: Any) -> str:
    """What a probe prints on a host of that name, so many minutes ago."""
    value: dict[str, Any] = {
        "drkit": "probe/1", "time": rfc3339(NOW - timedelta(minutes=minutes)), "hostname": hostname, "os": "linux",
        "machine_id": "0123456789abcdef0123456789abcdef", "boot_id": ID, "smbios_uuid": None, "physical_host": None,
        "ssh_host_keys": None, "macs": None, "imds": None, "registrations": [], "partial": False,
    }  # fmt: skip
    return json.dumps(value | more) + "\n"


def physical(name: str, **more: Any) -> Host:
    return Host(name, "physical", name, **more)


def put(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def of(folder: Path, *base: Host, found: tuple[Host, ...] = ()) -> tuple[dict[ArmId, ProbeResult], list[str]]:
    outputs, faults = probe_output.read(folder)
    results, unused = probe_output.assign(outputs, base, found, now=NOW, fresh_minutes=20)
    return results, [*faults, *unused]


RACK = physical("rack-4-node-2")


# ---- files ----


@pytest.mark.parametrize(
    "content",
    [
        output("rack-4-node-2").encode(),
        output("rack-4-node-2").encode("utf-16"),
        b"\xef\xbb\xbf" + output("rack-4-node-2").encode(),
        b"\xfe\xff" + output("rack-4-node-2").encode("utf-16-be"),
        output("rack-4-node-2").replace("\n", "\r\n").encode(),
        b"PS C:\\> .\\probe.ps1\n{ not json\n  " + output("rack-4-node-2").encode() + b'{"other": 1}\nPS C:\\>\n\xff',
    ],
    ids=["plain", "as PowerShell writes", "with a mark", "big-endian", "line ends of Windows", "among other lines"],
)
def test_an_output_is_read_in_every_encoding(tmp_path: Path, content: bytes) -> None:
    results, faults = of(put(tmp_path, x=content), RACK)
    assert faults == []
    probed = results[ArmId("rack-4-node-2")]
    assert (probed.state, probed.source, probed.time) == ("up", "probe by hand", "2026-11-23T07:55:00Z")
    assert probed.guest is not None
    assert probed.guest.boot_id == ID
    assert not probed.stale


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "holds no output of a probe"),
        (b"bash: probe.sh: not found", "holds no output of a probe"),
        (output("rack-4-node-2").encode()[:-40], "holds no output of a probe"),
        (output("rack-4-node-2", drkit="reach/1").encode(), "holds no output of a probe"),
        (b"[" * 100_000, "holds no output of a probe"),
        (b'{"drkit":"probe/1","imds":' + b"[" * 100_000, "holds no output of a probe"),
        (b"x" * (probe_output.MOST_BYTES + 1), "is too long"),
        (output("rack-4-node-2", time=None).encode(), "does not say when it was read"),
        (output("rack-4-node-2", time="2026-11-23T08:00:00").encode(), "does not say when it was read"),
        (output("rack-4-node-2", minutes=-6).encode(), "which is in the future"),
        (
            output("somebody-else").encode(),
            "belongs to no known host, by its name or by its content (somebody-else)",
        ),
        (output().encode(), "belongs to no known host, by its name or by its content (no host name)"),
    ],
)
def test_an_output_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path, content: bytes, why: str) -> None:
    results, (fault,) = of(put(tmp_path, odd=content), RACK)
    assert results == {}
    assert fault.startswith("probe output odd: ")
    assert why in fault


def test_a_subfolder_is_reported_and_a_hidden_file_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    put(tmp_path, **{".swp": "x"})
    assert of(tmp_path, RACK) == ({}, ["probe output more: is a directory, not a regular file"])


@pytest.mark.parametrize("name", ["missing", "file"])
def test_a_path_that_is_not_a_folder_is_a_usage_error(tmp_path: Path, name: str) -> None:
    put(tmp_path, file="x")
    with pytest.raises(UsageError, match="cannot be read"):
        probe_output.read(tmp_path / name)


def test_fields_of_odd_types_are_unknown_and_can_be_kept() -> None:
    odd = output(
        hostname="\ud800x", machine_id=7, macs=["a", 1, "\udfff"], ssh_host_keys="x", imds={"vmId": 10**400, "more": 1},
        registrations=[1, {"id": 5}, {"id": ID, "user": [], "path": None, "product": "p"}],
    )  # fmt: skip
    guest = parse(odd)
    assert guest is not None
    assert (guest.hostname, guest.machine_id, guest.macs) == ("\ufffdx", None, ("a", "\ufffd"))
    assert guest.ssh_host_keys is None
    assert guest.imds == dict.fromkeys(("vmId", "resourceId", "location", "zone", "physicalZone"))
    assert [
        (registration.product, registration.id, registration.user, registration.path)
        for registration in guest.registrations or ()
    ] == [("p", ID, "", "")]
    assert msgspec.json.decode(msgspec.json.encode(guest), type=GuestIdentity) == guest


# ---- which host ----


@pytest.mark.parametrize(
    "name", ["vm-a", "VM-A.txt", "vm-a.json", "vm-a.out", a_vm("vm-a").id.strip("/").replace("/", "_")]
)
def test_a_file_name_identifies_the_host(tmp_path: Path, name: str) -> None:
    results, faults = of(put(tmp_path, **{name: output()}), a_vm("vm-a"), a_vm("vm-b"))
    assert (list(results), faults) == ([a_vm("vm-a").id.lower()], [])


@pytest.mark.parametrize("hostname", ["vm-a", "VM-A", "vm-a.contoso.example", "inside-name"])
def test_without_it_the_host_name_in_the_output_identifies_the_host(tmp_path: Path, hostname: str) -> None:
    host = a_vm("vm-a", baseline=Baseline(guest=GuestIdentity(hostname="inside-name")))
    results, faults = of(put(tmp_path, **{"notes-1.txt": output(hostname)}), host, a_vm("vm-b"))
    assert (list(results), faults) == ([host.id.lower()], [])


def test_the_arm_id_in_the_output_counts_before_the_host_name(tmp_path: Path) -> None:
    text = output("vm-a", imds={"resourceId": a_vm("vm-b").id.upper()})
    results, faults = of(put(tmp_path, x=text), a_vm("vm-a"), a_vm("vm-b"))
    assert (list(results), faults) == ([a_vm("vm-b").id.lower()], [])


def test_a_file_name_that_contradicts_the_output_is_refused(tmp_path: Path) -> None:
    results, (fault,) = of(put(tmp_path, **{"vm-a.txt": output("vm-b")}), a_vm("vm-a"), a_vm("vm-b"))
    assert results == {}
    assert fault == f"probe output vm-a.txt: is named after {a_vm('vm-a').id}, and its content is of {a_vm('vm-b').id}"


def test_two_hosts_of_one_name_are_distinguished_by_the_whole_id(tmp_path: Path) -> None:
    first = a_vm("vm-a")
    other = a_vm("vm-a", id=first.id.replace("/hosts/", "/rest/"))
    results, (fault,) = of(put(tmp_path, **{"vm-a": output("vm-a")}), first, other)
    assert results == {}
    assert "may be of" in fault
    put(tmp_path, **{other.id.strip("/").replace("/", "_"): output("vm-a")})
    assert list(of(tmp_path, first, other)[0]) == [other.id.lower()]


def test_a_machine_that_only_arm_knows_is_found(tmp_path: Path) -> None:
    restored = a_vm("vm-a-restored")
    results, faults = of(put(tmp_path, **{"vm-a-restored": output("vm-a-restored")}), a_vm("vm-a"), found=(restored,))
    assert (list(results), faults) == ([restored.id.lower()], [])


# ---- when ----


def test_of_two_outputs_of_a_host_the_newer_is_used(tmp_path: Path) -> None:
    put(tmp_path, **{"rack-4-node-2": output(minutes=3), "again.txt": output("rack-4-node-2", minutes=9)})
    results, (fault,) = of(tmp_path, RACK)
    assert results[ArmId("rack-4-node-2")].detail == "from rack-4-node-2"
    assert fault == "probe output again.txt: rack-4-node-2 is of the same host and newer"


def test_an_output_from_before_the_baseline_is_not_used(tmp_path: Path) -> None:
    host = physical(
        "rack-4-node-2", baseline=Baseline(guest=GuestIdentity(), guest_time=rfc3339(NOW - timedelta(minutes=5)))
    )
    put(tmp_path, x=output("rack-4-node-2", minutes=6))
    results, (fault,) = of(tmp_path, host)
    assert results == {}
    assert "before the snapshot read rack-4-node-2" in fault
    put(tmp_path, x=output("rack-4-node-2", minutes=4))
    assert of(tmp_path, host)[1] == []


@pytest.mark.parametrize(("minutes", "stale"), [(-4, False), (0, False), (20, False), (21, True), (90, True)])
def test_an_old_output_is_marked(tmp_path: Path, minutes: float, stale: bool) -> None:
    probed = of(put(tmp_path, x=output("rack-4-node-2", minutes=minutes)), RACK)[0][ArmId("rack-4-node-2")]
    assert probed.stale is stale
    assert ("one level lower" in probed.detail) is stale


@pytest.mark.parametrize(
    ("own", "by_a_person"), [("up", False), ("down", True), ("none", True), (None, True)]
)  # fmt: skip
def test_the_answer_to_drkits_own_probe_counts_before_one_by_hand(own: Any, by_a_person: bool) -> None:
    by_hand = ProbeResult("up", rfc3339(NOW), GuestIdentity(), source=probe_output.SOURCE)
    merged = probe_output.merge({ArmId("h"): ProbeResult(own, rfc3339(NOW))} if own else {}, {ArmId("h"): by_hand})
    assert (merged[ArmId("h")] is by_hand) is by_a_person


# ---- Windows: probed, and registered by a person ----


def test_a_windows_host_with_a_channel_is_registered_by_a_person() -> None:
    plan = a_plan()
    guest = GuestIdentity(machine_id="8b5a9f3e-1111-4222-8333-944445555666")
    host = a_vm("desk", os="windows", baseline=Baseline(guest=guest))
    book = one_lost(hosted("desk-client", plan, host), plan=plan, hosts=[host])
    steps = [step for step in book.steps if step.environment]
    assert [step.action for step in steps] == ["by-hand", "verify"]
    assert f"MachineGuid {guest.machine_id}" in steps[0].inputs["see_first"]
    assert book.scripts == {}


# ---- the whole way ----


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path_factory.mktemp("cloud"))
    yield cloud
    cloud.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, cloud: Cloud) -> Path:
    """A folder with settings and a snapshot."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "drkit.toml").write_text(settings())
    assert drkit("snapshot", cwd=folder, DRKIT_CLOUD=str(cloud.ready)).code == 0
    return folder


def test_a_windows_host_is_identified_from_inside(site: Path) -> None:
    taken = json.loads(next((site / ".drkit").rglob("snapshots/*.json")).read_text())
    host = next(entry for entry in taken["hosts"] if entry["name"] == "vm-desktop-win")
    guest = host["baseline"]["guest"]
    assert (host["os"], host["channel"], guest["boot_id"]) == ("windows", "run-command", "2026-11-02T04:12:00Z")
    assert len(guest["machine_id"]) == 36
    assert guest["registrations"][0]["path"].endswith(r"\.vsonline\environment.json")
    linked = next(entry for entry in taken["environments"] if entry["name"] == "desktop-client")
    assert linked["host"]["host"] == host["id"]
    assert linked["host"]["source"] == "probe"


def test_outputs_of_a_person_are_read_and_unusable_ones_reported(site: Path, cloud: Cloud, tmp_path: Path) -> None:
    now = datetime.fromisoformat(json.loads(cloud_time(cloud)))
    rack = next(host for host in sample_seed(1)["hosts"] if host["hostname"] == "rack-4-node-2")
    other = [{"product": "codespaces", "id": ID, "user": "gustav", "path": "/x"}]
    value = json.loads(output("rack-4-node-2")) | {"time": rfc3339(now), "registrations": other}
    put(tmp_path, **{"rack-4-node-2.txt": "$ sudo sh probe.sh\n" + json.dumps(value), "odd.txt": "nothing"})

    def assess() -> tuple[dict[str, Any], list[str]]:
        done = drkit("assess", "--probe-output", str(tmp_path), "--json", cwd=site, DRKIT_CLOUD=str(cloud.ready))
        assert done.code == 0, done.err
        return next(entry for entry in done.json["hosts"] if entry["host"] == rack["id"]), done.json["unread"]

    finding, unread = assess()
    assert unread[0].startswith("probe output odd.txt: holds no output of a probe")
    reading = next(entry for entry in finding["readings"] if entry["signal"] == "probe")
    assert (reading["source"], reading["time"]) == ("probe by hand", value["time"])
    assert finding["signals"]["probe"] == "up"
    assert "old-probe" not in finding.get("notes", [])

    value["time"] = rfc3339(now - timedelta(hours=2))
    put(tmp_path, **{"rack-4-node-2.txt": json.dumps(value)})
    old, _ = assess()
    assert "old-probe" in old["notes"]
    assert [(entry["outcome"], entry["rule"], entry["confidence"]) for entry in (finding, old)] == [
        ("re-register", 12, "medium"),
        ("re-register", 12, "low"),
    ]
    assert "one level lower" in next(entry for entry in old["readings"] if entry["signal"] == "probe")["detail"]


def cloud_time(cloud: Cloud) -> str:
    clock = cloud.facts["clock"]
    origin, started = (datetime.fromisoformat(clock[name]) for name in ("origin", "started"))
    return json.dumps((origin + clock["speed"] * (datetime.now(UTC) - started)).isoformat())


# ---- the script to run ----


@pytest.mark.parametrize(("system", "name"), [("linux", "probe"), ("windows", "probe_windows")])
def test_the_script_is_printed_unchanged_with_the_command_that_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], system: str, name: str
) -> None:
    here = Here(tmp_path, monkeypatch, capsys)
    done = here("probe-script", system)
    assert (done.code, done.out) == (0, host_scripts.load(name).text)
    asked = host_scripts.encode("codespaces\t~/.vsonline/environment.json")
    assert asked in done.err
    assert "drkit assess --probe-output" in done.err
    assert here("probe-script", system, "--quiet").err == ""
    printed = here("probe-script", system, "--json").json
    assert (printed["system"], printed["text"], printed["sha256"]) == (system, done.out, host_scripts.load(name).sha256)
    assert asked in printed["command"]
    assert here("probe-script", "beos").code == 64
