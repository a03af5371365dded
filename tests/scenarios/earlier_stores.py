"""Stores that an earlier version wrote (``tests/stores``), set up beside the world as it was then."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from drkit.api import plan
from drkit.model.clock import parse_time
from tests.support.estates import REGION, Site, World

STORES = Path(__file__).parents[1] / "stores" / "before-0.2"
ARM = "https://management.azure.com"
"""What the files were made against: a name that the ready file maps to the simulator's port."""
Estate = Literal["codespaces", "workers"]


@contextmanager
def site(folder: Path, estate: Estate, *, half_run: bool, account: str | None = None) -> Iterator[Site]:
    """The store and its world: the runbook approved and not begun, or (``half_run``) its run killed in the middle.

    ``account``: the address of a storage account that the store is put into as the earlier version would have kept it there.
    """
    made = STORES / estate
    (folder / "world").mkdir(parents=True)
    (folder / "site").mkdir()
    content = json.loads((made / ("half-run.json" if half_run else "approved.json")).read_text("utf-8"))
    put(made / "store", folder / "site" / "store", journal=half_run)
    shutil.copyfile(made / "drkit.toml", folder / "site" / "drkit.toml")
    if account is not None:
        upload(folder / "site" / "store", account)
    world = World(folder / "world", content)
    try:
        facts = {**world.facts, "arm": ARM}
        facts["services"] = {**facts["services"], ARM.removeprefix("https://"): world.facts["arm"]}
        world.ready.write_text(json.dumps(facts), "utf-8")
        world.control("lose", region=REGION, minutes_ago=40, announce_after=10)
        clock = world.simulator.world.clock
        at = (
            clock.started.timestamp()
            + (approved(folder / "site" / "store") - clock.origin).total_seconds() / clock.speed
        )
        for path in (folder / "site" / "store" / "approvals").iterdir():
            os.utime(path, (at, at))
        found = Site(world, folder / "site", account=account)
        found.planned = plan.show(found.context, runbook(estate))
        try:
            yield found
        finally:
            found.end()
    finally:
        world.stop()


def approved(store: Path) -> datetime:
    """When the runbook was approved, by the world's clock."""
    (path,) = (store / "approvals").iterdir()
    return parse_time(json.loads(path.read_bytes())["when"])


def runbook(estate: Estate) -> str:
    """The digest of the approved runbook."""
    (path,) = (STORES / estate / "store/state/runbooks").iterdir()
    return path.stem


def put(made: Path, folder: Path, *, journal: bool = True) -> None:
    """Copy a store as drkit would have written it: files for its user only, whatever the modes of the checkout."""
    shutil.copytree(made, folder, ignore=None if journal else shutil.ignore_patterns("journal"))
    for path in folder.rglob("*"):
        os.utime(path)  # as a copy that did not keep times
        path.chmod(0o755 if path.is_dir() else 0o600)


def upload(folder: Path, account: str) -> None:
    """Put a folder's store into the containers ``state``, ``journal`` and ``approvals`` of an account, as 0.1 kept it there."""
    from azure.storage.blob import BlobServiceClient

    from drkit.model.cloud import public
    from drkit.providers import blob_store

    service = BlobServiceClient(account, credential=blob_store.credential(account, public()))
    for container in ("state", "journal", "approvals"):
        service.create_container(container)
    for path in sorted(one for one in folder.rglob("*") if one.is_file()):
        container, *rest = path.relative_to(folder).parts
        name, content = "/".join(rest), path.read_bytes()
        if container == "journal":
            made = service.get_blob_client(container, f"{path.stem}/000000.jsonl")
            made.create_append_blob()
            made.append_block(content)
        else:
            service.get_blob_client(container, name).upload_blob(content)
    service.close()
