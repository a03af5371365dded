"""The worked example of docs/writing-a-product.md: one file and one line in a copy of drkit, and a region lost and recovered from."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.estates import World
from tests.support.patience import PATIENCE
from tests.support.simulator_thread import SUB, TENANT, group_id

ROOT = Path(__file__).parents[2]
OLD = f"{group_id('rg-weu')}/providers/Microsoft.Relay/namespaces/relay-weu"
CONTROL = f"{group_id('rg-eus')}/providers/Microsoft.Relay/namespaces/relay-eus"
NOBODY = "https://127.0.0.1:1"


def blocks() -> list[str]:
    text = (ROOT / "docs/writing-a-product.md").read_text("utf-8")
    return re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """drkit with the example's file, and its one line in the registry."""
    product, line = blocks()[:2]
    shutil.copytree(ROOT / "drkit", tmp_path / "drkit", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "drkit/products/relay.py").write_text(product, "utf-8")
    registry = tmp_path / "drkit/products/__init__.py"
    before = registry.read_text("utf-8")
    registry.write_text(before.replace("KNOWN = (\n", f"KNOWN = (\n{line}", 1), "utf-8")
    assert len(registry.read_text("utf-8").splitlines()) == len(before.splitlines()) + 1
    return tmp_path


@pytest.fixture
def world(tmp_path: Path, ungranted: list[str]) -> Iterator[World]:
    resources = [
        {"id": OLD, "location": "westeurope", "tags": {"team": "web"}},
        {"id": CONTROL, "location": "eastus"},
    ]
    running = World(
        tmp_path,
        {
            "drkit": "simulator-seed/1",
            "seed": 5,
            "tenant": {"id": TENANT, "domain": "contoso.onmicrosoft.com"},
            "subscriptions": [
                {
                    "id": SUB,
                    "name": "Contoso",
                    "providers": ["Microsoft.Relay", "Microsoft.Automation", "Microsoft.VSOnline"],
                }
            ],
            "groups": [
                {"id": group_id("rg-weu"), "location": "westeurope"},
                {"id": group_id("rg-eus"), "location": "eastus", "tags": {"drkit-target": "true"}},
            ],
            "resources": resources,
        },
    )
    yield running
    running.stop()
    # drkit's roles grant what its own products ask for; whoever adds one adds to their role.
    ungranted[:] = [one for one in ungranted if not one.startswith("microsoft.relay/")]


def serve(world: World, *, old: bool) -> None:
    """Namespaces answer at a port of the simulator; the old one's refuses when its region is lost."""
    facts = dict(world.facts)
    arm = facts["arm"]
    facts["services"] = facts["services"] | {
        "*.servicebus.windows.net": arm,
        "relay-weu.servicebus.windows.net": arm if old else NOBODY,
    }
    world.ready.write_text(json.dumps(facts), "utf-8")


def test_the_example_recovers_from_a_lost_region(copy: Path, world: World) -> None:
    (copy / "drkit.toml").write_text('targets = ["eastus"]\n')

    def drkit(*words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "drkit", *words, "--json", "--quiet"], cwd=copy, capture_output=True, text=True,
            env={**os.environ, "PYTHONPATH": str(copy), "DRKIT_CLOUD": str(world.ready)}, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    serve(world, old=True)
    taken = drkit("snapshot")
    assert [one["name"] for one in taken["environments"]] == ["relay-eus", "relay-weu"]
    world.control("lose", region="westeurope", minutes_ago=25, announce_after=10)
    serve(world, old=False)
    assert {one["plan"]: one["state"] for one in drkit("assess")["plans"]} == {OLD: "lost", CONTROL: "answering"}
    planned = drkit("plan")
    assert [step["action"] for step in planned["runbook"]["steps"]] == ["create", "verify"]
    assert drkit("apply", planned["digest"], "--yes")["outcome"] == "succeeded"
    made = [one for one in world.view("state")["resources"] if one.get("tags", {}).get("drkit-source") == OLD]
    assert [(one["location"], one["tags"]["team"]) for one in made] == [("eastus", "web")]
    drkit("assess")
    assert drkit("plan", "--kind", "failover")["runbook"]["steps"] == []


def test_the_document_names_what_there_is() -> None:
    text = (ROOT / "docs/writing-a-product.md").read_text("utf-8")
    for name in re.findall(r"`(drkit/[\w/.]+)`", text):
        path = ROOT / name
        assert path.exists() or name == "drkit/products/relay.py", name
