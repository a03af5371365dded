"""What ops run: --help, refusals, the timer's snapshot, the deployment; under dash and under busybox."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.project.test_ground import SCRIPTS
from tests.support.command_line import Done, environment
from tests.support.estates import SUBSCRIPTION, Site, estate
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
NAMES = sorted(path.name for path in SCRIPTS if path.parent.name == "scripts" and not path.suffix)
DRKIT = str(Path(sys.executable).parent / "drkit")
Run = Callable[..., Done]


@pytest.fixture(params=["dash", "busybox"])
def run(request: pytest.FixtureRequest, tmp_path: Path, require: Callable[[str], str]) -> Run:
    """A script in an empty folder, with this drkit."""
    shell = [require("dash")] if request.param == "dash" else [require("busybox"), "sh"]

    def one(name: str, *words: str, cwd: Path = tmp_path, **more: str) -> Done:
        env = {**environment(DRKIT=DRKIT), **more}
        done = subprocess.run(
            [*shell, str(ROOT / "scripts" / name), *words], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    return one


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with estate(tmp_path, lost=False) as made:
        yield made


def test_each_is_short_and_says_what_it_is(run: Run, tmp_path: Path) -> None:
    for name in NAMES:
        told = run(name, "--help", DRKIT="/nowhere")
        assert (told.code, told.err) == (0, ""), name
        assert told.out.startswith(f"scripts/{name} "), name
        assert run(name, "-h", DRKIT="/nowhere").out == told.out
        assert max(map(len, told.out.splitlines())) <= 140
        code = [
            line for line in (ROOT / "scripts" / name).read_text().splitlines() if line and not line.startswith("#")
        ]
        assert len(code) < 90, name
    assert list(tmp_path.iterdir()) == []


def test_the_page_has_every_script() -> None:
    page = (ROOT / "docs/scripts.md").read_text("utf-8")
    assert [name for name in NAMES if f"scripts/{name}`" not in page] == []


def test_options_named_in_the_help_are_drkits(run: Run) -> None:
    for name, command in (("failover", "failover"), ("drill", "drill")):
        options = set(re.findall(r"(?<!\w)--[a-z][a-z-]+", run(name, "--help").out))
        known = subprocess.run([DRKIT, command, "--help"], capture_output=True, text=True, check=True).stdout
        assert {one for one in options if one not in known} == {"--help"} & options


def test_a_drkit_on_path_is_used_and_an_environment_beside_the_scripts_before_it(run: Run, tmp_path: Path) -> None:
    bin_ = tmp_path / "a bin"
    bin_.mkdir()
    (bin_ / "drkit").write_text('#!/bin/sh\nprintf "%s" "of path"; printf " <%s>" "$@"; echo\n')
    (bin_ / "drkit").chmod(0o755)
    path = f"{bin_}{os.pathsep}{os.environ['PATH']}"
    told = run("failover", "--reason", "it is dark", DRKIT="", PATH=path, DRKIT_VENV=str(tmp_path / "none"))
    called = str(ROOT / "scripts/failover")
    assert told.out == f"of path <failover> <--called-as> <{called}> <--reason> <it is dark>\n"
    mine = run("failover", "--help-me", DRKIT="", PATH=path, DRKIT_VENV=str(Path(sys.executable).parent.parent))
    assert (mine.code, mine.out) == (64, "")


# --- the timer


def test_a_good_snapshot_says_nothing(run: Run, site: Site) -> None:
    cloud = {"DRKIT_CLOUD": str(site.world.ready)}
    before = len(list((site.store.folder / "state/snapshots").glob("*.json")))
    done = run("snapshot-cron", str(site.folder), "--store", str(site.store.folder), **cloud)
    assert (done.code, done.out, done.err) == (0, "", "")
    assert len(list((site.store.folder / "state/snapshots").glob("*.json"))) == before + 1
    # a region that does not answer is worth a mail, and the snapshot is taken all the same
    site.lose()
    done = run("snapshot-cron", str(site.folder), "--store", str(site.store.folder), **cloud)
    assert (done.code, done.err) == (0, "")
    assert "plan-weu" in done.out
    assert "failed" in done.out


def test_an_exit_code_is_kept_and_what_is_wrong_is_said(run: Run, site: Site, tmp_path: Path) -> None:
    (site.folder / "drkit.toml").write_text("colour = 1\n")
    done = run("snapshot-cron", str(site.folder))
    assert (done.code, "colour" in done.err) == (64, True)
    done = run("snapshot-cron", str(tmp_path / "nowhere"))
    assert (done.code, "is not a folder that can be opened" in done.err) == (64, True)
    assert run("snapshot-cron").code == 64


def test_two_snapshots_never_overlap(run: Run, site: Site) -> None:
    with (site.folder / ".snapshot-cron.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run("snapshot-cron", str(site.folder), DRKIT_CLOUD=str(site.world.ready))
        assert (done.code, done.out, "is still running" in done.err) == (4, "", True)
    done = run("snapshot-cron", str(site.folder), DRKIT_CLOUD=str(site.world.ready))
    assert done.code == 0


def test_a_lock_that_is_not_a_separate_file_is_refused_and_changes_nothing(
    run: Run, site: Site, tmp_path: Path
) -> None:
    lock, other = site.folder / ".snapshot-cron.lock", tmp_path / "other"
    other.write_text("kept")

    def foreign() -> None:
        lock.touch()
        os.chown(lock, 65534, 65534)

    plants: dict[str, Callable[[], object]] = {
        "a link": lambda: lock.symlink_to(other),
        "a link to nothing": lambda: lock.symlink_to(tmp_path / "nothing"),
        "a second name": lambda: lock.hardlink_to(other),
        "a FIFO": lambda: os.mkfifo(lock),
        "a folder": lock.mkdir,
    }
    if os.geteuid() == 0:
        plants["of another user"] = foreign
    for name, plant in plants.items():
        plant()
        done = run("snapshot-cron", str(site.folder), DRKIT_CLOUD=str(site.world.ready))
        assert (done.code, done.out, ".snapshot-cron.lock is not a file of" in done.err) == (64, "", True), name
        assert (other.read_text(), (tmp_path / "nothing").exists()) == ("kept", False), name
        lock.rmdir() if lock.is_dir() else lock.unlink()
    assert run("snapshot-cron", str(site.folder), DRKIT_CLOUD=str(site.world.ready)).code == 0
    assert lock.stat().st_mode & 0o777 == 0o600


def test_a_timer_refuses_a_folder_that_every_user_may_write(run: Run, site: Site) -> None:
    site.folder.chmod(0o777)
    done = run("snapshot-cron", str(site.folder), DRKIT_CLOUD=str(site.world.ready))
    assert (done.code, "every user of this machine can write to" in done.err) == (64, True)
    assert not (site.folder / ".snapshot-cron.lock").exists()


# --- the deployment

AZ = """#!/bin/sh
printf '%s' az >>"$AZ_TOLD"; printf ' <%s>' "$@" >>"$AZ_TOLD"; echo >>"$AZ_TOLD"
case "$3 ${AZ_FAILS:-}" in
  what-if*) echo '+ Create' ;;
  'create ') echo https://drkitstore.blob.core.windows.net ;;
  *) echo 'ERROR: AuthorizationFailed' >&2; exit 1 ;;
