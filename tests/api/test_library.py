"""``import drkit``: it gives what the command line gives, under names that stay what they are, with types that others see."""

from __future__ import annotations

import asyncio
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import drkit
from drkit import blocking, errors
from drkit.cli.group import main_group
from drkit.errors import UsageError
from tests.support.command_line import environment
from tests.support.estates import Site, estate
from tests.support.patience import PATIENCE

PACKAGE = Path(drkit.__file__).parent
# What only a command line needs.
ITS_OWN = {"completion"}
NAMES = [name for name in drkit.__all__ if not name.startswith("_")]
FUNCTIONS = [name for name in NAMES if inspect.isfunction(getattr(drkit, name))]


def test_every_command_has_its_function() -> None:
    missing = [one for one in set(main_group.commands) - ITS_OWN if one.replace("-", "_") not in drkit.__all__]
    assert missing == []


def test_no_module_takes_the_place_of_a_name() -> None:
    """The import system binds a module to its package: one called like a function would replace it, at the second look."""
    program = (
        "import drkit, types; first = {name: getattr(drkit, name) for name in drkit.__all__}\n"
        "again = {name: getattr(drkit, name) for name in drkit.__all__}\n"
        "assert first == again, [name for name in first if first[name] is not again[name]]\n"
        "print(sorted(name for name, value in again.items() if isinstance(value, types.ModuleType)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("['blocking', 'errors']\n", "")
    modules = {path.stem for path in PACKAGE.glob("*.py")}
    assert modules & set(drkit.__all__) == {"blocking", "errors"}


def test_a_name_that_is_not_there_is_missed_as_usual() -> None:
    with pytest.raises(AttributeError, match="nosuch"):
        drkit.nosuch  # type: ignore[attr-defined]  # noqa: B018
    with pytest.raises(AttributeError, match="nosuch"):
        blocking.nosuch  # type: ignore[attr-defined]  # noqa: B018
    assert set(drkit.__all__) <= set(dir(drkit))


def test_importing_it_loads_no_sdk() -> None:
    program = "import drkit, sys; drkit.plan; print([name for name in sys.modules if name.startswith('azure')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


# --- the blocking form


def test_the_blocking_form_has_the_same_names() -> None:
    same = [name for name in NAMES if not isinstance(getattr(drkit, name), ModuleType)]
    assert sorted(blocking.__all__) == sorted(same)
    for name in same:
        plain, blocked = getattr(drkit, name), getattr(blocking, name)
        if inspect.iscoroutinefunction(plain) or inspect.isasyncgenfunction(plain):
            assert not inspect.iscoroutinefunction(blocked), name
            assert inspect.signature(plain).parameters == inspect.signature(blocked).parameters, name
            assert blocked.__doc__ == plain.__doc__
        else:
            assert blocked is plain, name


def test_the_blocking_form_refuses_inside_a_running_loop() -> None:
    async def inside() -> None:
        context = drkit.desk()
        with pytest.raises(UsageError, match=r"drkit\.blocking\.assess was called inside a running event loop"):
            blocking.assess(context)
        with pytest.raises(UsageError, match=r"await drkit\.watch there|running event loop"):
            blocking.watch(context)

    asyncio.run(inside())


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with estate(tmp_path) as made:
        yield made


def test_the_blocking_form_does_it(site: Site) -> None:
    assessed, path, code = blocking.assess(site.context)
    assert (path.exists(), code) == (True, 0)
    assert {one.state for one in assessed.plans} == {"lost", "answering"}
    looks = list(blocking.watch(site.context, for_minutes=0.01))
    assert [look.blind for look in looks] == [False]
    for look in blocking.watch(site.context):  # left in the middle: its loop is closed in good order
        assert look.assessed.plans
        break


# --- types, as another program's mypy sees them


SAMPLE = """
from pathlib import Path
from typing import Any
from typing_extensions import assert_type

import drkit
from drkit import blocking
from drkit.errors import DrkitError, RefusedError
from drkit.model.estate import Assessment, Snapshot
from drkit.model.runbook import Runbook
from drkit.store.records import Approval


async def awaited(context: drkit.Context) -> None:
    assert_type(await drkit.snapshot(context), tuple[Snapshot, Path])
    assert_type(await drkit.assess(context), tuple[Assessment, Path, int])
    assert_type(await drkit.apply(context, yes=True), drkit.Applied)
    async for look in drkit.watch(context):
        assert_type(look, drkit.WatchUpdate)


def blocked() -> int:
    context = drkit.desk(config="drkit.toml")
    assert_type(context, drkit.Context)
    assert_type(blocking.snapshot(context), tuple[Snapshot, Path])
    assert_type(blocking.assess(context, declare_lost="westeurope", reason="x"), tuple[Assessment, Path, int])
    planned = drkit.plan(context, kind="failover")
    assert_type(planned, drkit.Planned)
    assert_type(planned.runbook, Runbook)
    assert_type(drkit.approve(context, planned.digest), Approval)
    assert_type(blocking.apply(context, planned.digest), drkit.Applied)
    assert_type(drkit.status(context), drkit.RunStatus)
    assert_type(drkit.report(context), dict[str, Any])
    for look in blocking.watch(context):
        assert_type(look, drkit.WatchUpdate)
    try:
        blocking.resume(context, "run-0001")
    except RefusedError as error:
        return error.exit_code
    except DrkitError as error:
        print(error.what, error.where, error.remedy)
    return 0
"""
WRONG = """
import drkit
from drkit import blocking

drkit.plan("here")
blocking.apply(drkit.desk(), yes="yes")
blocking.assess(drkit.desk())[2].upper()
drkit.nosuch
"""


def checked(folder: Path) -> dict[str, list[str]]:
    """What mypy --strict says to two programs of somebody else's, and what each public name is to it."""
    reveal = "".join(f"reveal_type({place}.{name})\n" for place in ("drkit", "blocking") for name in FUNCTIONS)
    texts = {"sample.py": SAMPLE, "wrong.py": WRONG, "names.py": f"import drkit\nfrom drkit import blocking\n{reveal}"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", "--hide-error-context", *texts],
        cwd=folder, capture_output=True, text=True, env=environment(PYTHONWARNINGS="default"), check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    return {name: [line for line in lines if line.startswith(f"{name}:")] for name in texts}


def test_another_programs_mypy_sees_the_types(tmp_path: Path) -> None:
    """One run of mypy for all of it: right uses, wrong ones, and no public function of unknown type."""
    assert (PACKAGE / "py.typed").exists()
    said = checked(tmp_path)
    assert said["sample.py"] == []
    wrong = [re.sub(r"^.*\[([\w-]+)\]$", r"\1", line) for line in said["wrong.py"] if ": error: " in line]
    assert wrong == ["arg-type", "arg-type", "attr-defined", "attr-defined"]
    told = [re.search(r'Revealed type is "(.*)"', line) for line in said["names.py"]]
    shapes: list[Any] = [found[1] if found else "" for found in told]
    assert len(shapes) == 2 * len(FUNCTIONS)
    assert [shape for shape in shapes if not shape.startswith("def ") or shape.endswith("-> Any")] == []
    blocked = shapes[len(FUNCTIONS) :]
    assert [shape for shape in blocked if "-> typing.Coroutine" in shape or "AsyncIterator" in shape] == []


def test_the_error_tree_is_drawn_as_it_is() -> None:
    drawn = set(re.findall(r"\b(\w+Error)\b", errors.__doc__ or ""))
    there = {name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.DrkitError)}
    assert drawn == there


# --- the page


PAGE = PACKAGE.parent / "docs/library.md"


def programs() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


def test_the_example_of_the_page_runs_as_printed(tmp_path: Path) -> None:
    whole, watching = programs()
    with estate(tmp_path, lost=False) as site:
        (site.folder / ".drkit").symlink_to(site.store.folder)

        def told(program: str) -> tuple[int, str, str]:
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", program], cwd=site.folder, capture_output=True, text=True, timeout=PATIENCE,
                env=environment(DRKIT_CLOUD=str(site.world.ready)), check=False,
            )  # fmt: skip
            return done.returncode, done.stdout, done.stderr

        code, out, err = told(whole)
        assert (code, err, out.splitlines()[-1]) == (0, "", "nothing to move")
        site.lose()
        code, out, err = told(watching)
        assert (code, err) == (0, "")
        assert "plan plan-weu: answering -> lost" in out
        code, out, err = told(whole)
        assert (code, err) == (0, "")
        assert "run-0001: succeeded-with-exceptions" in out
        assert "3 of 6 are back" in out
        (site.folder / "drkit.toml").write_text("colour = 1\n")
        code, out, err = told(whole)
        assert (code, out, "colour" in err) == (64, "", True)


def test_the_page_names_what_there_is() -> None:
    text = PAGE.read_text("utf-8")
    for module in set(re.findall(r"`(drkit\.[a-z.]+)`", text)) - {"drkit.toml", "drkit.products"}:
        name = module.removeprefix("drkit.")
        assert name in drkit.__all__ or (PACKAGE / f"{name.replace('.', '/')}.py").exists(), module
