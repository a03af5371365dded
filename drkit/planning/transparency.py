"""What happened to a host since its baseline: signals in, verdict out. Nothing here reads a clock, a file or a network.

The rows are the decision table of ``reference/vm-signals.md`` section 4; the first that holds decides. Of Microsoft's
pages, "Accessing and Using Azure VM Unique ID" is behind rows 3 and 10, ``ephemeral-os-disks`` behind 11 to 13,
``understand-vm-reboots`` behind 8, 15 and 28, ``reliability-virtual-machines`` behind 8 and 15,
``maintenance-and-updates`` and ``resource-health-vm-annotation`` behind 25, 28 and 32. WALinuxAgent and cloud-init
decide as rows 3 and 10 do.

The words the rows use, of the signals as they stand after ``_after_first``:

- up: the probe answered. Not up: it failed, or nobody probed.
- reboot: the event is ``reboot-same-host`` or ``reboot-other-host``.
- known: one of ``instance_id``, ``os_id``, ``registration`` is same.
- proved: ``instance_id`` is same, and ``os_id`` or ``registration`` is same.
- agree: ``health`` is ok or unknown.
- alive: ``instance_id`` is not different, and either up, or ``arm`` found with ``health`` ok, ``probe`` not down and
  ``region`` ok or claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from drkit.model.estate import HostKind

Arm = Literal["unreachable", "found", "gone", "none"]
Comparison = Literal["unknown", "same", "different"]
PlatformEvent = Literal["none", "freeze", "reboot-same-host", "reboot-other-host"]
Succession = Literal["none", "moved", "proved", "name-only", "drill"]
HostHealth = Literal["unknown", "ok", "down", "down-within-grace", "stopped"]
Probe = Literal["none", "up", "down"]
RegionLoss = Literal["ok", "claimed", "observed", "both"]
VerdictOutcome = Literal[
    "no-failover", "transparent", "transparent-with-interruption",
    "re-register", "host-lost", "region-lost", "undetermined",
]  # fmt: skip
Confidence = Literal["high", "medium", "low"]

DOMAINS: Mapping[str, tuple[Any, ...]] = MappingProxyType(
    {
        "host_kind": get_args(HostKind),
        "arm": get_args(Arm),
        "instance_id": get_args(Comparison),
        "os_id": get_args(Comparison),
        "registration": get_args(Comparison),
        "boot": get_args(Comparison),
        "physical_host": get_args(Comparison),
        "os_disk": get_args(Comparison),
        "event": get_args(PlatformEvent),
        "ephemeral_os_disk": (False, True),
        "successor": get_args(Succession),
        "health": get_args(HostHealth),
        "probe": get_args(Probe),
        "region": get_args(RegionLoss),
        "arc_cloned": (False, True),
    }
)
"""Field of ``Signals`` -> its values, the default first (``host_kind`` has no default)."""

NOTES: Mapping[str, str] = MappingProxyType(
    {
        "moved": "the same machine has another ARM id",
        "drill-copy": "a test failover made a copy of it",
        "name-only-successor": "another machine looks like it, without proof",
        "region-claimed": "Microsoft or a person says that its region is lost",
        "region-suspected": "most of your hosts in its region are down, and nobody says that the region is lost",
        "identity-differs": "it is lost, and its identity differs too",
        "sources-disagree": "it answers but is reported as unhealthy, or it did not restart although a restart was reported",
        "state-rolled-back": "its disk was restored: everything written since the restore point is gone",
        "zone": "its peers in the zone are down too",
        "provisional": "the event is too recent for the slower sources",
        "old-probe": "the output of its probe is old, so the confidence is one level lower",
    }
)
"""Every word a verdict's ``notes`` may hold, in their order -> what it means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signals:
    """What is known of one host: each field one of ``DOMAINS``, its default ignorance.

    The six comparisons are with the host's baseline. ``evidence`` holds the readings behind the rest and is not judged.
    Raises ValueError, naming the field and its values, for any other value; types count too (1 is not True).
    What each value means: ``reference/vm-signals.md`` section 4.
    """

    host_kind: HostKind
    arm: Arm = "unreachable"
    instance_id: Comparison = "unknown"
    os_id: Comparison = "unknown"
    registration: Comparison = "unknown"
    boot: Comparison = "unknown"
    physical_host: Comparison = "unknown"
    os_disk: Comparison = "unknown"
    event: PlatformEvent = "none"
    ephemeral_os_disk: bool = False
    successor: Succession = "none"
    health: HostHealth = "unknown"
    probe: Probe = "none"
    region: RegionLoss = "ok"
    arc_cloned: bool = False
    evidence: tuple[Any, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in DOMAINS.items():
            value = getattr(self, name)
            if type(value) is not type(allowed[0]) or value not in allowed:
                raise ValueError(f"{name} is {value!r}, which is none of {', '.join(map(repr, allowed))}")
        if type(self.evidence) is not tuple:
            raise ValueError(f"evidence is {self.evidence!r}, which is no tuple")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happened, how sure that is, and why.

    ``rule`` is the number of the row that decided, ``reason`` one word for ``undetermined`` and else empty, ``notes``
    words of ``NOTES`` in their order, ``evidence`` that of the signals.
    """

    outcome: VerdictOutcome
    confidence: Confidence
    rule: int
    reason: str = ""
    notes: tuple[str, ...] = ()
    evidence: tuple[Any, ...] = ()


class Row(NamedTuple):
    """A row as people read it: when it holds, what it decides, and what to print as proof."""

    number: int
    when: str
    outcome: VerdictOutcome
    reason: str
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _View(Signals):
    """The signals as they stand after ``_after_first``, and the words of the rows."""

    trusted: bool = False

    def __post_init__(self) -> None:
        """Nothing to check: a view is made of signals that were checked."""

    @property
    def azure_vm(self) -> bool:
        return self.host_kind == "azure-vm"

    @property
    def up(self) -> bool:
        return self.probe == "up"

    @property
    def silent_vm(self) -> bool:
        """An Azure VM that is not up: the rows of losses speak of no other."""
        return self.azure_vm and not self.up

    @property
    def found_down(self) -> bool:
        return self.arm == "found" and self.health == "down"

    @property
    def reboot(self) -> bool:
        return self.event in ("reboot-same-host", "reboot-other-host")

    @property
    def known(self) -> bool:
        return "same" in (self.instance_id, self.os_id, self.registration)

    @property
    def proved(self) -> bool:
        return self.instance_id == "same" and "same" in (self.os_id, self.registration)

    @property
    def agree(self) -> bool:
        return self.health in ("ok", "unknown")

    @property
    def alive(self) -> bool:
        healthy = self.arm == "found" and self.health == "ok" and self.probe != "down"
        return self.instance_id != "different" and (self.up or (healthy and self.region in ("ok", "claimed")))


_Test = Callable[[_View], bool]


class _Rule(NamedTuple):
    """A row as it is applied. ``confidence`` is a level, or a test: high where it holds, else medium."""

    number: int
    when: str
    holds: _Test
    outcome: VerdictOutcome
    confidence: Confidence | _Test
    reason: str
    evidence: str


# fmt: off
_RULES: tuple[_Rule, ...] = (
    _Rule(1, "arc_cloned", lambda v: v.arc_cloned,
          "re-register", "high", "", "machine id, statusReason"),
    _Rule(2, "successor proved, alive", lambda v: v.successor == "proved" and v.alive,
          "undetermined", "medium", "two-alive",
          "both ARM ids and vmIds: one identity on two machines, a person fences one"),
    _Rule(3, "successor proved", lambda v: v.successor == "proved",
          "re-register", lambda v: v.arm == "gone" or v.health in ("down", "stopped") or v.probe == "down", "",
          "old and new ARM id, vmId, region; recovery point"),
    # Lost: on positive evidence only.
    _Rule(4, "azure-vm, not up, arm gone, region both",
          lambda v: v.silent_vm and v.arm == "gone" and v.region == "both",
          "region-lost", "medium", "", "tracking id, fleet share"),
    _Rule(5, "azure-vm, not up, arm gone", lambda v: v.silent_vm and v.arm == "gone",
          "host-lost", lambda v: v.successor != "name-only", "", "404 code, delete event and caller"),
    _Rule(6, "azure-vm, not up, region both, arm not none, health not stopped; but not (arm found, health ok, "
          "probe none)",
          lambda v: (v.silent_vm and v.region == "both" and v.arm != "none" and v.health != "stopped"
                     and not (v.arm == "found" and v.health == "ok" and v.probe == "none")),
          "region-lost", lambda v: v.found_down, "", "tracking id, fleet share, control check"),
    _Rule(7, "azure-vm, not up, arm found, health down, region observed",
          lambda v: v.silent_vm and v.found_down and v.region == "observed",
          "undetermined", "medium", "region-suspected",
          "fleet share, control check; ask Microsoft's claim again every 5 min, up to 60"),
    _Rule(8, "azure-vm, not up, arm found, health down", lambda v: v.silent_vm and v.found_down,
          "host-lost", lambda v: v.probe == "down", "", "availabilityState, annotation, since when"),
    # An identity was seen to differ.
    _Rule(9, "instance_id different, not azure-vm (or trust_registration), os_id same, registration same, up",
          lambda v: (v.instance_id == "different" and (v.trusted or not v.azure_vm) and v.os_id == "same"
                     and v.registration == "same" and v.up),
          "transparent-with-interruption", "medium", "", "serial or UUID old -> new, registration answer"),
    _Rule(10, "instance_id different", lambda v: v.instance_id == "different",
          "re-register", lambda v: v.arm == "found" or v.up, "", "vmId old -> new, timeCreated"),
    _Rule(11, "os_id different", lambda v: v.os_id == "different",
          "re-register", "high", "", "machine-id, host key fingerprints"),
    _Rule(12, "registration different", lambda v: v.registration == "different",
          "re-register", "medium", "", "what answered"),
    _Rule(13, "ephemeral_os_disk, os_id unknown, registration unknown, and (event reboot-other-host, or boot and "
          "physical_host both different)",
          lambda v: (v.ephemeral_os_disk and v.os_id == v.registration == "unknown"
                     and (v.event == "reboot-other-host" or v.boot == v.physical_host == "different")),
          "re-register", "medium", "", "diffDiskSettings, annotation"),
    # Not known: nothing may be done on it.
    _Rule(14, "not up, arm found, health stopped", lambda v: not v.up and v.arm == "found" and v.health == "stopped",
          "undetermined", "high", "stopped", "operation, caller, time"),
    _Rule(15, "not up, arm found, health down-within-grace",
          lambda v: not v.up and v.arm == "found" and v.health == "down-within-grace",
          "undetermined", "medium", "in-progress", "first bad time, grace end"),
    _Rule(16, "not up, arm found, health unknown", lambda v: not v.up and v.arm == "found" and v.health == "unknown",
          "undetermined", "low", "health-unknown", "what was asked"),
    _Rule(17, "not up, arm gone", lambda v: not v.up and v.arm == "gone",
          "undetermined", "medium", "unregistered", "the Arc object is gone: says nothing of the machine"),
    _Rule(18, "not up, arm unreachable", lambda v: not v.up and v.arm == "unreachable",
          "undetermined", "low", "blind", "exception class, control check"),
    _Rule(19, "not up, arm none", lambda v: not v.up and v.arm == "none",
          "undetermined", "low", "no-witness", "only a probe or a person can tell"),
    _Rule(20, "not up, probe down or health down", lambda v: not v.up and (v.probe == "down" or v.health == "down"),
          "undetermined", "medium", "guest-or-network", "availability metric 1, agent status"),
    _Rule(21, "not up, region observed or both", lambda v: not v.up and v.region in ("observed", "both"),
          "undetermined", "low", "stale", "ARM says healthy while the fleet is not: age of its answer"),
    _Rule(22, "arm gone", lambda v: v.arm == "gone",
          "undetermined", "medium", "contradictory", "404 code; it answers: moved to where we cannot see?"),
    # Up, or ARM alone says found and healthy.
    _Rule(23, "os_disk different, proved", lambda v: v.os_disk == "different" and v.proved,
          "transparent-with-interruption", "medium", "", "disk ids, restore operation; state rolled back"),
    _Rule(24, "os_disk different", lambda v: v.os_disk == "different",
          "undetermined", "medium", "disk-replaced", "disk ids: reimaged or rolled back?"),
    _Rule(25, "boot same, and (physical_host different or event not none)",
          lambda v: v.boot == "same" and (v.physical_host == "different" or v.event != "none"),
          "transparent", lambda v: v.physical_host == "different" and not v.reboot and v.proved and v.agree, "",
          "host old -> new, annotation, pause"),
    _Rule(26, "boot same", lambda v: v.boot == "same",
          "no-failover", lambda v: v.physical_host == "same" and v.proved and v.agree, "", ""),
    _Rule(27, "not known", lambda v: not v.known,
          "undetermined", "low", "identity-unknown", ""),
    _Rule(28, "boot different, and (physical_host different or reboot)",
          lambda v: v.boot == "different" and (v.physical_host == "different" or v.reboot),
          "transparent-with-interruption", lambda v: v.proved and v.agree, "",
          "annotation, downtime from the metric, temp disk lost? IP change?"),
    _Rule(29, "boot different", lambda v: v.boot == "different",
          "transparent-with-interruption", "low", "", "boot_id old -> new; cause unknown, maybe a plain reboot"),
    # Boot unknown: seen through the API only.
    _Rule(30, "reboot", lambda v: v.reboot,
          "transparent-with-interruption", "medium", "", "annotation; OS id not checked"),
    _Rule(31, "physical_host different", lambda v: v.physical_host == "different",
          "transparent-with-interruption", "low", "", "host old -> new"),
    _Rule(32, "event freeze", lambda v: v.event == "freeze",
          "transparent", "medium", "", "annotation"),
    _Rule(33, "otherwise", lambda _: True,
          "no-failover", "medium", "", "no event seen; short freezes are not recorded"),
)
# fmt: on

ROWS: tuple[Row, ...] = tuple(Row(r.number, r.when, r.outcome, r.reason, r.evidence) for r in _RULES)
"""The table for reading, in order; ``Verdict.rule`` is the ``number`` of one of them."""


def judge(signals: Signals, *, trust_registration: bool = False) -> Verdict:
    """The verdict on one host. Every ``Signals`` has one; nothing is raised.

    ``trust_registration`` lets a still valid registration outweigh an Azure VM's new vmId (row 9), as it always does
    for other hosts.
    """
    view = _after_first(signals, trust_registration)
    rule = next(rule for rule in _RULES if rule.holds(view))
    confidence = rule.confidence
    if callable(confidence):
        confidence = "high" if confidence(view) else "medium"
    notes = _notes(signals, view, rule.number)
    return Verdict(rule.outcome, confidence, rule.number, rule.reason, notes, signals.evidence)


def lower_confidence(verdict: Verdict, levels: int = 1) -> Verdict:
    """The verdict, that many levels less sure, low at the least. Raises ValueError for a negative number."""
    if levels < 0:
        raise ValueError(f"levels is {levels}; confidence can only be lowered")
    ladder: tuple[Confidence, ...] = get_args(Confidence)
    return replace(verdict, confidence=ladder[min(ladder.index(verdict.confidence) + levels, len(ladder) - 1)])


def with_notes(verdict: Verdict, *words: str) -> Verdict:
    """The verdict with these words of ``NOTES`` too, each once and in order. Raises ValueError for any other word."""
    for word in words:
        if word not in NOTES:
            raise ValueError(f"{word!r} is no note; notes are {', '.join(NOTES)}")
    return replace(verdict, notes=tuple(word for word in NOTES if word in verdict.notes or word in words))


def _after_first(signals: Signals, trusted: bool) -> _View:
    """The signals as the rows read them ("First, before the rows")."""
    read: dict[str, Any] = {name: getattr(signals, name) for name in DOMAINS}
    if signals.host_kind != "azure-vm":
        read["region"] = "ok"
    if signals.successor == "moved" and signals.arm in ("found", "gone") and signals.instance_id != "different":
        read["arm"], read["instance_id"] = "found", "same"
    if signals.successor in ("moved", "drill"):
        read["successor"] = "none"
    if signals.probe != "up":
        for name in ("os_id", "boot", "physical_host"):
            if read[name] == "same":  # read before it fell silent; a difference read then still counts
                read[name] = "unknown"
    return _View(**read, trusted=trusted)


def _notes(signals: Signals, view: _View, number: int) -> tuple[str, ...]:
    """What else is true and matters to a person; the words of the survey are added by it."""
    differs = "different" in (view.instance_id, view.os_id, view.registration)
    said = {
        "moved": signals.successor == "moved",
        "drill-copy": signals.successor == "drill",
        "name-only-successor": view.successor == "name-only",
        "region-claimed": view.region in ("claimed", "both"),
        "region-suspected": view.region == "observed",
        "identity-differs": 4 <= number <= 8 and differs,
        "sources-disagree": (view.up and not view.agree) or (view.reboot and view.boot == "same"),
        "state-rolled-back": number == 23,
    }
    return tuple(word for word, true in said.items() if true)
