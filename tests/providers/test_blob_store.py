"""The store and the journal in a storage account, against real azurite: leases, positions, segments, takeover, and a whole run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobLeaseClient, BlobServiceClient

from drkit.api.context import desk
from drkit.errors import CredentialError, FileError, GuardError, LockedError, NotFoundError, PartialError, UsageError
from drkit.model.clock import Clock
from drkit.model.cloud import CloudMark
from drkit.model.readiness import Readiness
from drkit.model.runbook import encode
from drkit.providers import blob_store
from drkit.providers.blob_journal import BlobJournal, segment, whole
from drkit.store.records import Approval, Declaration, Message
from drkit.store.store import lock_name
from drkit.store.verify_journal import verify
from tests.model.test_runbook import a_runbook, a_step
from tests.store.test_journal import Still
from tests.support import azurite
from tests.support.estates import People, World, done_twice, estate, found_end, seed, wait_for
from tests.support.kill_points import killed_at_every_record, place_of
from tests.support.patience import PATIENCE
from tests.support.run_process import Lives

pytestmark = pytest.mark.slow

SHORT = 15


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with azurite.account(tmp_path_factory.mktemp("azurite")) as found:
        yield found


@pytest.fixture
def store(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[blob_store.BlobStore]:
    monkeypatch.setenv(blob_store.KEY, azurite.SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(blob_store, "INBOX_SECONDS", 0.0)
    made = blob_store.open_store(address, seconds=SHORT)
    yield made
    for name in blob_store.CONTAINERS:
        for container in list(made.service.list_containers(name_starts_with=name)):
            client = made.service.get_container_client(container.name)
            for item in list(client.list_blobs()):
                if item.lease.state == "leased":
                    BlobLeaseClient(client.get_blob_client(item.name)).break_lease(lease_break_period=0)
                client.delete_blob(item.name)
    made.service.close()


def clock() -> Clock:
    return cast("Clock", Still())


def opened(store: blob_store.BlobStore, run: str, **more: Any) -> BlobJournal:
    journal = store.open_journal(run, clock())
    assert isinstance(journal, BlobJournal)
    for name, value in more.items():
        setattr(journal, name, value)
    return journal


async def some(journal: BlobJournal, number: int) -> None:
    for _ in range(number):
        await journal.append("control", data={"what": "note"})


def test_what_is_kept_is_read_by_another_machine(store: blob_store.BlobStore, address: str, tmp_path: Path) -> None:
    path = store.keep_runbook(encode(a_runbook(a_step("a"))))
    store.approve(Approval(digest=path.stem, who="ada", when="2026-11-23T07:00:00Z", until="2026-11-24T07:00:00Z"))
    run = store.new_run()
    store.send(run, Message(what="pause", who="ada", when="2026-11-23T07:00:00Z"))
    other = blob_store.BlobStore(tmp_path / "other", address, store.service, SHORT)
    assert other.runbook("latest")[2].stem == path.stem
    approval = other.approval(path.stem)
    assert approval is not None
    assert approval.who == "ada"
    assert other.runs() == [run]
    (found_there,) = other.inbox(run)
    assert found_there.message is not None
    assert (found_there.message.what, found_there.writer) == ("pause", ""), "the service tells no writer"
    other.obeyed(found_there.path)
    assert store.inbox(run) == []
    (kept_approval,) = store.approvals(path.stem)
    assert not store.approved_by_another(kept_approval), "this identity may write approvals"
    assert (kept_approval.who, kept_approval.writer, kept_approval.own) == ("ada (claimed)", "", False), (
        "the service tells no writer"
    )
    assert abs((kept_approval.changed - datetime.now(UTC)).total_seconds()) < 300, "the service says when"


def test_a_blob_that_is_too_long_is_not_read(store: blob_store.BlobStore) -> None:
    path = store.keep_runbook(encode(a_runbook(a_step("a"))))
    client = store.service.get_blob_client("state", f"runbooks/{path.name}")
    assert whole(client.download_blob()) == path.read_bytes()
    with pytest.raises(FileError, match="is too long") as refused:
        whole(client.download_blob(), 100)
    assert refused.value.where == f"state/runbooks/{path.name}"


def test_an_empty_message_does_not_block_the_others(store: blob_store.BlobStore) -> None:
    run = store.new_run()
    store.send(run, Message(what="pause", who="ada", when="2026-11-23T07:00:00Z"))
    store.service.get_blob_client("state", f"inbox/{run}/000.json").upload_blob(b"")
    assert "pause" in [received.message.what for received in store.inbox(run) if received.message]


def test_a_generation_is_never_overwritten(store: blob_store.BlobStore) -> None:
    path = store.folder / "state" / "snapshots" / "000001.json"
    store._write(path, b"one", exclusive=True)
    with pytest.raises(FileExistsError):
        store._write(path, b"two", exclusive=True)


def test_a_check_is_compared_with_the_one_that_another_machine_kept(
    store: blob_store.BlobStore, address: str, tmp_path: Path
) -> None:
    made = Readiness(cloud=CloudMark("https://management.azure.com"), taken="2026-11-23T07:00:00Z")
    assert store.keep(made).parts[-2:] == ("readiness", "000001.json")
    other = blob_store.BlobStore(tmp_path / "other", address, store.service, SHORT)
    newest = other.newest(Readiness)
    assert newest is not None
    assert newest[0] == msgspec.structs.replace(made, generation=1)
    assert other.keep(made).name == "000002.json"


@pytest.mark.timeout(PATIENCE)
def test_an_account_that_never_keeps_a_container_is_one_clear_error(
    store: blob_store.BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container that is being deleted is refused as being there, and what is put into it as not being there."""
    made: list[str] = []

    def create_container(name: str) -> None:
        made.append(name)
        raise ResourceExistsError("The specified container is being deleted.")

    def get_blob_client(*_name: str) -> Any:
        raise ResourceNotFoundError("The specified container does not exist.")

    monkeypatch.setattr(store.service, "create_container", create_container)
    monkeypatch.setattr(store.service, "get_blob_client", get_blob_client)
    with pytest.raises(NotFoundError, match="no container journal") as caught:
        store.new_run()
    assert "journal" in caught.value.where
    assert 1 < len(made) < 20


