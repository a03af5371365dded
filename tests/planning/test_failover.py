"""What becomes of an environment, where a lost plan goes, in which order, and what the planner refuses."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.errors import RefusedError, UsageError
from drkit.model import runbook as book
from drkit.model.estate import (
    Assessment,
    Environment,
    EnvironmentKind,
    Host,
    Plan,
    PlanState,
    RoleAssignment,
    Snapshot,
)
from drkit.model.ids import slug
from drkit.model.runbook import WRITES, Affected, Runbook, Step
from drkit.model.settings import HostSettings, RunSettings
from drkit.planning.dispositions import ACTING, TABLE, disposition
from drkit.planning.proposal import TAG_SOURCE
from drkit.planning.transparency import ROWS, VerdictOutcome
from tests.support.builders import (
    LOST,
    OTHER,
    SUBSCRIPTION,
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
    some_settings,
    state_of,
    verdict,
)

STATES: tuple[str, ...] = get_args(PlanState)
KINDS: tuple[str, ...] = get_args(EnvironmentKind)
REASONS = sorted({row.reason for row in ROWS if row.reason})
CARRIES = ("no-registration", "unlisted", "another-registration")
VERDICTS = [
    *(word for word in get_args(VerdictOutcome) if word != "undetermined"),
    *REASONS,
    "no-host",
    "proved-successor",
    *CARRIES,
]
WORDS = {"new-plan", "successor", "same-plan", "person", "start", "wait", "lost", "leave"}
EVERYTHING = list(product(STATES, KINDS, VERDICTS))


def affected(runbook: Runbook, name: str) -> Affected:
    return next(one for one in runbook.environments if one.name == name)


def steps_of(runbook: Runbook, environment: Environment) -> list[Step]:
    return [step for step in runbook.steps if step.environment == environment.id]


def actions(runbook: Runbook, environment: Environment) -> list[str]:
    return [step.action for step in steps_of(runbook, environment)]


def behind(step: Step, runbook: Runbook) -> set[str]:
    """Ids of everything a step rests on."""
    found: set[str] = set()
    stack = list(step.needs)
    while stack:
        need = stack.pop()
        found.add(need)
        stack.extend(runbook.step(need).needs)
    return found


# --- the table -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("state", "kind", "word"), EVERYTHING)
def test_every_combination_has_a_disposition_and_a_reason(state: str, kind: str, word: str) -> None:
    what, why = disposition(state, kind, word)
    assert what in WORDS
    assert why


def test_nothing_acts_for_a_plan_that_is_not_lost_but_the_repair_of_a_host() -> None:
    for state, kind, word in EVERYTHING:
        what, _ = disposition(state, kind, word)
        if state != "lost":
            assert what in ("leave", "same-plan")
        if what == "same-plan":
            assert kind == "self-hosted"
            assert word in ("re-register", "proved-successor", "no-registration", "unlisted")
            assert state in ("answering", "degraded")


def test_a_lost_host_and_a_lost_region_never_act() -> None:
    for state, word in product(STATES, ("host-lost", "region-lost")):
        assert disposition(state, "self-hosted", word)[0] not in ACTING | {"person"}


def test_an_undetermined_host_is_never_acted_on_and_at_most_asked_about() -> None:
    asked = {word for word in REASONS if disposition("lost", "self-hosted", word)[0] == "person"}
    assert asked == {"blind", "no-witness", "unregistered", "identity-unknown"}
    for state, word in product(STATES, REASONS):
        assert disposition(state, "self-hosted", word)[0] not in ACTING


def test_an_environment_of_a_lost_plan_whose_host_is_fine_gets_a_new_plan() -> None:
    for word in ("no-failover", "transparent", "transparent-with-interruption", "re-register"):
        assert disposition("lost", "self-hosted", word)[0] == "new-plan"
    assert disposition("lost", "self-hosted", "proved-successor")[0] == "successor"
    assert disposition("lost", "managed", "")[0] == "new-plan"
    assert disposition("lost", "self-hosted", "no-host")[0] == "person"


def test_a_re_registered_host_of_a_degraded_plan_is_treated_alike_whether_it_is_itself_or_its_successor() -> None:
    for state in ("answering", "degraded"):
        assert disposition(state, "self-hosted", "re-register")[0] == "same-plan"
        assert disposition(state, "self-hosted", "proved-successor")[0] == "same-plan"


def test_no_row_of_the_table_is_dead() -> None:
    reached = {disposition(*one) for one in EVERYTHING}
    assert {(row[3], row[4]) for row in TABLE} == reached


def test_a_state_the_table_does_not_know_is_an_error() -> None:
    with pytest.raises(ValueError, match="no row"):
        disposition("on fire", "managed", "")


# --- what becomes of one environment ---------------------------------------------------------------------------------

HOST = a_vm("box")
CASES: list[tuple[str, dict[str, Any], str, list[str]]] = [
    ("untouched", {"outcome": "no-failover"}, "new-plan", ["reach", "ready", "release", "register", "verify"]),
    ("rebooted", {"outcome": "transparent-with-interruption"}, "new-plan", ["reach", "ready", "release", "register", "verify"]),
    ("reimaged", {"outcome": "re-register"}, "new-plan", ["reach", "ready", "release", "register", "verify"]),
    ("unsure", {"outcome": "no-failover", "confidence": "low"}, "person", ["by-hand", "verify"]),
    ("unseen", {"outcome": "undetermined", "reason": "blind"}, "person", ["by-hand", "verify"]),
    ("no witness", {"outcome": "undetermined", "reason": "no-witness"}, "person", ["by-hand", "verify"]),
    ("stopped", {"outcome": "undetermined", "reason": "stopped"}, "start", []),
    ("healing", {"outcome": "undetermined", "reason": "in-progress"}, "wait", []),
    ("two alive", {"outcome": "undetermined", "reason": "two-alive"}, "wait", []),
    ("dead", {"outcome": "host-lost"}, "lost", []),
    ("gone with its region", {"outcome": "region-lost"}, "lost", []),
]  # fmt: skip


@pytest.mark.parametrize(("found", "word", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_self_hosted_environment_of_a_lost_plan(found: dict[str, Any], word: str, expected: list[str]) -> None:
    plan = a_plan()
    one = hosted("web", plan, HOST)
    other = managed("api", plan)
    made = make(
        a_snapshot([plan], [one, other], [HOST]),
        an_assessment([state_of(plan, "lost")], [verdict(HOST, **found)], [facts()]),
    )
    assert affected(made, "web").disposition == word
    assert actions(made, one) == expected
    assert affected(made, "web").proof_step == (steps_of(made, one)[-1].id if expected else "")


def test_an_environment_goes_to_the_machine_its_own_was_restored_as() -> None:
    plan, heir = a_plan(), a_vm("box-restored")
    one = hosted("web", plan, HOST)
    found = verdict(HOST, "re-register", successor=heir.id, found=heir)
    made = make(a_snapshot([plan], [one], [HOST]), an_assessment([state_of(plan, "lost")], [found], [facts()]))
    assert affected(made, "web").disposition == "successor"
    assert {step.host for step in steps_of(made, one)} == {heir.id}


def test_a_machine_in_the_lost_region_or_in_a_group_there_is_reached_by_hand() -> None:
    plan = a_plan()
    for host in (a_vm("a", LOST), a_vm("b", OTHER, group_region=LOST), a_vm("c", channel=""), a_vm("d", channel="ssh")):
        one = hosted("web", plan, host)
        made = one_lost(one, plan=plan, hosts=[host])
        assert actions(made, one) == ["by-hand", "verify"], host.name


def test_an_environment_whose_host_is_unknown_or_disputed_needs_a_person_and_says_why() -> None:
    plan = a_plan()
    made = one_lost(
        hosted("a", plan, None), hosted("b", plan, None, host_dispute="its host is disputed: x, y"), plan=plan
    )
    assert "not known" in affected(made, "a").reason
    assert "disputed" in affected(made, "b").reason
    assert {affected(made, name).disposition for name in "ab"} == {"person"}


def test_a_host_nobody_looked_at_is_not_acted_on() -> None:
    plan = a_plan()
    one = hosted("web", plan, HOST)
    made = make(a_snapshot([plan], [one], [HOST]), an_assessment([state_of(plan, "lost")], [], [facts()]))
    assert actions(made, one) == ["by-hand", "verify"]


def test_a_managed_environment_without_a_known_owner_is_created_by_a_person() -> None:
    plan = a_plan()
    one = managed("api", plan, owner="", data_at_risk="unpushed")
    made = one_lost(one, plan=plan)
    assert actions(made, one) == ["by-hand", "verify"]
    assert "unpushed" in steps_of(made, one)[0].reason


@pytest.mark.parametrize(
    ("risk", "said"), [("pushed", "was pushed"), ("unpushed", "unpushed"), ("unknown", "not known")]
)
def test_the_reason_says_what_of_its_data_is_at_risk(risk: str, said: str) -> None:
    plan = a_plan()
    one = managed("api", plan, data_at_risk=risk)
    made = one_lost(one, plan=plan)
    assert said in steps_of(made, one)[0].reason
    assert affected(made, "api").data_at_risk == risk


# --- already there, offered ------------------------------------------------------------------------------------------


def replaced(plan: Plan, region: str = TARGET) -> Plan:
    return a_plan(f"{plan.name}-{region}", region, "drkit", tags={TAG_SOURCE: plan.id.upper()})


def after_apply(plan: Plan, present: Sequence[Environment], old: Sequence[Environment], **more: Any) -> Runbook:
    return make(
        a_snapshot([plan], old),
        an_assessment(
            [state_of(plan, "lost")], targets=[facts()], present=tuple(present), present_plans=(replaced(plan),), **more
        ),
    )


def test_what_answers_under_the_new_plan_is_left_alone_and_counts_as_recovered() -> None:
    plan = a_plan()
    done, left = managed("done", plan), managed("left", plan)
    made = after_apply(plan, [managed("DONE", replaced(plan), owner="ADA")], [done, left])
    assert affected(made, "done").disposition == "already"
    assert not steps_of(made, done)
    assert actions(made, left) == ["create", "verify"]
    assert not [step for step in made.steps if step.action == "create-plan"]


def test_what_took_its_second_name_is_known_again() -> None:
    plan = a_plan()
    old = [managed("api", plan), managed("api-2", plan)]
    made = after_apply(plan, [managed("api-3", replaced(plan))], old)
    assert [one.disposition for one in made.environments] == ["already", "new-plan"]


def test_another_owner_s_environment_of_the_name_or_one_that_does_not_answer_is_not_it() -> None:
    plan = a_plan()
    for present in (
        managed("api", replaced(plan), owner="eve"),
        managed("api", replaced(plan), state="Starting"),
        managed("api", a_plan("stranger", TARGET)),
    ):
        made = after_apply(plan, [present], [managed("api", plan)])
        assert affected(made, "api").disposition == "new-plan"


def test_what_is_left_goes_to_the_plan_that_is_there_though_another_region_is_preferred_again() -> None:
    plan = a_plan()
    there = replaced(plan, OTHER)
    made = make(
        a_snapshot([plan], [managed("api", plan)]),
        an_assessment([state_of(plan, "lost")], targets=[facts(TARGET), facts(OTHER)], present_plans=(there,)),
        some_settings(TARGET, OTHER),
    )
    assert made.target_regions == {plan.id: OTHER}
    assert not [step for step in made.steps if step.effect == "create" and step.action != "create"]


def test_when_all_is_recovered_there_is_nothing_to_do() -> None:
    plan = a_plan()
    made = after_apply(plan, [managed("api", replaced(plan))], [managed("api", plan)])
    assert made.steps == ()
    assert made.target_regions == {plan.id: TARGET}
    assert [one.disposition for one in made.environments] == ["already"]


def offered(home: Plan, away: Plan, mine: Environment, others: Sequence[Environment], **more: Any) -> Runbook:
    return make(
        a_snapshot([home, away], [mine, *others]),
        an_assessment([state_of(home, "lost"), state_of(away, "answering")], targets=[facts()]),
        **more,
    )


def test_an_open_environment_of_the_same_owner_repository_and_branch_is_offered_instead() -> None:
    home, away = a_plan(), a_plan("away", OTHER)
    mine = managed("api", home)
    twin = managed("api-spare", away, repository=mine.repository.upper())
    made = offered(home, away, mine, [twin])
    assert affected(made, "api").disposition == "offered"
    assert "api-spare" in affected(made, "api").reason
    assert OTHER in affected(made, "api").reason
    assert not made.steps


@pytest.mark.parametrize(
    "different",
    [{"owner": "eve"}, {"branch": "dev"}, {"repository": "https://example.org/x"}, {"state": "Failed"}, {"state": "Deleted"}],
    ids=str,
)  # fmt: skip
def test_nothing_else_is_offered(different: dict[str, str]) -> None:
    home, away = a_plan(), a_plan("away", OTHER)
    mine = managed("api", home)
    made = offered(home, away, mine, [managed("spare", away, **({"repository": mine.repository} | different))])
    assert affected(made, "api").disposition == "new-plan"


def test_two_unknown_owners_are_not_the_same_owner() -> None:
    home, away = a_plan(), a_plan("away", OTHER)
    mine = managed("api", home, owner="")
    made = offered(home, away, mine, [managed("spare", away, owner="", repository=mine.repository)])
    assert affected(made, "api").disposition == "new-plan"


# --- where a plan goes -----------------------------------------------------------------------------------------------

AGAINST: list[tuple[dict[str, Any], str]] = [
    ({"cores_left": 3}, "4 cores are needed, 3 are left"),
    ({"skus": ("basicLinux",)}, "does not offer standardLinux"),
    ({"plans_in_subscription": 20}, "20 of 20 plans"),
    ({"answering": False}, "does not answer"),
    ({"offered": False}, "not offered"),
    ({"provider": "NotRegistered"}, "NotRegistered"),
    ({"refusals": ("QuotaExceeded: no more plans",)}, "QuotaExceeded"),
]


@pytest.mark.parametrize(("spoiled", "said"), AGAINST, ids=[said for _, said in AGAINST])
def test_when_something_is_in_the_way_the_next_region_is_taken_and_the_note_says_why(
    spoiled: dict[str, Any], said: str
) -> None:
    plan = a_plan()
    made = make(
        a_snapshot([plan], [managed("api", plan)]),
        an_assessment([state_of(plan, "lost")], targets=[facts(OTHER), facts(TARGET, **spoiled)]),
        some_settings(TARGET, OTHER),
    )
    assert made.target_regions == {plan.id: OTHER}
    assert any(f"not {TARGET}" in note and said in note for note in made.notes)
    assert any(f"so {OTHER}" in note for note in made.notes)


def test_the_first_preferred_region_is_taken_without_a_word() -> None:
    plan = a_plan()
    for order in ((TARGET, OTHER), (OTHER, TARGET)):
        made = make(
            a_snapshot([plan], [managed("api", plan)]),
            an_assessment([state_of(plan, "lost")], targets=[facts(TARGET), facts(OTHER)]),
            some_settings(*order),
        )
        assert made.target_regions == {plan.id: order[0]}
        assert made.notes == ()


def test_with_no_region_left_it_refuses_naming_every_reason() -> None:
    plan = a_plan()
    with pytest.raises(RefusedError) as refused:
        make(
            a_snapshot([plan], [managed("api", plan)]),
            an_assessment(
                [state_of(plan, "lost")], targets=[facts(TARGET, cores_left=0), facts(OTHER, answering=False)]
            ),
            some_settings(TARGET, OTHER, "westus2", "mars"),
        )
    assert refused.value.exit_code == 4
    for region, said in (
        (TARGET, "quota"),
        (OTHER, "its own service"),
        ("westus2", "the assessment"),
        ("mars", "is offered in"),
    ):
        assert f"not {region}: " in str(refused.value)
        assert said in str(refused.value)
    assert "targets" in refused.value.remedy


def test_a_lost_region_among_the_targets_is_refused() -> None:
    plan = a_plan()
    with pytest.raises(RefusedError, match=LOST) as refused:
        make(a_snapshot([plan]), an_assessment([state_of(plan, "lost")]), some_settings(TARGET, LOST))
    assert refused.value.exit_code == 4


def test_unknown_quota_and_skus_stand_in_nobody_s_way() -> None:
    plan = a_plan()
    unknown = facts(skus=None, cores_left=None, plans_in_subscription=None, provider="", offered=None)
    made = make(a_snapshot([plan], [managed("api", plan)]), an_assessment([state_of(plan, "lost")], targets=[unknown]))
    assert made.target_regions == {plan.id: TARGET}


def test_a_plan_that_is_there_already_needs_no_room_for_itself() -> None:
    plan = a_plan()
    made = make(
        a_snapshot([plan], [managed("api", plan)]),
        an_assessment(
            [state_of(plan, "lost")],
            targets=[facts(plans_in_subscription=20, refusals=("QuotaExceeded",))],
            present_plans=(replaced(plan),),
        ),
    )
    assert [step.action for step in made.steps] == ["verify-plan", "create", "verify"]


def test_two_plans_do_not_count_on_the_same_cores() -> None:
    one, two = a_plan("one"), a_plan("two")
    made = make(
        a_snapshot([one, two], [managed("a", one), managed("b", two)]),
        an_assessment(
            [state_of(one, "lost"), state_of(two, "lost")], targets=[facts(TARGET, cores_left=4), facts(OTHER)]
        ),
        some_settings(TARGET, OTHER),
    )
    assert made.target_regions == {one.id: TARGET, two.id: OTHER}
    assert any("two" in note and "quota" in note for note in made.notes)


def test_two_plans_do_not_count_on_the_same_last_plan_of_a_subscription() -> None:
    one, two = a_plan("one"), a_plan("two")
    made = make(
        a_snapshot([one, two], [managed("a", one), managed("b", two)]),
        an_assessment(
            [state_of(one, "lost"), state_of(two, "lost")],
            targets=[facts(TARGET, plans_in_subscription=19), facts(OTHER)],
        ),
        some_settings(TARGET, OTHER),
    )
    assert made.target_regions == {one.id: TARGET, two.id: OTHER}


def test_two_plans_of_one_name_do_not_become_one() -> None:
    one, two = a_plan("dev", group="a"), a_plan("dev", group="b")
    made = make(
        a_snapshot([one, two], [managed("a", one), managed("b", two)]),
        an_assessment([state_of(one, "lost"), state_of(two, "lost")], targets=[facts()]),
    )
    created = [step.target.lower() for step in made.steps if step.action == "create-plan"]
    assert len(created) == len(set(created)) == 2


def test_a_plan_that_has_the_new_name_already_is_not_taken_for_it() -> None:
    plan, stranger = a_plan(), a_plan(f"dev-{TARGET}", TARGET, "prepared")
    made = make(
        a_snapshot([plan, stranger], [managed("api", plan)]),
        an_assessment([state_of(plan, "lost"), state_of(stranger, "answering")], targets=[facts(group="prepared")]),
    )
    created = [step.target for step in made.steps if step.action == "create-plan"]
    assert created == [stranger.id + "-2"]


def test_each_subscription_gets_its_own_group() -> None:
    other = SUBSCRIPTION[:-1] + "2"
    one, two = a_plan("one"), a_plan("two", subscription=other)
    made = make(
        a_snapshot([one, two], [managed("a", one), managed("b", two)]),
        an_assessment(
            [state_of(one, "lost"), state_of(two, "lost")], targets=[facts(), facts(subscription=other.upper())]
        ),
    )
    groups = [step.target for step in made.steps if step.product == "azure"]
    assert sorted(groups) == [f"/subscriptions/{each}/resourceGroups/drkit-{TARGET}" for each in (SUBSCRIPTION, other)]


def test_the_group_prepared_beforehand_is_used_and_a_foreign_group_of_the_name_is_not() -> None:
    plan = a_plan()
    for known, created, used in (
        ({"group": "prepared"}, [], "prepared"),
        ({"groups": {f"Drkit-{TARGET}": OTHER}}, [f"drkit-{TARGET}-2"], f"drkit-{TARGET}-2"),
    ):
        made = make(
            a_snapshot([plan], [managed("api", plan)]),
            an_assessment([state_of(plan, "lost")], targets=[facts(**known)]),
        )
        assert [step.target.rsplit("/", 1)[-1] for step in made.steps if step.product == "azure"] == created
        assert f"/resourceGroups/{used}/" in next(step.target for step in made.steps if step.action == "create-plan")


def test_a_plan_without_recoverable_environments_is_not_created_again() -> None:
    empty, doomed = a_plan("empty"), a_plan("doomed")
    one = hosted("web", doomed, HOST)
    made = make(
        a_snapshot([empty, doomed], [one], [HOST]),
        an_assessment(
            [state_of(empty, "lost"), state_of(doomed, "lost")], [verdict(HOST, "host-lost")], targets=[facts()]
        ),
    )
    assert made.steps == ()
    assert made.target_regions == {}
    assert affected(made, "web").disposition == "lost"
    assert {one.subject for one in made.unchanged} == {empty.id, doomed.id}


def test_one_plan_without_a_region_does_not_keep_the_others() -> None:
    small, big = a_plan("small"), a_plan("big")
    crowd = [managed(f"e{number}", big) for number in range(9)]
    dead = hosted("dead", big, HOST)
    made = make(
        a_snapshot([small, big], [managed("a", small), dead, *crowd], [HOST]),
        an_assessment(
            [state_of(small, "lost"), state_of(big, "lost")], [verdict(HOST, "host-lost")], [facts(cores_left=8)]
        ),
    )
    assert made.target_regions == {small.id: TARGET}
    assert {affected(made, one.name).disposition for one in crowd} == {"wait"}
    assert affected(made, "dead").disposition == "lost"
    assert any(one.subject == big.id and "quota" in one.reason for one in made.unchanged)


# --- what cannot be carried over -------------------------------------------------------------------------------------


def test_what_cannot_be_carried_over_is_listed_with_what_to_do() -> None:
    plan = a_plan(
        properties={
            "vnetProperties": {"subnetId": "/subnets/dev"},
            "encryption": {"keySource": "Microsoft.KeyVault"},
            "defaultAutoSuspendDelayMinutes": 30,
            "secretThing": "x",
        },
        grants=(RoleAssignment("/scope", "Codespaces Contributor", "principal-1"),),
    )
    made = one_lost(managed("api", plan), plan=plan)
    said = " ".join(f"{one.reason} {one.remedy}" for one in made.unchanged)
    for word in ("/subnets/dev", "customer-managed key", "Codespaces Contributor", "principal-1"):
        assert word in said
    create = next(step for step in made.steps if step.action == "create-plan")
    assert create.inputs["body"]["properties"] == {"defaultAutoSuspendDelayMinutes": 30}
    assert "subnets" not in str(create.inputs)


# --- order and safety ------------------------------------------------------------------------------------------------


def an_estate(count: int = 6) -> tuple[Snapshot, Assessment]:
    """Two lost plans and one that answers; managed ones, hosts of every fate, one reimaged under the healthy plan."""
    lost, also, fine = a_plan("lost"), a_plan("also", group="rg2"), a_plan("fine", OTHER)
    hosts = [a_vm(f"box{number}") for number in range(8)]
    fates = [("no-failover", ""), ("transparent", ""), ("re-register", ""), ("host-lost", "")]
    fates += [("undetermined", "blind"), ("undetermined", "stopped"), ("undetermined", "stale"), ("re-register", "")]
    environments = [managed(f"m{number}", plan) for plan in (lost, also) for number in range(count)]
    environments += [managed(name, fine, repository="https://example.org/m0") for name in ("m0-spare", "m0-other")]
    environments += [hosted(f"h{number}", fine if number == 7 else lost, host) for number, host in enumerate(hosts)]
    return (
        a_snapshot([lost, also, fine], environments, hosts),
        an_assessment(
            [state_of(lost, "lost"), state_of(also, "lost"), state_of(fine, "answering")],
            [verdict(host, outcome, reason=reason) for host, (outcome, reason) in zip(hosts, fates, strict=True)],
            [facts()],
        ),
    )


def test_ids_are_unique_and_needs_come_earlier() -> None:
    for kind in ("failover", "repair"):
        made = make(*an_estate(), kind=kind)
        assert made.steps
        assert book.faults_of(made.steps) == []
        assert book.decode(book.encode(made), "x") == made


def test_ids_are_the_same_in_the_next_planning() -> None:
    snapshot, assessment = an_estate()
    first = make(snapshot, assessment)
    lost = next(plan for plan in snapshot.plans if plan.name == "lost")
    there = replaced(lost)
    present = tuple(managed(f"m{number}", there) for number in range(3))
    later = make(
        snapshot,
        an_assessment(assessment.plans, assessment.hosts, assessment.targets, present=present, present_plans=(there,)),
    )
    fewer = {step.id for step in later.steps}
    assert fewer < {step.id for step in first.steps}
    assert f"codespaces:{slug('m4', 'id-rg-lost-m4')}:create" in fewer


def test_the_order_is_group_plan_its_verification_environments_each_with_its_own_last() -> None:
    plan = a_plan()
    made = one_lost(managed("api", plan), plan=plan)
    assert [step.action for step in made.steps] == ["create", "create-plan", "verify-plan", "create", "verify"]
    for earlier, later in zip(made.steps, made.steps[1:], strict=False):
        assert earlier.id in behind(later, made)


def test_one_goes_first_and_the_rest_waits_for_it_in_growing_waves() -> None:
    plan = a_plan()
    environments = [managed(f"e{number:02}", plan) for number in range(12)]
    made = one_lost(*environments, plan=plan, settings=some_settings(run=RunSettings(waves=[1, 3, 5])))
    waves = [steps_of(made, one)[0].wave for one in environments]
    assert [waves.count(wave) for wave in (1, 2, 3, 4)] == [1, 3, 5, 3]
    first = affected(made, "e00").proof_step
    for one in environments[1:]:
        assert first in behind(steps_of(made, one)[0], made)
        assert len({step.wave for step in steps_of(made, one)}) == 1


def test_the_first_is_one_that_needs_no_person() -> None:
    plan = a_plan()
    asked, plain = hosted("a", plan, HOST), managed("z", plan)
    made = one_lost(asked, plain, plan=plan, hosts=[HOST])
    assert {step.wave for step in steps_of(made, plain)} == {1}
    assert affected(made, "z").proof_step in behind(steps_of(made, asked)[0], made)


@pytest.mark.parametrize("kind", ["failover", "repair"])
def test_nothing_is_released_before_the_plan_is_verified_reached_and_somebody_ready(kind: str) -> None:
    made = make(*an_estate(), kind=kind)
    releases = [step for step in made.steps if step.effect == "release"]
    assert releases
    for release in releases:
        before = [made.step(one) for one in behind(release, made)]
        mine = {step.action for step in before if step.environment == release.environment}
        assert {"reach", "ready"} <= mine
        verified = [step for step in before if step.action == "verify-plan"]
        register = next(step for step in steps_of_id(made, release.environment) if step.action == "register")
        assert [step.target for step in verified if step.plan == release.plan] == [register.inputs["plan"]]
        assert release.id in behind(register, made)


def steps_of_id(runbook: Runbook, environment: str) -> list[Step]:
    return [step for step in runbook.steps if step.environment == environment]


def test_a_release_in_a_failover_rests_on_the_plan_being_lost_and_the_host_being_itself() -> None:
    made = make(*an_estate())
    for step in made.steps:
        if step.effect == "release":
            signals = {(one.subject, one.signal): one.expected for one in step.preconditions}
            assert signals[(step.plan, "answers")] == "no"
            assert (step.host, "instance_id") in signals


def test_a_repair_does_not_rest_on_the_loss_of_its_plan() -> None:
    made = make(*an_estate(), kind="repair")
    assert {step.effect for step in made.steps} == {"verify", "ask", "release", "register"}
    assert not [one for step in made.steps for one in step.preconditions if one.signal == "answers"]


def test_every_write_is_for_a_lost_plan_outside_the_lost_region_on_sure_ground() -> None:
    snapshot, assessment = an_estate()
    made = make(snapshot, assessment)
    lost = {one.plan for one in assessment.plans if one.state == "lost"}
    dead = {one.host for one in assessment.hosts if one.outcome in ("host-lost", "undetermined")}
    for step in made.steps:
        if step.effect in WRITES:
            assert not step.plan or step.plan in lost
            assert step.region != LOST
            assert step.host not in dead
            assert step.confidence != "low"
    assert all(result.passed for result in made.guards)


def test_what_belongs_to_the_other_kind_is_left_alone_with_the_command() -> None:
    failover, repair = make(*an_estate()), make(*an_estate(), kind="repair")
    assert [one.remedy for one in failover.unchanged if one.name == "h7"] == ["drkit plan --kind repair"]
    assert {one.remedy for one in repair.unchanged if one.name.startswith("m")} == {"drkit plan --kind failover"}
    assert repair.source_plans == {}


def test_without_a_lost_plan_it_writes_the_repair() -> None:
    plan = a_plan("fine", OTHER)
    one = hosted("web", plan, HOST)
    made = make(
        a_snapshot([plan], [one], [HOST]),
        an_assessment([state_of(plan, "answering")], [verdict(HOST, "re-register")], lost_regions=()),
    )
    assert made.kind == "repair"
    assert actions(made, one) == ["reach", "ready", "release", "register", "verify"]


def test_in_a_repair_a_host_in_trouble_that_is_not_acted_on_is_listed() -> None:
    plan = a_plan("fine", OTHER)
    hosts = [a_vm(name) for name in ("bad", "unsure", "dead", "well")]
    found = [
        verdict(hosts[0], "re-register"),
        verdict(hosts[1], "re-register", "low"),
        verdict(hosts[2], "host-lost"),
        verdict(hosts[3], "no-failover"),
    ]
    made = make(
        a_snapshot([plan], [hosted(host.name, plan, host) for host in hosts], hosts),
        an_assessment([state_of(plan, "answering")], found, lost_regions=()),
    )
    assert [one.name for one in made.environments] == ["bad"]
    assert {one.name for one in made.unchanged} == {"unsure", "dead"}
    assert any("low confidence" in one.reason for one in made.unchanged)
    assert any("host-lost" in one.reason for one in made.unchanged)


@pytest.mark.parametrize("state", [state for state in STATES if state != "lost"])
def test_a_plan_that_is_not_lost_is_left_alone_with_its_state_and_why(state: str) -> None:
    plan = a_plan()
    made = make(a_snapshot([plan], [managed("api", plan)]), an_assessment([state_of(plan, state)], lost_regions=()))
    assert made.steps == ()
    assert [(one.subject, one.reason) for one in made.unchanged] == [(plan.id, f"{state}: it is {state}")]


def test_a_plan_nobody_assessed_is_left_alone() -> None:
    plan = a_plan()
    made = make(a_snapshot([plan], [managed("api", plan)]), an_assessment(lost_regions=()))
    assert made.steps == ()
    assert made.unchanged[0].reason == "not assessed"


def test_a_product_that_drkit_does_not_know_is_left_alone() -> None:
    plan = a_plan(product="typewriters")
    made = make(a_snapshot([plan], [managed("api", plan)]), an_assessment([state_of(plan, "lost")]))
    assert made.steps == ()
    assert "typewriters" in made.unchanged[0].reason


# --- graceful --------------------------------------------------------------------------------------------------------


def graceful(*more_plans: tuple[Plan, str], settings: Any = None) -> tuple[Runbook, Environment, Environment]:
    home, near = a_plan(), a_vm("near", LOST)
    one, api = hosted("web", home, near), managed("api", home)
    made = make(
        a_snapshot([home, *(plan for plan, _ in more_plans)], [one, api], [near]),
        an_assessment(
            [state_of(home, "answering"), *(state_of(plan, state) for plan, state in more_plans)],
            [verdict(near)],
            [facts(), facts(OTHER)],
            lost_regions=tuple(plan.region for plan, state in more_plans if state == "lost"),
        ),
        settings,
        graceful_from=LOST,
    )
    return made, one, api


def test_a_graceful_move_acts_on_the_region_named_while_it_works() -> None:
    made, web, api = graceful()
    assert made.kind == "failover"
    assert made.lost_regions == ()
    assert actions(made, api) == ["create", "verify"]
    assert actions(made, web) == ["reach", "ready", "release", "register", "verify"]
    assert not [one for step in made.steps for one in step.preconditions if one.signal == "answers"]
    reasons = [one.reason for one in made.environments] + [step.reason for step in made.steps]
    assert not [reason for reason in reasons if "is lost" in reason]


def test_a_graceful_move_leaves_a_lost_plan_elsewhere_alone_and_avoids_its_region() -> None:
    elsewhere = a_plan("elsewhere", OTHER)
    made, _, _ = graceful((elsewhere, "lost"), settings=some_settings(TARGET))
    assert set(made.source_plans.values()) == {LOST}
    assert [one.remedy for one in made.unchanged if one.subject == elsewhere.id] == ["drkit plan"]
    with pytest.raises(RefusedError, match=OTHER):
        graceful((elsewhere, "lost"), settings=some_settings(OTHER, TARGET))


# --- guards ----------------------------------------------------------------------------------------------------------


def test_a_guard_that_nobody_knows_cannot_be_forced() -> None:
    with pytest.raises(UsageError, match="no-such") as refused:
        make(*an_estate(), force={"no-such": "because"})
    assert "no-write-to-lost-region" in str(refused.value)


def test_force_for_a_guard_that_passes_leaves_no_trace() -> None:
    assert make(*an_estate(), force={"confident-verdicts": "because"}) == make(*an_estate())


# --- the same bytes --------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.data())
def test_the_same_estate_in_any_order_gives_the_same_bytes(data: st.DataObject) -> None:
    snapshot, assessment = an_estate(2)
    shuffled = a_snapshot(
        data.draw(st.permutations(snapshot.plans)),
        data.draw(st.permutations(snapshot.environments)),
        data.draw(st.permutations(snapshot.hosts)),
    )
    told = an_assessment(
        data.draw(st.permutations(assessment.plans)), data.draw(st.permutations(assessment.hosts)), assessment.targets
    )
    for kind in ("failover", "repair"):
        assert book.encode(make(shuffled, told, kind=kind)) == book.encode(make(snapshot, assessment, kind=kind))


FATES = [(word, "") for word in get_args(VerdictOutcome) if word != "undetermined"] + [
    ("undetermined", word) for word in REASONS
]


@st.composite
def estates(draw: st.DrawFn) -> tuple[Snapshot, Assessment]:
    plans = [
        a_plan(f"p{number}", draw(st.sampled_from((LOST, OTHER))), draw(st.sampled_from(("rg", "rg2"))))
        for number in range(draw(st.integers(1, 3)))
    ]
    hosts: list[Host] = []
    environments: list[Environment] = []
    for number in range(draw(st.integers(0, 8))):
        plan = draw(st.sampled_from(plans))
        if draw(st.booleans()):
            environments.append(managed(f"e{number}", plan, owner=draw(st.sampled_from(("ada", "eve", "")))))
        else:
            hosts.append(
                a_vm(
                    f"h{number}",
                    draw(st.sampled_from((LOST, OTHER, TARGET))),
                    channel=draw(st.sampled_from(("", "run-command", "ssh", "manual"))),
                )
            )
            environments.append(hosted(f"e{number}", plan, hosts[-1] if draw(st.booleans()) else None))
    confidences = st.sampled_from(("high", "medium", "low"))
    found = []
    for host in hosts:
        outcome, reason = draw(st.sampled_from(FATES))
        found.append(verdict(host, outcome, draw(confidences), reason))
    states = [state_of(plan, draw(st.sampled_from(STATES))) for plan in plans]
    return a_snapshot(plans, environments, hosts), an_assessment(states, found, [facts(), facts("westus2")])


@settings(max_examples=150)
@given(estates(), st.sampled_from(["failover", "repair"]))
def test_whatever_was_found_the_runbook_is_sound_and_safe(estate: tuple[Snapshot, Assessment], kind: Any) -> None:
    snapshot, assessment = estate
    made = make(snapshot, assessment, some_settings(TARGET, "westus2"), kind=kind)
    assert book.decode(book.encode(made), "x") == made
    states = {one.plan: one.state for one in assessment.plans}
    verdicts = {one.host: one for one in assessment.hosts}
    regions = {one.id: one.region for one in snapshot.hosts}
    for step in made.steps:
        if step.effect not in WRITES:
            continue
        assert step.effect != "delete"
        if step.plan:
            assert (states[step.plan] == "lost") == (kind == "failover")
        if step.host:
            assert verdicts[step.host].confidence != "low"
            assert verdicts[step.host].outcome not in ("undetermined", "host-lost", "region-lost")
            assert regions[step.host] != LOST
    named = [one.environment for one in made.environments]
    assert len(named) == len(set(named))
    if kind == "failover":
        assert set(named) == {one.id for one in snapshot.environments if states[one.plan] == "lost"}
    for one in made.environments:
        assert not one.proof_step or made.step(one.proof_step).effect == "verify"


def test_hosts_named_in_settings_are_no_business_of_the_planner() -> None:
    entry = HostSettings(id="cupboard", environment="web")
    assert make(*an_estate(), some_settings(hosts=[entry])) == make(*an_estate())
