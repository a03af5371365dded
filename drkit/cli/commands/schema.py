"""``drkit schema``: the JSON Schema of a kind of file."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, say

KINDS = ("snapshot", "assessment", "readiness", "runbook", "settings", "approval", "journal")


@command(examples=("drkit schema runbook",))
@click.argument("kind", type=click.Choice(KINDS))
def schema(common: Common, kind: str) -> int:
    """Print the JSON Schema of a kind of file."""
    from drkit.api import schema as api
    from drkit.cli.views import json

    del common
    say(json.encode(api.schema(kind)))
    return 0
