"""What can happen to a host, as named stories: an estate, control calls by the minute, and the verdict at the end.

A story that is also a case of judgement has that case's name. Verdicts suppose a probe wherever one can be run, and
default settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from drkit.simulator.samples.story_estate import REGISTRATION, estate, group, guid, subject, vm

Json = dict[str, Any]
BOTH = 12
"""Minutes after which Microsoft speaks of a lost region."""


@dataclass(frozen=True)
class StoryCall:
    """A control call at a minute of the story: ``call`` and ``body`` as the control interface takes them."""

    minute: float
    call: str
    body: Mapping[str, Any]
    tells: str


@dataclass(frozen=True)
class HostStory:
    """``estate``: what makes this estate another than the plain one. The baseline is taken before minute 0.

    ``ends``: the minute at which ``verdict`` holds: outcome, confidence, rule, reason, notes; of the host ``subject``.
    """

    name: str
    why: str
    timeline: tuple[StoryCall, ...]
    verdict: Mapping[str, Any]
    ends: float = 30
    estate: Mapping[str, Any] = field(default_factory=dict)

    @property
    def subject(self) -> str:
        return subject(self.estate.get("kind", "azure-vm"))

    def seed(self) -> Json:
        """The simulator's seed it is played on."""
        return estate(**self.estate)


def _verdict(outcome: str, rule: int, confidence: str = "high", reason: str = "", *notes: str) -> Json:
    return {"outcome": outcome, "confidence": confidence, "rule": rule, "reason": reason, "notes": list(notes)}


def _same(*notes: str, confidence: str = "high") -> Json:
    return _verdict("no-failover", 26, confidence, "", *notes)


def _open(rule: int, reason: str, confidence: str = "medium", *notes: str) -> Json:
    return _verdict("undetermined", rule, confidence, reason, *notes)


def _host(minute: float, event: str, tells: str, **more: Any) -> StoryCall:
    return StoryCall(minute, "host", {"id": vm("vm-build"), "event": event, **more}, tells)


def _arc(minute: float, tells: str, **more: Any) -> StoryCall:
    return StoryCall(minute, "change", {"id": subject("arc"), **more}, tells)


def _lose(minute: float, **more: Any) -> StoryCall:
    body = {"region": "westeurope", "announce_after": BOTH, **more}
    return StoryCall(minute, "lose", body, "West Europe is lost")


def _announce(tells: str, **more: Any) -> StoryCall:
    return StoryCall(2, "announce", {"region": "westeurope", "after_minutes": BOTH, **more}, tells)


BLIND = {"url": "^https://management\\.azure\\.com/", "status": 503, "times": 0}
OTHER = {"id": guid("environment", "somebody else's"), "user": "ada", "path": REGISTRATION.replace("~", "/home/ada")}
REBOOTED, WIPED = "transparent-with-interruption", "re-register"
RESTORED, CLONED = vm("vm-build-r1", "rg-hosts-neu"), vm("vm-build-copy", "rg-hosts-neu")
ARC, PHYSICAL, EPHEMERAL, REPLICATED = {"kind": "arc"}, {"kind": "physical"}, {"ephemeral": True}, {"protected": True}

