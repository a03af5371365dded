"""Rules over the estate itself: its snapshot, its environments' unpushed work, its hosts. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from drkit.model.clock import parse_time, rfc3339
from drkit.model.estate import Environment, Host, Reading, Snapshot
from drkit.model.readiness import Finding
from drkit.planning.readiness.values import UNKNOWN, Seen, finding

TAKE = "`drkit snapshot`; run it by a timer"
NAMED = 5


def snapshot(seen: Seen) -> Iterator[Finding]:
    """The snapshot is there, young, complete, and nothing in it is suspicious."""
    taken = seen.snapshot
    if taken is None:
        evidence = [seen.here("snapshot", "generations", 0, "store")]
        what = "there is no snapshot: a lost region answers nothing"
        yield finding("snapshot", "error", "snapshot", what, TAKE, evidence=evidence)
        return
    age = seen.now - parse_time(taken.taken)
    hours = seen.settings.check.snapshot_hours
    read = Reading("snapshot", "taken", taken.taken, f"store: snapshot {taken.generation}", taken.taken)
    if age > timedelta(hours=hours):
        what = f"the newest snapshot is {_hours(age)} old; {hours:g} h is what [check] snapshot_hours allows"
        yield finding("snapshot", "error", "snapshot", what, TAKE, key="age", evidence=[read])
    machines = {host.key for host in taken.hosts}
    for capture in taken.captures:
        if capture.state == "complete":
            continue
        source = Reading(capture.subject, "capture", capture.state, capture.source, capture.time, capture.detail)
        last = capture.key.name
        what = f"{last} was captured {'not at all' if capture.state == 'failed' else 'in part'} ({capture.source}): {capture.detail}"
        yield finding(
            "snapshot",
            "error" if capture.state == "failed" and capture.key not in machines else "warning",
            capture.subject,
            what,
            "see why, then `drkit snapshot`; what it could not read is carried over from before, and grows old",
            key=capture.source,
            evidence=[source],
        )
    for flag in taken.flags:
        yield finding("snapshot", "warning", "snapshot", flag, TAKE, key=flag.split(" from ")[0], evidence=[read])
    for text in taken.unseen:
        yield finding(
            "snapshot",
            "unknown",
            "snapshot",
            f"not seen {text}",
            "a role, or a channel in drkit.toml, would show it",
            key=text.split(":")[0],
            evidence=[read],
        )


def unpushed(seen: Seen) -> Iterator[Finding]:
    """No environment carries work that nobody pushed for longer than the recovery point objective allows."""
    limit = timedelta(minutes=seen.settings.objectives.recovery_point_minutes)
    dark: dict[str, list[Environment]] = {}
    risky = [
        environment
        for environment in (seen.snapshot.environments if seen.snapshot else ())
        if environment.data_at_risk == "unpushed"
    ]
    since_when = rows_since(risky, seen.generations)
    for environment in seen.snapshot.environments if seen.snapshot else ():
        if environment.data_at_risk == "unknown":
            dark.setdefault(environment.plan, []).append(environment)
        if environment.data_at_risk != "unpushed":
            continue
        since = since_when[environment.product, environment.id]
        if since is None or seen.now - since <= limit:
            continue
        source = seen.kept(environment.id, "data_at_risk", "unpushed", f"since {rfc3339(since)} at the latest")
        what = (
            f"{environment.name} has had unpushed work for at least {_hours(seen.now - since)}; the recovery point objective is "
            f"{_hours(limit)}: what is not pushed is lost with the region"
        )
        yield finding(
            "unpushed",
            "error",
            environment.id,
            what,
            f"ask {environment.owner or 'its owner'} to push",
            owner=environment.owner,
            evidence=[source],
        )
    for plan, some in sorted(dark.items()):
        names = ", ".join(environment.name for environment in some[:NAMED]) + (
            f" and {len(some) - NAMED} more" if len(some) > NAMED else ""
        )
        what = f"whether there is unpushed work is not known for {len(some)} of its environments: {names}"
        evidence = [seen.kept(plan, "data_at_risk", UNKNOWN)]
        remedy = "their service does not say; ask those who use them"
        yield finding("unpushed", "unknown", plan, what, remedy, evidence=evidence)


def rows_since(
    environments: Sequence[Environment], generations: Sequence[Snapshot]
) -> dict[tuple[str, str], datetime | None]:
    """Since when at the latest each environment's work has not been pushed: (product, id) -> its last use, or the first capture of an
    unbroken row that says so. None where neither is known."""
    first: dict[tuple[str, str], str] = {}
    going = {(environment.product, environment.id) for environment in environments}
    for taken in reversed(generations):
        held = {
            (environment.product, environment.id)
            for environment in taken.environments
            if environment.data_at_risk == "unpushed"
        }
        going &= held
        if not going:
            break
        first.update(dict.fromkeys(going, taken.taken))
    times = {
        (environment.product, environment.id): (
            first.get((environment.product, environment.id), ""),
            environment.last_used,
        )
        for environment in environments
    }
    return {
        key: min((moment for text in some if (moment := _moment(text)) is not None), default=None)
        for key, some in times.items()
    }


def _moment(text: str) -> datetime | None:
    try:
        return parse_time(text) if text else None
    except ValueError:
        return None


def hosts(seen: Seen) -> Iterator[Finding]:
    """Every host of an environment can be reached by its channel: it runs, and its agent answers."""
    yield from _agents(seen)
    for host in linked_hosts(seen):
        power, agent = seen.one("power", host.id), seen.one("agent", host.id)
        status = seen.one("arc-status", host.id)
        if host.kind == "azure-vm" and power is not None:
            yield from _machine(host, power, agent, fleet=bool(seen.all("agents-unread")))
        elif host.kind == "arc" and status is not None:
            if status.value == UNKNOWN:
                yield _dark(host, "whether its Arc agent is connected", status)
            elif str(status.value).lower() != "connected":
                what = f"{host.name}: Arc says {status.value}{f' since {status.detail}' if status.detail else ''}"
                yield finding(
                    "host", "error", host.id, what, "start the machine or its azcmagent service", evidence=[status]
                )
        if host.channel in ("ssh", "manual"):
            how = "ssh" if host.channel == "ssh" else "a person"
            yield finding(
                "host",
                "unknown",
                host.id,
                f"{host.name} is reached by {how}, which was not tried: whether that works is not known",
                "try it by hand now and then: `drkit probe-script` prints what to run",
                key="channel",
                evidence=[seen.kept(host.id, "channel", host.channel)],
            )


def _agents(seen: Seen) -> Iterator[Finding]:
    for reading in seen.all("agents-unread"):
        what = f"whether their agents are ready is not known for {reading.value} virtual machines: so many are not asked one by one"
        yield finding(
            "host", "unknown", "hosts", what, "look at a few of them: `az vm get-instance-view`", evidence=[reading]
        )


def _machine(host: Host, power: Reading, agent: Reading | None, *, fleet: bool) -> Iterator[Finding]:
    if power.value == UNKNOWN:
        yield _dark(host, "whether it runs", power)
    elif power.value == "gone":
        what = f"{host.name} is gone from Azure; its environments have no machine"
        yield finding(
            "host",
            "error",
            host.id,
            what,
            "see whether it was deleted on purpose, then `drkit snapshot`",
            evidence=[power],
        )
    elif power.value != "running":
        what = f"{host.name} does not run, so nothing can be registered on it"
        yield finding("host", "error", host.id, what, f"az vm start --ids {shlex.quote(host.id)}", evidence=[power])
    elif fleet:
        return
    elif agent is None or agent.value == UNKNOWN:
        yield _dark(host, "whether its VM agent is ready", agent or power)
    elif agent.value != "ready":
        what = f"{host.name}: its VM agent is not ready ({agent.detail or agent.value}); run commands and extensions need it"
        yield finding("host", "error", host.id, what, "restart the agent on the machine", evidence=[agent])


def _dark(host: Host, what: str, reading: Reading) -> Finding:
    return finding(
        "host",
        "unknown",
        host.id,
        f"{host.name}: {what} is not known: {reading.detail}",
        "see why it could not be read",
        evidence=[reading],
    )


def linked_hosts(seen: Seen) -> list[Host]:
    """The hosts that environments run on."""
    if seen.snapshot is None:
        return []
    wanted = {environment.host.key for environment in seen.snapshot.environments if environment.host}
    return [host for host in seen.snapshot.hosts if host.key in wanted]


def people(seen: Seen) -> Iterator[Finding]:
    """Every environment would be brought up, and no person must do what drkit could."""
    for projection in seen.projections:
        for affected in projection.runbook.environments if projection.runbook else ():
            if affected.disposition not in ("person", "lost", "start"):
                continue
            lost = affected.disposition == "lost"
            what = f"if {projection.region} is lost, {affected.name} {'is lost too' if lost else 'waits for a person'}: {affected.reason}"
            remedy = (
                "it comes back only with a copy of its machine elsewhere (Site Recovery, a backup)"
                if lost
                else "a [[host]] entry or a channel in drkit.toml, where drkit should do it"
            )
            source = "the planner, on an assumed loss"
            evidence = [seen.here(affected.environment, "disposition", affected.disposition, source)]
            region, owner = projection.region, affected.owner
            yield finding(
                "person", "warning", affected.environment, what, remedy, region=region, owner=owner, evidence=evidence
            )


def groups_of_hosts(seen: Seen) -> Iterator[Finding]:
    """No host outside a protected region is in a resource group of that region: writes to the host may fail with the region."""
    wanted = linked_hosts(seen) or list(seen.snapshot.hosts if seen.snapshot else ())
    taken = seen.snapshot.taken if seen.snapshot else ""
    for host in wanted:
        if host.group_region in seen.protected and host.region != host.group_region:
            what = (
                f"{host.name} is in {host.region or 'another place'}, but its resource group's metadata is in "
                f"{host.group_region}: while that region is down, ARM may refuse every write to it, and nothing can be registered there"
            )
            read = Reading(host.id, "group-location", host.group_region, "ARM: resource groups", taken)
            yield finding(
                "group-place",
                "error",
                host.id,
                what,
                f"move it to a group in {host.region or 'its own region'} (az resource move), then `drkit snapshot`",
                region=host.group_region,
                evidence=[read],
            )


def _hours(span: timedelta) -> str:
    hours = span.total_seconds() / 3600
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.0f} days"
