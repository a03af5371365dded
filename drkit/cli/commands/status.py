"""``drkit status``: how far a run is, and the list of runs."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command
from drkit.cli.options import RUN


@command(examples=("drkit status", "drkit status latest --show-code"), words=RUN)
@click.argument("run", required=False)
@click.option("--show-code", is_flag=True, help="Show sign-in codes; only on the machine that runs it.")
@click.option("--open", "only_open", is_flag=True, help="Without RUN: list only runs that can be resumed.")
def status(common: Common, run: str | None, show_code: bool, only_open: bool) -> int:
    """Show how far a run is; without RUN, list the runs."""
    from drkit.api import status as api
    from drkit.cli.views import json
    from drkit.cli.views import status as view

    context = common.context()
    if show_code:
        codes = api.codes(context, run or "latest")
        common.tell({"codes": codes}, lambda: view.codes(codes))
        return 0
    if run is None:
        from drkit.api import ci

        runs = ci.open_runs(context) if only_open else api.runs(context)
        common.tell(lambda: json.runs(runs), lambda: view.runs(runs, only_open=only_open))
        return 0
    from drkit.cli.views import sentences
    from drkit.execution import progress

    run_status = api.status(context, run)
    estimate = progress.estimate(run_status.runbook, run_status.state, context.settings.run.concurrency)
    common.tell(
        lambda: json.run_status(run_status, estimate), lambda: [sentences.progress(estimate), *view.of(run_status)]
    )
    return 0
