"""A small estate of hybrid workers on a simulator of its own, and drkit at work on it in this process.

An account in West Europe with four workers: a VM in North Europe whose extension has protected settings, a VM lost with
the region, a VM elsewhere whose resource group is lost with it, and an Arc machine. An account in East US is the control,
another one there was prepared to take over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drkit.api import apply as apply_
from drkit.api import capture
from drkit.model.runbook import Runbook
from drkit.simulator.hybrid_worker import model
from tests.support import worker_estate as workers
from tests.support.estates import Site, World
from tests.support.simulator_thread import seed, vm_id

SECRET = "s3cret-proxy-password"
WEB, LOST, STRAY, CUPBOARD = vm_id("web-01"), vm_id("web-02", "dev-we"), vm_id("stray", "dev-we"), workers.CUPBOARD
OLD, CONTROL, REPLICA = (workers.account_id(name) for name in ("auto-we", "auto-eus", "auto-dr"))
ALONE = f"""
[products.hybrid-worker]
replicas = {{ auto-we = "{REPLICA}" }}
"""
NAMED = f"""
[products.hybrid-worker]
protected_settings = "none"
replicas = {{ auto-we = "{REPLICA}" }}
[products.hybrid-worker.protected]
web-01 = "env:DRKIT_TEST_PROTECTED"
"""


def content(**changes: Any) -> dict[str, Any]:
    """The seed; ``changes``: lists that replace its own."""
    parts = workers.estate() | changes
    cupboard = {
        "id": CUPBOARD,
        "location": "northeurope",
        "identity": {"type": "SystemAssigned", "principalId": workers.NEW},
        "properties": {"status": "Connected", "osType": "linux", "vmUuid": "5a3c2d6e-8f0b-4f9e-9c51-0f1d2b3a4c5d"},
    }
    return seed(**parts, resources=[cupboard])


@contextmanager
def site(
    folder: Path, settings: str = NAMED, made: Mapping[str, Any] | None = None, *, leaping: bool = False
) -> Iterator[Site]:
    """The estate captured, and drkit's folder beside it."""
    world = World(folder, dict(made or content()), leaping=leaping)
    try:
        (folder / "drkit.toml").write_text(f'targets = ["eastus"]\n{settings}')
        found = Site(world, folder)
        asyncio.run(capture.snapshot(found.context))
        try:
            yield found
        finally:
            found.end()
    finally:
        world.stop()


def lost(found: Site) -> Runbook:
    """West Europe is lost, and the runbook for that approved."""
    found.lose()
    return found.plan().runbook


def apply(found: Site) -> apply_.Applied:
    assert found.planned is not None
    return asyncio.run(apply_.apply(found.context, found.planned.digest))


def actions(book: Runbook, machine: str) -> list[str]:
    """The actions planned for a machine's worker, in order."""
    wanted = workers.WORKERS[machine]
    return [step.action for step in book.steps if step.environment == wanted]


def carried(found: Site, machine: str) -> list[str]:
    """The accounts that a machine's extensions name."""
    host = found.world.simulator.world.hosts[machine.lower()]
    named = [
        model.account_at(found.world.simulator.world, one.settings.get(model.URL)) for one in host.extensions.values()
    ]
    return [one.id for one in named if one]


def reported(found: Site) -> dict[str, list[str]]:
    """Machine -> the accounts it reports to now, by the simulator's own word."""
    told: dict[str, list[str]] = {}
    for account in found.world.view("state")["automation"]:
        for one in account["workers"]:
            if one["reports"]:
                told.setdefault(one["machine"], []).append(account["id"])
    return told
