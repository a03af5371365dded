"""What the rest stands on: the two commands, the layers, the closed network, and what may stand in the repository."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pytest_socket import SocketConnectBlockedError

from drkit.version import __version__
from tests.conftest import NetworkBlockedError
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
NAMES = ("bench", "bootstrap", "chaos", "drill", "environment.sh", "failover", "lock", "snapshot-cron", "test")
SCRIPTS = [*(ROOT / "scripts" / name for name in NAMES), ROOT / ".ci/run"]
SOURCED = ROOT / "pipelines/drkit.sh"
Require = Callable[[str], str]


# --- the closed network


def test_a_connection_out_of_this_machine_is_stopped(blocked_attempts: list[str]) -> None:
    with socket.socket() as sock:
        with pytest.raises(NetworkBlockedError, match=r"connect_ex to 192\.0\.2\.1:443; tests reach loopback only"):
            sock.connect_ex(("192.0.2.1", 443))
        with pytest.raises(SocketConnectBlockedError, match=r"192\.0\.2\.1"):
            sock.connect(("192.0.2.1", 443))
    with socket.socket(socket.AF_INET6) as sock, pytest.raises(SocketConnectBlockedError):
        sock.connect(("2001:db8::1", 443, 0, 0))
    with socket.socket(type=socket.SOCK_DGRAM) as sock, pytest.raises(NetworkBlockedError):
        sock.sendto(b"x", ("192.0.2.1", 53))
    assert blocked_attempts == [
        "connect_ex to 192.0.2.1:443", "connect to 192.0.2.1", "connect to 2001:db8::1", "sendto to 192.0.2.1:53",
    ]  # fmt: skip
    blocked_attempts.clear()


def test_a_name_of_elsewhere_is_not_looked_up(blocked_attempts: list[str]) -> None:
    with pytest.raises(NetworkBlockedError, match=r"look up management\.azure\.com"):
        socket.getaddrinfo("management.azure.com", 443)
    blocked_attempts.clear()


async def test_asyncio_is_stopped_too(blocked_attempts: list[str]) -> None:
    with pytest.raises(SocketConnectBlockedError):
        await asyncio.open_connection("192.0.2.1", 443)
    with pytest.raises(NetworkBlockedError):
        await asyncio.open_connection("management.azure.com", 443)
    blocked_attempts.clear()


def test_loopback_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            with socket.create_connection((host, port), timeout=PATIENCE) as client:
                assert client.getpeername()[1] == port


@pytest.mark.parametrize("ci", [True, False])
def test_a_missing_tool_skips_and_fails_in_ci(require: Require, monkeypatch: pytest.MonkeyPatch, ci: bool) -> None:
    monkeypatch.setenv("CI", "true" if ci else "")
    with pytest.raises(pytest.fail.Exception if ci else pytest.skip.Exception, match="no-such-tool is not installed"):
        require("no-such-tool")
    assert Path(require("sh")).name == "sh"


# --- the layers


def test_nothing_outside_providers_imports_azure() -> None:
    """What import-linter cannot see: imports by name."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sorted((ROOT / "drkit").rglob("*.py"))
        if "providers" not in path.relative_to(ROOT).parts
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if re.search(r"^\s*(from|import)\s+azure\b|(import_module|__import__)\(\s*f?[\"']azure\b", line)
    ]
    assert found == []


WITHOUT_AZURE: list[list[str]] = [["--version"], ["--help"]]  # plan and show: tests/scenarios/test_nights.py


