"""Somebody else's product, installed as a distribution of its own: in the registry, in drkit.toml, in a plan, in a recovery."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.project import test_writing_a_product as example
from tests.project.test_writing_a_product import CONTROL, OLD, serve
from tests.support.command_line import environment
from tests.support.estates import World
from tests.support.patience import PATIENCE

world = example.world  # the fixture: a namespace of Azure Relay in a region that is lost, another in one that is not

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "contoso-relay"
version = "1.2.3"

[project.entry-points."drkit.products"]
relay = "contoso_relay:Relay"
"""
TABLE = '''

class RelaySettings(Table, frozen=True):
    """[products.relay]"""

    patience: int = 3


Relay.table = RelaySettings
'''


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip installed the product of docs/writing-a-product.md, with a table of its own."""
    folder = tmp_path_factory.mktemp("contoso")
    source = folder / "source"
    (source / "contoso_relay").mkdir(parents=True)
    (source / "pyproject.toml").write_text(PROJECT)
    product = example.blocks()[0].replace("import Settings\n", "import Settings, Table\n")
    (source / "contoso_relay/__init__.py").write_text(product + TABLE)
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-build-isolation"]
    done = subprocess.run(
        [*pip, "--target", str(folder / "site"), str(source)], capture_output=True, text=True, check=False,
        env=environment(PIP_DISABLE_PIP_VERSION_CHECK="1", PYTHONWARNINGS="default"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "site"


def drkit(site: Path, cwd: Path, *words: str, **more: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "drkit", *words], cwd=cwd, capture_output=True, text=True, timeout=PATIENCE, check=False,
        env=environment(PYTHONPATH=str(site), **more),
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_an_installed_product_recovers_from_a_lost_region(installed: Path, world: World, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "drkit.toml").write_text('targets = ["eastus"]\n[products.relay]\npatience = 5\n')

    def told(*words: str) -> Any:
        code, out, err = drkit(installed, work, *words, "--json", DRKIT_CLOUD=str(world.ready))
        assert code == 0, out + err
        assert "cannot be used" not in err
        return json.loads(out)

    serve(world, old=True)
    assert [one["name"] for one in told("snapshot")["environments"]] == ["relay-eus", "relay-weu"]
    world.control("lose", region="westeurope", minutes_ago=25, announce_after=10)
    serve(world, old=False)
    assert {one["plan"]: one["state"] for one in told("assess")["plans"]} == {OLD: "lost", CONTROL: "answering"}
    planned = told("plan")
    assert [step["id"].split(":")[0] for step in planned["runbook"]["steps"]] == ["relay", "relay"]
    assert told("apply", planned["digest"], "--yes")["outcome"] == "succeeded"


def test_without_it_its_plan_is_left_alone_and_its_table_is_a_fault(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "drkit.toml").write_text("[products.relay]\npatience = 5\n")
    code, _, err = drkit(tmp_path, tmp_path, "snapshot")
    assert (code, "knows no product" in err) == (64, True)
    (tmp_path / "drkit.toml").write_text("[products.relay]\ncolour = 5\n")
    code, _, err = drkit(installed, tmp_path, "snapshot")
    assert (code, "colour" in err, "patience" in err) == (64, True, True)


def bring(folder: Path, distribution: str, entries: str, **modules: str) -> None:
    """A distribution as an installer leaves it."""
    info = folder / f"{distribution.replace('-', '_')}-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[drkit.products]\n{entries}\n")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


GOOD = "from drkit.products.defaults import ProductDefaults\nclass Good(ProductDefaults):\n    name = 'good'\n    actions = {}\n"
BAD = [
    ("no module", "good = nowhere:Good", {}, "ModuleNotFoundError: No module named 'nowhere'"),
    ("no class", "good = odd:Good", {"odd": ""}, "AttributeError"),
    (
        "raises",
        "good = odd:Good",
        {"odd": "raise RuntimeError('out of paper \\x1b[31m')"},
        "RuntimeError: out of paper",
    ),
    ("exits", "good = odd:Good", {"odd": "raise SystemExit(3)"}, "SystemExit"),
    (
        "is none",
        "good = odd:Good",
        {"odd": "class Good:\n    name = 'good'\n    actions = {}\n"},
        "is no product of this drkit: it lacks",
    ),
    ("another name", "other = odd:Good", {"odd": GOOD}, "it calls itself 'good'"),
    ("a built-in's name", "codespaces = odd:Good", {"odd": GOOD}, "drkit has a product of that name itself"),
    ("the shared actor's", "azure = odd:Good", {"odd": GOOD}, "drkit has a product of that name itself"),
    ("a strange name", "Good.One = odd:Good", {"odd": GOOD}, "lower-case letters"),
    ("no actions", "good = odd:Good", {"odd": GOOD.replace("    actions = {}\n", "")}, "it declares no `actions`"),
    (
        "odd actions",
        "good = odd:Good",
        {"odd": GOOD.replace("{}", "{'x': 1}")},
        "no table of drkit.model.actions.Action",
    ),
    (
        "odd scripts",
        "good = odd:Good",
        {"odd": GOOD + "    host_scripts = {}\n"},
        "its `host_scripts` are not those of drkit.model.host_scripts.read_folder",
    ),
    (
        "odd posts",
        "good = odd:Good",
        {"odd": GOOD + "    reading_posts = ('.*',)\n"},
        "its `reading_posts` are no tuple of texts",
    ),
    ("no table", "good = odd:Good", {"odd": GOOD.replace("'good'", "'good'\n    table = dict")}, "lacks"),
]


@pytest.mark.parametrize(("case", "entries", "modules", "why"), BAD, ids=[one[0] for one in BAD])
def test_a_broken_one_is_named_with_its_distribution_and_takes_nothing_down(
    case: str, entries: str, modules: dict[str, str], why: str, tmp_path: Path
) -> None:
    bring(tmp_path / "site", "contoso-odd", entries, **modules)
    program = (
        "from drkit.products import actors, faults, registry, tables\n"
        "print(sorted(registry()), sorted(tables()) == sorted(registry()), sorted(actors()))\n"
        "for one in faults(): print(one)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path / "site")),
    )  # fmt: skip
    first, *faults = done.stdout.splitlines()
    assert first == "['codespaces', 'hybrid-worker'] True ['azure', 'codespaces', 'hybrid-worker']"
    assert len(faults) == 1, done.stdout + done.stderr
    assert "of the distribution contoso-odd cannot be used" in faults[0]
    assert why in faults[0]
    assert "pip uninstall contoso-odd" in faults[0]


def test_two_that_bring_one_name_are_both_left_out_and_the_command_line_says_so(tmp_path: Path) -> None:
    bring(tmp_path / "site", "contoso-one", "good = one:Good", one=GOOD)
    bring(tmp_path / "site", "contoso-two", "good = two:Good", two=GOOD)
    code, out, err = drkit(tmp_path / "site", tmp_path, "status", "--json")
    assert (code, json.loads(out)) == (0, {"runs": []})
    assert "contoso-one cannot be used: contoso-two brings one of that name too" in err
    assert "contoso-two cannot be used: contoso-one brings one of that name too" in err
    assert os.linesep in err
