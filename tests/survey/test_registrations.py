"""The registration on a host of Codespaces, as the probe on the host reads it: its own, none, or another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.api import explain, plan
from drkit.model.estate import Assessment, Carried, Snapshot
from drkit.planning.explain import Explanation
from drkit.products import registry
from drkit.products.base import Captured
from drkit.survey import registrations
from tests.support import round_trip as way
from tests.support.estates import Site, estate, guid, host_id


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with estate(tmp_path, lost=False, leaping=True) as found:
        yield found


def machine(site: Site, name: str) -> Any:
    return site.world.simulator.world.hosts[host_id(name).lower()]


def carries(site: Site, environment: str) -> None:
    """The registration on the machine of ``build`` is of that environment now."""
    held = machine(site, "build").registrations
    held[0] = replace(held[0], id=environment)


def found(site: Site) -> list[tuple[str, str]]:
    return [(one.name, one.another) for one in way.assess(site).carried]


def test_a_host_without_a_registration_is_found_by_its_probe_explained_and_registered_again(site: Site) -> None:
    assert found(site) == []
    machine(site, "build").registrations.clear()
    (one,) = way.assess(site).carried
    assert isinstance(one, Carried)
    assert (one.name, one.another, one.host.lower()) == ("build", "", host_id("build").lower())
    assert (one.reading.source, one.reading.value) == ("probe", "none")
    told = explain.explain(site.context, "build")
    assert isinstance(told, Explanation)
    assert told.registration == ("build carries no registration any more, and had that of plan-weu",)
    planned = plan.plan(site.context)
    assert planned.runbook.kind == "repair"
    assert {step.action for step in planned.runbook.steps if step.environment == guid("build")} >= {
        "register",
        "verify",
    }
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    assert found(site) == []


def by_probe(site: Site, **verdict: Any) -> list[tuple[str, str]]:
    """The findings of the newest assessment's readings, where the verdict about the machine of ``build`` is such."""
    assessment, known = site.store.newest(Assessment), site.store.newest(Snapshot)
    assert assessment is not None
    assert known is not None
    base, assessed = known[0], assessment[0]
    environments = [
        msgspec.structs.replace(environment, state="Unavailable") if environment.name == "build" else environment
        for environment in base.environments
    ]
    captured = Captured(environments=tuple(environments), captures=base.captures)
    hosts = [
        msgspec.structs.replace(finding, **verdict) if finding.host.lower() == host_id("build").lower() else finding
        for finding in assessed.hosts
    ]
    return [
        (carried.name, carried.another) for carried in registrations.find(base, captured, registry(), hosts, [], "")
    ]


def test_the_registration_of_a_serving_environment_is_reported_where_the_verdict_does_not(site: Site) -> None:
    carries(site, guid("rack"))
    assessed = way.assess(site)
    (verdict,) = [one.outcome for one in assessed.hosts if one.host.lower() == host_id("build").lower()]
    assert (verdict, assessed.carried) == ("re-register", ()), "the verdict says so itself"
    assert by_probe(site) == []
    assert by_probe(site, outcome="undetermined") == [("build", guid("rack"))]
    assert by_probe(site, outcome="undetermined", signals={"probe": "none"}) == []


def test_a_leftover_that_no_service_knows_is_not_reported(site: Site) -> None:
    carries(site, guid("nobody"))
    assert found(site) == []
    assert by_probe(site, outcome="undetermined") == []


def test_a_registration_that_the_probe_could_not_read_is_not_reported(site: Site) -> None:
    machine(site, "build").registrations.clear()
    machine(site, "build").power = "stopped"
    assert found(site) == []
