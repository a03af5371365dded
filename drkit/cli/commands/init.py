"""``drkit init``: finds what is registered, and writes settings."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, finish
from drkit.cli.options import subscription_option


@command(examples=("drkit init --out first.toml",))
@subscription_option()
@click.option("--out", metavar="FILE", default="drkit.toml", show_default=True, help="The file to write.")
def init(common: Common, subscriptions: tuple[str, ...], out: str) -> int:
    """Find what is registered in Azure, and write a commented drkit.toml. Read-only."""
    from drkit.api import init as api

    text, path = finish(api.init(common.context(), out, subscriptions=subscriptions, store=common.store or ""))
    common.tell(
        {"path": path, "text": text},
        lambda: [f"kept as {path}", "next: read it, set what is commented out, then `drkit snapshot`"],
    )
    return 0