@pytest.mark.parametrize("arguments", WITHOUT_AZURE, ids=" ".join)
def test_a_command_that_speaks_to_no_cloud_imports_no_azure_sdk(arguments: list[str], tmp_path: Path) -> None:
    program = """
import sys
assert not any(name.partition(".")[0] == "azure" for name in sys.modules)
sys.argv[0] = "drkit"
from drkit.cli.main import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(sorted(name for name in sys.modules if name.partition(".")[0] in ("azure", "msal")), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert (done.returncode, done.stderr.splitlines()[-1:]) == (0, ["[]"]), done.stderr
    assert done.stdout.strip()
    if arguments == ["--version"]:
        assert __version__ in done.stdout


def test_every_layer_has_its_contract() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    assert {contract["type"] for contract in contracts} == {"layers", "forbidden", "protected"}
    (layers,) = [contract for contract in contracts if contract["type"] == "layers"]
    assert layers["exhaustive"] is True
    assert layers["exhaustive_ignores"] == ["simulator"]


# --- what may stand in the repository


def tracked() -> list[Path]:
    """The files that are, or would be, committed."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [
            str(path.relative_to(ROOT))
            for path in ROOT.rglob("*")
            if not any((part.startswith(".") and part != ".ci") or part == "__pycache__" for part in path.parts)
        ]
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


def test_no_machine_paths_and_no_registry_hosts() -> None:
    machine = ["/work" + "/main", "/work" + "/shared", "/opt" + "/pypi", "/opt" + "/wheels", ".pyenv" + "/"]
    hosts = ["pypi" + ".org", "python" + "hosted.org", "registry.npm" + "js.org", "index" + "-url", "find" + "-links"]
    here = [str(ROOT)] if len(ROOT.parts) > 2 else []
    pattern = re.compile("|".join(re.escape(text) for text in [*machine, *hosts, *here]).encode())
    files = tracked()
    assert ROOT / "pyproject.toml" in files
    assert [str(path.relative_to(ROOT)) for path in files if pattern.search(path.read_bytes())] == []


def locked(name: str) -> dict[str, str]:
    """Each requirement of a lock with its version; every one has a hash of at least one file, and nothing else is in the lock."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text().replace("\\\n", "")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert lines.pop(0) == "--only-binary :all:"
    found = {}
    for line in lines:
        one = re.fullmatch(
            r"([a-z0-9-]+)==([A-Za-z0-9.!+]+)( ; [a-zA-Z_ '=!<>.0-9]+?)?((?: +--hash=sha256:[0-9a-f]{64})+)", line
        )
        assert one, line
        found[one[1]] = one[2]
    assert len(found) == len(lines)
    return found


@pytest.mark.parametrize(("name", "extra"), [("run", "blob"), ("develop", "dev")])
def test_the_locks_are_exact_and_cover_what_is_installed(name: str, extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wanted = [*project["build-system"]["requires"], *project["project"]["dependencies"]]
    wanted += project["project"]["optional-dependencies"][extra]
    named = {re.sub(r"[-_.]+", "-", re.split(r"[^A-Za-z0-9._-]", requirement)[0]).lower() for requirement in wanted}
    assert named - set(locked(name)) == set()


def test_what_runs_is_what_was_tested() -> None:
    assert locked("run").items() <= locked("develop").items()
    build = re.findall(r"^(\w+)$", (ROOT / "requirements/build.in").read_text(), re.MULTILINE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert build == [re.split(r"[^\w]", one)[0] for one in project["build-system"]["requires"]]


def test_the_emulator_is_locked_by_hashes_and_by_no_address() -> None:
    lock = json.loads((ROOT / "tests/emulator/package-lock.json").read_text("utf-8"))
    wanted = json.loads((ROOT / "tests/emulator/package.json").read_text("utf-8"))["dependencies"]
    assert lock["packages"].pop("")["dependencies"] == wanted
    assert [name for name, one in lock["packages"].items() if not one.get("integrity", "").startswith("sha512-")] == []
    assert [name for name, one in lock["packages"].items() if "resolved" in one] == []
    assert all(lock["packages"][f"node_modules/{name}"]["version"] == version for name, version in wanted.items())


INSTALLS = re.compile(
    r"\b(?:pip3?\"?|npm|npx|uv pip|uvx|pipx|curl|wget|apt-get)\b[^\n]*?\b(?:install|ci|exec|download|https?://)\b.*"
)
ALLOWED = (
    r'^pip install "\$@"$',  # in drkit_pip: its two callers are below
    r"apt-get -qq install -y --no-install-recommends \$packages",
    r"^npm install --package-lock-only --ignore-scripts ",
    r"^pip install --(?:quiet --)?require-hashes -r ",
    r"^pip install --(?:quiet --)?no-deps --no-build-isolation ",
)


def test_nothing_is_installed_by_its_name_alone() -> None:
    """What scripts and pipelines install is known by its hash, or is Debian's own."""
    found = []
    for path in (*SCRIPTS, *sorted((ROOT / "pipelines").glob("*")), ROOT / "azure-pipelines.yml"):
        code = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
        told = [match[0] for line in code for match in [INSTALLS.search(line)] if match and "drkit_fail" not in line]
        found += [f"{path.name}: {one}" for one in told if not any(re.search(word, one) for word in ALLOWED)]
    assert found == []
    text = (ROOT / "scripts/environment.sh").read_text()
    assert re.findall(r"^ +drkit_pip (.*) \|\| return$", text, re.MULTILINE) == [
        '--require-hashes -r "requirements/$2.txt"',
        "--no-deps --no-build-isolation -e .",
    ]


