"""The rules of readiness, apart from any cloud: what they find, what they never do, and how two checks compare."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.model import arm_limits, runbook
from drkit.model.clock import rfc3339
from drkit.model.cloud import CloudMark
from drkit.model.estate import Environment, Plan, Reading, Snapshot
from drkit.model.operation import Request
from drkit.model.readiness import Finding, Forecast, Readiness
from drkit.model.settings import Settings
from drkit.planning.readiness import RULES, Projection, Seen, Write, action_of, compare, judge, reported, writes_of
from drkit.planning.readiness.governance_rules import allows, within
from drkit.planning.readiness.values import finding, protected_regions
from drkit.products import registry
from drkit.store import store
from drkit.survey import capacity as capacity_

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SUB = "/subscriptions/11111111-1111-4111-8111-111111111111"
GROUP = f"{SUB}/resourceGroups/dr"
PLAN = f"{GROUP}/providers/Microsoft.VSOnline/plans/one"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/web"
MARK = CloudMark("https://management.azure.com", "tenant", simulated=False)
PUT = Write("step", "PUT", PLAN)
DELETE = Write("other", "DELETE", f"{VM}/extensions/worker")


def seen(*readings: Reading, writes: tuple[Write, ...] = (PUT, DELETE), **more: Any) -> Seen:
    projection = Projection("westeurope", writes=writes)
    return Seen(NOW, Settings(), registry(), projections=(projection,), readings=readings, **more)


def found(rule: str, *readings: Reading, **more: Any) -> list[Finding]:
    return [one for one in judge(seen(*readings, **more))[0] if one.rule == rule]


def reading(subject: str, signal: str, value: Any, detail: str = "") -> Reading:
    return Reading(subject, signal, value, "a test", rfc3339(NOW), detail)


# --- writes and actions


@pytest.mark.parametrize(
    ("method", "path", "action"),
    [
        ("PUT", PLAN, "Microsoft.VSOnline/plans/write"),
        ("POST", f"{PLAN}/writeDelegates", "Microsoft.VSOnline/plans/writeDelegates/action"),
        ("POST", f"{VM}/runCommand", "Microsoft.Compute/virtualMachines/runCommand/action"),
        ("PUT", f"{VM}/extensions/x", "Microsoft.Compute/virtualMachines/extensions/write"),
        ("DELETE", f"{VM}/extensions/x", "Microsoft.Compute/virtualMachines/extensions/delete"),
        ("PUT", GROUP, "Microsoft.Resources/subscriptions/resourceGroups/write"),
    ],
)
def test_a_request_is_the_action_that_azures_roles_name(method: str, path: str, action: str) -> None:
    assert action_of(method, path) == action


def test_only_what_goes_to_arm_needs_a_role() -> None:
    arm = "https://management.azure.com"
    requests = (
        Request("PUT", f"{arm}{PLAN}/"),
        Request("POST", "https://eastus.online.visualstudio.com/api/v1/environments"),
    )
    assert writes_of("step", requests, arm) == [Write("step", "PUT", PLAN)]


@pytest.mark.parametrize(
    ("entries", "allowed"),
    [
        ([], False),
        ([{"actions": ["*"], "notActions": []}], True),
        ([{"actions": ["microsoft.vsonline/PLANS/*"]}], True),
        ([{"actions": ["*"], "notActions": ["Microsoft.VSOnline/*"]}], False),
        ([{"actions": ["*"], "notActions": ["Microsoft.VSOnline/*"]}, {"actions": ["*/write"]}], True),
        ([{"actions": ["Microsoft.VSOnline/plans"]}], False),
        ([{"actions": ["Microsoft.VSOnline/plans/read"]}], False),
    ],
)
def test_permissions_are_read_as_azure_reads_them(entries: list[dict[str, Any]], allowed: bool) -> None:
    assert allows(entries, "Microsoft.VSOnline/plans/write") is allowed


@given(st.text("aB/.*", max_size=12), st.text("aB/.", max_size=12))
def test_a_pattern_without_a_star_allows_only_itself(pattern: str, action: str) -> None:
    told = allows([{"actions": [pattern]}], action)
    if "*" not in pattern:
        assert told is (pattern.lower() == action.lower())
    assert allows([{"actions": [pattern], "notActions": [pattern]}], action) is False


def test_a_scope_is_a_whole_segment() -> None:
    assert within(PLAN, GROUP.upper())
    assert not within(f"{GROUP}2/providers/x/y/z", GROUP)


# --- what is not known is never taken for well


@given(
    st.lists(
        st.builds(
            Reading,
            st.sampled_from([SUB, GROUP, PLAN, VM, "westeurope", ""]),
            st.sampled_from(
                ["lock", "locks-unread", "policy", "policies-unread", "permissions", "exists", "deleted", "deleted-asked", "needs",
                 "needs-group", "target-group", "target-plan", "vm-size", "vm-skus", "vm-cores", "power", "agent", "arc-status"]
            ),
            st.sampled_from(["unknown", "", "yes", "no", "westeurope", "ReadOnly", "CanNotDelete", {}, [], {"used": 1, "limit": 2},
                             {"scope": SUB, "kind": "locations", "values": ["x"]}, [{"actions": ["*"]}]]),
            st.just("a source"),
            st.just("2026-11-27T12:00:00Z"),
            st.text(max_size=5),
        ).filter(lambda one: one.signal != "permissions" or isinstance(one.value, list) or one.value == "unknown"),
        max_size=12,
    )
)  # fmt: skip
def test_whatever_was_read_each_finding_is_whole_and_each_rule_has_its_gravest(readings: list[Reading]) -> None:
    findings, words = judge(seen(*readings, protected=("westeurope",)))
    assert len({one.id for one in findings}) == len(findings)
    for one in findings:
        assert one.rule in RULES
        assert one.what
        assert one.remedy
        assert one.evidence
    for rule, word in words.items():
        graves = [one.severity for one in findings if one.rule == rule]
        assert word == next((grave for grave in ("error", "warning", "unknown") if grave in graves), "ok")


@pytest.mark.parametrize(
    ("rule", "unread"),
    [
        ("lock", reading(SUB, "locks-unread", "unknown", "403")),
        ("policy", reading(SUB, "policies-unread", "unknown", "403")),
        ("permission", reading(SUB, "permissions", "unknown", "403")),
        ("name", reading(PLAN, "exists", "unknown", "403")),
        ("place", reading(PLAN, "needs", "unknown", "key vault: 403")),
    ],
)
def test_what_could_not_be_read_is_unknown(rule: str, unread: Reading) -> None:
    assert [one.severity for one in found(rule, unread)] == ["unknown"]


# --- locks


@given(st.sampled_from([SUB, GROUP, PLAN, VM, f"{GROUP}x"]), st.sampled_from(["ReadOnly", "CanNotDelete"]))
def test_a_lock_blocks_exactly_what_is_below_its_scope(scope: str, level: str) -> None:
    stopped = [
        write
        for write in (PUT, DELETE)
        if within(write.path, scope) and (level == "ReadOnly" or write.method == "DELETE")
    ]
    assert bool(found("lock", reading(scope, "lock", level))) is bool(stopped)


# --- unpushed work


def environment(risk: Any, last_used: str = "") -> Environment:
    return Environment(
        id="e",
        product="codespaces",
        plan=PLAN,
        name="api",
        kind="managed",
        data_at_risk=risk,
        last_used=last_used,
    )


def taken(hours_ago: float, risk: str, last_used: str = "") -> Snapshot:
    when = rfc3339(NOW - timedelta(hours=hours_ago))
    return Snapshot(cloud=MARK, taken=when, environments=(environment(risk, last_used),))


def unpushed_since(now: Environment, generations: list[Snapshot]) -> str | None:
    """What the finding about an environment's unpushed work says of its age; None where there is no finding."""
    latest = msgspec.structs.replace(generations[-1], environments=(now,))
    own = msgspec.convert({"objectives": {"recovery_point_minutes": 1}}, Settings)
    findings = judge(Seen(NOW, own, registry(), latest, generations))[0]
    return next((one.evidence[0].detail for one in findings if (one.rule, one.severity) == ("unpushed", "error")), None)


