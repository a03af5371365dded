"""drkit brings region-bound registrations back when an Azure region is lost.

``_PLACES`` lists the public names by module; a module is loaded when one of its names is first used. The imports above the list
repeat it for type checkers only. ``drkit.blocking`` offers the same names to code that is not async, built from this list;
``drkit.errors`` has the errors that they raise.
"""

import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path and {"drkit", "-mdrkit"} & set(sys.orig_argv):
    # ``python -m drkit`` searches the current folder first: a module or a product that somebody put there would be loaded with
    # the rights of the user. Nothing is imported before this, not even from __future__.
    del sys.path[0]

from importlib import import_module
from typing import TYPE_CHECKING, Any

from drkit.version import __version__

if TYPE_CHECKING:
    from drkit import blocking as blocking
    from drkit import errors as errors
    from drkit.api.apply import Applied as Applied
    from drkit.api.apply import apply as apply
    from drkit.api.apply import resume as resume
    from drkit.api.assess import assess as assess
    from drkit.api.capture import snapshot as snapshot
    from drkit.api.check import Checked as Checked
    from drkit.api.check import check as check
    from drkit.api.ci import PreflightResult as PreflightResult
    from drkit.api.ci import carry_out as carry_out
    from drkit.api.ci import open_runs as open_runs
    from drkit.api.ci import preflight as preflight
    from drkit.api.cleanup import cleanup as cleanup
    from drkit.api.context import Context as Context
    from drkit.api.context import desk as desk
    from drkit.api.control import abort as abort
    from drkit.api.control import answer as answer
    from drkit.api.control import pause as pause
    from drkit.api.control import rebase as rebase
    from drkit.api.control import retry as retry
    from drkit.api.control import skip as skip
    from drkit.api.control import unpause as unpause
    from drkit.api.control import verify as verify
    from drkit.api.explain import explain as explain
    from drkit.api.failback import failback as failback
    from drkit.api.guided_failover import failover as failover
    from drkit.api.init import init as init
    from drkit.api.plan import Planned as Planned
    from drkit.api.plan import approve as approve
    from drkit.api.plan import plan as plan
    from drkit.api.plan import show as show
    from drkit.api.probe_script import ProbeScript as ProbeScript
    from drkit.api.probe_script import probe_script as probe_script
    from drkit.api.report import owners as owners
    from drkit.api.report import report as report
    from drkit.api.schema import schema as schema
    from drkit.api.status import RunStatus as RunStatus
    from drkit.api.status import codes as codes
    from drkit.api.status import overview as overview
    from drkit.api.status import runs as runs
    from drkit.api.status import status as status
    from drkit.api.watch import WatchUpdate as WatchUpdate
    from drkit.api.watch import watch as watch
    from drkit.cli.drill import drill as drill
    from drkit.drills.simulate import happen as happen
    from drkit.drills.simulate import simulate as simulate

_PLACES = {
    "api.apply": ("Applied", "apply", "resume"),
    "api.assess": ("assess",),
    "api.capture": ("snapshot",),
    "api.check": ("Checked", "check"),
    "api.ci": ("PreflightResult", "carry_out", "open_runs", "preflight"),
    "api.cleanup": ("cleanup",),
    "api.context": ("Context", "desk"),
    "api.control": ("abort", "answer", "pause", "rebase", "retry", "skip", "unpause", "verify"),
    "api.explain": ("explain",),
    "api.failback": ("failback",),
    "api.guided_failover": ("failover",),
    "api.init": ("init",),
    "api.plan": ("Planned", "approve", "plan", "show"),
    "api.probe_script": ("ProbeScript", "probe_script"),
    "api.report": ("owners", "report"),
    "api.schema": ("schema",),
    "api.status": ("RunStatus", "codes", "overview", "runs", "status"),
    "api.watch": ("WatchUpdate", "watch"),
    "cli.drill": ("drill",),
    "drills.simulate": ("happen", "simulate"),
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