def test_a_run_name_is_used_once(store: blob_store.BlobStore) -> None:
    assert [store.new_run(), store.new_run()] == ["run-0001", "run-0002"]
    store.drop_unbegun("run-0002")
    assert store.runs() == ["run-0001"]


def test_a_journal_is_written_and_read_and_its_chain_holds(store: blob_store.BlobStore) -> None:
    run = store.new_run()

    async def write() -> None:
        async with opened(store, run) as journal:
            journal.take_over()
            await asyncio.gather(*(some(journal, 1) for _ in range(50)))
            assert store.holder(run)
            with pytest.raises(LockedError, match="is held by"):
                store.open_journal(run, clock())

    asyncio.run(write())
    assert store.holder(run) == ""
    assert len(store.records(run)) == 50
    assert verify(store.journal_bytes(run), run).holds


def test_a_new_segment_begins_before_a_blob_is_full_and_the_chain_continues(store: blob_store.BlobStore) -> None:
    run = store.new_run()

    async def write(number: int) -> None:
        async with opened(store, run, most_blocks=3) as journal:
            assert journal.state.count == number
            await some(journal, 8)

    asyncio.run(write(0))
    asyncio.run(write(8))
    names = sorted(store.service.get_container_client("journal").list_blob_names())
    assert len(names) >= 5
    assert verify(store.journal_bytes(run), run).count == 16


def test_a_holder_whose_lease_was_lost_stops_at_its_next_check_and_writes_nothing(store: blob_store.BlobStore) -> None:
    run = store.new_run()

    async def write() -> None:
        journal = opened(store, run)
        await some(journal, 1)
        journal.check()
        lease = journal._first
        assert lease is not None
        lease._renewed -= SHORT  # as after standing still for the length of the lease
        with pytest.raises(LockedError, match="lost or was not renewed"):
            journal.check()
        with pytest.raises(LockedError):
            await some(journal, 1)
        await journal.close()

    asyncio.run(write())
    assert len(store.records(run)) == 1


