"""Which plan may take over from a lost one: named in drkit.toml, made by drkit, or a candidate that only a tag speaks for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from drkit.errors import RefusedError
from drkit.model.ids import ArmId
from drkit.model.runbook import Runbook, Takeover
from drkit.model.settings import Settings
from drkit.planning.proposal import replica_of


def named(source: str, plan: str, settings: Settings) -> bool:
    """Whether ``replicas`` of a product in drkit.toml names ``plan``, by its ARM id, for the plan ``source``."""
    tables = (table.get("replicas") for table in settings.products.values())
    return any(ArmId(replica_of(source, one)) == plan for one in tables if isinstance(one, Mapping))


def targets(book: Runbook) -> dict[str, Takeover]:
    """What a failover moves to and does not make itself: ARM id -> source plan, and how the file says it was chosen.

    Of ``Takeover``, ``plan`` is the source here. Computed from the steps too, so that a file cannot leave one out.
    """
    if book.kind != "failover":
        return {}
    made = {step.target.lower() for step in book.steps if step.effect == "create"}
    found = {one.plan.lower(): (one.plan, Takeover(source, one.why)) for source, one in book.target_plans.items()}
    for step in book.steps:
        if step.effect == "verify" and step.plan and not step.environment and ArmId(step.plan) != step.target:
            found.setdefault(step.target.lower(), (step.target, Takeover(step.plan, "the runbook does not say why")))
    return {plan: one for key, (plan, one) in found.items() if key not in made}


def candidates(book: Runbook, settings: Settings, made: Mapping[str, str]) -> dict[str, Takeover]:
    """Those of ``targets`` that neither drkit.toml nor a journal speaks for.

    ``made``: what journals say drkit made, plan -> source plan, in lower case.
    """
    return {
        plan: one
        for plan, one in targets(book).items()
        if not named(one.plan, plan, settings) and made.get(plan.lower()) != one.plan.lower()
    }


def unnamed(found: Mapping[str, Takeover], given: Collection[str]) -> list[str]:
    """The candidates that ``given``, whole ARM ids, does not name."""
    return [plan for plan in found if not any(ArmId(plan) == one for one in given)]


def options(found: Iterable[str]) -> str:
    """The options that name candidates on the command line."""
    return " ".join(f"--target {plan}" for plan in found)


def line(plan: str, one: Takeover) -> str:
    """What drkit.toml would say to name a candidate for good."""
    return f'{{ "{ArmId(one.plan).name}" = "{plan}" }}'


def refusal(found: Mapping[str, Takeover], missing: Iterable[str], command: str, where: str) -> RefusedError:
    """Why a runbook with these candidates is not approved or carried out. ``command``: what to type, without the options."""
    rest = list(missing)
    told = "; ".join(f"{plan} for {found[plan].plan} ({found[plan].why})" for plan in rest)
    lines = ", ".join(line(plan, found[plan]) for plan in rest)
    return RefusedError(
        f"neither drkit.toml nor a journal speaks for what takes over: {told}",
        where=where,
        remedy=f"where that is the one you mean, name it: `{command} {options(rest)}`, or, before planning, `replicas = {lines}` "
        "under [products.NAME] in drkit.toml",
    )
