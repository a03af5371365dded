"""Why a verdict is what it is: the signals in words, the row that matched, what would have changed it, what to do. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import msgspec

from drkit.errors import RefusedError
from drkit.model.estate import Assessment, Baseline, Carried, Host, HostFinding, Plan, PlanFinding, Reading, Snapshot
from drkit.model.ids import ArmId
from drkit.planning import transparency
from drkit.planning.dispositions import MACHINE_PRESENT
from drkit.planning.plan_state import PlanSignals, plan_state
from drkit.planning.transparency import DOMAINS, NOTES, ROWS, Row, Signals

MOST = 5
"""Other rows that are shown."""
WORDS: Mapping[tuple[str, Any], str] = MappingProxyType(
    {
        ("host_kind", "azure-vm"): "it is an Azure VM",
        ("host_kind", "arc"): "it is an Arc machine",
        ("host_kind", "physical"): "it is a physical server that Azure does not know",
        ("arm", "unreachable"): "Resource Manager cannot be asked about it",
        ("arm", "found"): "Resource Manager has it",
        ("arm", "gone"): "Resource Manager says that it does not exist",
        ("arm", "none"): "Resource Manager knows nothing of it, and never did",
        ("instance_id", "unknown"): "its vmId cannot be compared",
        ("instance_id", "same"): "its vmId is the same",
        ("instance_id", "different"): "its vmId is different",
        ("os_id", "unknown"): "its machine-id and SSH host keys cannot be compared",
        ("os_id", "same"): "its machine-id or SSH host keys are the same",
        ("os_id", "different"): "its machine-id or SSH host keys are different",
        ("registration", "unknown"): "whether its registration is still valid is not known",
        ("registration", "same"): "its registration answers",
        ("registration", "different"): "it has another registration, or the service does not know its own",
        ("boot", "unknown"): "whether it restarted is not known",
        ("boot", "same"): "it has not restarted",
        ("boot", "different"): "it has restarted",
        ("physical_host", "unknown"): "its physical host cannot be compared",
        ("physical_host", "same"): "its physical host is the same",
        ("physical_host", "different"): "its physical host is different",
        ("os_disk", "unknown"): "its OS disk cannot be compared",
        ("os_disk", "same"): "its OS disk is the same",
        ("os_disk", "different"): "its OS disk is different",
        ("event", "none"): "the platform reports no event",
        ("event", "freeze"): "the platform reports a pause",
        ("event", "reboot-same-host"): "the platform reports a restart",
        ("event", "reboot-other-host"): "the platform reports a restart on another physical host",
        ("ephemeral_os_disk", False): "its OS disk is kept when it moves",
        ("ephemeral_os_disk", True): "its OS disk is ephemeral: wiped when it moves",
        ("successor", "none"): "no other machine has taken over from it",
        ("successor", "moved"): "the same machine has another ARM id",
        ("successor", "proved"): "another machine has taken over from it",
        ("successor", "name-only"): "another machine looks like it, without proof",
        ("successor", "drill"): "a test failover made a copy of it",
        ("health", "unknown"): "the platform does not report its health",
        ("health", "ok"): "the platform reports it as available",
        ("health", "down"): "the platform has reported it as unavailable for longer than the grace time",
        ("health", "down-within-grace"): "the platform reports it as unavailable, for less than the grace time",
        ("health", "stopped"): "it was stopped on purpose",
        ("probe", "none"): "it was not probed",
        ("probe", "up"): "the probe answered",
        ("probe", "down"): "the probe got no answer",
        ("region", "ok"): "its region is healthy",
        ("region", "claimed"): "somebody says that its region is lost, but your machines in that region are healthy",
        ("region", "observed"): "most of your machines in its region are down, and nobody says that the region is lost",
        ("region", "both"): "most of your machines in its region are down, and somebody says that the region is lost",
        ("arc_cloned", False): "Arc knows of no clone",
        ("arc_cloned", True): "Arc says that it was cloned",
    }
)
"""A value of a field of ``Signals`` in words."""
ARC_WORDS: Mapping[tuple[str, Any], str] = MappingProxyType(
    {
        ("instance_id", "unknown"): "its hardware id cannot be compared",
        ("instance_id", "same"): "its hardware id is the same",
        ("instance_id", "different"): "its hardware id is different",
        ("health", "ok"): "its agent is connected",
        ("health", "down"): "its agent is disconnected",
    }
)
VERDICTS: Mapping[str, str] = MappingProxyType(
    {
        "no-failover": "nothing happened to it",
        "transparent": "it moved or was paused, and its environment did not notice",
        "transparent-with-interruption": "it restarted, and its registration is still valid",
        "re-register": "it is no longer the machine that the service knows: register it again",
        "host-lost": "it is lost, but its region is not",
        "region-lost": "it is lost with its region",
        "undetermined": "what is known is not enough to decide",
    }
)
TO_DO: Mapping[str, str] = MappingProxyType(
    {
        "no-failover": "Nothing.",
        "transparent": "Nothing. Long network sessions may have been cut by the pause; clocks set themselves.",
        "transparent-with-interruption": "Nothing for the registration. Check that the programs on it were started again.",
        "re-register": "`drkit plan` writes the steps that register it again, with its own plan if that plan is healthy.",
        "host-lost": "Recover the machine first (Azure Backup, Site Recovery, or start it elsewhere); then "
        "`drkit assess`, and `drkit plan` registers the recovered machine.",
        "region-lost": "`drkit plan` writes the runbook that moves to another region; read it before you approve it.",
        "blind": "Look at your own network and sign-in first; then `drkit assess` again, if necessary from another network.",
        "contradictory": "It answers, but Resource Manager says that it does not exist: find out where it was moved to, and "
        "whether your identity may read it there.",
        "disk-replaced": "Find out whether its disk was restored or replaced by a new one; then `drkit assess` with a probe.",
        "guest-or-network": "The platform reports no fault: check its operating system, its console and its network.",
        "health-unknown": "`drkit assess` again in 10 minutes, or run the probe by hand: `drkit probe-script`.",
        "identity-unknown": "drkit could not identify it: run the probe by hand (`drkit probe-script`), then `drkit assess`.",
        "in-progress": "Wait until the grace time is over: Azure first tries the same node, then another one. Then "
        "`drkit assess`.",
        "no-witness": "Only a person or a probe can find out: `drkit probe-script` prints the probe, and "
        "`drkit assess --probe-output FOLDER` reads its output.",
        "region-suspected": "`drkit watch` checks Microsoft's reports every 5 minutes, for an hour; if you know that "
        "the region is lost: `drkit assess --declare-lost REGION --reason TEXT`.",
        "stale": "Resource Manager's answer may be old: `drkit assess` again in 5 minutes.",
        "stopped": "Ask who stopped it. Nothing is registered again for a machine that was stopped on purpose.",
        "two-alive": "Two machines have one identity: stop one of them, then `drkit assess`.",
        "unregistered": "Its Arc resource is gone, which says nothing about the machine: connect it to Arc again, or probe it by hand.",
    }
)
"""What to do by outcome, or by reason where the outcome is undetermined."""

OTHER_READINGS: Mapping[tuple[str, Any], str] = MappingProxyType(
    {
        ("claimed", True): "somebody says that its region is lost",
        ("claimed", False): "nobody says that its region is lost",
        ("service", "yes"): "its regional service answers",
        ("service", "no"): "its regional service does not answer",
        ("control", "yes"): "the same service in another region answers",
        ("control", "no"): "the same service in another region does not answer either",
        ("listing", "yes"): "its environments can be listed",
        ("listing", "no"): "its environments cannot be listed",
        ("arm", "found"): "Resource Manager has it",
        ("arm", "gone"): "Resource Manager says that it does not exist",
    }
)
"""A field of ``PlanSignals`` and a value that it could have had, in words."""


class Change(msgspec.Struct, frozen=True):
    """What else would have been said: the row, its verdict, and the one thing that had to be otherwise."""

    row: int
    verdict: str
    when: tuple[str, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """A host's verdict, explained. ``signals``: what was known, in words; ``evidence``: the readings, oldest first."""

    subject: str
    name: str
    kind: str
    outcome: str
    confidence: str
    meaning: str
    row: int
    row_text: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    otherwise: tuple[Change, ...] = ()
    evidence: tuple[Reading, ...] = ()
    noticed: tuple[str, ...] = ()
    to_do: str = ""
    registration: tuple[str, ...] = ()
    assessed: str = ""
    simulated: bool = False


class PlanExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """A plan's state, explained."""

    subject: str
    name: str
    region: str
    state: str
    reason: str
    failing_since: str = ""
    advice: str = ""
    claims: tuple[str, ...] = ()
    witnesses: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    evidence: tuple[Reading, ...] = ()
    hosts: tuple[str, ...] = ()
    to_do: str = ""
    assessed: str = ""
    simulated: bool = False


def explain_host(
    finding: HostFinding,
    before: Host,
    assessed: Assessment,
    *,
    trust_registration: bool = False,
    in_doubt: Sequence[tuple[str, str]] = (),
) -> Explanation:
    """Explain a host's verdict. ``before``: the host as the snapshot has it.

    ``in_doubt``: what runs know of it that they released and did not prove to be registered since, and what to type.
    """
    given, row = _known(finding)
    carried = [registration for registration in assessed.carried if finding.key == registration.host]
    shown = [name for name in DOMAINS if name != "host_kind" and not _silent(name, finding.signals[name], given)]
    known = tuple(
        words(name, finding.signals[name], given) for name in shown if not _ignorant(name, finding.signals[name])
    )
    unknown = tuple(
        words(name, finding.signals[name], given) for name in shown if _ignorant(name, finding.signals[name])
    )
    return Explanation(
        subject=finding.host,
        name=before.name or finding.key.name,
        kind=WORDS["host_kind", before.kind],
        outcome=finding.outcome,
        confidence=finding.confidence,
        meaning=VERDICTS[finding.outcome],
        row=finding.rule,
        row_text=row.when,
        reason=finding.reason,
        notes=tuple(NOTES[word] for word in finding.notes),
        signals=known,
        unknown=unknown,
        otherwise=otherwise(given, trust_registration=trust_registration),
        evidence=tuple(sorted(finding.readings, key=lambda reading: reading.time)),
        noticed=noticed(finding, before.baseline),
        to_do=_to_do(finding, carried, in_doubt),
        registration=(*(words for words, _ in in_doubt), *(registration.words for registration in carried)),
        assessed=assessed.taken,
        simulated=assessed.cloud.simulated,
    )


