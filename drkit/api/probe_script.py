"""The probe as a script, for a host that a person can reach and drkit cannot."""

from __future__ import annotations

from dataclasses import dataclass

from drkit.model.settings import Settings
from drkit.products import registry


@dataclass(frozen=True)
class ProbeScript:
    """A probe to run by hand. ``text``: the script; ``sha256``: of the text; ``command``: what to type on the host to run the file."""

    system: str
    text: str
    sha256: str
    command: str


def probe_script(settings: Settings, system: str) -> ProbeScript:
    """The probe for ``linux`` or ``windows`` hosts. It asks for the registrations that these settings name."""
    from drkit.model import host_scripts
    from drkit.survey import probe
    from drkit.survey.context import registration_paths

    script = host_scripts.probe_for(system)
    asked = host_scripts.encode(probe.registrations_parameter(registration_paths(registry(), settings)))
    command = (
        f"powershell -NoProfile -ExecutionPolicy Bypass -File probe.ps1 {asked} > HOST.txt"
        if script.shell == "powershell"
        else f"sudo sh probe.sh {asked} > HOST.txt"
    )
    return ProbeScript(system, script.text, script.sha256, command)