esac
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Parameters, and a PATH with an az that only writes down what it is asked."""
    (tmp_path / "my own.bicepparam").write_text("using 'main.bicep'\n")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/az").write_text(AZ)
    (tmp_path / "bin/az").chmod(0o755)
    return tmp_path


def told(place: Path) -> list[list[str]]:
    lines = (place / "az.txt").read_text().splitlines() if (place / "az.txt").exists() else []
    return [re.findall(r"<([^>]*)>", line) for line in lines]


GIVEN = ("--location", "north europe", "--parameters", "my own.bicepparam")


def test_it_shows_deploys_and_writes_the_first_settings(run: Run, place: Path, site: Site) -> None:
    more = {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "AZ_TOLD": str(place / "az.txt"),
        "DRKIT_CLOUD": str(site.world.ready), "XDG_CACHE_HOME": str(place / "cache"),
    }  # fmt: skip
    only = run("bootstrap", *GIVEN, "--what-if", **more)
    assert (only.code, [one[2] for one in told(place)]) == (0, ["what-if"])
    asked = run("bootstrap", *GIVEN, **more)
    assert (asked.code, "without a terminal, use --yes" in asked.err) == (4, True)
    assert [one[2] for one in told(place)] == ["what-if"] * 2
    done = run("bootstrap", *GIVEN, "--subscription", SUBSCRIPTION, "--yes", **more)
    assert done.code == 0, done.err
    create = told(place)[-1]
    assert create[:3] == ["deployment", "sub", "create"]
    pairs = dict(zip(create[3::2], create[4::2], strict=True))
    assert pairs["--location"] == "north europe"
    assert pairs["--parameters"] == "my own.bicepparam"
    assert pairs["--subscription"] == SUBSCRIPTION
    assert pairs["--template-file"].endswith("/bicep/main.bicep")
    text = (place / "drkit.toml").read_text()
    assert 'store = "https://drkitstore.blob.core.windows.net"' in text
    assert SUBSCRIPTION in text
    # a second time nobody's settings are lost
    (place / "drkit.toml").write_text("# mine\n")
    again = run("bootstrap", *GIVEN, "--yes", **more)
    assert (again.code, "exists and was not changed" in again.out) == (0, True)
    assert (place / "drkit.toml").read_text() == "# mine\n"


def test_a_deployment_that_fails_ends_it(run: Run, place: Path) -> None:
    more = {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "AZ_TOLD": str(place / "az.txt"),
        "AZ_FAILS": "1",
    }
    done = run("bootstrap", *GIVEN, "--yes", **more)
    assert (done.code, "AuthorizationFailed" in done.err) == (1, True)
    assert not (place / "drkit.toml").exists()


def test_without_az_it_says_exactly_what_to_type(run: Run, place: Path) -> None:
    tools = place / "tools"
    tools.mkdir()
    for tool in ("dirname", "cat", "id", "sh"):
        (tools / tool).symlink_to(shutil.which(tool) or "")
    done = run("bootstrap", *GIVEN, PATH=str(tools))
    assert done.code == 64
    line = next(line for line in done.err.splitlines() if "az deployment" in line)
    words = shlex.split(line)
    assert words[:4] == ["az", "deployment", "sub", "create"]
    assert words[words.index("--location") + 1] == "north europe"
    assert "drkit init --store ADDRESS" in done.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ((), "--location REGION is missing"),
        (("--location",), "--location needs a value"),
        (("--frog",), "--frog is not an option"),
        (("--location", "x", "--parameters", "none"), "none does not exist"),
    ],
)
def test_wrong_arguments_are_named(run: Run, words: tuple[str, ...], why: str) -> None:
    done = run("bootstrap", *words)
    assert (done.code, why in done.err) == (64, True), done.err


def test_somebody_at_a_terminal_is_asked_before_anything_is_deployed(place: Path) -> None:
    env = environment(PATH=f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", AZ_TOLD=str(place / "az.txt"))
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [str(ROOT / "scripts/bootstrap"), *GIVEN], cwd=place, env=env, stdin=slave, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.write(master, b"no\n")
    _, err = process.communicate(timeout=PATIENCE)
    os.close(slave)
    os.close(master)
    assert (process.returncode, "Deploy this? Type yes:" in err, "nothing was deployed" in err) == (4, True, True)
    assert [one[2] for one in told(place)] == ["what-if"]


def test_bench_wants_a_number(run: Run) -> None:
    done = run("bench", "many")
    assert (done.code, "is not a number of hosts" in done.err) == (64, True)
