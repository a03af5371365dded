"""Hybrid workers brought back from a lost region: what is released, in which order, and what is left alone."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.api import apply as apply_
from drkit.api import assess, capture, control
from drkit.api import plan as plan_
from drkit.model.estate import LISTING, Plan, Snapshot
from drkit.model.settings import Settings
from drkit.planning import leftovers
from drkit.products.hybrid_worker.client import _matches, recorded
from drkit.products.hybrid_worker.plan import stand_ins
from drkit.products.hybrid_worker.settings import worker_id
from drkit.simulator.hybrid_worker import arm, model
from drkit.simulator.signals import activity_log
from tests.support.estates import Site
from tests.support.patience import PATIENCE
from tests.support.workers import (
    ALONE,
    CONTROL,
    CUPBOARD,
    LOST,
    NAMED,
    OLD,
    REPLICA,
    SECRET,
    STRAY,
    WEB,
    actions,
    apply,
    carried,
    content,
    lost,
    reported,
    site,
)

pytestmark = pytest.mark.slow

MOVE = ["add", "release", "register", "verify", "verify-again"]


@pytest.fixture(autouse=True)
def protected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": SECRET}))


def writes(found: Site) -> list[tuple[str, str]]:
    return [(one["method"], one["path"]) for one in found.world.view("record")["requests"] if one["kind"] == "write"]


def newest(found: Site) -> Snapshot:
    kept = found.store.newest(Snapshot)
    assert kept is not None
    return kept[0]


def test_the_snapshot_has_accounts_workers_their_machines_and_the_settings_of_their_extensions(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        taken = newest(found)
        ours = {one.host.host: one for one in taken.environments if one.host and one.product == "hybrid-worker"}
        assert set(ours) == {WEB, LOST, STRAY, CUPBOARD}
        assert {one.host.source for one in ours.values() if one.host} == {"api"}
        assert ours[WEB].state == "Available"
        assert ours[WEB].settings["group"] == "linux"
        held = ours[WEB].settings["extension"]
        assert held["properties"]["settings"]["AutomationAccountURL"].startswith("https://")
        assert "provisioningState" not in held["properties"]
        old = next(plan for plan in taken.plans if plan.id == OLD)
        assert old.properties["holds"]["credentials"] == ["lab-runas"]
        assert "modules" not in old.properties["holds"]
        assert SECRET not in (tmp_path / "store").joinpath("state/snapshots/000001.json").read_text()
        assert writes(found) == []


def test_a_worker_that_names_no_machine_is_named_as_what_could_not_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = arm.worker_body

    def without_machine(*some: Any) -> Any:
        body = genuine(*some)
        return {**body, "properties": {**body["properties"], "vmResourceId": ""}}

    with site(tmp_path) as found:
        before = newest(found)
        monkeypatch.setattr(arm, "worker_body", without_machine)
        asyncio.run(capture.snapshot(found.context))
        after = newest(found)
    # A worker that cannot be read is not gone.
    assert {one.id for one in after.environments} == {one.id for one in before.environments}
    told = [one.detail for one in after.captures if one.state == "partial" and one.subject.endswith(LISTING)]
    assert any("web-01 of group" in one and "names no machine" in one for one in told), told


def test_workers_answer_to_the_prepared_account_and_to_it_alone(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        book = lost(found)
        assert actions(book, WEB) == MOVE
        assert actions(book, CUPBOARD) == MOVE
        assert not [step for step in book.steps if step.action == "create-plan"]
        assert apply(found).outcome == "succeeded", [
            (step, known.status, known.detail) for step, known in found.state.steps.items() if known.status != "done"
        ]
        told = reported(found)
        assert (told[WEB], told[CUPBOARD]) == ([REPLICA], [REPLICA])
        assert not any(path.lower().startswith(OLD.lower()) for _, path in writes(found))
        for machine in (WEB, CUPBOARD):
            mine = [(method, path) for method, path in writes(found) if path.lower().startswith(f"{machine}/".lower())]
            assert [method for method, _ in mine] == ["DELETE", "PUT"]
        host = found.world.simulator.world.hosts[WEB.lower()]
        assert [one.protected for one in host.extensions.values()] == [{"Proxy_URL": SECRET}]
        kept = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*") if path.is_file())
        assert SECRET.encode() not in kept
        # Nothing is left for another runbook, and nothing is done twice by one.
        asyncio.run(assess.assess(found.context))
        assert plan_.plan(found.context, kind="failover").runbook.steps == ()


def test_what_is_lost_or_whose_group_is_lost_is_not_released(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        book = lost(found)
        assert actions(book, LOST) == []
        assert actions(book, STRAY) == []
        told = {one.host: one for one in book.environments}
        assert told[STRAY].disposition == "wait"
        assert "resource group is in westeurope" in told[STRAY].reason


def test_the_runbook_lists_what_the_other_account_lacks_and_which_records_go_stale(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        book = lost(found)
        said = {one.reason: one.remedy for one in book.unchanged}
        for words in (
            "runbooks: Nightly",
            "credentials: lab-runas",
            "variables: Secret",
            "schedules: nightly",
            "Python 3",
        ):
            assert any(words in reason and "auto-dr lacks" in reason for reason in said), words
        assert any("its identity (SystemAssigned) is not carried over" in reason for reason in said)
        stale = [remedy for reason, remedy in said.items() if "never in the portal" in reason]
        assert any("az rest --method delete" in remedy and OLD in remedy for remedy in stale)
        assert any("disable them in the account left behind" in remedy for remedy in said.values())


def test_without_a_source_for_protected_settings_a_person_installs_the_extension(tmp_path: Path) -> None:
    with site(tmp_path, ALONE) as found:
        book = lost(found)
        assert actions(book, WEB) == ["add", "by-hand", "verify", "verify-again"]
        (ask,) = [step for step in book.steps if step.action == "by-hand" and step.host == WEB]
        assert any(
            text.startswith("az vm extension delete -g dev-ne --vm-name web-01") for text in ask.inputs["commands"]
        )
        (ask,) = [step for step in book.steps if step.action == "by-hand" and step.host == CUPBOARD]
        assert any("az connectedmachine extension create" in text for text in ask.inputs["commands"])
        assert apply(found).outcome == "partial"
        assert [path for method, path in writes(found) if "/extensions/" in path] == []


def test_nothing_is_taken_off_while_protected_settings_are_not_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DRKIT_TEST_PROTECTED")
    with site(tmp_path) as found:
        lost(found)
        assert apply(found).outcome == "partial"
        assert carried(found, WEB) == [OLD]
        monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": SECRET}))
        assert asyncio.run(apply_.resume(found.context)).outcome == "succeeded"
        assert reported(found)[WEB] == [REPLICA]


def test_an_account_that_refuses_costs_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        found.world.control("automation", account=REPLICA, machine_with_extension="refuse")
        lost(found)
        assert apply(found).outcome == "partial"
        assert carried(found, WEB) == [OLD]
        assert [path for method, path in writes(found) if "/extensions/" in path] == []
        details = " ".join(known.detail for known in found.state.steps.values())
        assert "extension-first" in details


def test_the_documented_order_is_taken_where_the_runbook_says_so(tmp_path: Path) -> None:
    with site(
        tmp_path,
        NAMED.replace("[products.hybrid-worker.prot", 'if_refused = "extension-first"\n[products.hybrid-worker.prot'),
    ) as found:
        found.world.control("automation", account=REPLICA, machine_with_extension="refuse")
        book = lost(found)
        assert any("taken off first" in step.reason for step in book.steps if step.action == "add")
        assert apply(found).outcome == "succeeded"
        assert reported(found)[WEB] == [REPLICA]


def test_without_a_prepared_account_a_new_one_is_made(tmp_path: Path) -> None:
    made = content()
    made["automation"] = [one for one in made["automation"] if one["id"] != REPLICA]
    with site(tmp_path, made=made) as found:
        book = lost(found)
        (create,) = [step for step in book.steps if step.action == "create-plan"]
        assert create.inputs["body"]["identity"] == {"type": "SystemAssigned"}
        assert apply(found).outcome == "succeeded"
        assert reported(found)[WEB] == [create.target]
        assert leftovers.created_for(found.store.run_records())[create.target.lower()] == OLD.lower()
        asyncio.run(assess.assess(found.context))
        assert plan_.plan(found.context, kind="failover").runbook.steps == ()


def test_without_an_account_in_another_region_nothing_is_called_lost(tmp_path: Path) -> None:
    made = content()
    made["automation"] = [one for one in made["automation"] if one["id"] == OLD]
    with site(tmp_path, made=made) as found:
        found.lose()
        taken, _, _ = asyncio.run(assess.assess(found.context))
        assert [(one.state, "no other region" in one.reason) for one in taken.plans] == [("unknown", True)]


@pytest.mark.parametrize("reads", ["cached", "5xx", "hang"])
def test_an_account_is_lost_if_its_own_service_is_even_if_arm_answers(tmp_path: Path, reads: str) -> None:
    with site(tmp_path) as found:
        found.world.control("automation", reads=reads)
        found.lose()
        taken, _, _ = asyncio.run(assess.assess(found.context))
        told = {one.plan: one.state for one in taken.plans}
        assert (told[OLD], told[CONTROL]) == ("lost", "answering")


async def _passed(found: Site, seconds: float) -> None:
    """So many simulated seconds go by."""
    assert found.world.clock is not None
    await found.world.clock.sleep(seconds)


@pytest.mark.parametrize("claimed", [True, False])
def test_in_the_first_minutes_a_lost_account_is_not_called_answering(tmp_path: Path, *, claimed: bool) -> None:
    with site(tmp_path, leaping=True) as found:
        found.world.control("lose", region="westeurope", announce=claimed, announce_after=0)
        taken, _, _ = asyncio.run(assess.assess(found.context))
        (plan,) = [one for one in taken.plans if one.plan == OLD]
        assert plan.state == ("lost" if claimed else "unreachable"), plan.reason
        assert "its hosts were heard until" in plan.reason
        asyncio.run(_passed(found, 360))
        if not claimed:
            found.world.control("announce", region="westeurope", after_minutes=0)
        taken, _, _ = asyncio.run(assess.assess(found.context))
        assert next(one.state for one in taken.plans if one.plan == OLD) == "lost"


def test_an_account_that_answers_is_not_lost_for_a_claim(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        found.world.control("announce", region="westeurope")
        taken, _, _ = asyncio.run(assess.assess(found.context))
        assert {one.state for one in taken.plans} == {"answering"}


def test_an_account_that_answers_again_stops_what_is_not_begun(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        lost(found)
        found.world.control("restore", region="westeurope")
        assert apply(found).outcome == "partial"
        assert "drifted" in {known.status for known in found.state.steps.values()}
        assert carried(found, WEB) == [OLD]


def test_a_role_that_may_not_delete_extensions_releases_nothing(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        roles = found.world.simulator.world.roles
        roles["owner"] = [
            "*/read", "Microsoft.Automation/*", "Microsoft.Compute/virtualMachines/extensions/write",
            "Microsoft.HybridCompute/machines/extensions/write",
        ]  # fmt: skip
        lost(found)
        assert apply(found).outcome == "partial"
        assert (carried(found, WEB), carried(found, CUPBOARD)) == ([OLD], [OLD])
        assert any("may-change-extensions" in known.detail for known in found.state.steps.values())


def test_an_extension_that_somebody_pointed_elsewhere_is_not_taken_off(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        lost(found)
        world = found.world.simulator.world
        (held,) = world.hosts[WEB.lower()].extensions.values()
        held.settings["AutomationAccountURL"] = model.account_of(world, world.resources[CONTROL.lower()]).url
        assert apply(found).outcome == "partial"
        assert carried(found, WEB) == [CONTROL]
        assert any(
            "serves of web-01" in known.detail for known in found.state.steps.values() if known.status == "drifted"
        )


@pytest.mark.parametrize("in_time", [True, False])
def test_drift_names_who_changed_an_extension_when_the_activity_log_has_it_by_then(
    tmp_path: Path, *, in_time: bool
) -> None:
    with site(tmp_path, leaping=True) as found:
        lost(found)
        world = found.world.simulator.world
        world.delays["activity_log"] = (0.0, 0.0) if in_time else (600.0, 600.0)
        (held,) = world.hosts[WEB.lower()].extensions.values()
        held.settings["AutomationAccountURL"] = model.account_of(world, world.resources[CONTROL.lower()]).url
        operation = "Microsoft.Compute/virtualMachines/extensions/write"
        activity_log.happened(world, f"{WEB}/extensions/{held.name}", operation, "eve@contoso.example")
        assert apply(found).outcome == "partial"
        said = next(one.detail for one in found.state.steps.values() if one.status == "drifted")
        assert ("eve@contoso.example" in said and operation in said) is in_time, said
        assert ("Azure does not tell by whom" in said) is not in_time


def test_done_by_hand_it_is_verified_by_the_account(tmp_path: Path) -> None:
    with site(tmp_path, ALONE) as found:
        book = lost(found)
        assert apply(found).outcome == "partial"
        world = found.world.simulator.world
        url = model.account_of(world, world.resources[REPLICA.lower()]).url
        for step in book.steps:
            if step.action == "by-hand":
                for held in world.hosts[step.host.lower()].extensions.values():
                    held.settings["AutomationAccountURL"] = url
                control.answer(found.context, found.run, step.id, "done")
        assert asyncio.run(apply_.resume(found.context)).outcome == "succeeded"
        assert reported(found)[WEB] == [REPLICA]


def test_a_deletion_under_way_is_watched_to_its_end_on_vms_and_on_arc_machines(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        lost(found)
        world = found.world.simulator.world
        for machine in (WEB, CUPBOARD):
            held = world.hosts[machine.lower()].extensions
            (extension,) = held.values()
            extension.state = "Deleting"
            world.later(240, held.clear)
        assert apply(found).outcome == "succeeded"
        told = reported(found)
        assert (told[WEB], told[CUPBOARD]) == ([REPLICA], [REPLICA])
        assert not [path for method, path in writes(found) if method == "DELETE" and "/extensions/" in path]


POINTS = [
    ("intent", ":create-group"), ("done", ":create-group"), ("intent", ":add"), ("done", ":add"), ("intent", ":release"),
    ("operation", ":release"), ("done", ":release"), ("intent", ":register"), ("operation", ":register"), ("done", ":register"),
    ("done", ":verify"),
]  # fmt: skip


def test_killed_at_each_kind_of_record_it_resumes_and_each_worker_answers_to_one_account(tmp_path: Path) -> None:
    with site(tmp_path) as found:
        lost(found)
        for kind, action in POINTS:
            if not found.run:
                process = found.start("apply", found.planned.digest if found.planned else "", "--quiet")
            else:
                process = found.start("resume", found.run, "--quiet")
            until = time.monotonic() + PATIENCE
            while process.poll() is None and not _has(found, kind, action):
                assert time.monotonic() < until, (kind, action, found.journal()[-6:])
                time.sleep(0.005)
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()
        if found.state.outcome != "succeeded":
            assert found.resume("--quiet") == 0, (tmp_path / "out.log").read_text()[-2000:]
        told = reported(found)
        assert (told[WEB], told[CUPBOARD]) == ([REPLICA], [REPLICA])
        sent = [(method, path.lower()) for method, path in writes(found) if "/extensions/" in path]
        assert len(sent) == len(set(sent)), sent


def _has(found: Site, kind: str, action: str) -> bool:
    return any(one["kind"] == kind and one["step"].endswith(action) for one in found.journal())


def test_a_worker_has_one_id_in_an_account_however_often_it_is_added() -> None:
    assert worker_id(REPLICA, WEB) == worker_id(REPLICA.upper(), WEB.lower())
    assert worker_id(REPLICA, WEB) != worker_id(OLD, WEB)


def test_an_extension_is_recorded_as_it_was_asked_for() -> None:
    told = {
        "provisioningState": "Succeeded",
        "instanceView": {},
        "publisher": "P",
        "forceUpdateTag": "x",
        "settings": {"a": 1},
    }
    item = {"id": "/x", "name": "E", "location": "eastus", "tags": {"t": "1"}, "properties": told}
    kept = recorded(item)
    assert kept == {
        "name": "E", "location": "eastus", "tags": {"t": "1"},
        "properties": {"publisher": "P", "forceUpdateTag": "x", "settings": {"a": 1}},
    }  # fmt: skip


def _plan(name: str, region: str, **tags: str) -> Plan:
    base = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/g/providers/Microsoft.Automation/automationAccounts"
    return Plan(
        id=f"{base}/{name}", product="hybrid-worker", name=name, region=region,
        subscription="00000000-0000-0000-0000-000000000001", resource_group="g", tags=tags,
    )  # fmt: skip


def test_the_account_named_in_settings_goes_before_one_made_and_that_before_one_tagged() -> None:
    old = _plan("old", "westeurope")
    named, tagged = _plan("named", "eastus"), _plan("tagged", "eastus", **{"drkit-target": "true"})
    made = _plan("made", "eastus", **{"drkit-source": old.id})
    everything = [old, named, tagged, made, _plan("plain", "eastus")]
    settings = msgspec.structs.replace(Settings(), products={"hybrid-worker": {"replicas": {"OLD": named.id}}})
    assert stand_ins(old, everything, settings) == [named]
    assert stand_ins(old, everything, Settings()) == [made, tagged]
    elsewhere = [msgspec.structs.replace(one, subscription="another") for one in (made, tagged)]
    assert stand_ins(old, [old, *elsewhere], Settings()) == []
    assert stand_ins(old, [old, tagged], Settings()) == [tagged]
    assert stand_ins(old, [old, _plan("plain", "eastus")], Settings()) == []


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ("*", True),
        ("Microsoft.Compute/*", True),
        ("Microsoft.Compute/virtualMachines/*", True),
        ("Microsoft.Compute/*/extensions/*", True),
        ("*/write", True),
        ("microsoft.compute/virtualmachines/extensions/write", True),
        ("*/read", False),
        ("Microsoft.Compute/virtualMachines/write", False),
        ("Microsoft.Compute/virtualMachines/extensions/delete", False),
        ("Microsoft.Compute/virtualMachines/extensions/writ*e", True),
        ("*extensions/write/extensions/write", False),
    ],
)
def test_a_role_definitions_pattern_is_read_as_azure_reads_it(pattern: str, allowed: bool) -> None:
    action = "Microsoft.Compute/virtualMachines/extensions/write".lower()
    assert _matches(action, pattern.lower().split("*")) is allowed


def test_lists_that_lag_behind_make_nothing_twice(tmp_path: Path) -> None:
    with site(tmp_path, leaping=True) as found:
        lost(found)
        found.world.control("fault", method="GET", url=r"/hybridRunbookWorkers\?", stale=900, times=0)
        ended = apply(found)
        assert ended.outcome == "succeeded"
        assert any(one.get("behind") for one in found.world.view("record")["requests"])
        sent = writes(found)
        assert len(sent) == len(set(sent)), sent
        assert reported(found)[WEB] == [REPLICA]
