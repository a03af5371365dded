"""What would stop us on the day: rules over readings. Pure.

``values`` are what goes in and comes out; each module of rules has the rules of one kind; ``judge`` applies them all, and
``compare`` says what became worse since last time.
"""

from __future__ import annotations

from drkit.planning.readiness.compare import compare
from drkit.planning.readiness.rules import RULES, judge
from drkit.planning.readiness.values import Projection, Seen, Write, action_of, protected_regions, reported, writes_of

__all__ = [
    "RULES",
    "Projection",
    "Seen",
    "Write",
    "action_of",
    "compare",
    "judge",
    "protected_regions",
    "reported",
    "writes_of",
]