_ALL = (
    HostStory("nothing happened", "Nobody did anything.", (), _same(), 5),
    HostStory(
        "live migration",
        "Memory moved to another physical host.",
        (_host(2, "migrate", "it is live-migrated"),),
        _verdict("transparent", 25),
    ),
    HostStory(
        "live migration without an annotation",
        "The platform says nothing; the guest sees another physical host.",
        (_host(2, "migrate", "it is live-migrated", annotated=False),),
        _verdict("transparent", 25),
    ),
    HostStory(
        "ephemeral live migration",
        "A live migration takes the ephemeral disk along.",
        (_host(2, "migrate", "it is live-migrated"),),
        _verdict("transparent", 25),
        estate=EPHEMERAL,
    ),
    HostStory(
        "host update by freeze",
        "Its host is updated while the machine is paused.",
        (_host(2, "freeze", "it is paused for an update of its host"),),
        _verdict("transparent", 25, "medium"),
    ),
    HostStory(
        "storage blip",
        "Its storage was away for two minutes; it stood still and went on.",
        (_host(4, "storage-blip", "its storage is away for two minutes", minutes=2),),
        _verdict("transparent", 25, "medium", "", "sources-disagree"),
    ),
    # it started again, and is what it was
    HostStory(
        "healing",
        "Its node failed; the platform started it on another one.",
        (_host(6, "heal", "it is healed on another node"),),
        _verdict(REBOOTED, 28),
    ),
    HostStory(
        "healing after a long outage",
        "Its node failed, and for twenty minutes nothing happened.",
        (_host(2, "down", "its node fails"), _host(22, "up", "it comes back on another node", other_node=True)),
        _verdict(REBOOTED, 28),
        ends=45,
    ),
    HostStory(
        "host crash, recovered on the same node",
        "Its node crashed and came back.",
        (_host(8, "crash", "its node crashes and comes back", minutes=6),),
        _verdict(REBOOTED, 28),
    ),
    HostStory(
        "redeploy",
        "The customer sent it to another node.",
        (_host(5, "redeploy", "its owner redeploys it", by="ada@contoso.com"),),
        _verdict(REBOOTED, 28),
    ),
    HostStory(
        "deallocate and start",
        "Stopped and started: it comes back on another node.",
        (
            _host(2, "stop", "its owner stops it", by="ada@contoso.com"),
            _host(8, "start", "its owner starts it", by="ada@contoso.com", annotated=False),
        ),
        _verdict(REBOOTED, 28),
    ),
    HostStory(
        "plain reboot",
        "Somebody typed reboot.",
        (_host(2, "reboot", "it is rebooted from inside", annotated=False),),
        _verdict(REBOOTED, 29, "low"),
    ),
    HostStory(
        "restore in place",
        "Backup replaced its disk by an older one, which holds the same registration.",
        (_host(5, "restore_in_place", "its disk is restored from a backup", by="Azure Backup"),),
        _verdict(REBOOTED, 23, "medium", "", "state-rolled-back"),
    ),
    HostStory(
        "resource move, probed",
        "It has another ARM id and is the same machine.",
        (_host(2, "move", "it is moved to another resource group", group=group("rg-moved-weu")),),
        _same("moved"),
    ),
    # it is another machine, or its disk is
    HostStory(
        "reimage",
        "Its OS is a new one, which was never registered.",
        (_host(5, "reimage", "its owner reimages it", by="ada@contoso.com"),),
        _verdict(WIPED, 11),
    ),
    HostStory(
        "boot disk replaced",
        "The same VM starts from another disk.",
        (_host(5, "swap-disk", "its OS disk is swapped for a new one", by="ada@contoso.com"),),
        _verdict(WIPED, 11),
    ),
    HostStory(
        "ephemeral healing, seen by the probe",
        "Service healing wipes an ephemeral OS disk.",
        (_host(6, "heal", "it is healed on another node"),),
        _verdict(WIPED, 11),
        estate=EPHEMERAL,
    ),
    HostStory(
        "registration replaced",
        "A restored disk carries a registration of somebody else's.",
        (_host(5, "restore_in_place", "its disk is restored with another registration", registration=OTHER),),
        _verdict(WIPED, 12, "medium"),
    ),
    HostStory(
        "recreated under the old name",
        "The ARM id is the old one and nothing else is.",
        (_host(5, "recreate", "it is deleted and created again under its name", by="ada@contoso.com"),),
        _verdict(WIPED, 10),
    ),
    HostStory(
        "restore as new, without that trust",
        "Made again under its name from its own disk: the registration answers from another vmId.",
        (_host(5, "recreate", "it is made again from its own disk", content="same", by="ada@contoso.com"),),
        _verdict(WIPED, 10),
    ),
    HostStory(
        "restore as new, proved by its registration",
        "The registration answers from another VM, and the original is gone.",
        (_host(5, "restore_new", "it is restored as a new VM", new_id=RESTORED, location="northeurope"),),
        _verdict(WIPED, 3),
    ),
    HostStory(
        "restore as new, the original kept",
        "Original and copy both run, and both have the registration.",
        (_host(5, "restore_new", "a copy of it is restored", new_id=RESTORED, location="northeurope", keep=True),),
        _open(2, "two-alive"),
    ),
    HostStory(
        "restore as new, the original deleted",
        "A copy from before the registration has its machine-id; that proves nothing.",
        (
            _host(3, "clone", "a copy is made", new_id=CLONED, location="northeurope", registered=False),
            _host(6, "delete", "the original is deleted", by="ada@contoso.com"),
        ),
        _verdict("host-lost", 5, "medium", "", "name-only-successor"),
    ),
    HostStory(
        "clone",
        "A specialised image of it, from before the registration, runs elsewhere; it is what it was.",
        (_host(3, "clone", "a copy of it is made", new_id=CLONED, location="northeurope", registered=False),),
        _same("name-only-successor"),
    ),
    # Site Recovery
    HostStory(
        "ASR failover",
        "Site Recovery started it elsewhere and stopped the source.",
        (_host(3, "asr-failover", "it is failed over"), _host(12, "asr-commit", "the failover is committed")),
        _verdict(WIPED, 3),
        estate=REPLICATED,
    ),
    HostStory(
        "ASR failover, source alive",
        "It was failed over, and nobody stopped the source.",
        (_host(3, "asr-failover", "it is failed over; the source goes on", keep=True),),
        _open(2, "two-alive"),
        estate=REPLICATED,
    ),
    HostStory(
        "ASR failover out of a lost region",
        "Its region is lost, and Site Recovery brings it up elsewhere.",
        (_lose(2), _host(18, "asr-failover", "it is failed over", keep=True)),
        _verdict(WIPED, 3, "high", "", "region-claimed"),
        ends=40,
        estate=REPLICATED,
    ),
    HostStory(
        "ASR test failover",
        "A copy for a drill; the machine goes on.",
        (_host(3, "asr-test-failover", "a test failover makes a copy of it"),),
        _same("drill-copy"),
        estate=REPLICATED,
    ),
    # it is down, or gone, or nobody can tell
    HostStory(
        "down for a moment",
        "Too early to say: Azure first tries the same node, then another.",
        (_host(2, "down", "its node fails"),),
        _open(15, "in-progress"),
        ends=10,
        estate={"health_delay": [1, 1]},
    ),
    HostStory(
        "host down",
        "The platform calls it down, past the grace, and it does not answer.",
        (_host(2, "down", "its node fails, and stays down"),),
        _verdict("host-lost", 8),
    ),
    HostStory(
        "zone down",
        "Its zone is down; the rest of the region is well.",
        (_host(2, "zone-down", "its zone fails"),),
        _verdict("host-lost", 8, "high", "", "zone"),
    ),
    HostStory(
        "zone down, and back",
        "The zone recovered, and its VMs started again where they were.",
        (_host(2, "zone-down", "its zone fails"), _host(25, "zone-up", "the zone recovers")),
        _verdict(REBOOTED, 29, "low"),
        ends=50,
    ),
    HostStory(
        "region down",
        "Its region is lost, and Microsoft says so.",
        (_lose(2),),
        _verdict("region-lost", 6, "high", "", "region-claimed"),
        ends=40,
    ),
    HostStory(
        "region suspected",
        "Its region is lost, and nobody has said so.",
        (_lose(2, announce=False),),
        _open(7, "region-suspected", "medium", "region-suspected"),
    ),
    HostStory(
        "region claimed, only this host down",
        "Microsoft speaks of the region; only this host is down.",
        (_announce("Microsoft reports an incident in West Europe"), _host(4, "down", "its node fails")),
        _verdict("host-lost", 8, "high", "", "region-claimed"),
        ends=35,
    ),
    HostStory(
        "stopped by its owner",
        "Somebody stopped it.",
        (_host(2, "stop", "its owner stops it", by="ada@contoso.com"),),
        _open(14, "stopped", "high"),
    ),
    HostStory(
        "stopped by its owner in a lost region",
        "It was stopped before its region was lost.",
        (_host(2, "stop", "its owner stops it", by="ada@contoso.com"), _lose(8)),
        _open(14, "stopped", "high", "region-claimed"),
        ends=45,
    ),
    HostStory(
        "deleted by its owner",
        "It is gone, and the log says who deleted it.",
        (_host(2, "delete", "its owner deletes it", by="ada@contoso.com"),),
        _verdict("host-lost", 5),
    ),
    HostStory(
        "guest down",
        "Its own system hangs; the platform sees nothing wrong.",
        (_host(2, "guest-hang", "its system hangs"),),
        _open(20, "guest-or-network"),
    ),
    HostStory(
        "blind vantage point",
        "Resource Manager answers nothing from here.",
        (StoryCall(2, "fault", BLIND, "Resource Manager answers 503 to everything"),),
        _open(18, "blind", "low"),
        ends=8,
    ),
    # Microsoft speaks, and it is not so
    HostStory(
        "false alarm",
        "Microsoft speaks of the region, and our machines are well.",
        (_announce("Microsoft reports an incident in West Europe"),),
        _same("region-claimed"),
    ),
    HostStory(
        "false alarm, withdrawn",
        "The event is marked a false positive: no claim.",
        (_announce("Microsoft reports an incident, sent in error", false_positive=True),),
        _same(),
    ),
    HostStory(
        "notice about management operations",
        "An Informational event is no claim.",
        (_announce("Microsoft reports slow management operations", level="Informational"),),
        _same(),
    ),
    HostStory(
        "false alarm about the host",
        "Resource Health calls it down, and it answers from the same boot.",
        (_host(2, "false-alarm", "Resource Health calls it down"),),
        _same("sources-disagree", confidence="medium"),
    ),
    # machines of one's own
    HostStory(
        "arc cloned",
        "Its disk was copied to a second machine.",
        (_arc(2, "its disk is cloned", patch={"properties": {"statusReason": "Cloned"}}),),
        _verdict(WIPED, 1),
        estate=ARC,
    ),
    HostStory(
        "arc disconnected",
        "Its agent sends no heartbeat, which says nothing of the machine.",
        (_arc(2, "it is disconnected", patch={"properties": {"status": "Disconnected"}}),),
        _open(20, "guest-or-network"),
        estate=ARC,
    ),
    HostStory(
        "arc object deleted",
        "Somebody deleted its ARM object.",
        (_arc(2, "its ARM object is deleted", delete=True),),
        _open(17, "unregistered"),
        estate=ARC,
    ),
    HostStory(
        "no witness", "A server in a cupboard; nobody can ask it.", (), _open(19, "no-witness", "low"), 5, PHYSICAL
    ),
)

STORIES: dict[str, HostStory] = {story.name: story for story in _ALL}