def _known(finding: HostFinding) -> tuple[Signals, Row]:
    """The signals of a finding and the row that decided. RefusedError for a finding with words that no table has."""
    row = next((table_row for table_row in ROWS if table_row.number == finding.rule), None)
    odd = [
        *(word for word in finding.notes if word not in NOTES),
        *(name for name in DOMAINS if name not in finding.signals),
    ]
    try:
        given = Signals(**finding.signals)
    except (TypeError, ValueError) as error:
        odd.append(str(error)[:300])
        row = None
    if row is None or odd or finding.outcome not in VERDICTS:
        why = "; ".join(odd) or f"rule {finding.rule}, {finding.outcome}"
        raise RefusedError(
            f"the assessment has values for it that drkit does not know: {why}",
            where=finding.host,
            remedy="`drkit assess` again",
        )
    return given, row


def _to_do(finding: HostFinding, carried: Sequence[Carried], in_doubt: Sequence[tuple[str, str]]) -> str:
    """What to do: first about a registration that is missing, then about the machine."""
    if in_doubt:
        return f"{in_doubt[0][1][:1].upper()}{in_doubt[0][1][1:]}."
    if any(registration.another for registration in carried):
        return "Find out whose registration it has: drkit overwrites nobody's registration."
    if carried and finding.outcome in MACHINE_PRESENT:
        return "`drkit plan --kind repair` writes the steps that register it again, with its own plan, if that plan answers."
    return TO_DO[finding.reason or finding.outcome]


def words(name: str, value: Any, given: Signals) -> str:
    """A signal in words that fit the kind of host."""
    if given.host_kind != "azure-vm" and (name, value) in ARC_WORDS:
        return ARC_WORDS[name, value]
    return WORDS[name, value]


def _ignorant(name: str, value: Any) -> bool:
    return value in ("unknown", "unreachable") or (name, value) == ("probe", "none")


def _silent(name: str, value: Any, given: Signals) -> bool:
    """What need not be said: that nothing odd is true."""
    return (name, value) in (
        ("ephemeral_os_disk", False),
        ("successor", "none"),
        ("arc_cloned", False),
        ("event", "none"),
        *((("region", "ok"),) if given.arm in ("unreachable", "none") else ()),
    ) or (given.host_kind != "azure-vm" and name in ("region", "event", "os_disk", "physical_host"))


