"""The scripts drkit runs on hosts, run for real under each shell they are written for."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ipaddress
import json
import os
import random
import re
import shutil
import socket
import ssl
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from drkit import products
from drkit.model import host_scripts
from tests.model.host_folder import (
    NEW_ID,
    NONCE,
    OLD_ID,
    OTHER_NONCE,
    PLAN,
    REGISTRATION,
    SHELLS,
    Host,
    await_that,
    installed_shells,
    key_blob,
    metadata_service,
    outcome,
    pool,
    refusal,
    running,
    shell_command,
    tools,
)
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

NOBODY = 65534
SCRIPTS = products.scripts()
POSIX = {name: script.parameters for name, script in SCRIPTS.today.items() if script.shell == "sh"}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")

HOSTILE = {
    "quotes": """it's a "name" \\ with 'all' of them""",
    "substitution": "$(touch pwned)`touch pwned`${IFS}$HOME",
    "statements": "x; touch pwned & touch pwned | touch pwned\ntouch pwned\n\n",
    "newlines": "\n\nfirst\n\nlast\n\n",
    "dash": "-rf",
    "dashes": "--service",
    "glob": "* ? [a-z] ~ ~root {a,b}",
    "unicode": "Büro-東京-\U0001f680-\u0101\u0180\u200f\u2028",
    "long": "n" * 299 + "é",
    "space": " \t leading and trailing \t ",
    "equals": "drkit_nonce=eA",
    "control": "".join(map(chr, range(1, 32))) + "\x7f",
}


def unprivileged() -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


