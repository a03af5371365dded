"""Assessments that somebody forged: what is planned of them is what a product's table allows, or they are refused in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.test_hostile_runbook import FILE, HEALTHY, OTHERS_HOST, AssessmentDraft, night
from tests.scenarios.test_hostile_snapshot import ATTACKER, ESCAPES, allowed
from tests.support.estates import plan_id, vm

__all__ = ["night"]  # the fixture

Json = dict[str, Any]
ASSESSMENT = ".drkit/state/assessments/000001.json"
HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]")
FAR = "999999999-01-01T00:00:00Z"


def finding(content: Json, host: str) -> Json:
    return next(one for one in content["hosts"] if one["host"].lower() == host.lower())


def of_plan(content: Json, plan: str) -> Json:
    return next(one for one in content["plans"] if one["plan"].lower() == plan.lower())


def all_of(key: str, **fields: Any) -> Callable[[Json], None]:
    """Every member of a list of the assessment with these fields."""

    def forge(content: Json) -> None:
        content[key] = [{**one, **fields} for one in content[key]]

    return forge


def also(key: str, value: Any) -> Callable[[Json], None]:
    def forge(content: Json) -> None:
        content[key] = [*content.get(key, []), value]

    return forge


def readings(**fields: Any) -> Callable[[Json], None]:
    """Every reading, wherever it is."""

    def change(value: Any) -> None:
        if isinstance(value, dict):
            if {"subject", "signal", "time"} <= value.keys():
                value.update(fields)
            for one in value.values():
                change(one)
        elif isinstance(value, list):
            for one in value:
                change(one)

    return change


def escapes(content: Json) -> None:
    for one in content["plans"]:
        one["reason"] = ESCAPES
    for one in content["claims"]:
        one["text"] = one["who"] = ESCAPES
    content["unread"] = [ESCAPES]


def successor(content: Json) -> None:
    """A machine of others is called the successor of one of the estate."""
    one = finding(content, vm("build"))
    one |= {"outcome": "re-register", "successor": OTHERS_HOST, "confidence": "high"}
    one["found"] = {**one["found"], "id": OTHERS_HOST} if one.get("found") else None


def stand_in(content: Json) -> None:
    """An account of others takes over, by tags that the file alone has."""
    others = OTHERS_HOST.replace("Compute/virtualMachines", "VSOnline/plans")
    content["present_plans"].append(
        {
            "id": others,
            "product": "codespaces",
            "name": "vm-other",
            "region": "eastus",
            "subscription": "99999999-0000-4000-8000-000000000009",
            "resource_group": "other",
            "tags": {"drkit-source": plan_id()},
        }
    )


def carried(content: Json) -> None:
    reading = {
        "subject": OTHERS_HOST,
        "signal": "carries",
        "value": "unlisted",
        "source": "x",
        "time": content["taken"],
    }
    content["carried"] = [
        {"environment": "x/../y", "name": ESCAPES, "plan": HEALTHY, "host": OTHERS_HOST, "reading": reading}
    ]


def zombie(content: Json) -> None:
    content["zombies"] = [
        {
            "id": f"{plan_id()}/../../x", "product": "codespaces", "name": ESCAPES, "plan": plan_id(), "region": "westeurope",
            "state": "alive", "reason": ESCAPES, "confirmed": True, "run": "../../x", "run_kind": ESCAPES, "now_plan": HEALTHY,
        }
    ]  # fmt: skip


FORGED: dict[str, Callable[[Json], None]] = {
    "a plan that answers is lost": lambda one: of_plan(one, HEALTHY).update(state="lost"),
    "every plan is lost": all_of("plans", state="lost"),
    "a state that there is none of": all_of("plans", state="nowhere"),
    "failing since a time that is none": all_of("plans", failing_since="2026-13-45T00:00:00Z"),
    "failing since far away": all_of("plans", failing_since=FAR),
    "advice without numbers": all_of("plans", advice={"advice": "move", "wait_minutes": 1e308, "move_minutes": -1e308, "reason": ESCAPES}),
    "readings at a time that is none": readings(time="yesterday"),
    "readings of another thing": readings(subject=OTHERS_HOST, value={"x": [1]}),
    "readings that are long": readings(detail="x" * 100_000),
    "claims since a time that is none": all_of("claims", since="x"),
    "statements at a time that is none": also(
        "statements", {"region": "westeurope", "id": "x", "text": ESCAPES, "why_not": ESCAPES, "time": "x"}
    ),
    "a lost region that is a host": also("lost_regions", f"{ATTACKER}/"),
    "every region is lost": lambda one: one.update(lost_regions=["westeurope", "eastus", "westus2"]),
    "a target's region that is a host": all_of("targets", region=f"{ATTACKER}/"),
    "a target's group with a path": all_of("targets", group="x/../../y", groups={"x/../../y": "eastus"}),
    "a target's group that is an address": all_of("targets", group=f"https://{ATTACKER}/x", groups={}),
    "a target's subscription with a path": all_of("targets", subscription=f"../{ATTACKER}"),
    "another product's target": all_of("targets", product="nothing"),
    "cores without end": all_of("targets", cores_left=10**18, plans_in_subscription=-(10**18)),
    "a verdict that there is none of": all_of("hosts", outcome="blessed"),
    "confidence that there is none of": all_of("hosts", outcome="re-register", confidence="utter"),
    "every machine is lost": all_of("hosts", outcome="host-lost"),
    "a rule that there is none of": all_of("hosts", rule=-7),
    "signals that are deep": all_of("hosts", signals={"probe": {"x": [[[["y"]]]]}}),
    "a verdict on a machine of others": lambda one: one["hosts"].append({**one["hosts"][0], "host": OTHERS_HOST}),
    "a plan of others that takes over": stand_in,
    "a registration of others": carried,
    "a record that nobody left behind": zombie,
    "escapes": escapes,
    "an assumption": lambda one: one.update(assumed=True),
    "another snapshot": lambda one: one.update(snapshot_digest="0" * 64),
    "a generation that is none": lambda one: one.update(generation=-1),
    "another cloud": lambda one: one["made_against"].update(arm=f"https://{ATTACKER}"),
}  # fmt: skip
LOOKS: tuple[tuple[str, ...], ...] = ((), ("explain", plan_id()), ("explain", vm("build")), ("plan",), ("show",))


@pytest.fixture
def genuine(night: AssessmentDraft) -> Json:
    found: Json = json.loads(night.here.path(ASSESSMENT).read_text("utf-8"))
    return found


def forge(night: AssessmentDraft, genuine: Json, how: Callable[[Json], None]) -> None:
    content = json.loads(json.dumps(genuine))
    how(content)
    night.here.put(ASSESSMENT, content).chmod(0o600)


def test_what_is_planned_of_a_forged_assessment_is_what_a_table_allows(night: AssessmentDraft, genuine: Json) -> None:
    """Commands that read it say in words what is wrong, or plan steps that go nowhere but where the estate is."""
    faults: list[str] = []
    for what, how in FORGED.items():
        forge(night, genuine, how)
        for words in LOOKS:
            try:
                done = night.here(*words)
                assert done.code in (0, 1, 3, 4, 64), done.err
                assert not HIDDEN.search(done.out + done.err), "control characters"
                assert not [line for line in done.out.splitlines() if line.startswith("##vso[task.set")]
                if done.code == 0 and words == ("plan",):
                    allowed(night)
                elif words == ("plan",):
                    assert done.err.strip()
                assert night.writes() == []
            except AssertionError as error:
                faults.append(f"{what}: {' '.join(words)}: {error}"[:1500])
    assert faults == []
    hosts = {one["host"] for one in night.world.view("record")["requests"]}
    assert not [one for one in hosts if ATTACKER in one]


def test_a_machine_that_a_forged_assessment_names_is_shown_whole_to_who_approves(
    night: AssessmentDraft, genuine: Json
) -> None:
    forge(night, genuine, successor)
    assert night.here("plan").code == 0
    assert OTHERS_HOST in night.here("show").out.replace("\n", "")
    assert night.writes() == []


def test_a_forged_assessment_steers_no_run(night: AssessmentDraft, genuine: Json) -> None:
    """A healthy plan called lost: its runbook may be approved by mistake, and still nothing is moved, since it answers."""
    forge(night, genuine, all_of("plans", state="lost"))
    here = night.here
    assert here("plan").code in (0, 4)
    told = json.loads(here("show", "--json").out)
    assert "CustomScript" not in json.dumps(told)
    assert FILE not in json.dumps(told)
    here("apply", told["digest"], "--yes")
    touched = [one for one in night.writes() if HEALTHY.lower() in one.lower()]
    assert touched == []