def otherwise(given: Signals, *, trust_registration: bool = False) -> tuple[Change, ...]:
    """The rows that nearly matched: those that one other reading would have led to, and whose verdict is another.

    What is not known comes first, since it may yet be learnt.
    """
    mine = transparency.judge(given, trust_registration=trust_registration)
    rows: dict[int, tuple[int, str, list[str]]] = {}
    values = {name: getattr(given, name) for name in DOMAINS}
    for rank, changed, text in _alternatives(given):
        other = transparency.judge(Signals(**(values | changed)), trust_registration=trust_registration)
        if (other.outcome, other.reason) == (mine.outcome, mine.reason):
            continue
        verdict = other.outcome + (f" ({other.reason})" if other.reason else "")
        before = rows.get(other.rule, (rank, verdict, []))
        rows[other.rule] = (min(rank, before[0]), verdict, [*before[2], text])
    ordered = sorted(rows.items(), key=lambda item: (item[1][0], abs(item[0] - mine.rule)))
    return tuple(Change(rule, text, tuple(when)) for rule, (_, text, when) in ordered[:MOST])


def _alternatives(given: Signals) -> Iterator[tuple[int, dict[str, Any], str]]:
    """(rank, fields, words) of each reading that could have been another."""
    if given.probe != "up":
        inside = {"probe": "up", "os_id": "same"}
        yield 0, {**inside, "boot": "same"}, "the probe answered, from the same system, which had not restarted"
        yield 0, {**inside, "boot": "different"}, "the probe answered, from the same system, restarted"
    for name, allowed in DOMAINS.items():
        value = getattr(given, name)
        if name in ("host_kind", "ephemeral_os_disk") or (name == "arc_cloned" and given.host_kind != "arc"):
            continue
        if given.host_kind != "azure-vm" and name in ("region", "event", "os_disk", "physical_host"):
            continue
        if given.host_kind == "physical" and name in ("arm", "health"):
            continue
        if given.probe != "up" and name in ("boot", "physical_host"):
            continue
        rank = 0 if _ignorant(name, value) else 1 if name in ("probe", "health", "region", "boot") else 2
        for other in allowed:
            if (
                other != value
                and not _ignorant(name, other)
                and (name, other) not in (("arm", "none"), ("probe", "up"))
            ):
                yield rank, {name: other}, words(name, other, given)


def noticed(finding: HostFinding, before: Baseline) -> tuple[str, ...]:
    """What a person on the machine will notice of it."""
    signals = finding.signals
    notices: list[str] = []
    alive = finding.outcome in ("transparent", "transparent-with-interruption", "re-register", "no-failover")
    lengths = [reading for reading in finding.readings if reading.signal == "downtime"]
    if lengths:
        detail = dict(part.partition("=")[::2] for part in lengths[-1].detail.split())
        notices.append(
            f"it was down for about {int(lengths[-1].value) // 60} min, "
            f"between {detail.get('from', '')[11:16]} and {_next_minute(detail.get('to', ''))} UTC, as the platform measured it"
        )
    if not alive:
        return tuple(notices)
    if finding.outcome == "transparent":
        notices.append("a pause of seconds (live migration: typically under 5, an update of the host: under 10)")
    if signals["boot"] == "different":
        notices.append("it restarted: what was in memory, and every connection, is gone")
    moved = signals["event"] == "reboot-other-host" or (signals["boot"], signals["physical_host"]) == (
        "different",
        "different",
    )
    if moved:
        notices.append("its temporary disk is empty: it is on another physical host")
    if any(
        reading.signal in ("operation", "annotation") and "dealloc" in str(reading.value).lower()
        for reading in finding.readings
    ):
        notices.append("a dynamic public address may have changed: the machine was deallocated")
    if "state-rolled-back" in finding.notes:
        notices.append("its files are those of the restore point: everything written since then is gone")
    if signals["os_id"] == "different":
        notices.append("it has a new operating system or new SSH host keys: SSH clients will warn about a changed host")
    if finding.successor:
        notices.append(f"another machine has taken over: {finding.successor}")
    notices.extend(_addresses(before, finding.found))
    if "moved" in finding.notes and finding.found:
        notices.append(
            f"its ARM id is {finding.found.id} now: role assignments and alerts on the old id do not apply to it"
        )
    return tuple(notices)


def _next_minute(text: str) -> str:
    """The end of the minute that begins then."""
    if len(text) < 16:
        return ""
    hour, minute = int(text[11:13]), int(text[14:16]) + 1
    return f"{(hour + minute // 60) % 24:02}:{minute % 60:02}"