@pytest.fixture(scope="session")
def everyones_folder() -> Iterator[Path]:
    """A folder that other users may enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="drkit-hosts-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="session")
def busybox_path(everyones_folder: Path) -> str:
    return tools(everyones_folder / "busybox", busybox=shell_command("busybox")[0])


@pytest.fixture(scope="session")
def path_without(everyones_folder: Path) -> Callable[..., str]:
    """Makes a PATH that lacks the programs it is given."""

    @cache
    def make(*programs: str) -> str:
        return tools(everyones_folder / ("without-" + "-".join(programs)), without=programs)

    return make


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> list[str]:
    return shell_command(request.param)


@pytest.fixture
def plain(everyones_folder: Path) -> Iterator[Host]:
    """A host under the first shell that is there."""
    shell = shell_command((installed_shells() or ["dash"])[0])
    host = Host(Path(tempfile.mkdtemp(dir=everyones_folder)), shell, os.environ["PATH"])
    host.folder.chmod(0o755)
    yield host
    host.end_everything()


def under(shell: list[str], host: Host, request: pytest.FixtureRequest) -> Host:
    host.shell = shell
    if len(shell) > 1:  # busybox, with none but busybox's programs
        host.path = request.getfixturevalue("busybox_path")
    return host


@pytest.fixture
def crowd(everyones_folder: Path, request: pytest.FixtureRequest) -> Iterator[list[Host]]:
    """A host under each shell that is there, for what takes its time, and one where root uses su to become another."""
    hosts = [
        under(shell_command(name), Host(Path(tempfile.mkdtemp(dir=everyones_folder)), [], os.environ["PATH"]), request)
        for name in installed_shells()
    ]
    if os.geteuid() == 0:
        hosts.append(Host(Path(tempfile.mkdtemp(dir=everyones_folder)), hosts[0].shell, ""))
        hosts[-1].path = request.getfixturevalue("path_without")("runuser", "setpriv")
        hosts[-1].belong_to("nobody")
    yield hosts
    for host in hosts:
        host.end_everything()


@pytest.fixture
def host(plain: Host, shell: list[str], request: pytest.FixtureRequest) -> Host:
    """A host under each shell."""
    return under(shell, plain, request)


@pytest.fixture
def varied(plain: Host, request: pytest.FixtureRequest) -> Host:
    """A host under one of the shells, for cases that are many: another for each, always the same for one."""
    names = installed_shells()
    return under(shell_command(names[sum(request.node.name.encode()) % len(names)]), plain, request)


@pytest.fixture
def other_user(plain: Host) -> Host:
    """A host whose registered user is not root."""
    plain.register()
    plain.belong_to("nobody")
    return plain


# ---- the texts ----


def test_each_script_is_one_text_with_one_hash() -> None:
    for name, parameters in POSIX.items():
        script = SCRIPTS.load(name)
        assert script.text.startswith("#!/bin/sh\n")
        assert script.text.isascii()
        assert script.sha256 == hashlib.sha256(script.text.encode()).hexdigest()
        assert f'take "{" ".join(parameters)}" "$@"' in script.text
    assert {script.sha256: name for name, script in SCRIPTS.today.items()}.items() <= SCRIPTS.hashes().items()


def test_shellcheck_finds_nothing() -> None:
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    folders = [Path(host_scripts.__file__).parent, *Path(products.__file__).parent.glob("*/scripts")]
    files = sorted(file for folder in folders for file in folder.glob("*.sh"))
    assert len(files) == len(POSIX) + 1
    found = subprocess.run(["shellcheck", *files], capture_output=True, text=True, check=False)
    assert (found.stdout, found.returncode) == ("", 0)


# ---- parameters and JSON ----


def run_common(shell: list[str], folder: Path, body: str, *arguments: str, path: str = "") -> bytes:
    common = (Path(host_scripts.__file__).parent / "common.sh").read_text()
    script = folder / "script.sh"
    script.write_text(common + body)
    variables = {"PATH": path or os.environ["PATH"]}
    return subprocess.run([*shell, str(script), *arguments], capture_output=True, check=True, env=variables).stdout


def texts(count: int) -> list[str]:
    dice = random.Random(7)
    alphabet = "aZ09 -_=/+'\"\\$`\n\t\r;&|*?~éßĀƀ東\U0001f680\x01\x7f\x80\u0088"
    return ["".join(dice.choices(alphabet, k=dice.randrange(12))) for _ in range(count)]


def test_values_arrive_byte_exact(shell: list[str], tmp_path: Path) -> None:
    values = [*HOSTILE.values(), *texts(15)]
    names = [f"drkit_v{number}" for number in range(len(values))]
    body = f'take "{" ".join(names)}" "$@"\n' + "".join(f"printf '%s\\0' \"${name}\"\n" for name in names)
    arguments = [host_scripts.encode(value) for value in values]
    said = run_common(shell, tmp_path, body, *arguments)
    assert [part.decode() for part in said.split(b"\0")[:-1]] == values


def test_openssl_decodes_where_base64_is_missing(
    shell: list[str], tmp_path: Path, path_without: Callable[..., str]
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    path = path_without("base64")
    body = 'take "drkit_a drkit_b" "$@"\nhave base64 || printf "%s|%s" "$drkit_a" "$drkit_b"'
    long = "0123456789" * 40
    said = run_common(shell, tmp_path, body, host_scripts.encode(long), host_scripts.encode("é\n"), path=path)
    assert said.decode() == f"{long}|é\n"


def test_any_bytes_become_a_json_string(shell: list[str], tmp_path: Path) -> None:
    dice = random.Random(11)
    heads = [
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xf0\x9f\x9a\x80",
        b"\xff",
        b"a",
        b"\x85",
    ]
    values = [text.encode() for text in (*HOSTILE.values(), *texts(8)) if text]
    values += [b"".join(dice.choices(heads, k=4)) for _ in range(10)]
    body = 'for raw in "$@"; do decode "$raw"; text "$value" 400; echo; done\n'
    arguments = [base64.urlsafe_b64encode(value).rstrip(b"=").decode() for value in values]
    lines = run_common(shell, tmp_path, body, *arguments).splitlines()
    assert all(line.isascii() for line in lines)
    assert [json.loads(line) for line in lines] == [value.decode(errors="replace") for value in values]


def test_a_json_string_is_cut_between_characters(shell: list[str], tmp_path: Path) -> None:
    body = "text '' 5; text 'abcdef' 5; text 'ab€€' 7; text '\"\"\"\"\"\"' 5; "
    body += "text \"$(head -c 9000 /dev/zero | tr '\\0' x)é\" 9"
    said = run_common(shell, tmp_path, body).decode()
    assert said == r'null"abcde""ab\u20ac""\"\"\"\"\"""xxxxxxxxx"'


@pytest.mark.parametrize("form", ["place", "name", "variable", "both", "stdin"])
def test_parameters_are_understood_in_every_form(host: Host, form: str) -> None:
    host.mode("start", "start-fails")
    (host.bin / "error").touch()
    values = host.register_values(drkit_name=HOSTILE["statements"])
    assert host.run("codespaces_register", values, form=form)["state"] == "started"
    call = host.await_call("start")
    assert call[4].decode() == HOSTILE["statements"]
    assert call[6].decode() == str(host.workspace)
    assert not (host.bin / "stdin-was-read").exists()


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"drkit_nonce": "../../etc"}, "parameter drkit_nonce is not 32 hexadecimal digits"),
        ({"drkit_nonce": NONCE + "\n"}, "parameter drkit_nonce is not 32 hexadecimal digits"),
        ({"drkit_environment": ""}, "parameter drkit_environment is not a GUID"),
        ({"drkit_registration": "vso/registration"}, "parameter drkit_registration is no path"),
        ({"drkit_timeout": "1 + 1"}, "parameter drkit_timeout is not a number of seconds"),
        ({"drkit_timeout": "0"}, "parameter drkit_timeout is not between 1 and 5000 seconds"),
        ({"drkit_force": "yes"}, "parameter drkit_force is neither 0 nor 1"),
    ],
)
def test_malformed_parameters_are_refused_before_anything_happens(
    plain: Host, changed: dict[str, str], says: str
) -> None:
    plain.register()
    process = plain.start("codespaces_release", plain.release_values() | changed)
    assert refusal(process) == (64, f"drkit: {says}")
    assert not plain.state.exists()
    assert plain.calls("stop") == []


@pytest.mark.parametrize("argument", ["", "a", "YQ$", "YWJjZ", "YQBi", "YQ YQ"])
def test_what_is_no_base64url_text_is_refused(varied: Host, argument: str) -> None:
    host = varied
    words = [*host.shell, "-c", host_scripts.load("probe").text, "sh", argument]
    done = subprocess.run(words, capture_output=True, env=host.variables(), check=False)
    assert (done.returncode, done.stdout) == (64, b"")
    assert b"drkit: parameter drkit_registrations is" in done.stderr


# ---- probe ----


def asks(*lines: str) -> dict[str, str]:
    return {"drkit_registrations": "\n".join(lines)}


def first_line(path: str) -> str | None:
    try:
        return Path(path).read_text().strip().lower() or None
    except OSError:
        return None


def test_a_probe_reads_this_machine(host: Host) -> None:
    host.environment = {"DRKIT_ROOT": ""}
    seen = host.run("probe", asks("codespaces\t~/.drkit-test-never-there"))
    assert seen["drkit"] == "probe/1"
    assert abs(dt.datetime.fromisoformat(seen["time"]) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=1)
    assert seen["hostname"] == socket.gethostname()
    assert seen["os"] == "linux"
    assert seen["machine_id"] == first_line("/etc/machine-id")
    assert seen["boot_id"] == first_line("/proc/sys/kernel/random/boot_id")
    assert seen["smbios_uuid"] == first_line("/sys/class/dmi/id/product_uuid")
    assert set(seen["macs"] or ()) <= {first_line(str(file)) for file in Path("/sys/class/net").glob("*/address")}
    keys = sorted(Path("/etc/ssh").glob("ssh_host_*_key.pub"))
    if shutil.which("ssh-keygen"):
        said = [subprocess.check_output(["ssh-keygen", "-lf", str(key)], text=True).split()[1] for key in keys]
        assert seen["ssh_host_keys"] in (sorted(said) or None, None)
    assert seen["imds"] is None
    if os.geteuid() == 0:
        assert (seen["registrations"], seen["partial"]) == ([], False)


@as_root
def test_an_unprivileged_probe_does_not_take_the_unseen_for_absent(plain: Host) -> None:
    closed, open_ = plain.folder / "closed", plain.folder / "open"
    for folder in (closed, open_):
        folder.mkdir()
        (folder / "registration").write_text(OLD_ID)
    plain.passwd(f"ann:x:1:1::{closed}:/bin/sh", f"bob:x:2:2::{plain.folder}/none:/bin/sh")
    closed.chmod(0o700)
    seen = plain.run("probe", asks("codespaces\t~/registration"), become=unprivileged)
    assert (seen["registrations"], seen["partial"]) == (None, True)
    plain.passwd(f"ann:x:1:1::{closed}:/bin/sh", f"eve:x:3:3::{open_}:/bin/sh")
    seen = plain.run("probe", asks("codespaces\t~/registration"), become=unprivileged)
    assert [entry["user"] for entry in seen["registrations"]] == ["eve"]
    assert seen["partial"] is True
    plain.passwd(f"eve:x:3:3::{open_}:/bin/sh")
    seen = plain.run("probe", asks("codespaces\t~/else"), become=unprivileged)
    assert (seen["registrations"], seen["partial"]) == ([], False)
    plain.environment = {"DRKIT_ROOT": ""}
    assert plain.run("probe", asks("codespaces\t~/else"), become=unprivileged)["boot_id"] is not None


def test_a_probe_of_a_host_without_anything_knows_nothing(host: Host) -> None:
    (host.root / "etc" / "passwd").unlink()
    seen = host.run("probe", asks("codespaces\t~/.vso/registration"))
    assert {key: value for key, value in seen.items() if value is not None} == {
        "drkit": "probe/1",
        "time": seen["time"],
        "os": "linux",
        "partial": True,
    }
    seen = host.run("probe", asks(""))
    assert (seen["registrations"], seen["partial"]) == (None, False)


def furnish(host: Host) -> None:
    """A host on Hyper-V with everything a probe can read."""
    files: dict[str, str | bytes] = {
        "proc/sys/kernel/hostname": "web-1\n",
        "proc/sys/kernel/random/boot_id": "0DD3AC4B-d4a1-45ac-8df9-960dbd03dc02\n",
        "proc/1/comm": "systemd\n",
        "proc/77/comm": "hv_kvp_daemon\n",
        "etc/machine-id": "3d1219c7c4c5404aaa1f6d2a48adfda4\n",
        "sys/class/dmi/id/product_uuid": "544CDFD0-CB4E-4B4A-9954-5BDF3ED5C3B8\n",
        "sys/class/net/lo/address": "00:00:00:00:00:00\n",
        "sys/class/net/eth0/address": "00:0D:3A:11:22:33\n",
        "sys/class/net/eth0/device": "",
        "sys/class/net/docker0/address": "02:42:00:00:00:01\n",
        "etc/ssh/ssh_host_ed25519_key.pub": f"ssh-ed25519 {key_blob()} root@web-1\n",
        "etc/ssh/ssh_host_broken_key.pub": "ssh-ed25519 !!!! $(touch pwned)\n",
        "etc/ssh/ssh_host_empty_key.pub": "",
        "etc/ssh/ssh_host_ed25519_key": "secret",
        "var/lib/hyperv/.kvp_pool_3": pool(
            (b"HostName", b"other"),
            (b"PhysicalHostNameFullyQualified", b"fq"),
            (b"PhysicalHostName", b"CO2AA1050611004"),
        ),
    }
    for name, content in files.items():
        file = host.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def test_a_probe_reads_a_furnished_host_and_writes_nothing(host: Host) -> None:
    furnish(host)
    before = sorted(str(path) for path in host.folder.rglob("*"))
    seen = host.run("probe", asks(""), form="stdin")
    assert seen["hostname"] == "web-1"
    assert seen["boot_id"] == "0dd3ac4b-d4a1-45ac-8df9-960dbd03dc02"
    assert seen["machine_id"] == "3d1219c7c4c5404aaa1f6d2a48adfda4"
    assert seen["smbios_uuid"] == "544cdfd0-cb4e-4b4a-9954-5bdf3ed5c3b8"
    assert seen["physical_host"] == "CO2AA1050611004"
    assert seen["macs"] == ["00:0d:3a:11:22:33"]
    if len(host.shell) == 1:  # busybox computes no fingerprint: neither ssh-keygen nor openssl
        assert seen["ssh_host_keys"] == [fingerprint(key_blob())]
    else:
        assert seen["ssh_host_keys"] is None
    assert sorted(str(path) for path in host.folder.rglob("*") if path.name != "probe.sh") == before


def fingerprint(blob: str) -> str:
    digest = hashlib.sha256(base64.b64decode(blob)).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def test_fingerprints_are_computed_without_ssh_keygen(varied: Host, path_without: Callable[..., str]) -> None:
    host = varied
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    furnish(host)
    host.path = path_without("ssh-keygen")
    assert host.run("probe", asks(""))["ssh_host_keys"] == [fingerprint(key_blob())]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("no daemon", None),
        ("no file", None),
        ("half a record", None),
        ("empty value", None),
        ("stale tail", "now"),
        ("not text", "\ufffd\x01\"'"),
    ],
)
def test_the_physical_host_is_known_only_from_a_whole_record_and_a_running_daemon(
    varied: Host, change: str, expected: str | None
) -> None:
    host = varied
    furnish(host)
    file = host.root / "var/lib/hyperv/.kvp_pool_3"
    match change:
        case "no daemon":
            (host.root / "proc/77/comm").write_text("kvp\n")
        case "no file":
            file.unlink()
        case "half a record":
            file.write_bytes(pool((b"PhysicalHostName", b"x"))[:-1])
        case "empty value":
            file.write_bytes(pool((b"PhysicalHostName", b"\0old")))
        case "stale tail":
            file.write_bytes(pool((b"PhysicalHostName\0old", b"now\0before")))
        case _:
            file.write_bytes(pool((b"PhysicalHostName", b"\xff\x01\"'")))
    assert host.run("probe", asks(""))["physical_host"] == expected


@pytest.mark.parametrize("content", ["uninitialized\n", "", "3d1219c7\n", "g" * 32, "0" * 31 + "$"])
def test_an_invalid_machine_id_is_unknown(plain: Host, content: str) -> None:
    (plain.root / "etc/machine-id").write_text(content)
    assert plain.run("probe", asks(""))["machine_id"] is None


def belonging(home: Path, *files: Path) -> str:
    """The line in a host's list of users for one who exists on this machine too, to whom root gives the home and the files."""
    if os.geteuid() == 0:
        for path in (home, *files):
            os.chown(path, NOBODY, NOBODY)
    return f"nobody:x:{NOBODY}:{NOBODY}::{home}:/bin/sh"


