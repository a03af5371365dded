"""drkit brings region-bound registrations back when an Azure region is lost.

Each public name is one of the module that ``_PLACES`` names, loaded when first used. ``drkit.blocking`` has the same names for code
that is not async; ``drkit.errors`` has what they raise.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and {"drkit", "-mdrkit"} & set(sys.orig_argv):
    # ``python -m drkit`` puts the current folder before everything else: a module or a product of whoever wrote that folder
    # would be loaded with the rights of whoever types. Nothing is imported before this, not even from __future__.
    del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from drkit.version import __version__

if TYPE_CHECKING:
    from drkit import blocking as blocking
    from drkit import errors as errors
    from drkit.api import schema as schema
    from drkit.applying import Applied as Applied
    from drkit.applying import answer as answer
    from drkit.applying import apply as apply
    from drkit.applying import resume as resume
    from drkit.applying import skip as skip
    from drkit.checking import Checked as Checked
    from drkit.checking import check as check
    from drkit.control import abort as abort
    from drkit.control import pause as pause
    from drkit.control import rebase as rebase
    from drkit.control import retry as retry
    from drkit.control import unpause as unpause
    from drkit.control import verify as verify
    from drkit.guided import failover as failover
    from drkit.pipelining import Fit as Fit
    from drkit.pipelining import carry_out as carry_out
    from drkit.pipelining import open_runs as open_runs
    from drkit.pipelining import preflight as preflight
    from drkit.planning import Planned as Planned
    from drkit.planning import approve as approve
    from drkit.planning import plan as plan
    from drkit.planning import show as show
    from drkit.reading import ProbeScript as ProbeScript
    from drkit.reading import assess as assess
    from drkit.reading import init as init
    from drkit.reading import probe_script as probe_script
    from drkit.reading import snapshot as snapshot
    from drkit.rehearsal import drill as drill
    from drkit.rehearsal import happen as happen
    from drkit.rehearsal import simulate as simulate
    from drkit.reporting import owners as owners
    from drkit.reporting import report as report
    from drkit.returning import cleanup as cleanup
    from drkit.returning import failback as failback
    from drkit.standing import Standing as Standing
    from drkit.standing import codes as codes
    from drkit.standing import overview as overview
    from drkit.standing import runs as runs
    from drkit.standing import status as status
    from drkit.telling import Look as Look
    from drkit.telling import explain as explain
    from drkit.telling import watch as watch
    from drkit.workplace import Desk as Desk
    from drkit.workplace import desk as desk

_PLACES = {
    "api": ("schema",),
    "applying": ("Applied", "answer", "apply", "resume", "skip"),
    "planning": ("Planned", "approve", "plan", "show"),
    "reading": ("ProbeScript", "assess", "init", "probe_script", "snapshot"),
    "standing": ("Standing", "codes", "overview", "runs", "status"),
    "checking": ("Checked", "check"),
    "control": ("abort", "pause", "rebase", "retry", "unpause", "verify"),
    "pipelining": ("Fit", "carry_out", "open_runs", "preflight"),
    "guided": ("failover",),
    "rehearsal": ("drill", "happen", "simulate"),
    "reporting": ("owners", "report"),
    "returning": ("cleanup", "failback"),
    "telling": ("Look", "explain", "watch"),
    "workplace": ("Desk", "desk"),
}  # fmt: skip
_PLACE = {name: place for place, names in _PLACES.items() for name in names}
_MODULES = ("blocking", "errors")

__all__ = ["__version__", *_MODULES, *_PLACE]  # noqa: PLE0604  the names are loaded lazily, below


if not TYPE_CHECKING:  # so that a name that is not there is an error to a type checker

    def __getattr__(name: str) -> Any:
        # No module of drkit is called like a public name: loading it would put itself in that name's place.
        if name in _MODULES:
            return import_module(f"drkit.{name}")
        if name not in _PLACE:
            raise AttributeError(f"module 'drkit' has no attribute {name!r}")
        return getattr(import_module(f"drkit.{_PLACE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