def test_work_is_as_old_as_the_unbroken_row_of_snapshots_that_says_so() -> None:
    row = [taken(90, "unpushed"), taken(60, "pushed"), taken(40, "unpushed"), taken(10, "unpushed")]
    since = rfc3339(NOW - timedelta(hours=40))
    assert unpushed_since(environment("unpushed"), row) == f"since {since} at the latest"
    used = rfc3339(NOW - timedelta(hours=50))
    assert unpushed_since(environment("unpushed", used), row) == f"since {used} at the latest"
    assert unpushed_since(environment("unpushed", "not a time"), row[:2]) is None


@given(st.lists(st.sampled_from(["pushed", "unpushed", "unknown"]), min_size=1, max_size=8), st.integers(1, 100))
def test_unpushed_work_is_found_exactly_when_it_is_older_than_the_objective(risks: list[str], minutes: int) -> None:
    generations = [taken(number, risk) for number, risk in zip(range(len(risks), 0, -1), risks, strict=True)]
    own = msgspec.convert({"objectives": {"recovery_point_minutes": minutes}}, Settings)
    made = Seen(NOW, own, registry(), generations[-1], generations)
    errors = [one for one in judge(made)[0] if one.rule == "unpushed" and one.severity == "error"]
    row = 0
    for risk in reversed(risks):
        if risk != "unpushed":
            break
        row += 1
    assert bool(errors) is (row > 0 and row * 60 > minutes)