def test_registrations_of_every_home_are_found(host: Host) -> None:
    homes = {name: host.folder / name for name in ("nobody", 'bob\'s "home"', "carl", "dora", "evil")}
    for home in homes.values():
        home.mkdir()
    (homes["nobody"] / "reg").write_bytes(b"\0\xff{x}" + OLD_ID.upper().encode() + b" " + NEW_ID.encode())
    (homes['bob\'s "home"'] / "reg").write_text("no id in here")
    os.mkfifo(homes["carl"] / "reg")
    (homes["evil"] / "reg").symlink_to("/dev/zero")
    lines = [f"{name.split()[0]}:x:9:9:,,;$(touch pwned):{home}:/bin/sh" for name, home in homes.items()]
    lines[0] = belonging(homes["nobody"], homes["nobody"] / "reg")
    host.passwd(*lines, f"twin:x:10:10::{homes['nobody']}:/bin/sh", "relative:x:1:1::home:/bin/sh", "", "broken")
    seen = host.run(
        "probe", asks("codespaces\t~/reg", f"tunnel\t{homes['nobody']}/reg", "odd\trelative/reg", "", "none\t")
    )
    found = {(entry["product"], entry["user"]): entry for entry in seen["registrations"]}
    assert [key[1] for key in found if key[0] == "codespaces"] == ["nobody", "bob's", "carl", "evil"]
    assert found["codespaces", "nobody"]["id"] == OLD_ID
    assert (
        found["codespaces", "bob's"] | {"id": None, "path": str(homes['bob\'s "home"'] / "reg")}
        == found["codespaces", "bob's"]
    )
    assert found["codespaces", "carl"]["id"] is None
    assert found["codespaces", "evil"]["id"] is None
    assert [(entry["id"], entry["path"]) for entry in seen["registrations"] if entry["product"] == "tunnel"] == [
        (OLD_ID, str(homes["nobody"] / "reg"))
    ]
    assert len(found) == 5
    assert seen["partial"] is (os.geteuid() == 0)  # root cannot become users whom this machine does not have
    assert not list(host.folder.rglob("pwned"))


