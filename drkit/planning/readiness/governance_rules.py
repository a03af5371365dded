"""Rules over what Azure would say to the writes of a runbook: permissions, locks, policies. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from drkit.model import roles
from drkit.model.estate import Reading, region_name
from drkit.model.readiness import Finding
from drkit.planning.readiness.values import UNKNOWN, Seen, Write, finding

NAMED = 4
PROBE = "Microsoft.Compute/virtualMachines/runCommand/action"


def within(path: str, scope: str) -> bool:
    """Whether a path is the scope or is below it."""
    return f"{path.rstrip('/')}/".lower().startswith(f"{scope.rstrip('/')}/".lower())


# permissions


def allows(entries: Iterable[Mapping[str, Any]], action: str) -> bool:
    """Whether these permissions (one entry a role: actions less notActions) allow an action."""
    return any(
        _any(action, entry.get("actions") or ()) and not _any(action, entry.get("notActions") or ())
        for entry in entries
    )


def _any(action: str, patterns: Iterable[object]) -> bool:
    """Role definitions know ``*`` for any characters, and nothing else."""
    return any(
        re.fullmatch(".*".join(re.escape(part) for part in str(pattern).split("*")), action, re.IGNORECASE | re.DOTALL)
        for pattern in patterns
    )


def permissions(seen: Seen) -> Iterator[Finding]:
    """The identity that runs the check may make every call that a runbook would make, if it is the one that acts.

    One that may make none of them is taken for one that only reads: then what the acting identity may do is unknown.
    """
    writes = [write for _, write in seen.writes()]
    if not writes:
        return
    verdicts = {write: _allowed(write, seen) for write in writes}
    acts = "operator" in seen.settings.check.roles
    if not acts and (seen.settings.check.roles or not any(verdicts.values())):
        unread = next((reading for reading in seen.all("permissions") if reading.value == UNKNOWN), None)
        what = (
            "the identity that ran this check may make none of the calls that a runbook would make: whether the one that acts may is "
            f"not known{f' ({unread.detail})' if unread else ''}"
        )
        remedy = 'run `drkit check` under the operator\'s identity too, with [check] roles = ["operator"]'
        yield finding(
            "permission", "unknown", "identity", what, remedy, evidence=[unread] if unread else _read(writes, seen)
        )
        return
    missing: dict[tuple[str, str], list[Write]] = {}
    for write, allowed in verdicts.items():
        if allowed is not True:
            missing.setdefault((write.action, write.group), []).append(write)
    for (action, scope), some in sorted(missing.items()):
        blind = all(verdicts[write] is None for write in some)
        evidence = _read(some[:1], seen)
        subjects = ", ".join(dict.fromkeys(write.path.rsplit("/", 1)[-1] for write in some[:NAMED]))
        how = "whether it is allowed is not known" if blind else "not allowed"
        what = f"{action} at {scope}: {how}; {len(some)} calls need it ({subjects})"
        having = roles.having(action)
        whose = f"drkit's role {having}" if having else f"a role with {action}"
        remedy = (
            "grant Microsoft.Authorization/permissions/read"
            if blind
            else f"grant {whose} at {scope}, beforehand: it may take hours to be in force"
        )
        yield finding("permission", "unknown" if blind else "error", scope, what, remedy, key=action, evidence=evidence)


def _read(writes: Sequence[Write], seen: Seen) -> list[Reading]:
    """The permissions that were read at scopes of these writes; else that none was."""
    readings = {
        reading.subject: reading for write in writes for reading in _readings(write, seen) if reading is not None
    }
    return list(readings.values())[:NAMED] or [seen.here("identity", "permissions", UNKNOWN, "none was read")]


def _readings(write: Write, seen: Seen) -> list[Reading | None]:
    scopes = dict.fromkeys((write.resource, write.group, f"/subscriptions/{write.subscription}"))
    return [seen.one("permissions", scope) for scope in scopes]


def _allowed(write: Write, seen: Seen) -> bool | None:
    """Whether it is allowed at the resource, its group or its subscription; None where nothing could be read."""
    read = [reading for reading in _readings(write, seen) if reading is not None and reading.value != UNKNOWN]
    if not read:
        return None
    return any(allows(reading.value, write.action) for reading in read)


def reading(seen: Seen) -> Iterator[Finding]:
    """This identity may read what drkit's planner reads, of the kinds there are, and probe where a channel says so."""
    kinds = _namespaces(seen)
    planner = [action for action in roles.load()["planner"].actions if action.action.split("/")[0].lower() in kinds]
    for scope in seen.all("permissions"):
        if scope.value == UNKNOWN or len(scope.subject.strip("/").split("/")) != 2:
            continue
        missing = [action for action in planner if not allows(scope.value, action.action)]
        if missing:
            named = ", ".join(f"{action.action} ({action.why})" for action in missing[:NAMED])
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            what = (
                f"the identity that ran this check may not read all that drkit does at {scope.subject}: {named}{more}"
            )
            yield finding(
                "permission",
                "warning",
                scope.subject,
                what,
                "grant drkit's role planner there; without it that is unknown in an outage as well",
                key="planner",
                evidence=[scope],
            )
    hosts = [
        host
        for host in (seen.snapshot.hosts if seen.snapshot else ())
        if host.channel == "run-command" and host.kind == "azure-vm"
    ]
    barred = [host for host in hosts if _probes(host.id, seen) is False]
    if barred:
        named = ", ".join(host.name for host in barred[:NAMED])
        what = f"drkit.toml has run commands for {len(hosts)} machines, and this identity may not run them on {len(barred)}: {named}"
        remedy = (
            "grant drkit's role prober (or operator) on their groups; without it what only the guest knows is unknown"
        )
        evidence = [reading for reading in seen.all("permissions") if reading.value != UNKNOWN][:NAMED]
        yield finding("permission", "warning", "probe", what, remedy, evidence=evidence)