def _addresses(before: Baseline, now: Host | None) -> list[str]:
    old, new = before.guest, now.baseline.guest if now else None
    if old and new and old.macs and new.macs and not set(old.macs) & set(new.macs):
        return ["its MAC address has changed, and its private and public addresses may have changed"]
    return []


def explain_plan(finding: PlanFinding, subject: Plan, assessed: Assessment, base: Snapshot) -> PlanExplanation:
    """Explain a plan's state."""
    hosts = {
        environment.host.key
        for environment in base.environments
        if environment.plan_key == subject.key and environment.host
    }
    advice = finding.advice
    to_do = {
        "lost": "`drkit plan` writes the runbook that moves to another region; read it before you approve it.",
        "answering": "Nothing.",
        "degraded": "Its service answers: check the environments that do not answer, or ask the service, before you move anything.",
        "gone": "It was deleted, not lost: restore it, or create another one by hand.",
    }
    return PlanExplanation(
        subject=subject.id,
        name=subject.name,
        region=subject.region,
        state=finding.state,
        reason=finding.reason,
        failing_since=finding.failing_since,
        advice=f"{advice.advice}: {advice.reason}" if advice else "",
        claims=tuple(
            f"{claim.kind} {claim.id} by {claim.who} since {claim.since or 'unknown'}: {claim.text}"
            for claim in assessed.claims
            if claim.region == subject.region
        ),
        witnesses=tuple(
            f"{witness.source}: {witness.value}" + (f" ({witness.detail})" if witness.detail else "")
            for witness in assessed.witnesses
        ),
        otherwise=_plan_otherwise(finding, subject, assessed),
        evidence=tuple(sorted(finding.readings, key=lambda reading: reading.time)),
        hosts=tuple(
            f"{verdict.key.name}: {verdict.outcome}" + (f" ({verdict.reason})" if verdict.reason else "")
            for verdict in assessed.hosts
            if verdict.key in hosts
        ),
        to_do=to_do.get(
            finding.state,
            "`drkit watch` checks again; if you know that the region is lost: "
            "`drkit assess --declare-lost REGION --reason TEXT`.",
        ),
        assessed=assessed.taken,
        simulated=assessed.cloud.simulated,
    )


def _plan_otherwise(finding: PlanFinding, subject: Plan, assessed: Assessment) -> tuple[str, ...]:
    """What one other answer would have made of it."""
    values: dict[str, Any] = {}
    for reading in finding.readings:
        name = "control" if reading.signal == "control" else reading.signal
        if name in ("listing", "control", "arm", "heard"):
            values[name] = reading.value
        elif name not in values and reading.value in ("yes", "no", "unknown"):
            values["service"] = reading.value
    values["claimed"] = any(claim.region == subject.region for claim in assessed.claims)
    changes = []
    for (name, value), text in OTHER_READINGS.items():
        if value != values.get(name):
            state, _ = plan_state(PlanSignals(**(values | {name: value})))
            if state != finding.state:
                changes.append(f"{state}, if {text}")
    return tuple(changes)


def subjects(name: str, base: Snapshot) -> tuple[list[Host], list[Plan]]:
    """The hosts and plans that a name means: an id, the last part of one, or an environment's name (then its host)."""
    wanted = name.rstrip("/").lower()

    def fits(arm_id: str, called: str) -> bool:
        return wanted in (ArmId(arm_id).folded, ArmId(arm_id).name.lower(), called.lower())

    hosts = [host for host in base.hosts if fits(host.id, host.name)]
    plans = [plan for plan in base.plans if fits(plan.id, plan.name)]
    if not hosts and not plans:
        linked = {
            environment.host.key
            for environment in base.environments
            if environment.host and wanted in (environment.id.lower(), environment.name.lower())
        }
        hosts = [host for host in base.hosts if host.key in linked]
    return hosts, plans


def names(base: Snapshot) -> list[str]:
    """What hosts, plans and environments are called."""
    return [
        *(host.name for host in base.hosts),
        *(plan.name for plan in base.plans),
        *(environment.name for environment in base.environments),
    ]


def plan_of(name: str, base: Snapshot) -> str:
    """The id of the plan of an environment that has no host of its own; empty when the name is no such environment's."""
    wanted = name.lower()
    homes = {
        environment.plan
        for environment in base.environments
        if not environment.host and wanted in (environment.id.lower(), environment.name.lower())
    }
    return homes.pop() if len(homes) == 1 else ""
