"""Rule: nothing that drkit needs in an outage is in a region that may be lost. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from drkit.model.estate import Reading
from drkit.model.ids import ArmId
from drkit.model.readiness import Finding
from drkit.planning.readiness.values import UNKNOWN, Seen, finding

REMEDY = {
    "state store": "keep it in an account elsewhere: [bicep/] makes one; move what it holds with azcopy, then change --store",
    "this machine": "run drkit from an agent pool, or a laptop, in another region",
    "identity": "make one elsewhere, and grant it the same roles beforehand: role assignments may take hours",
}
ELSE = "make one in another region, and name that in drkit.toml"


def places(seen: Seen) -> Iterator[Finding]:
    """The store, the identity, this machine and what [check] needs names stand outside every protected region; so do their groups."""
    for reading in seen.all("needs"):
        what, name = str(reading.detail).partition(": ")[0] or "it", ArmId(reading.subject).name
        if reading.value == UNKNOWN:
            problem = reading.detail.partition(": ")[2]
            text = f"the region of {_called(what, name)} is not known{f': {problem}' if problem else ''}"
            yield finding("place", "unknown", reading.subject, text, _how(what), key=what, evidence=[reading])
        elif reading.value in seen.protected:
            yield from _inside(reading, what, name, str(reading.value), "is")
        group = seen.one("needs-group", reading.subject)
        if group is not None and group.value in seen.protected and group.value != reading.value:
            yield from _inside(group, what, name, str(group.value), "is in a resource group whose metadata is")
    for reading in seen.all("isolation"):
        if str(reading.value).lower() == "regional":
            name = ArmId(reading.subject).name
            text = f"the identity {name} may be given to resources of its own region only (isolation scope Regional), to no agent elsewhere"
            remedy = "set its isolation scope to None, or keep one in each region that drkit may run from"
            yield finding("place", "warning", reading.subject, text, remedy, key="isolation", evidence=[reading])
    for reading in seen.all("target-group"):
        if reading.value in seen.protected and reading.value not in seen.settings.targets:
            text = (
                f"the group {ArmId(reading.subject).name} is tagged for drkit's targets and its metadata is in {reading.value}, which is "
                "protected: while that region is down, ARM may refuse every write into it"
            )
            remedy = "make the target group in a target region, and take the tag off this one"
            yield finding(
                "group-place", "warning", reading.subject, text, remedy, region=str(reading.value), evidence=[reading]
            )
    for reading in seen.all("target-plan"):
        if reading.value in seen.protected:
            text = (
                f"the plan {ArmId(reading.subject).name} is to take over, and its resource group's metadata is in {reading.value}, which "
                "is protected: while that region is down, ARM may refuse every write to it"
            )
            remedy = "move it to a group in its own region (az resource move)"
            yield finding(
                "group-place", "error", reading.subject, text, remedy, region=str(reading.value), evidence=[reading]
            )


def _inside(reading: Reading, what: str, name: str, region: str, how: str) -> Iterator[Finding]:
    text = f"{_called(what, name)} {how} in {region}, a region you protect: when it is lost, drkit is without it"
    yield finding(
        "place",
        "error",
        reading.subject,
        text,
        REMEDY.get(what, ELSE),
        key=f"{what} {region}",
        region=region,
        evidence=[reading],
    )


def _called(what: str, name: str) -> str:
    return what if what in (name, "this machine") else f"the {what} {name}"


def _how(what: str) -> str:
    if what == "this machine":
        return 'say where your agents stand: [check] machine = "REGION", or "imds" to ask the virtual machine itself'
    return "name a subscription that drkit may read, or look yourself"