def test_a_file_that_differs_from_its_hash_is_not_installed(tmp_path: Path) -> None:
    """By the real pip: the lock's version, other bytes."""
    package = tmp_path / "msgspec-0.22.0-py3-none-any.whl"
    with zipfile.ZipFile(package, "w") as archive:
        archive.writestr("msgspec/__init__.py", "raise SystemExit('run')\n")
        archive.writestr("msgspec-0.22.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: msgspec\nVersion: 0.22.0\n")
        archive.writestr(
            "msgspec-0.22.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("msgspec-0.22.0.dist-info/RECORD", "")
    lock = (ROOT / "requirements/run.txt").read_text()
    part = re.search(r"^msgspec==(.|\n)*?(?=^\w)", lock, re.MULTILINE)
    assert part
    version = locked("run")["msgspec"]
    package = package.rename(package.with_name(package.name.replace("0.22.0", version)))
    (tmp_path / "lock.txt").write_text(part[0])
    done = subprocess.run(
        [sys.executable, "-I", "-m", "pip", "install", "--no-index", "--find" + "-links", str(tmp_path), "--require-hashes",
         "-r", str(tmp_path / "lock.txt"), "--target", str(tmp_path / "there")],
        capture_output=True, text=True, check=False, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "there").exists()


def test_the_readme_begins_with_the_two_commands() -> None:
    block = (ROOT / "README.md").read_text("utf-8").split("```")[1]
    assert re.findall(r"^scripts/\w+", block, re.MULTILINE) == ["scripts/drill", "scripts/test"]


# --- the two commands


@pytest.mark.parametrize("script", [*SCRIPTS, SOURCED], ids=lambda path: path.name)
def test_scripts_are_clean(script: Path, require: Require) -> None:
    shellcheck = require("shellcheck")
    done = subprocess.run([shellcheck, "-x", str(script)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("script", [path for path in SCRIPTS if path.suffix != ".sh"], ids=lambda path: path.name)
def test_scripts_can_be_run(script: Path) -> None:
    assert os.access(script, os.X_OK)
    assert script.read_text().startswith("#!/bin/sh\n")


def test_ci_calls_the_test_script_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".ci/run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ['exec "$(dirname -- "$0")/../scripts/test"']


BASICS = ("sh", "cat", "cksum", "chmod", "dirname", "find", "id", "ls", "mkdir", "mktemp", "rm", "sleep", "tr", "wc")

PYTHON = """#!/bin/sh
# stands for a python3: checks are the real one's, environments are made of stubs
case "$1 $2 $3" in
  '-I -m venv')
    echo venv >>"$JOURNAL"
    mkdir -p "$4/bin"
    : >"$4/pyvenv.cfg"
    cat >"$4/bin/python" <<'END'
#!/bin/sh
venv=${0%/bin/python}
case "$*" in
  "-I -c import pip") ;;
  "-I -c import drkit") [ -e "$venv/installed" ] ;;
  "-I -m pip install"*)
    shift 4
    echo "pip $*" >>"$JOURNAL"
    echo "noise of pip"
    case "$*" in *-e*) ;; *) exit 0 ;; esac
    echo part >"$venv/part"
    [ -z "${PIP_KILLS:-}" ] || kill -9 "$(cat "$PIP_KILLS")"
    [ -z "${PIP_SLEEPS:-}" ] || sleep "$PIP_SLEEPS"
    [ -z "${PIP_FAILS:-}" ] || exit 1
    for tool in drkit ruff mypy lint-imports; do
      {
        echo '#!/bin/sh'
        echo 'printf "%s" "${0##*/}"; printf " <%s>" "$@"; echo'
        echo '[ "$FAILS" != "${0##*/}" ]'
      } >"$venv/bin/$tool"
      chmod +x "$venv/bin/$tool"
    done
    : >"$venv/installed" ;;
  "-m pytest"*) printf 'pytest'; printf ' <%s>' "$@"; echo ;;
  *) ;;
esac
END
    chmod +x "$4/bin/python" ;;
  *) exec @REAL@ "$@" ;;
esac
"""


@dataclass
class Checkout:
    """A checkout in a folder with a space in its name, and a PATH of little but a stub python3."""

    root: Path
    path: Path
    shell: list[str]
    env: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        return [*self.shell, str(self.root / "scripts/drill")]

    @property
    def journal(self) -> list[str]:
        file = self.root.parent / "journal"
        return file.read_text().splitlines() if file.exists() else []

    @property
    def venv(self) -> Path:
        return self.root / ".venv-drill"

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        journal = str(self.root.parent / "journal")
        return {
            "PATH": str(self.path),
            "JOURNAL": journal,
            "FAILS": "",
            "TMPDIR": str(self.root.parent),
            **self.env,
            **(extra or {}),
        }

    def run(self, *arguments: str, script: str = "drill", **extra: str) -> subprocess.CompletedProcess[str]:
        command = [*self.shell, str(self.root / "scripts" / script), *arguments]
        cwd = self.root.parent
        return subprocess.run(
            command, env=self.environment(extra), cwd=cwd, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def put(self, name: str, text: str) -> None:
        file = self.path / name
        file.unlink(missing_ok=True)
        file.write_text(text)
        file.chmod(0o755)


@pytest.fixture(params=["dash", "busybox"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path, require: Require) -> Iterator[Checkout]:
    shell = [require("dash")] if request.param == "dash" else [require("busybox"), "sh"]
    root, path = tmp_path / "a check out", tmp_path / "bin"
    path.mkdir()
    for tool in BASICS:
        (path / tool).symlink_to(require(tool))
    shutil.copytree(ROOT / "scripts", root / "scripts")
    shutil.copy(ROOT / "pyproject.toml", root / "pyproject.toml")
    shutil.copytree(ROOT / "requirements", root / "requirements")
    made = Checkout(root, path, shell)
    made.put("python3", PYTHON.replace("@REAL@", sys.executable))
    yield made
    assert list(tmp_path.glob("tmp*")) == []


def test_the_first_run_sets_up_and_the_second_only_runs(checkout: Checkout) -> None:
    first = checkout.run("--lose", "West Europe", "")
    assert (first.returncode, first.stdout) == (0, "drkit <drill> <--lose> <West Europe> <>\n")
    assert first.stderr == f"setting up {checkout.venv} (once)\n"
    assert checkout.journal == [
        "venv",
        "pip --require-hashes -r requirements/run.txt",
        "pip --no-deps --no-build-isolation -e .",
    ]
    again = checkout.run()
    assert (again.returncode, again.stdout, again.stderr) == (0, "drkit <drill>\n", "")
    assert len(checkout.journal) == 3


def computed() -> float:
    """Seconds of computing by the processes that this one began."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_second_run_adds_little_time(checkout: Checkout) -> None:
    checkout.run()
    took = []
    for _ in range(3):
        before = computed()
        checkout.run()
        took.append(computed() - before)
    assert min(took) < 0.3


def test_the_exit_status_is_the_commands(checkout: Checkout) -> None:
    assert checkout.run(FAILS="drkit").returncode == 1


@pytest.mark.parametrize("name", ["pyproject.toml", "requirements/run.txt"])
def test_a_changed_requirement_installs_again(checkout: Checkout, name: str) -> None:
    checkout.run()
    with (checkout.root / name).open("a") as file:
        file.write("\n")
    assert checkout.run().returncode == 0
    assert [line.split()[0] for line in checkout.journal] == ["venv", "pip", "pip", "pip", "pip"]
    checkout.run()
    assert len(checkout.journal) == 5


def test_a_moved_checkout_installs_again(checkout: Checkout) -> None:
    checkout.run()
    moved = checkout.root.with_name("moved")
    checkout.root.rename(moved)
    checkout.root = moved
    assert checkout.run().returncode == 0
    assert len(checkout.journal) == 5


def test_an_incomplete_environment_is_created_again(checkout: Checkout) -> None:
    holder = checkout.root.parent / "pid"
    checkout.env["PIP_KILLS"] = str(holder)
    wrapped = [*checkout.shell, "-c", 'echo $$ >"$PIP_KILLS"; exec "$0" "$@"', *checkout.command]
    killed = subprocess.run(wrapped, env=checkout.environment(), capture_output=True, check=False, timeout=PATIENCE)
    assert killed.returncode == -signal.SIGKILL
    time.sleep(0.2)
    for log in checkout.root.parent.glob("tmp*"):  # nobody was left to remove it
        log.unlink()
    (checkout.venv / "left").write_text("by the first")
    del checkout.env["PIP_KILLS"]
    done = checkout.run()
    assert (done.returncode, done.stdout) == (0, "drkit <drill>\n")
    assert not (checkout.venv / "left").exists()
    assert checkout.journal.count("venv") == 2


def test_the_folder_of_an_unfinished_environment_is_used_again(checkout: Checkout) -> None:
    checkout.venv.mkdir()
    (checkout.venv / "drkit.making").touch()
    (checkout.venv / "bin").mkdir()
    assert checkout.run().returncode == 0


def test_an_environment_without_its_python_is_created_again(checkout: Checkout) -> None:
    checkout.run()
    (checkout.venv / "bin/python").unlink()
    assert checkout.run().stdout == "drkit <drill>\n"
    assert checkout.journal.count("venv") == 2


def test_an_environment_somebody_made_is_kept_and_filled(checkout: Checkout) -> None:
    checkout.run()
    (checkout.venv / "drkit.stamp").unlink()
    (checkout.venv / "mine").touch()
    assert checkout.run().returncode == 0
    assert (checkout.venv / "mine").exists()
    assert checkout.journal.count("venv") == 1


def test_two_at_once_make_it_once(checkout: Checkout) -> None:
    env = checkout.environment({"PIP_SLEEPS": "1"})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    both = [subprocess.Popen(checkout.command, env=env, text=True, **pipes) for _ in range(2)]  # type: ignore[call-overload]
    ends = [(*process.communicate(timeout=PATIENCE), process.returncode) for process in both]
    assert [(out, code) for out, _, code in ends] == [("drkit <drill>\n", 0)] * 2
    assert len(checkout.journal) == 3
    assert sorted(len(err.splitlines()) for _, err, _ in ends) == [1, 1]


def test_another_folder_for_the_environment(checkout: Checkout) -> None:
    assert checkout.run(DRKIT_VENV="elsewhere").returncode == 0
    assert (checkout.root.parent / "elsewhere/drkit.stamp").exists()
    assert not checkout.venv.exists()


def test_a_folder_that_is_no_environment_is_left_alone(checkout: Checkout) -> None:
    home = checkout.root.parent / "home"
    home.mkdir()
    (home / "letter").touch()
    done = checkout.run(DRKIT_VENV=str(home))
    assert done.returncode == 64
    assert done.stderr == f"{home} is not a virtual environment: name another folder in DRKIT_VENV\n"
    assert [path.name for path in home.iterdir()] == ["letter"]


def test_pips_noise_is_shown_only_when_it_fails(checkout: Checkout) -> None:
    failed = checkout.run(PIP_FAILS="1")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.count("noise of pip") == 2
    assert failed.stderr.endswith("could not be created, see above; the next call starts again\n")
    assert checkout.run().returncode == 0


@pytest.mark.parametrize("script", ["drill", "failover", "test"])
def test_a_module_in_the_current_folder_is_not_loaded(tools: Checkout, script: str) -> None:
    """Whoever starts a script in a folder of somebody else's runs nothing that lies there."""
    for name in ("ensurepip", "venv", "fcntl", "pip", "drkit", "site", "sitecustomize", "tests"):
        (tools.root.parent / f"{name}.py").write_text(
            f"open({str(tools.root.parent / 'loaded')!r}, 'a').write('{name} ')\n"
        )
    assert tools.run(script=script).returncode == 0
    assert "venv" in tools.journal
    assert not (tools.root.parent / "loaded").exists()


NEEDS = ": drkit needs Python 3.11 or newer with venv; on Debian: apt-get install python3 python3-venv\n"
STUBS = {
    "is 3.9": '#!/bin/sh\nexec @REAL@ -c "import sys; sys.version_info = (3, 9, 2)$3"\n',
    "has no venv": "#!/bin/sh\nexec @REAL@ -c \"import sys; sys.modules['ensurepip'] = None$3\"\n",
    "does not run": "#!/bin/sh\nexit 1\n",
}


@pytest.mark.parametrize("script", ["drill", "test"])
@pytest.mark.parametrize("fault", list(STUBS))
def test_a_python_that_will_not_do_gets_one_line(checkout: Checkout, fault: str, script: str) -> None:
    checkout.put("python3", STUBS[fault].replace("@REAL@", sys.executable))
    done = checkout.run(script=script)
    assert (done.returncode, done.stdout, done.stderr) == (64, "", f"python3 {fault}{NEEDS}")
    assert not checkout.venv.exists()


def test_no_python_gets_one_line(checkout: Checkout) -> None:
    (checkout.path / "python3").unlink()
    done = checkout.run()
    assert (done.returncode, done.stdout, done.stderr) == (64, "", f"python3 is not installed{NEEDS}")


def test_a_newer_python_beside_one_that_is_too_old_is_found(checkout: Checkout) -> None:
    checkout.put("python3", STUBS["is 3.9"].replace("@REAL@", sys.executable))
    checkout.put("python3.12", PYTHON.replace("@REAL@", sys.executable))
    assert checkout.run().returncode == 0


@pytest.fixture
def tools(checkout: Checkout) -> Checkout:
    for name in ("dash", "busybox", "shellcheck", "ssh-keygen"):
        checkout.put(name, "#!/bin/sh\n")
    for folder in ("drkit/simulator", "drkit/other"):
        (checkout.root / folder).mkdir(parents=True)
    (checkout.root / "drkit/simulator/a.py").write_text("1\n2\n")
    (checkout.root / "drkit/other/b.py").write_text("1\n2\n3\n")
    (checkout.root / "drkit/c.py").write_text("1\n")
    return checkout


def test_the_check_runs_everything_and_counts_lines(tools: Checkout) -> None:
    done = tools.run("-k", "two words", script="test")
    assert (done.returncode, [line for line in done.stdout.splitlines() if line and not line.startswith("==")]) == (
        0,
        [
            "ruff <check> <--quiet>",
            "ruff <format> <--check> <--quiet>",
            "mypy <>",
            "lint-imports <>",
            "pytest <-m> <pytest> <-n> <5> <--dist> <loadscope> <--no-loadscope-reorder> <--durations=10> <-k> <two words>",
            "lines: simulator/ 2, the rest of drkit/ 4",
            "all checks passed",
        ],
    )
    assert tools.journal[-2:] == [
        "pip --require-hashes -r requirements/develop.txt",
        "pip --no-deps --no-build-isolation -e .",
    ]


def test_the_fast_check_installs_nothing_and_runs_the_unit_tests_that_are_not_slow(tools: Checkout) -> None:
    tools.put("id", "#!/bin/sh\necho 0\n")
    (tools.path / "dash").unlink(missing_ok=True)
    done = tools.run("--fast", "-x", script="test")
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("pytest <")]
    assert (done.returncode, line.startswith("pytest <-m> <pytest> <-q> <-n> <3> <-m> <not slow>")) == (0, True)
    folders = [word.strip("<>") for word in line.split("> <") if word.startswith("tests/")]
    assert all((ROOT / folder.strip("<>")).is_dir() for folder in folders)
    assert {"tests/model", "tests/planning", "tests/store", "tests/cli"} <= set(folders)
    assert line.endswith("<-x>")
    assert "apt-get" not in done.stdout + done.stderr


def test_the_check_continues_after_a_failure_and_names_it(tools: Checkout) -> None:
    done = tools.run(script="test", FAILS="ruff")
    assert done.returncode == 1
    assert "pytest <" in done.stdout
    assert done.stderr.splitlines()[-1] == "failed: ruff check, ruff format"


def test_missing_tools_are_installed_by_root(tools: Checkout) -> None:
    tools.put("id", "#!/bin/sh\necho 0\n")
    tools.put("apt-get", '#!/bin/sh\necho "apt-get $*" >>"$JOURNAL"; echo noise\n')
    (tools.path / "dash").unlink()
    (tools.path / "ssh-keygen").unlink()
    done = tools.run(script="test")
    assert (done.returncode, "noise" in done.stdout + done.stderr) == (0, False)
    assert "installing with apt-get, for the tests that need them: dash openssh-client chromium npm" in done.stderr
    assert tools.journal[-2:] == [
        "apt-get -qq update",
        "apt-get -qq install -y --no-install-recommends dash openssh-client chromium npm",
    ]


def test_root_can_keep_the_system_as_it_is(tools: Checkout) -> None:
    tools.put("id", "#!/bin/sh\necho 0\n")
    tools.put("apt-get", '#!/bin/sh\necho "apt-get $*" >>"$JOURNAL"\n')
    done = tools.run(script="test", DRKIT_APT="no")
    assert (done.returncode, "missing, so the tests that need them are skipped: chromium npm" in done.stderr) == (
        0,
        True,
    )
    assert [line for line in tools.journal if line.startswith("apt-get")] == []


@pytest.mark.parametrize("user", ["0", "1000"])
def test_tools_that_cannot_be_had_are_named_and_fatal_in_ci(tools: Checkout, user: str) -> None:
    tools.put("id", f"#!/bin/sh\necho {user}\n")
    tools.put("apt-get", "#!/bin/sh\necho no network\nexit 100\n")
    (tools.path / "shellcheck").unlink()
    here = tools.run(script="test")
    assert here.returncode == 0
    assert "missing, so the tests that need them are skipped: shellcheck" in here.stderr
    ci = tools.run(script="test", CI="true")
    assert (ci.returncode, ci.stdout) == (1, "")
    assert "the tests need tools that cannot be installed here: shellcheck" in ci.stderr
    assert ("no network" in ci.stderr) == (user == "0")