def test_a_zombie_cannot_write_after_somebody_took_over(store: blob_store.BlobStore) -> None:
    """The service refuses it, whatever it believes of itself."""
    run = store.new_run()

    async def write() -> None:
        zombie = opened(store, run)
        await some(zombie, 1)
        lease = zombie._first
        assert lease is not None
        lease._over.set()
        BlobLeaseClient(lease.blob).break_lease(lease_break_period=0)  # as when it ran out
        async with opened(store, run) as successor:
            successor.take_over()
            await successor.append("taken-over", data={"holder": "grace"})
            with pytest.raises(PartialError, match="took no record"):
                await some(zombie, 1)
        await zombie.close()

    asyncio.run(write())
    assert [record.kind for record in store.records(run)] == ["control", "taken-over"]


def test_a_block_whose_answer_was_lost_is_not_written_twice(
    store: blob_store.BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = store.new_run()

    async def write() -> None:
        async with opened(store, run) as journal:
            await some(journal, 1)
            real = journal._append

            def twice(block: bytes) -> None:
                size = journal._size
                real(block)
                journal._size = size
                real(block)

            monkeypatch.setattr(journal, "_append", twice)
            await some(journal, 1)

    asyncio.run(write())
    assert verify(store.journal_bytes(run), run).count == 2


def test_a_plan_has_one_lock_and_the_refusal_names_its_holder(store: blob_store.BlobStore) -> None:
    with store.lock_plans(["/subscriptions/s/plan"], "run-0001", "2026-11-23T07:00:00Z"):
        store._check_locks()
        with (
            pytest.raises(LockedError, match="held by run-0001"),
            store.lock_plans(["/subscriptions/S/PLAN"], "run-0002", "2026-11-23T07:01:00Z"),
        ):
            pytest.fail("two held it")
        store._held[0]._renewed -= SHORT
        with pytest.raises(LockedError, match="plan's lock is lost"):
            store._check_locks()
    with store.lock_plans(["/subscriptions/s/plan"], "run-0003", "2026-11-23T07:02:00Z"):
        pass


def lock_blobs(store: blob_store.BlobStore, plan: str) -> dict[str, Any]:
    """The lock on a plan, by its container."""
    name = f"locks/{lock_name(plan)}"
    return {container: store.service.get_blob_client(container, name) for container in ("journal", "state")}


def test_a_lock_is_kept_with_the_journals_and_only_appended_to(store: blob_store.BlobStore) -> None:
    """That container takes appends only. The version before looks for it in ``state``, so it is held there as well."""
    for run in ("run-0001", "run-0002"):
        with store.lock_plans(["/plans/One"], run, "2026-11-23T08:00:00Z"):
            held = lock_blobs(store, "/plans/one")
            assert {blob.get_blob_properties().lease.state for blob in held.values()} == {"leased"}
            assert held["state"].download_blob().readall().decode().startswith(f"{run}, ")
            with pytest.raises(LockedError, match=f"plan One is held by {run}, "):
                held_by_another(store, "/plans/One")
    made = lock_blobs(store, "/plans/one")["journal"].get_blob_properties()
    assert (made.blob_type, made.append_blob_committed_block_count) == ("AppendBlob", 2)
    assert store.runs() == []


def held_by_another(store: blob_store.BlobStore, plan: str) -> None:
    with store.lock_plans([plan], "run-0009", "2026-11-23T08:00:00Z"):
        pass


def test_a_process_of_the_previous_version_keeps_its_lock(store: blob_store.BlobStore) -> None:
    with store.lock_plans(["/plans/one"], "run-0001", "2026-11-23T08:00:00Z"):
        pass
    old = lock_blobs(store, "/plans/one")["state"]
    lease = old.acquire_lease(lease_duration=60)
    old.upload_blob(b"run-0007, ada@desk process 12, since then\n", overwrite=True, lease=lease)
    with pytest.raises(LockedError, match="plan one is held by run-0007, ada@desk process 12"):
        held_by_another(store, "/plans/one")
    assert lock_blobs(store, "/plans/one")["journal"].get_blob_properties().lease.state == "available"
    assert store.taken_remarks() == []
    lease.release()
    held_by_another(store, "/plans/one")


@pytest.mark.parametrize("container", ["journal", "state"])
def test_a_lease_without_end_is_broken_and_reported(store: blob_store.BlobStore, container: str) -> None:
    """Who may write the planner's container could stop every run from now on."""
    held_by_another(store, "/plans/one")
    lock_blobs(store, "/plans/one")[container].acquire_lease(lease_duration=-1)
    held_by_another(store, "/plans/one")
    (remark,) = store.taken_remarks()
    assert f"the lease on the lock of plan one in {container} had no end" in remark
    assert store.taken_remarks() == []


def test_a_journal_whose_lease_has_no_end_can_be_opened(store: blob_store.BlobStore) -> None:
    run = store.new_run()
    store.service.get_blob_client("journal", segment(run, 0)).acquire_lease(lease_duration=-1)

    async def write() -> None:
        journal = opened(store, run)
        assert journal.remarks == [f"the lease of {run} had no end, so it was not drkit's; drkit broke it"]
        await some(journal, 1)
        await journal.close()

    asyncio.run(write())


def test_an_identity_that_may_not_write_the_planners_container_still_gets_the_lock(
    store: blob_store.BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = blob_store.GuardedTransport.send

    def without_rights(self: Any, request: Any, **options: Any) -> Any:
        """azurite knows no roles: a wrong key stands for one that is missing, and is answered with 403."""
        if request.method not in blob_store.READS and "/state/" in request.url:
            request.headers["Authorization"] = f"SharedKey {azurite.ACCOUNT}:{azurite.SECRET}"
        return send(self, request, **options)

    monkeypatch.setattr(blob_store.GuardedTransport, "send", without_rights)
    with store.lock_plans(["/plans/one"], "run-0001", "2026-11-23T08:00:00Z"):
        assert not lock_blobs(store, "/plans/one")["state"].exists()
        with pytest.raises(LockedError, match="plan one is held by run-0001"):
            held_by_another(store, "/plans/one")


def test_messages_where_the_previous_version_put_them_are_read(store: blob_store.BlobStore) -> None:
    run = store.new_run()
    declaration = Declaration(region="westeurope", reason="dark", who="ada", when="2026-11-23T08:00:00Z")
    message = Message(what="pause", who="ada", when="2026-11-23T08:00:00Z")
    state = store.service.get_container_client("state")
    with suppress(ResourceExistsError):
        state.create_container()
    state.upload_blob("declarations/westeurope-20261123080000.json", msgspec.json.encode(declaration))
    state.upload_blob(f"inbox/{run}/00000000000000000001-0123456789ab.json", msgspec.json.encode(message))
    store.declare(msgspec.structs.replace(declaration, region="eastus", when="2026-11-23T09:00:00Z"))
    sent = store.send(run, msgspec.structs.replace(message, what="unpause"))
    assert [entry.region for entry in store.declarations()] == ["eastus", "westeurope"]
    assert store.service.get_blob_client("inbox", f"{run}/{sent.name}").exists()
    inbox = store.inbox(run)
    assert [received.path.name for received in inbox] == ["00000000000000000001-0123456789ab.json", sent.name]
    for path in [received.path for received in inbox]:
        store.obeyed(path)
    assert store.inbox(run) == []
    assert list(state.list_blob_names(name_starts_with="inbox/")) == []


def test_nothing_outside_its_containers_is_written(store: blob_store.BlobStore) -> None:
    with pytest.raises(GuardError, match="does not go to one of the store's containers"):
        store.service.get_blob_client("elsewhere", "x").upload_blob(b"")


def test_a_blob_whose_name_leads_elsewhere_is_not_copied(store: blob_store.BlobStore, address: str) -> None:
    store.new_run()
    store.send("run-0001", Message(what="pause", who="ada", when="2026-11-23T07:00:00Z"))
    key = AzureNamedKeyCredential(azurite.ACCOUNT, azurite.SECRET)
    with BlobServiceClient(address, credential=key) as anybody:
        for name in ("inbox/run-0001//evil.json", "inbox/run-0001/.evil.json"):
            anybody.get_blob_client("state", name).upload_blob(b"{}", overwrite=True)
        anybody.get_blob_client("journal", "evil/000000.jsonl").upload_blob(b"", overwrite=True)
    assert [received.message and received.message.what for received in store.inbox("run-0001")] == ["pause"]
    assert store.runs() == ["run-0001"]
    assert not list(store.folder.parent.parent.rglob("*evil*"))


def test_a_real_account_is_signed_in_to_as_the_cloud_says_and_never_with_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(blob_store.KEY, azurite.SECRET)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with World(tmp_path / "world", seed()) as world:
        facts = world.facts
        table = {"authority": facts["authority"], "ca_bundle": facts["ca_bundle"], "credential": "environment"}
        lines = "\n".join(f'{name} = "{value}"' for name, value in table.items())
        (tmp_path / "drkit.toml").write_text(f"[cloud]\n{lines}\n")
        monkeypatch.setenv("AZURE_AUTHORITY_HOST", facts["authority"])
        for name in ("tenant", "client_id", "client_secret"):
            monkeypatch.setenv(f"AZURE_{name.upper().replace('TENANT', 'TENANT_ID')}", facts[name])
        store = desk(config=str(tmp_path / "drkit.toml"), store="https://drkit.blob.core.windows.net").store
        assert isinstance(store, blob_store.BlobStore)
        held = store.service.credential
        assert held.get_token("https://storage.azure.com/.default").token in world.simulator.world.tokens
        monkeypatch.setenv("AZURE_CLIENT_SECRET", "wrong")
        again = desk(config=str(tmp_path / "drkit.toml"), store="https://drkit.blob.core.windows.net").store
        with pytest.raises(CredentialError, match="credential environment") as caught:
            again.snapshots()
        assert "wrong" not in str(caught.value)
        for opened_store in (store, again):
            assert isinstance(opened_store, blob_store.BlobStore)
            opened_store.service.close()
            opened_store.service.credential.close()


def test_an_emulator_without_a_key_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(blob_store.KEY, raising=False)
    with pytest.raises(UsageError, match="takes a key"):
        blob_store.open_store("http://127.0.0.1:10000/drkit")


def test_the_context_can_use_an_account_as_store(store: blob_store.BlobStore, address: str) -> None:
    opened_store = desk(store=address).store
    assert isinstance(opened_store, blob_store.BlobStore)
    assert opened_store.runs() == []


@pytest.mark.parametrize("elsewhere", ["http://198.51.100.7/account", "http://127.0.0.1.example/a"])
def test_only_an_emulator_may_have_an_address_without_tls(
    elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="not taken for a folder"):
        desk(store=elsewhere)


# --- whole runs --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_killed_at_every_tenth_record_a_run_in_an_account_ends_as_if_undisturbed(
    store: blob_store.BlobStore, address: str, tmp_path: Path
) -> None:
    lives = Lives()
    with estate(tmp_path / "undisturbed") as site, People(site):
        assert lives.one(place_of(site)) == 0
        undisturbed = found_end(site)
    with estate(tmp_path / "killed", account=address) as site:
        outcomes = killed_at_every_record(site, lives, every=10, between=lambda: azurite.let_leases_run_out(site.store))
        assert outcomes.exit_code == 0, (site.folder / "out.log").read_text()[-2000:]
        assert outcomes.twice == []
        assert outcomes.end == undisturbed
        assert outcomes.deaths >= 5
        assert verify(site.store.journal_bytes(site.run), site.run).holds
        assert [path for path, content in site.everything() if azurite.SECRET.encode() in content] == []


@pytest.mark.slow
def test_a_holder_suspended_past_its_lease_stops_and_the_successor_does_nothing_twice(
    store: blob_store.BlobStore, address: str, tmp_path: Path
) -> None:
    lives = Lives()
    with estate(tmp_path / "run", account=address) as site, People(site):
        place = place_of(site)
        zombie = lives.begin(place)
        wait_for(lambda: any(record["kind"] == "operation" for record in site.journal()))
        os.kill(zombie.pid, signal.SIGSTOP)
        try:
            assert lives.one(place) == 4, "the lease still stands"
            wait_for(lambda: not site.store.holder(site.run), every=0.5)
            successor = lives.begin(place)
            wait_for(lambda: any(record["kind"] == "taken-over" for record in site.journal()))
        finally:
            os.kill(zombie.pid, signal.SIGCONT)
        zombie.join(PATIENCE)
        successor.join(90)
        assert zombie.exitcode in (3, 4), "it failed its next check"
        assert successor.exitcode == 0, (site.folder / "out.log").read_text()[-2000:]
        assert done_twice(site) == []
        assert verify(site.store.journal_bytes(site.run), site.run).outcome == "succeeded"
