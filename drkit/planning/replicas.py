"""Which plan may take over from a lost one: named in drkit.toml, made by drkit, or a candidate that only a tag names. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from drkit.errors import RefusedError
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook, Takeover
from drkit.model.settings import Settings
from drkit.planning.proposal import replica_of


def named(source: str, plan: str, settings: Settings) -> bool:
    """Whether ``replicas`` of a product in drkit.toml names ``plan``, by its ARM id, for the plan ``source``."""
    tables = (product.get("replicas") for product in settings.products.values())
    return any(ArmId(replica_of(source, table)) == plan for table in tables if isinstance(table, Mapping))


def targets(book: Runbook) -> dict[str, Takeover]:
    """What a failover moves to and does not make itself: ARM id -> source plan, and how the file says it was chosen.

    Of ``Takeover``, ``plan`` is the source here. Computed from the steps too, so that a file cannot leave one out.
    """
    if book.kind != "failover":
        return {}
    created = {ArmId(step.target) for step in book.steps if step.effect == "create"}
    takeovers = {ArmId(takeover.plan): Takeover(source, takeover.why) for source, takeover in book.target_plans.items()}
    for step in book.steps:
        if step.effect == "verify" and step.plan and not step.environment and ArmId(step.plan) != step.target:
            takeovers.setdefault(ArmId(step.target), Takeover(step.plan, "the runbook does not say why"))
    return {str(plan): takeover for plan, takeover in takeovers.items() if plan not in created}


def candidates(book: Runbook, settings: Settings, made: Mapping[str, str]) -> dict[str, Takeover]:
    """Those of ``targets`` that neither drkit.toml nor a journal names.

    ``made``: what journals say drkit made, plan -> source plan, in lower case.
    """
    return {
        plan: takeover
        for plan, takeover in targets(book).items()
        if not named(takeover.plan, plan, settings) and made.get(plan.lower()) != takeover.plan.lower()
    }


def unnamed(takeovers: Mapping[str, Takeover], given: Collection[str]) -> list[str]:
    """The candidates that ``given``, whole ARM ids, does not name."""
    named_plans = {ArmId(plan) for plan in given}
    return [plan for plan in takeovers if ArmId(plan) not in named_plans]


def options(plans: Iterable[str]) -> str:
    """The options that name candidates on the command line."""
    return " ".join(f"--target {plan}" for plan in plans)


def line(plan: str, takeover: Takeover) -> str:
    """What drkit.toml would say to name a candidate for good."""
    return f'{{ "{ArmId(takeover.plan).name}" = "{plan}" }}'


def refusal(takeovers: Mapping[str, Takeover], missing: Iterable[str], command: str, where: str) -> RefusedError:
    """Why a runbook with these candidates is not approved or carried out. ``command``: what to type, without the options."""
    rest = list(missing)
    listed = "; ".join(f"{plan} for {takeovers[plan].plan} ({takeovers[plan].why})" for plan in rest)
    lines = ", ".join(line(plan, takeovers[plan]) for plan in rest)
    return RefusedError(
        f"neither drkit.toml nor a journal names what takes over: {listed}",
        where=where,
        remedy=f"where that is the one you mean, name it: `{command} {options(rest)}`, or, before planning, `replicas = {lines}` "
        "under [products.NAME] in drkit.toml",
    )
