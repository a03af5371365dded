"""``drkit probe-script``: the probe, for a person to run."""

from __future__ import annotations

import click

from drkit.cli.command import Common, command, note, say


@command("probe-script", examples=("drkit probe-script linux > probe.sh", "drkit probe-script windows > probe.ps1"))
@click.argument("system", type=click.Choice(["linux", "windows"]), default="linux")
def probe_script(common: Common, system: str) -> int:
    """Print the probe, to run by hand on a host that drkit cannot reach."""
    from drkit.api import probe_script as api

    script = api.probe_script(common.context().settings, system)
    if common.json:
        common.tell(script, list)
        return 0
    say(script.text, newline=False)
    if not common.quiet:
        note(f"run it from a file on the host, as an administrator: {script.command}")
        note("collect the outputs in a folder, each named for its host, then: drkit assess --probe-output FOLDER")
    return 0
