"""``init``: a drkit.toml to begin with, from what is registered."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from drkit.api.capture import narrowed
from drkit.api.context import Context, reading_session
from drkit.errors import RefusedError
from drkit.model import files
from drkit.model import settings as settings_
from drkit.model.estate import Snapshot
from drkit.model.ids import ArmId
from drkit.model.toml_faults import quoted
from drkit.products import registry, tables

HEAD = """# drkit.toml, begun by `drkit init` with what it found. Lines that begin with "#" alone are proposals: uncomment what is so.
# Every key: docs/configuration.md. No secret belongs in this file."""


async def init(context: Context, out: str, *, subscriptions: Sequence[str] = (), store: str = "") -> tuple[str, Path]:
    """Write a commented drkit.toml for what is registered. Only reads Azure. Return the text and the path.

    ``out``: the path; RefusedError (4) when it exists. ``subscriptions``: ids to read instead of those in the settings. ``store``: a
    location that is written into the file.
    """
    from drkit.survey import capture
    from drkit.survey.context import SurveyContext

    path = Path(out)
    if os.path.lexists(path):
        raise RefusedError("is there already", where=out, remedy="choose another --out; nothing was written")
    settings = narrowed(context.settings, subscriptions)
    products = registry()
    async with reading_session(context) as azure:
        source = SurveyContext(azure, products, settings, context.clock, context.cloud.mark)
        taken = await capture.take(source, previous=None)
    lines = {name: product.settings_lines(taken.plans, taken.environments) for name, product in products.items()}
    content = template(taken, lines, store)
    settings_.parse(content, out, tables())
    files.write_out(path, content.encode())
    return content, path


def template(snapshot: Snapshot, products: Mapping[str, Sequence[str]], store: str = "") -> str:
    """The file. ``products``: product -> the lines of its table, without the head. ``store``: where everything is kept."""
    lines = [
        HEAD,
        "",
        *([f"store = {json.dumps(store)}", ""] if store else []),
        *_where(snapshot),
        "",
        *_channels(snapshot),
        "",
    ]
    for name, own in products.items():
        plans = [plan for plan in snapshot.plans if plan.product == name]
        if plans:
            lines += [f"# {name}: {len(plans)} found", *(f"#   {_plain(plan.name)} in {plan.region}" for plan in plans)]
        if own:
            lines += [f"[products.{name}]", *own, ""]
        elif plans:
            lines.append("")
    return "\n".join([*lines, *_hosts(snapshot)]).rstrip() + "\n"


def _where(snapshot: Snapshot) -> list[str]:
    seen = {plan.subscription.lower() for plan in snapshot.plans}
    seen |= {ArmId(host.id).subscription.lower() for host in snapshot.hosts} - {""}
    asked = sorted(seen | set(snapshot.subscriptions))
    used = Counter(plan.region for plan in snapshot.plans)
    pairs = {place.name: place.paired for place in snapshot.locations}
    proposed = list(dict.fromkeys([*used, *(pairs.get(region, "") for region in used)]))
    lines = ["# The subscriptions in which something was found.", f"subscriptions = {json.dumps(asked)}", ""]
    lines.append(
        "# Where to move to when a region is lost, the region preferred most first; a lost one must not be among them."
    )
    if used:
        lines.append(
            "# Plans are in " + ", ".join(f"{region} ({number})" for region, number in sorted(used.items())) + "."
        )
    return [*lines, f"#targets = {json.dumps([region for region in proposed if region])}"]


def _channels(snapshot: Snapshot) -> list[str]:
    kinds = Counter(host.kind for host in snapshot.hosts)
    channels = ", ".join(f"{number} of kind {kind}" for kind, number in sorted(kinds.items())) or "none"
    return [
        f"# Hosts found: {channels}. Without a channel nothing is run on a host, and what can be read only inside it is unknown.",
        "# A probe needs the role for run commands; it runs drkit's own small script and changes nothing.",
        "[channels]",
        '#azure_vm = "run-command"',
    ]


def _hosts(snapshot: Snapshot) -> list[str]:
    lines = []
    for environment in snapshot.environments:
        if environment.kind == "self-hosted" and environment.host is None:
            lines += [
                f"# Which machine {_plain(environment.name)} runs on is not known.",
                "#[[host]]",
                f"#environment = {quoted(environment.id)}",
                '#id = "ARM ID OR NAME OF THE MACHINE"',
                "",
            ]
    return lines


def _plain(name: str) -> str:
    """A name as one line, for a comment."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