def test_what_does_not_fit_is_left_out_and_said(varied: Host) -> None:
    host = varied
    homes = [host.folder / f"home-{number:02}" for number in range(40)]
    for home in homes:
        home.mkdir()
        (home / "reg").write_text(OLD_ID)
    (host.root / "proc/sys/kernel").mkdir(parents=True)
    (host.root / "proc/sys/kernel/hostname").write_bytes(b"\x01" * 64)
    host.passwd(*(belonging(home, home / "reg") for home in homes))
    seen = host.run("probe", asks("codespaces\t~/reg"))
    assert seen["partial"] is True
    assert 10 < len(seen["registrations"]) < 40
    assert {entry["id"] for entry in seen["registrations"]} == {OLD_ID}


METADATA = {
    "compute": {
        "customData": "",
        "location": "westeurope",
        "name": 'vm","vmId":"evil","x":"',
        "physicalZone": "westeurope-az2",
        "plan": {"name": "", "product": "location"},
        "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm",
        "tags": 'a:b,"vmId":"evil",{"zone":"9"}',
        "tagsList": [{"name": "vmId", "value": 'x",\n"vmId":"evil"'}, {"name": '{"zone":"8"}', "value": "zone"}],
        "vmId": "13F56399-BD52-4150-9748-7190AAE1FF21",
        "zone": "",
    },
    "network": {"interface": [{"macAddress": "000D3A112233"}]},
}
IMDS = {
    "vmId": "13f56399-bd52-4150-9748-7190aae1ff21",
    "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm",
    "location": "westeurope",
    "zone": None,
    "physicalZone": "westeurope-az2",
}


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("program", ["curl", "wget", "busybox"])
def test_instance_metadata_is_read_past_any_proxy(
    plain: Host,
    everyones_folder: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    program: str,
    indent: int | None,
    path_without: Callable[..., str],
) -> None:
    if program == "busybox":
        plain.path = request.getfixturevalue("busybox_path")
    elif shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    elif program == "wget":
        plain.path = path_without("curl")
    answer = json.dumps(METADATA, indent=indent, separators=None if indent else (",", ":")).encode()
    with metadata_service(answer) as (url, asked):
        nowhere = "http://127.0.0.1:9"
        plain.environment = {"DRKIT_IMDS": url, "http_proxy": nowhere, "HTTP_PROXY": nowhere, "all_proxy": nowhere}
        assert plain.run("probe", asks(""))["imds"] == IMDS
    assert asked == ["/metadata/instance?api-version=2025-04-07"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"<html>sign in to this network</html>", 200),
        (b"", 200),
        (json.dumps(METADATA).encode(), 404),
        (json.dumps([METADATA, METADATA]).encode(), 200),
    ],
)
def test_what_is_not_the_metadata_service_is_unknown(plain: Host, answer: bytes, status: int) -> None:
    with metadata_service(answer, status) as (url, _):
        plain.environment = {"DRKIT_IMDS": url}
        assert plain.run("probe", asks(""))["imds"] is None


def test_a_probe_does_without_curl_and_wget(plain: Host, path_without: Callable[..., str]) -> None:
    plain.path = path_without("curl", "wget")
    assert plain.run("probe", asks(""))["imds"] is None
    values = {"drkit_urls": "https://127.0.0.1:9/", "drkit_timeout": "1"}
    assert plain.run("reach", values) == {"drkit": "reach/1", "results": None, "partial": False}


# ---- reach ----


@contextmanager
def secure_service(folder: Path) -> Iterator[tuple[str, Path]]:
    """An HTTPS server on loopback whose path is the status it answers; yields its URL and the certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    trusted, private = folder / "trusted.pem", folder / "key.pem"
    trusted.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(int(self.path.strip("/").split("/")[0]))
            self.send_header("Content-Length", "0")
            self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class names it so
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trusted, private)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", trusted
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("program", ["curl", "wget"])
def test_any_http_answer_counts_as_reached(
    plain: Host, tmp_path: Path, program: str, path_without: Callable[..., str]
) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    if program == "wget":
        plain.path = path_without("curl")
    with secure_service(tmp_path) as (url, trusted):
        (tmp_path / "wgetrc").write_text(f"ca_certificate = {trusted}\n")
        plain.environment = {"CURL_CA_BUNDLE": str(trusted), "WGETRC": str(tmp_path / "wgetrc")}
        urls = [f"{url}/200", f"{url}/404/$(touch${{IFS}}pwned)", f"{url}/503", f"{url}/401/{{a,b}}[1-3]"]
        silent = ["https://127.0.0.1:9/", "https://127.0.0.1:9/-o/`touch${IFS}pwned`"]
        refused = ["https://a b", "https://", "http://127.0.0.1:9/", "-o/tmp/pwned", "file:///etc/passwd"]
        values = {"drkit_urls": "\n".join([*urls, *silent, *refused, ""]), "drkit_timeout": "5"}
        seen = plain.run("reach", values)
    assert [entry["url"] for entry in seen["results"]] == [*urls, *silent, *refused]
    assert [entry["http"] for entry in seen["results"]] == [200, 404, 503, 401, 0, 0, *[None] * len(refused)]
    assert seen["partial"] is False
    assert not list(plain.folder.rglob("pwned"))


BUSYBOX_WGET = """#!/bin/sh
[ "$1" != --version ] || { echo "wget: unrecognized option '--version'" >&2; exit 1; }
for url in "$@"; do :; done
case $url in
  */ok) echo '  HTTP/1.1 200 OK' >&2 ;;
  */gone) printf '  HTTP/1.1 410 Gone\\nwget: server returned error: HTTP/1.1 410 Gone\\n' >&2; exit 1 ;;
  */old) echo 'wget: server returned error: HTTP/1.1 404 Not Found' >&2; exit 1 ;;
  */cipher) echo 'wget: TLS error from peer (alert code 40): handshake failure' >&2; exit 1 ;;
  */plain) echo "wget: not an http or ftp url: $url" >&2; exit 1 ;;
  *) echo "wget: can't connect to remote host: Connection refused" >&2; exit 1 ;;
