"""The requests of a store in an account, compared with the data actions that the roles grant on each container."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from drkit.model import roles
from drkit.model.cloud import CloudMark
from drkit.model.estate import Assessment, Snapshot
from drkit.model.runbook import digest, encode
from drkit.providers import blob_store
from drkit.store.records import Approval, Message
from tests.model.test_runbook import a_runbook, a_step
from tests.providers.test_blob_store import clock
from tests.support import azurite

pytestmark = pytest.mark.slow

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/"
MARK = CloudMark("https://management.azure.com", "tenant")
NOW = "2026-11-23T08:00:00Z"
BOOK = encode(a_runbook(a_step("create")))


def action(method: str, url: str) -> tuple[str, str]:
    """The container and the data action of a request, as Azure's documentation of each operation has it.

    https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
    """
    parts = urlsplit(url)
    container, _, name = unquote(parts.path).removeprefix(f"/{azurite.ACCOUNT}/").partition("/")
    comp = parse_qs(parts.query).get("comp", [""])[0]
    if method in ("GET", "HEAD"):
        return container, "read"
    if method == "DELETE":
        return container, "delete"
    if not name:
        return container, "a container's own"
    return container, "add/action" if comp == "appendblock" else "write"


def immutable(request: Any) -> bool:
    """Whether a container with a retention policy that allows appends takes the request: ``journal`` has one (bicep/modules/store.bicep).

    New blobs, appended blocks and leases; nothing is overwritten, changed or deleted. azurite has no such policy.
    https://learn.microsoft.com/azure/storage/blobs/immutable-time-based-retention-policy-overview
    """
    parts = urlsplit(request.url)
    container, _, name = unquote(parts.path).removeprefix(f"/{azurite.ACCOUNT}/").partition("/")
    if container != "journal" or not name or request.method in ("GET", "HEAD"):
        return True
    comp = parse_qs(parts.query).get("comp", [""])[0]
    headers = {key.lower(): value for key, value in request.headers.items()}
    return request.method == "PUT" and (
        comp in ("appendblock", "lease") or (not comp and headers.get("if-none-match") == "*")
    )


@pytest.fixture
def changes() -> Iterator[list[str]]:
    actions: list[str] = []
    yield actions
    assert actions == [], "the journal's container is immutable but for appends"


@pytest.fixture
def asked(
    changes: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[blob_store.BlobStore, set[tuple[str, str]]]]:
    seen: set[tuple[str, str]] = set()
    send = blob_store.GuardedTransport.send

    def listening(self: Any, request: Any, **options: Any) -> Any:
        seen.add(action(request.method, request.url))
        if not immutable(request):
            changes.append(f"{request.method} {request.url}")
        return send(self, request, **options)

    with azurite.account(tmp_path / "azurite") as address:
        monkeypatch.setenv(blob_store.KEY, azurite.SECRET)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(blob_store.GuardedTransport, "send", listening)
        made = blob_store.open_store(address, seconds=15)
        for name in blob_store.CONTAINERS:
            made.service.create_container(name)  # as bicep/ does
        seen.clear()
        yield made, seen
        made.service.close()


def not_granted(role: str, seen: set[tuple[str, str]]) -> set[tuple[str, str]]:
    granted = {
        (data_action.container, data_action.action.removeprefix(BLOBS))
        for data_action in roles.load()[role].data_actions
    }
    # Azure takes either for a block that is appended, and for a new blob.
    either = {(container, "write") for container, action in granted if action == "add/action"}
    missing = seen - granted - either
    seen.clear()
    return missing


def test_each_role_may_do_to_the_store_what_its_commands_do(
    asked: tuple[blob_store.BlobStore, set[tuple[str, str]]],
) -> None:
    store, seen = asked
    store.keep(Snapshot(cloud=MARK, taken=NOW))
    store.keep(Assessment(cloud=MARK, taken=NOW))
    store.keep_runbook(BOOK)
    store.newest(Snapshot)
    store.runs()
    store.approval(digest(BOOK))
    assert seen
    assert not_granted("planner", seen) == set()

    store.runbook("latest")
    store.approve(Approval(digest=digest(BOOK), who="ada", when=NOW, until=NOW))
    assert not_granted("approver", seen) == set()

    store.runbook(digest(BOOK))
    assert store.approval(digest(BOOK)) is not None

    async def run() -> None:
        name = store.new_run()
        with store.lock_runbook(digest(BOOK), NOW), store.lock_plans(["/plans/one"], name, NOW):
            async with store.open_journal(name, clock()) as journal:
                journal.take_over()
                await journal.append("started", data={"runbook": digest(BOOK), "holder": "ada"})
                store.send(name, Message(what="pause", step="", text="", who="ada", when=NOW))
                for received in store.inbox(name):
                    store.obeyed(received.path)
                await journal.append("ended", data={"outcome": "partial", "reason": ""})
        store.records(name)
        store.holder(name)

    asyncio.run(run())
    assert ("journal", "add/action") in seen
    assert not_granted("operator", seen) == set()
