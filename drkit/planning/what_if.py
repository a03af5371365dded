"""The assessment of an outage that has not happened: one region assumed lost, all else as the snapshot has it. Pure.

Marked ``assumed``; a runbook made of it is marked too, and nobody may approve it or carry it out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drkit.model import estate
from drkit.model.cloud import CloudMark
from drkit.model.estate import Assessment, Host, HostFinding, Plan, PlanFinding, Snapshot, TargetFacts
from drkit.model.ids import ArmId
from drkit.model.settings import Settings
from drkit.planning.proposal import Proposer
from drkit.planning.transparency import Signals, judge

WHY = "assumed: its region is taken for lost"


def assume(
    snapshot: Snapshot,
    region: str,
    settings: Settings,
    products: Mapping[str, Proposer],
    targets: Sequence[TargetFacts],
    *,
    cloud: CloudMark,
    now: str,
) -> Assessment:
    """What an assessment would say if that region were lost and nothing else had happened. ``now``: RFC 3339.

    Each host's verdict is what the table gives for it: one in the region is lost with it, one nobody can look at stays unknown.
    """
    lost = [plan for plan in snapshot.plans if plan.region == region]
    stand_ins = _stand_ins(lost, snapshot, settings, products)
    return Assessment(
        cloud=cloud,
        taken=now,
        assumed=True,
        snapshot_digest=estate.digest(estate.encode(snapshot)),
        lost_regions=(region,),
        plans=tuple(
            PlanFinding(plan.id, "lost", WHY)
            if plan.region == region
            else PlanFinding(plan.id, "answering", "assumed: it answers")
            for plan in snapshot.plans
        ),
        hosts=tuple(_verdict(host, region) for host in snapshot.hosts),
        targets=tuple(target for target in targets if target.region != region),
        present=tuple(environment for environment in snapshot.environments if environment.plan_key in stand_ins),
        present_plans=tuple(stand_ins.values()),
    )


def _stand_ins(
    lost: Sequence[Plan], snapshot: Snapshot, settings: Settings, products: Mapping[str, Proposer]
) -> dict[ArmId, Plan]:
    """The plans that may take over from the lost ones, which are all in one region."""
    others: dict[str, list[Plan]] = {}
    for plan in snapshot.plans:
        if lost and plan.region != lost[0].region:
            others.setdefault(plan.product, []).append(plan)
    return {
        stand_in.key: stand_in
        for plan in lost
        if plan.product in products
        for stand_in in products[plan.product].stand_ins(plan, others.get(plan.product, []), settings)
    }


def _verdict(host: Host, region: str) -> HostFinding:
    """A machine in the region is down with it; one elsewhere is what it was, as far as it can be looked at."""
    if host.region == region and host.kind == "azure-vm":
        signals = Signals(host_kind=host.kind, arm="found", health="down", region="both")
    elif host.region == region:
        signals = Signals(host_kind=host.kind)
    elif host.kind == "physical":
        signals = Signals(host_kind=host.kind, arm="none")
    else:
        reachable = host.baseline.guest is not None and host.channel == "run-command"
        signals = Signals(
            host_kind=host.kind,
            arm="found",
            instance_id="same",
            os_id="same" if reachable else "unknown",
            boot="same" if reachable else "unknown",
            health="ok",
            probe="up" if reachable else "none",
        )
    verdict = judge(signals)
    return HostFinding(host.id, verdict.outcome, verdict.confidence, verdict.rule, verdict.reason, verdict.notes)