esac
"""


def test_busyboxs_wget_is_understood(varied: Host, tmp_path: Path, path_without: Callable[..., str]) -> None:
    host = varied
    (tmp_path / "wget").write_text(BUSYBOX_WGET)
    (tmp_path / "wget").chmod(0o755)
    host.path = f"{tmp_path}:{path_without('curl', 'wget')}"
    pages = {"ok": 200, "gone": 410, "old": 404, "cipher": None, "plain": None, "HTTP/1.1/200": 0}
    urls = "\n".join(f"https://service/{page}" for page in pages)
    seen = host.run("reach", {"drkit_urls": urls, "drkit_timeout": "5"})
    assert [entry["http"] for entry in seen["results"]] == list(pages.values())


def test_a_redirection_is_an_answer_and_is_not_followed(plain: Host, tmp_path: Path) -> None:
    with secure_service(tmp_path) as (url, trusted):
        plain.environment = {"CURL_CA_BUNDLE": str(trusted)}
        seen = plain.run("reach", {"drkit_urls": f"{url}/307", "drkit_timeout": "5"})
    assert seen["results"] == [{"url": f"{url}/307", "http": 307}]


def test_services_that_do_not_answer_are_given_up(varied: Host) -> None:
    host = varied
    with (
        metadata_service(b"late", delay=2 * PATIENCE) as (metadata, _),
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        host.environment = {"DRKIT_IMDS": metadata}
        probe = host.start("probe", asks(""))
        reach = host.start("reach", {"drkit_urls": url, "drkit_timeout": "1"})
        assert outcome(reach)["results"] == [{"url": url, "http": 0}]
        assert outcome(probe)["imds"] is None


def test_urls_that_do_not_fit_are_left_out_and_said(varied: Host) -> None:
    urls = [f"http://{'h' * 150}{number}" for number in range(40)]
    seen = varied.run("reach", {"drkit_urls": "\n".join(urls), "drkit_timeout": "1"})
    assert seen["partial"] is True
    assert 10 < len(seen["results"]) < 40


# ---- release ----


def test_a_release_stops_and_keeps_a_copy(host: Host) -> None:
    host.register()
    said = host.release()
    backup = host.state / NONCE / "registration"
    assert said == {
        "drkit": "release/1", "state": "released", "id": OLD_ID, "rc": 0, "backup": str(backup), "again": False
    }  # fmt: skip
    assert host.calls("stop") == [[b"stop"]]
    assert backup.read_bytes() == REGISTRATION
    assert not host.registration.exists()
    assert {stat.S_IMODE(path.stat().st_mode) for path in backup.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(backup.parent.stat().st_mode) == 0o700
    assert host.release() == said | {"again": True}
    assert len(host.calls("stop")) == 1


@pytest.mark.parametrize(
    ("mode", "force", "state", "rc", "there"),
    [
        ("stop-fails", 0, "kept", 1, True),
        ("stop-fails", 1, "forgotten", 1, False),
        ("stop-does-nothing", 0, "kept", 0, True),
        ("stop-does-nothing", 1, "forgotten", 0, False),
        ("stop-removes-but-fails", 0, "forgotten", 7, False),
        ("stop-swaps", 1, "other", 0, True),
    ],
)
def test_a_release_says_what_became_of_the_registration(
    varied: Host, mode: str, force: int, state: str, rc: int, there: bool
) -> None:
    host = varied
    host.register()
    host.mode("stop", mode)
    said = host.release(force=force)
    assert (said["state"], said["rc"], host.registration.exists()) == (state, rc, there)
    assert said["id"] == (OLD_ID.replace("0001", "0002") if state == "other" else OLD_ID)
    assert Path(said["backup"]).read_bytes() == REGISTRATION


def test_a_stop_that_hangs_is_ended_with_its_children(crowd: list[Host]) -> None:
    for host in crowd:
        host.register()
        host.give()
        host.folder.chmod(0o755)
        host.mode("stop", "stop-hangs")
    crowd[-1].mode("stop", "stop-ignores-sigterm")
    several = [
        host.start("codespaces_release", host.release_values(seconds=1, force=number % 2))
        for number, host in enumerate(crowd)
    ]
    said = [outcome(process) for process in several]
    for number, host in enumerate(crowd):
        assert (said[number]["state"], said[number]["rc"]) == (("kept", "forgotten")[number % 2], None)
        assert host.registration.exists() is (number % 2 == 0)
        assert (host.bin / "distant.pid").exists()
        assert host.processes() == {}


def test_a_release_leaves_alone_what_is_not_as_expected(varied: Host) -> None:
    host = varied
    nothing = {"drkit": "release/1", "state": "absent", "id": None, "rc": None, "backup": None, "again": False}
    assert host.release() == nothing
    host.register(b"")
    assert host.release() == nothing
    host.register(b"nothing that is an id")
    assert host.release() == nothing | {"state": "other"}
    host.register()
    assert host.release(environment=NEW_ID) == nothing | {"state": "other", "id": OLD_ID}
    (host.bin / "codespaces").rename(host.bin / "something")
    assert host.release() == nothing | {"state": "no-cli", "id": OLD_ID}
    host.user = "$(touch pwned)"
    assert host.release() == nothing | {"state": "no-user"}
    assert not host.state.exists()
    assert host.calls("stop") == []
    assert host.registration.read_bytes() == REGISTRATION
    assert not list(host.folder.rglob("pwned"))


def test_the_same_nonce_may_come_again_while_nothing_was_done(plain: Host) -> None:
    assert plain.release()["state"] == "absent"
    plain.register()
    assert plain.release() | {"again": False} == plain.release(environment=OLD_ID.upper()) | {"again": False}
    assert len(plain.calls("stop")) == 1


def test_vso_serves_where_codespaces_is_not(varied: Host) -> None:
    host = varied
    (host.bin / "codespaces").unlink()
    host.install("vso")
    host.register()
    assert host.release()["state"] == "released"


def test_codespaces_comes_before_vso_wherever_it_is(plain: Host) -> None:
    plain.install("vso")
    (plain.home / ".local/bin").mkdir(parents=True)
    (plain.bin / "codespaces").rename(plain.home / ".local/bin/codespaces")
    (plain.bin / "vso").write_text("#!/bin/sh\nexit 9\n")
    plain.register()
    assert plain.release()["state"] == "released"


def test_a_release_that_is_under_way_or_was_cut_off_says_so(varied: Host) -> None:
    host = varied
    host.register()
    host.mode("stop", "stop-is-slow")
    first = host.start("codespaces_release", host.release_values())
    host.await_call("stop")
    said = host.release()
    assert (said["state"], said["again"], said["backup"]) == ("running", True, str(host.state / NONCE / "registration"))
    first.kill()
    first.wait()
    for pipe in (first.stdout, first.stderr):  # what it started still holds the other ends
        assert pipe is not None
        pipe.close()
    said = host.release()
    assert (said["state"], said["again"]) == ("interrupted", True)
    assert len(host.calls("stop")) == 1


def test_deliveries_at_the_same_time_stop_once(varied: Host) -> None:
    host = varied
    host.register()
    host.mode("stop", "stop-is-slow")
    several = [host.start("codespaces_release", host.release_values()) for _ in range(3)]
    host.await_call("stop")
    time.sleep(0.1)
    (host.bin / "go-on").touch()
    said = [outcome(process) for process in several]
    assert sorted(entry["again"] for entry in said) == [False, True, True]
    assert [entry["state"] for entry in said if not entry["again"]] == ["released"]
    assert len(host.calls("stop")) == 1


def test_a_state_folder_that_cannot_be_made_stops_the_release(plain: Host) -> None:
    plain.register()
    plain.state.write_text("a file")
    status, says = refusal(plain.start("codespaces_release", plain.release_values()))
    assert (status, says) == (73, f"drkit: cannot write in {plain.state}")
    assert plain.calls("stop") == []


def test_a_nonce_of_another_script_is_refused(plain: Host) -> None:
    plain.register()
    plain.release()
    status, says = refusal(plain.start("codespaces_register", plain.register_values()))
    assert (status, says) == (64, "drkit: this nonce belongs to a release")


# ---- register and watch ----


def test_names_arrive_as_they_are_and_run_nothing(host: Host) -> None:
    host.mode("start", "start-fails")
    (host.bin / "error").touch()
    texts = list(HOSTILE.values())
    for number in range(0, len(texts), 3):
        plan, name, place = (texts[(number + step) % len(texts)] for step in range(3))
        workspace = host.workspace / place.replace("/", "_")[:200]
        workspace.mkdir(parents=True)
        values = host.register_values(
            drkit_nonce=f"{number:032x}",
            drkit_plan=plan,
            drkit_name=name,
            drkit_workspace=str(workspace),
            drkit_service=str(number % 2),
        )
        assert host.run("codespaces_register", values)["state"] == "started"
        expected = ["start", "-i", plan, "-n", name, "-w", str(workspace), *(["--service"] if number % 2 else [])]
        assert [part.decode() for part in host.await_call("start")] == expected
        shutil.rmtree(host.bin / "calls")
        (host.bin / "calls").mkdir()
    assert not list(host.folder.rglob("pwned"))
    assert not Path("pwned").exists()
    assert not (host.bin / "stdin-was-read").exists()


def test_a_registration_waits_for_the_sign_in_and_ends(host: Host) -> None:
    watched = {"drkit_nonce": NONCE, "drkit_user": host.user, "drkit_registration": ""}
    absent = {
        "drkit": "watch/1", "state": "absent", "rc": None, "code": None, "codes": 0, "url": None, "already": None,
        "error": None, "id": None,
    }  # fmt: skip
    assert host.watch() == absent
    assert host.run("codespaces_register", host.register_values(), form="stdin")["state"] == "started"
    seen = host.watch_until("codes", 1)
    waiting = absent | {"state": "running", "code": "ABCDEFGH1", "codes": 1, "url": "https://microsoft.com/devicelogin"}
    assert seen == waiting
    (host.bin / "expired.1").touch()
    assert host.watch_until("codes", 2) == waiting | {"code": "ABCDEFGH2", "codes": 2}
    assert host.run("codespaces_register", host.register_values()) == {
        "drkit": "register/1", "state": "started", "again": True
    }  # fmt: skip
    (host.bin / "signed-in").touch()
    seen = host.watch_until("state", "exited")
    assert (seen["rc"], seen["id"], seen["error"]) == (0, NEW_ID, None)
    assert host.run("codespaces_watch", watched)["id"] is None
    assert host.run("codespaces_register", host.register_values())["again"] is True
    assert host.calls("start") == [
        [part.encode() for part in ("start", "-i", PLAN, "-n", "workstation", "-w", str(host.workspace))]
    ]
    assert stat.S_IMODE((host.state / NONCE / "output").stat().st_mode) == 0o600


def test_deliveries_at_the_same_time_start_once(host: Host) -> None:
    several = [host.start("codespaces_register", host.register_values()) for _ in range(4)]
    said = [outcome(process) for process in several]
    assert sorted((entry["state"], entry["again"]) for entry in said) == [("started", False), *[("started", True)] * 3]
    host.await_call("start")
    time.sleep(0.1)
    assert len(host.calls("start")) == 1


def test_a_watch_reads_that_this_machine_is_registered_already(varied: Host) -> None:
    host = varied
    host.mode("start", "start-already")
    host.register()
    host.run("codespaces_register", host.register_values())
    seen = host.watch_until("state", "exited")
    assert (seen["rc"], seen["already"], seen["id"]) == (1, OLD_ID, OLD_ID)
    assert seen["error"] == f"An environment is already registered on this machine with ID: {OLD_ID}"


ERRORS = {
    b"Error calling HTTP POST at 'https://x/api/v1/environments' ErrorCode : Forbidden\nmore\n": (
        "Error calling HTTP POST at 'https://x/api/v1/environments' ErrorCode : Forbidden"
    ),
    b'\x1b[31m{"message":"Server error"}\\ \x1b[0m\r\n': '{"message":"Server error"}\\ ',
    b"\xff$(touch pwned)`touch pwned`\n": "\ufffd$(touch pwned)`touch pwned`",
    "é".encode() * 200 + b"\n": "é" * 150,
    b"\x01" * 400 + b"\n": "\x01" * 300,
    b"no end of line": "no end of line",
}


def test_a_watch_gives_the_last_error_as_it_was_written(varied: Host) -> None:
    host = varied
    host.mode("start", "start-fails")
    (host.bin / "error").write_text("[!ERROR] second\n")
    host.run("codespaces_register", host.register_values())
    seen = host.watch_until("state", "exited")
    assert (seen["rc"], seen["error"], seen["codes"], seen["code"]) == (3, "second", 0, None)
    for raw, expected in ERRORS.items():
        with (host.state / NONCE / "output").open("ab") as output:
            output.write(b"[2020-07-01 13:09:03.847 CLI E] [!ERROR] " + raw)
        assert host.watch()["error"] == expected
    assert not list(host.folder.rglob("pwned"))


def test_a_registration_needs_a_user_a_folder_and_a_command_line(varied: Host) -> None:
    host = varied

    def state(**changed: str) -> str:
        said = host.run("codespaces_register", host.register_values(**changed))
        assert said["again"] is False
        return str(said["state"])

    assert state(drkit_user="no-such-user") == "no-user"
    assert state(drkit_user="") == "no-user"
    assert state(drkit_workspace=str(host.home / "none")) == "no-workspace"
    assert state(drkit_workspace="work space") == "no-workspace"
    assert state(drkit_workspace="") == "no-workspace"
    (host.bin / "codespaces").chmod(0o644)
    assert state() == "no-cli"
    assert not host.state.exists()
    (host.bin / "codespaces").chmod(0o755)
    assert state(drkit_workspace="~/work space") == "started"
    assert host.await_call("start")[6].decode() == str(host.workspace)


def test_a_registration_that_was_cut_off_is_not_said_to_run(varied: Host) -> None:
    host = varied
    host.register()
    host.release()
    host.run("codespaces_register", host.register_values(drkit_nonce=OTHER_NONCE))
    host.await_call("start")
    box = host.state / OTHER_NONCE
    recorded = (box / "pid").read_text()
    with subprocess.Popen(["sleep", "60"]) as stranger:  # has the number that the command had before a reboot
        (box / "pid").write_text(f"{stranger.pid} {' '.join(recorded.split()[1:])}\n")
        seen = host.watch(OTHER_NONCE)
        restored = host.restore()
        untouched = stranger.poll() is None
        stranger.kill()
    (box / "pid").write_text(recorded)
    assert (seen["state"], seen["rc"]) == ("exited", None)
    assert (restored["state"], untouched) == ("restored", True)
    host.end_everything()
    (box / "pid").unlink()
    (box / "claim").write_text("999999999 1 of-an-earlier-boot\n")
    said = host.run("codespaces_register", host.register_values(drkit_nonce=OTHER_NONCE))
    assert said == {"drkit": "register/1", "state": "interrupted", "again": True}


def test_a_start_that_is_killed_from_outside_has_no_status(varied: Host) -> None:
    host = varied
    host.run("codespaces_register", host.register_values())
    seen = host.watch_until("codes", 1)
    os.kill(int((host.state / NONCE / "pid").read_text().split()[0]), 9)
    seen = host.watch_until("state", "exited")
    assert seen["rc"] is None


# ---- restore ----


@pytest.mark.parametrize("how", ["released", "forgotten"])
def test_a_restore_puts_the_registration_back_as_it_was(varied: Host, how: str) -> None:
    host = varied
    host.register(mode=0o640)
    before = host.registration.stat()
    host.mode("stop", {"released": "stop-says-yes", "forgotten": "stop-fails"}[how])
    assert host.release(force=1)["state"] == how
    shutil.rmtree(host.registration.parent)
    said = host.restore()
    assert said == {"drkit": "restore/1", "state": "restored", "id": OLD_ID}
    after = host.registration.stat()
    assert host.registration.read_bytes() == REGISTRATION
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert list(host.registration.parent.iterdir()) == [host.registration]
    assert host.restore() == said


def test_a_restore_ends_the_start_that_waits_for_a_sign_in(varied: Host) -> None:
    host = varied
    host.register()
    host.release()
    host.run("codespaces_register", host.register_values(drkit_nonce=OTHER_NONCE))
    await_that((host.bin / "start.pid").exists)
    assert host.processes() != {}
    assert host.restore()["state"] == "restored"
    assert host.processes() == {}
    assert host.watch(OTHER_NONCE)["state"] == "exited"
    assert host.registration.read_bytes() == REGISTRATION


def test_a_restore_leaves_a_new_registration_and_its_agent_alone(varied: Host) -> None:
    host = varied
    host.register()
    host.release()
    host.mode("start", "start-stays")
    (host.bin / "signed-in").touch()
    host.run("codespaces_register", host.register_values(drkit_nonce=OTHER_NONCE))
    await_that(host.registration.exists)
    await_that(lambda: host.registration.stat().st_size > 0)
    assert host.restore() == {"drkit": "restore/1", "state": "occupied", "id": NEW_ID}
    assert running(int((host.bin / "start.pid").read_text()))
    host.registration.write_text("what is this")
    assert host.restore() == {"drkit": "restore/1", "state": "occupied", "id": None}


def test_a_restore_fills_an_empty_file_but_needs_a_copy(varied: Host) -> None:
    host = varied
    assert host.restore() == {"drkit": "restore/1", "state": "no-backup", "id": None}
    host.register()
    host.release()
    host.registration.touch()
    assert host.restore()["state"] == "restored"
    assert host.registration.read_bytes() == REGISTRATION
    host.user = "no-such-user"
    assert host.restore()["state"] == "no-user"


def test_a_restore_that_cannot_write_says_so(plain: Host) -> None:
    plain.register()
    plain.release()
    plain.registration.parent.rmdir()
    plain.registration.parent.write_text("a file where the folder was")
    assert plain.restore() == {"drkit": "restore/1", "state": "failed", "id": None}


# ---- users ----


@as_root
@pytest.mark.parametrize("missing", [(), ("runuser",), ("runuser", "setpriv")], ids=["runuser", "setpriv", "su"])
def test_root_acts_as_the_user(other_user: Host, missing: tuple[str, ...], path_without: Callable[..., str]) -> None:
    host = other_user
    if missing:
        host.path = path_without(*missing)
    mine = (os.geteuid(), os.getegid())
    before = host.registration.stat()
    host.mode("stop", "stop-fails")
    said = host.release(force=1)
    assert said["state"] == "forgotten"
    assert host.restore()["state"] == "restored"
    after = host.registration.stat()
    assert host.registration.read_bytes() == REGISTRATION
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    backup = Path(said["backup"]).stat()
    assert (backup.st_uid, backup.st_gid) == mine
    host.mode("start", "start-waits")
    host.registration.unlink()
    values = host.register_values(drkit_nonce=OTHER_NONCE, drkit_name=HOSTILE["statements"])
    assert host.run("codespaces_register", values, form="variable")["state"] == "started"
    assert host.await_call("start")[4].decode() == HOSTILE["statements"]
    assert host.called_as() == [[str(host.uid), str(host.home), str(host.home), "nobody", "unset"]] * 2
    if missing == ("runuser",):  # the other two hold on for two seconds
        assert host.restore()["state"] == "restored"
        assert host.processes() == {}
    assert not list(host.folder.rglob("pwned"))


@as_root
def test_no_link_in_a_home_leads_root_elsewhere(other_user: Host) -> None:
    host = other_user
    treasure = host.folder / "treasure"
    treasure.mkdir(mode=0o755)
    (treasure / "registration").write_text(OLD_ID)
    shutil.rmtree(host.registration.parent)
    host.registration.parent.symlink_to(treasure)
    host.mode("stop", "stop-fails")
    assert host.release(force=1)["state"] == "kept"
    assert (treasure / "registration").read_text() == OLD_ID
    (treasure / "registration").unlink()
    assert host.restore()["state"] == "failed"
    assert list(treasure.iterdir()) == []


def test_a_user_of_a_directory_service_is_found(varied: Host, tmp_path: Path) -> None:
    host = varied
    (tmp_path / "getent").write_text(
        f"#!/bin/sh\n[ \"$*\" = 'passwd -- joe@corp' ] || exit 2\n"
        f"echo 'joe@corp:*:{host.uid}:{host.gid}:Joe:{host.home}:/bin/sh'\n"
    )
    (tmp_path / "getent").chmod(0o755)
    host.environment = {"DRKIT_ROOT": "", "PATH": f"{tmp_path}:{host.path}"}
    host.user = "joe@corp"
    host.register()
    assert host.release()["state"] == "released"
    assert [line[2:4] for line in host.called_as()] == [[str(host.home), "joe@corp"]]
    host.user = "-joe"
    assert host.run("codespaces_register", host.register_values(drkit_nonce=OTHER_NONCE))["state"] == "no-user"


@as_root
def test_a_registration_outside_the_home_is_its_users_too(other_user: Host) -> None:
    """Where everybody may write: links that somebody put there beforehand lead root nowhere, and cost nobody else a file."""
    host = other_user
    place = host.folder / "shared"
    place.mkdir()
    place.chmod(0o1777)
    path, secret = place / "registration", host.folder / "shadow"
    path.write_bytes(REGISTRATION)
    path.chmod(0o604)
    os.chown(path, host.uid, host.gid)
    secret.write_text(f"root::0:0 {OLD_ID}")
    secret.chmod(0o600)
    host.mode("stop", "stop-fails")
    elsewhere = {"drkit_registration": str(path)}
    assert host.run("codespaces_release", host.release_values(force=1) | elsewhere)["state"] == "forgotten"
    for name in (f"{path}.drkit-{NONCE}", f"{path}.new"):
        Path(name).symlink_to(secret)
        os.lchown(name, host.uid, host.gid)
    values = {"drkit_nonce": NONCE, "drkit_user": "nobody", "drkit_register_nonce": OTHER_NONCE} | elsewhere
    assert host.run("codespaces_restore", values)["state"] == "restored"
    after, kept = path.stat(), secret.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (host.uid, host.gid, 0o604)
    assert path.read_bytes() == REGISTRATION
    assert (secret.read_text(), kept.st_uid, stat.S_IMODE(kept.st_mode)) == (f"root::0:0 {OLD_ID}", 0, 0o600)
    path.unlink()
    path.symlink_to(secret)
    nonce = {"drkit_nonce": OTHER_NONCE}
    said = host.run("codespaces_release", host.release_values(force=1) | elsewhere | nonce)
    assert (said["state"], said["id"], said["backup"]) == ("other", None, None)


@as_root
def test_a_folder_that_only_root_may_write_is_not_written_for_its_user(other_user: Host) -> None:
    host = other_user
    place = host.folder / "etc" / "vso"
    place.mkdir(parents=True)
    path = place / "registration"
    path.write_bytes(REGISTRATION)
    path.chmod(0o644)
    host.mode("stop", "stop-fails")
    values = host.release_values(force=1) | {"drkit_registration": str(path)}
    assert host.run("codespaces_release", values)["state"] == "kept"
    assert path.read_bytes() == REGISTRATION


def test_a_registration_without_an_end_is_not_copied(varied: Host) -> None:
    host = varied
    host.register(REGISTRATION + b"x" * 1_048_576)
    status, says = refusal(host.start("codespaces_release", host.release_values()))
    assert (status, says) == (73, f"drkit: could not copy {host.registration} to {host.state}")
    assert (host.calls("stop"), list(host.state.iterdir())) == ([], [])


def test_a_state_folder_that_others_may_write_is_not_used(varied: Host) -> None:
    host = varied
    host.register()
    host.state.mkdir()
    for mode in (0o777, 0o1777, 0o720):
        host.state.chmod(mode)
        for script, values in (
            ("codespaces_release", host.release_values()),
            ("codespaces_register", host.register_values()),
        ):
            assert refusal(host.start(script, values)) == (73, f"drkit: others may write in {host.state}")
    assert host.calls("stop") == host.calls("start") == []
    host.state.chmod(0o755)
    assert host.release()["state"] == "released"


@as_root
def test_a_probe_shows_what_a_user_may_read_and_owns(host: Host) -> None:
    secret, theirs = host.folder / "secret", host.folder / "theirs"
    secret.write_text(NEW_ID)
    secret.chmod(0o600)
    theirs.write_text(NEW_ID)  # everybody may read it, and it is root's
    theirs.chmod(0o644)
    homes = [host.folder / name for name in ("plain", "link", "file-of-root", "folder", "fifo")]
    for home in homes:
        home.mkdir()
    (homes[0] / "reg").write_text(OLD_ID)
    (homes[1] / "reg").symlink_to(secret)
    (homes[2] / "reg").symlink_to(theirs)
    (homes[3] / "reg").mkdir()
    os.mkfifo(homes[4] / "reg")
    host.passwd("root:x:0:0::/nonexistent:/bin/sh", *(belonging(home) for home in homes))
    os.chown(homes[0] / "reg", NOBODY, NOBODY)
    shared = host.folder / "shared"
    shared.mkdir()
    for name, target, owner in (("mine", secret, NOBODY), ("roots", secret, 0)):
        (shared / name).symlink_to(target)
        os.lchown(shared / name, owner, owner)
    seen = host.run("probe", asks("codespaces\t~/reg", f"odd\t{shared}/mine", f"odd\t{shared}/roots"))
    found = {Path(entry["path"]).parent.name + entry["user"]: entry["id"] for entry in seen["registrations"]}
    nothing = {f"{home.name}nobody": None for home in homes[1:]}
    assert found == {"plainnobody": OLD_ID, "sharednobody": None, "sharedroot": NEW_ID} | nothing


def test_what_a_command_line_prints_without_end_is_read_in_part(varied: Host) -> None:
    host = varied
    host.mode("start", "start-fails")
    (host.bin / "error").touch()
    host.run("codespaces_register", host.register_values())
    host.watch_until("state", "exited")
    forged = b'{"drkit":"watch/1","state":"exited","rc":0,"id":"%s"}\n##vso[task.complete]\n' % NEW_ID.encode()
    noise = (forged + bytes(range(256)) + b"\x1b]0;title\x07") * 20_000
    prompt = b"open the page https://elsewhere.example/\x1b[31m and enter the code AAAA to authenticate.\n"
    (host.state / NONCE / "output").write_bytes(noise + prompt * 3)
    seen = host.watch()
    assert (seen["state"], seen["id"], seen["codes"], seen["code"]) == ("exited", None, 3, "AAAA")
    assert seen["url"] == "https://elsewhere.example/"


@as_root
def test_who_is_not_root_acts_for_nobody_else(other_user: Host) -> None:
    host = other_user
    host.environment = {"DRKIT_STATE": "", "HOME": str(host.home)}

    def become() -> None:
        os.setgroups([])
        os.setgid(host.gid)
        os.setuid(host.uid)

    values = host.release_values()
    assert host.run("codespaces_release", values | {"drkit_user": "root"}, become=become)["state"] == "no-user"
    said = host.run("codespaces_release", values, become=become)
    assert said["state"] == "released"
    assert said["backup"] == str(host.home / ".local/state/drkit" / NONCE / "registration")


# ---- what is published ----


def test_the_documentation_names_every_parameter_and_state() -> None:
    text = (Path(__file__).parents[2] / "docs" / "host-scripts.md").read_text()
    rows = {row.split("`")[1]: row for row in text.splitlines() if row.startswith("| `")}
    for name, parameters in POSIX.items():
        for parameter in parameters:
            assert parameter in rows[name]
        body = SCRIPTS.load(name).text.partition("made=")[2]
        for word in re.findall(r"(?:^ *|; |then |else |\|\| )(?:answer |state=)([a-z-]+)\b", body, re.MULTILINE):
            assert f"`{word}`" in rows[name], (name, word)