def _probes(host: str, seen: Seen) -> bool | None:
    """Whether this identity may probe a machine, as far as scopes above it were read; None where none was."""
    parts = host.strip("/").split("/")
    read = [seen.one("permissions", "/" + "/".join(parts[:count])) for count in (2, 4, 8)]
    known = [reading for reading in read if reading is not None and reading.value != UNKNOWN]
    return any(allows(reading.value, PROBE) for reading in known) if known else None


def _namespaces(seen: Seen) -> set[str]:
    """The resource providers that this estate has to do with, in lower case."""
    namespaces = {
        "microsoft.resources",
        "microsoft.resourcehealth",
        "microsoft.authorization",
        "microsoft.resourcegraph",
    }
    for plan in seen.snapshot.plans if seen.snapshot else ():
        namespaces.add(plan.id.lower().split("/providers/")[-1].split("/")[0])
    for host in seen.snapshot.hosts if seen.snapshot else ():
        namespaces |= {"azure-vm": {"microsoft.compute", "microsoft.insights"}, "arc": {"microsoft.hybridcompute"}}.get(
            host.kind, set()
        )
    return namespaces


# locks


def locks(seen: Seen) -> Iterator[Finding]:
    """No lock stops a write that a runbook would make: ReadOnly stops all of them, CanNotDelete stops deletions."""
    for reading in seen.all("lock"):
        stopped = [
            (region, write)
            for region, write in seen.writes()
            if within(write.path, reading.subject) and (reading.value == "ReadOnly" or write.method == "DELETE")
        ]
        if not stopped:
            continue
        kinds = ", ".join(sorted({write.action for _, write in stopped}))
        detail = f" ({reading.detail})" if reading.detail else ""
        what = f"a {reading.value} lock{detail} at {reading.subject} would stop {len(stopped)} calls: {kinds}"
        remedy = "remove it beforehand, or say in your outage guide who may: an operator's role rarely may"
        regions = sorted({region for region, _ in stopped})
        yield finding(
            "lock",
            "error",
            reading.subject,
            what,
            remedy,
            key=str(reading.value),
            region=",".join(regions),
            evidence=[reading],
        )
    for reading in seen.all("locks-unread"):
        what = f"which locks there are is not known: {reading.detail}"
        remedy = "grant Microsoft.Authorization/locks/read (Reader has it)"
        yield finding("lock", "unknown", reading.subject, what, remedy, evidence=[reading])


# policies


def policies(seen: Seen) -> Iterator[Finding]:
    """No policy that denies stops a create at the targets. One that drkit cannot evaluate is unknown."""
    made = _made(seen)
    for reading in seen.all("policy"):
        known = reading.value if isinstance(reading.value, dict) else {}
        here = [item for item in made if _applies(known, item[1].path)]
        if not here or known.get("effect") == "none":
            continue
        name = str(known.get("name") or reading.subject.rsplit("/", 1)[-1])
        kind = str(known.get("kind", ""))
        listed = {str(value).lower() for value in known.get("values") or ()}
        # All but the last of these look at what has a location and tags: no group, and nothing below another resource.
        held = [item for item in here if item[1].depth == (4 if kind == "group-locations" else 8)]
        if kind in ("locations", "group-locations"):
            allowed = {region_name(value) for value in listed} | {"global"}
            for place in sorted({item[2] for item in held} - allowed):
                what = f"the policy {name} does not allow {place}; {sum(item[2] == place for item in held)} creations would be refused"
                remedy = f"add {place} to its allowed locations, or exempt the target groups"
                yield finding("policy", "error", reading.subject, what, remedy, key=place, evidence=[reading])
        elif kind in ("types", "denied-types"):
            some = held if kind == "types" else [item for item in here if item[1].depth > 4]
            for type_ in sorted({item[1].kind for item in some}):
                if (type_.lower() in listed) == (kind == "denied-types"):
                    what = f"the policy {name} does not allow {type_}, which a runbook would make"
                    yield finding(
                        "policy",
                        "error",
                        reading.subject,
                        what,
                        "exempt the target groups",
                        key=type_,
                        evidence=[reading],
                    )
        else:
            detail = f": {reading.detail}" if reading.detail else ""
            what = f"the policy {name} may deny what a runbook makes; drkit cannot evaluate it{detail}"
            remedy = "read its rule against the target plan and group, or try a deployment there"
            yield finding("policy", "unknown", reading.subject, what, remedy, evidence=[reading])
    for reading in seen.all("policies-unread"):
        what = f"which policies are assigned is not known: {reading.detail}"
        remedy = "grant Microsoft.Authorization/policyAssignments/read (Reader has it)"
        yield finding("policy", "unknown", reading.subject, what, remedy, evidence=[reading])


def _made(seen: Seen) -> list[tuple[str, Write, str]]:
    """(region lost, write, region it is made in) of everything that runbooks would create in a target region."""
    writes = []
    for projection in seen.projections:
        steps = projection.runbook.steps if projection.runbook else ()
        places = {step.id: step.region for step in steps if step.effect == "create" and step.region}
        writes += [
            (projection.region, write, places[write.step])
            for write in projection.writes
            if write.method == "PUT" and write.step in places
        ]
    return writes


def _applies(known: Mapping[str, Any], path: str) -> bool:
    scope = str(known.get("scope", ""))
    # A management group is above the subscription, else the assignment would not have been listed for it.
    above = scope.lower().startswith("/providers/microsoft.management/")
    excluded: Sequence[object] = known.get("not_scopes") or ()
    return (above or within(path, scope)) and not any(within(path, str(excluded_scope)) for excluded_scope in excluded)
