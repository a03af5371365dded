"""``drkit preflight``: what a pipeline does first."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, finish, renamed


@command(examples=("drkit preflight --protected-region westeurope",))
@renamed(
    "--protected-region",
    "--away-from",
    "protected_regions",
    metavar="REGION",
    multiple=True,
    help="A region that may be lost; may be repeated.",
)
@click.option(
    "--machine", metavar="REGION", default="", help="The region of this machine (default: [check] machine, imds)."
)
def preflight(common: Common, protected_regions: tuple[str, ...], machine: str) -> int:
    """Refuse a machine or a store that a recovery cannot depend on. A pipeline runs this first."""
    from drkit.api import ci

    result = finish(ci.preflight(common.context(), protected=protected_regions, machine=machine))
    runs = ", ".join(result.open_runs) or "none"
    common.tell(
        result,
        lambda: [
            f"store {result.store}: outlives this machine",
            f"this machine is in {result.region} ({result.source}), protected: {', '.join(result.protected) or 'none named'}",
            f"open runs: {runs}",
        ],
    )
    common.pipe(lambda view: view.fit(result.open_runs))
    return 0
