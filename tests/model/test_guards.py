"""Which steps and requests the guards of a runbook stop."""

from __future__ import annotations

from typing import Any

import pytest

from drkit.model import guards
from drkit.model import runbook as book
from drkit.model.runbook import Step
from tests.model.test_runbook import a_runbook, a_step

WRITING = ("create", "register", "release", "disable")


def verdicts(steps: list[Step], **given: Any) -> dict[str, bool]:
    asked: dict[str, Any] = {"kind": "failover", "source_plans": ["/P"], "lost_regions": ["westeurope"]}
    return {one.name: one.passed for one in guards.check_steps(steps=steps, **(asked | given))}


@pytest.mark.parametrize("effect", WRITING)
def test_a_failover_touches_only_what_belongs_to_its_source_plans(effect: str) -> None:
    assert verdicts([a_step(effect=effect, plan="/p")])["only-source-plans"]
    assert not verdicts([a_step(effect=effect, plan="/other")])["only-source-plans"]
    assert verdicts([a_step(effect=effect, plan="/other")], kind="repair")["only-source-plans"]


@pytest.mark.parametrize("kind", ["failover", "repair", "failback", "cleanup"])
def test_deletion_is_for_cleanup_and_failback_of_what_the_linked_run_made(kind: str) -> None:
    step = a_step(effect="delete", target="/X")
    assert verdicts([step], kind=kind, source_plans=[], recorded=["/x"])["no-deletion"] is (
        kind in ("failback", "cleanup")
    )
    assert not verdicts([step], kind=kind, recorded=["/y"])["no-deletion"]


@pytest.mark.parametrize("effect", [*WRITING, "delete", "verify", "ask", "wait"])
def test_low_confidence_and_the_lost_region_stop_writes_and_nothing_else(effect: str) -> None:
    writes = effect in book.WRITES
    assert verdicts([a_step(effect=effect, confidence="low")])["confident-verdicts"] is not writes
    assert verdicts([a_step(effect=effect, confidence="medium")])["confident-verdicts"]
    assert verdicts([a_step(effect=effect, region="westeurope")])["no-write-to-lost-region"] is not writes
    assert verdicts([a_step(effect=effect, region="eastus")])["no-write-to-lost-region"]


def test_a_forced_guard_is_written_down_with_its_reason_and_still_as_not_passed() -> None:
    steps = [a_step(confidence="low")]
    results = guards.check_steps(
        kind="repair",
        steps=steps,
        source_plans=[],
        lost_regions=[],
        forced={"confident-verdicts": "seen", "no-deletion": "x"},
    )
    forced = {one.name: (one.passed, one.forced) for one in results}
    assert forced["confident-verdicts"] == (False, "seen")
    assert forced["no-deletion"] == (True, "")
    kept = book.decode(book.encode(a_runbook(*steps, guards=results)), "x")
    assert kept.guards == results
    assert "p:x:create" in next(one.detail for one in kept.guards if one.forced)


PLAN_THERE = "/subscriptions/0/resourceGroups/gr (a)/providers/Microsoft.VSOnline/plans/Plan-WEU"


@pytest.mark.parametrize(
    "url",
    [
        "https://westeurope.online.visualstudio.com/api/v1/environments",
        "https://WestEurope.online.visualstudio.com",
        f"https://management.azure.com{PLAN_THERE}?api-version=2020-05-26-preview",
        f"https://management.azure.com{PLAN_THERE.upper()}/writeDelegates?a=b",
        "https://management.azure.com/subscriptions/0/resourceGroups/gr%20%28a%29/providers/Microsoft.VSOnline/plans/plan-weu/",
        "https://management.azure.com/subscriptions/0/resourcegroups/gr%20(a)/providers/Microsoft.VSOnline/plans%2Fplan-weu",
    ],
)
def test_what_goes_to_the_lost_plan_or_region_is_known_however_it_is_spelt(url: str) -> None:
    assert guards.aims_at_lost(a_runbook(source_plans={PLAN_THERE: "westeurope"}, lost_regions=("westeurope",)), url)


@pytest.mark.parametrize(
    "url",
    [
        "https://eastus.online.visualstudio.com/api/v1/environments",
        "https://westeurope2.online.visualstudio.com/api/v1/environments",
        f"https://management.azure.com{PLAN_THERE}-2/writeDelegates",
        f"https://management.azure.com/x?next={PLAN_THERE}",
        "https://management.azure.com/x?next=https://westeurope.online.visualstudio.com",
    ],
)
def test_what_only_looks_like_the_lost_plan_or_region_is_not(url: str) -> None:
    assert not guards.aims_at_lost(
        a_runbook(source_plans={PLAN_THERE: "westeurope"}, lost_regions=("westeurope",)), url
    )


def test_where_nothing_is_lost_nothing_aims_there() -> None:
    assert not guards.aims_at_lost(
        a_runbook(source_plans={PLAN_THERE: "westeurope"}, lost_regions=()), f"https://management.azure.com{PLAN_THERE}"
    )