# --- protected regions


def plan_in(region: str, name: str = "one") -> Plan:
    return Plan(
        id=f"{PLAN}-{name}", product="codespaces", name=name, region=region, subscription="s", resource_group="dr"
    )


def test_a_target_region_is_protected_only_if_something_lives_there() -> None:
    there = Snapshot(cloud=MARK, taken=rfc3339(NOW), plans=(plan_in("westeurope"), plan_in("eastus", "spare")))
    own = Settings(targets=["eastus"])
    assert protected_regions(there, own) == ("westeurope",)
    lived = msgspec.structs.replace(
        there, environments=(msgspec.structs.replace(environment("pushed"), plan=f"{PLAN}-spare"),)
    )
    assert protected_regions(lived, own) == ("eastus", "westeurope")
    assert protected_regions(None, own) == ()


# --- in time


@given(st.integers(0, 100_000), st.sampled_from(["read", "write", "delete"]))
def test_a_bucket_takes_what_it_holds_at_once_and_the_rest_at_its_rate(requests: int, operation: Any) -> None:
    capacity, rate = arm_limits.LIMITS[operation]
    seconds = arm_limits.drain_seconds(requests, operation)
    assert seconds >= 0
    assert capacity + seconds * rate >= requests - 1e-6
    assert (seconds == 0) is (requests <= capacity)


@pytest.mark.parametrize(("writes", "impossible"), [(200 + 10 * 60 * 10, False), (200 + 10 * 60 * 10 + 1, True)])
def test_an_objective_that_azures_buckets_do_not_allow_is_found(writes: int, impossible: bool) -> None:
    told = Forecast(
        region="westeurope",
        steps=writes,
        environments=writes,
        decision_seconds=0.0,
        step_seconds=60.0,
        bucket_seconds=arm_limits.drain_seconds(writes, "write"),
        requests={"write": writes},
        objective_seconds=600.0,
    )
    made = Seen(NOW, Settings(), registry(), projections=(Projection("westeurope", forecast=told),))
    errors = [one for one in judge(made)[0] if one.rule == "forecast"]
    assert bool(errors) is impossible
    if impossible:
        assert "Azure's limit on requests" in errors[0].what


