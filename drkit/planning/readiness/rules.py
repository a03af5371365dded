"""Every rule, by name, and their application. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

from drkit.model.readiness import Finding
from drkit.planning.readiness import dependency_rules, estate_rules, governance_rules, target_rules
from drkit.planning.readiness.values import Seen, reported

EXPLAINED = frozenset({"offer", "sku", "quota", "provider", "target"})
RuleState = Literal["ok", "error", "warning", "unknown"]

RULES: dict[str, str] = {
    "snapshot": "the snapshot is there, young, complete and plausible",
    "unpushed": "no environment carries unpushed work for longer than the recovery point objective",
    "host": "every host of an environment can be reached by its channel",
    "person": "drkit can bring up every environment by itself",
    "target": "there is a region to move to that is not itself protected",
    "replica": "what would take over is named in drkit.toml, or was made by a run of this store",
    "offer": "every target region offers the plan's type, and its service answers",
    "sku": "every target region offers the machine types in use",
    "quota": "the quota for plans and cores is enough in every target region",
    "capacity": "there is room in the target region",
    "provider": "the resource providers are registered",
    "name": "the names that would be taken at the target are free",
    "deleted": "no softly deleted plan holds such a name",
    "permission": "the identity may make each call a runbook would make",
    "lock": "no lock is in the way",
    "policy": "no policy that denies is in the way",
    "place": "nothing that drkit needs is in a protected region",
    "group-place": "no resource group that must be written to has its metadata in a protected region",
    "runbook": "there would be a runbook for the loss of each protected region",
    "forecast": "recovery fits in the recovery time objective",
}
"""Rule -> what holds when it finds nothing."""
_APPLIED: tuple[Callable[[Seen], Iterator[Finding]], ...] = (
    estate_rules.snapshot,
    estate_rules.unpushed,
    estate_rules.hosts,
    estate_rules.people,
    estate_rules.groups_of_hosts,
    target_rules.targets,
    target_rules.takeovers,
    target_rules.offers,
    target_rules.machines,
    target_rules.names,
    target_rules.runbook,
    target_rules.forecast,
    governance_rules.permissions,
    governance_rules.reading,
    governance_rules.locks,
    governance_rules.policies,
    dependency_rules.places,
)


def judge(seen: Seen) -> tuple[list[Finding], dict[str, RuleState]]:
    """Every finding, the gravest first; and, for each rule, the gravest it found, or ``ok``."""
    findings = reported(finding for rule in _APPLIED for finding in rule(seen))
    explained = {finding.region for finding in findings if finding.severity == "error" and finding.rule in EXPLAINED}
    # A consequence is not reported beside its cause.
    findings = [finding for finding in findings if finding.rule != "runbook" or finding.region not in explained]
    words: dict[str, RuleState] = dict.fromkeys(RULES, "ok")
    for finding in reversed(findings):
        words[finding.rule] = finding.severity
    return findings, words