def test_a_runbook_that_cannot_be_made_is_reported_unless_its_cause_is() -> None:
    refused = Projection("westeurope", refused="a guard refuses", remedy="look")
    made = Seen(NOW, Settings(targets=["eastus"]), registry(), projections=(refused,))
    assert [one.what for one in judge(made)[0] if one.rule == "runbook"] == [
        "if westeurope is lost, there is no runbook: a guard refuses"
    ]


# --- two checks


severities = st.sampled_from(["error", "warning", "unknown"])
findings = st.lists(
    st.builds(
        lambda rule, severity, subject: finding(rule, severity, subject, "what", "do"),
        st.sampled_from(["lock", "policy", "host"]),
        severities,
        st.sampled_from("abc"),
    ),
    max_size=9,
).map(reported)


def kept(some: list[Finding]) -> Readiness:
    return Readiness(cloud=MARK, taken=rfc3339(NOW), generation=3, findings=tuple(some))


@given(findings, findings)
def test_every_finding_of_two_checks_is_reported_once(before: list[Finding], now: list[Finding]) -> None:
    told = compare(kept(before), now)
    ids = {one.id for one in (*before, *now)}
    assert len(told.worse) + len(told.better) + len(told.hidden) + told.unchanged == len(ids)
    assert not set(told.worse) & set(told.better)


@given(findings, findings)
def test_nothing_is_better_because_its_rule_went_blind(before: list[Finding], now: list[Finding]) -> None:
    old = {one.id: one for one in before}
    blind = {
        one.rule
        for one in now
        if one.severity == "unknown" and (one.id not in old or old[one.id].severity != "unknown")
    }
    for key in compare(kept(before), now).better:
        assert old[key].severity == "unknown" or old[key].rule not in blind or key in {one.id for one in now}


@given(findings)
def test_the_same_check_again_changes_nothing(some: list[Finding]) -> None:
    told = compare(kept(some), some)
    assert (told.worse, told.better, told.hidden, told.unchanged) == ((), (), (), len(some))


@given(findings)
def test_the_gravest_come_first(some: list[Finding]) -> None:
    order = ["error", "warning", "unknown"]
    ranks = [order.index(one.severity) for one in some]
    assert ranks == sorted(ranks)


def test_each_check_is_kept_as_a_new_generation(tmp_path: Any) -> None:
    kept_in = store.Store(tmp_path)
    one = kept([finding("lock", "error", SUB, "what", "do")])
    path = kept_in.keep(one)
    assert path.relative_to(tmp_path).as_posix() == "state/readiness/000001.json"
    assert kept_in.newest(Readiness) == (msgspec.structs.replace(one, generation=1), path)
    assert kept_in.keep(one).name == "000002.json"


def test_a_runbook_made_before_there_were_assumptions_is_still_canonical() -> None:
    made = runbook.Runbook(kind="failover", cloud=MARK, drkit_version="0", of_assessment="a", snapshot_digest="b")
    content = runbook.encode(made)
    assert b"only_assumed" not in content
    assert runbook.decode(content, "old") == made
    assumed = runbook.encode(msgspec.structs.replace(made, only_assumed=True))
    assert runbook.decode(assumed, "new").assumed


@pytest.mark.parametrize("odd", [{}, {"id": None}, {"id": "x"}, {"id": "/subscriptions/s"}])
async def test_a_machine_without_an_id_has_no_size_to_ask_for(odd: dict[str, Any]) -> None:
    whole = {"location": "westeurope", "properties": {"hardwareProfile": {"vmSize": "Standard_D2s_v5"}}}
    fine = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/vm-1"

    async def vms(_subscription: str) -> list[dict[str, Any]]:
        return [{**whole, **odd}, {**whole, "id": fine}]

    azure = cast("Any", SimpleNamespace(compute=SimpleNamespace(vms=vms)))
    found = await capacity_.machines(azure, ["s"], [], ["westeurope"], "2026-11-30T00:00:00Z")
    assert [one.subject for one in found] == [fine]
