"""A host whose release has left, in real processes on the simulated Azure: whatever happens next, it is registered, or said to be not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drkit.api import apply, control, explain, plan
from drkit.api import cleanup as cleanup_
from drkit.api import report as report_
from drkit.errors import RefusedError
from drkit.planning.explain import Explanation
from drkit.simulator.hybrid_worker import model
from tests.support import round_trip as way
from tests.support import workers
from tests.support.estates import Site
from tests.support.kill_points import place_of
from tests.support.run_process import KILLED, Life, Lives
from tests.support.worker_estate import WORKERS
from tests.support.workers import CONTROL, CUPBOARD, OLD, REPLICA, WEB

SECRET = json.dumps({"Proxy_URL": "s3cret"})


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", SECRET)
    with workers.site(tmp_path, leaping=True) as found:
        workers.lost(found)
        yield found


def killed(site: Site, machine: str, kind: str, action: str) -> None:
    """The run, killed when it is about to journal the first such record of that machine's worker."""
    (step,) = [one.id for one in site.book.steps if one.environment == WORKERS[machine] and one.action == action]
    code = Lives().one(place_of(site), Life(death="before", at=(kind, step)))
    assert code == KILLED, (site.folder / "out.log").read_text()[-2000:]


def step_of(site: Site, machine: str, action: str) -> str:
    return next(one.id for one in site.book.steps if one.environment == WORKERS[machine] and one.action == action)


def resumed(site: Site) -> apply.Applied:
    return way.go_on(site, site.run)


@pytest.mark.parametrize("machine", [WEB, CUPBOARD])
def test_a_deletion_that_left_is_finished_although_its_region_is_back_and_the_run_aborted(
    site: Site, machine: str
) -> None:
    killed(site, machine, "operation", "release")
    way.restore(site)
    control.abort(site.context, site.run, "the region is back")
    applied = resumed(site)
    assert applied.outcome == "failed"
    assert "registered nowhere" not in applied.reason
    assert workers.reported(site)[machine] == [REPLICA]


def test_a_machine_that_goes_away_while_its_extension_is_taken_off_is_said_to_be_registered_nowhere(
    site: Site,
) -> None:
    machine = site.world.simulator.world.resources[CUPBOARD.lower()]

    def away(event: Any) -> None:
        if event.kind == "begun" and event.step.id == step_of(site, CUPBOARD, "release"):
            machine.properties["status"] = "Disconnected"

    assert site.planned is not None
    applied = way.carry_out(site, site.planned, away)
    assert applied.outcome == "partial"
    said = "cupboard may have been taken off auto-we and is registered nowhere"
    assert said in applied.reason
    way.restore(site)
    control.abort(site.context, site.run, "the region is back")
    applied = resumed(site)
    assert (applied.outcome, applied.exit_code) == ("failed", 1)
    assert said in applied.reason
    assert f"`drkit resume {site.run}`" in applied.reason
    report = report_.report(site.context, site.run)
    assert [one["name"] for one in report["in_doubt"]] == ["cupboard"]
    way.assess(site)
    told = explain.explain(site.context, "cupboard")
    assert isinstance(told, Explanation)
    assert told.registration[0] == said
    assert told.to_do == f"`drkit resume {site.run}` goes on with it."
    machine.properties["status"] = "Connected"
    assert "registered nowhere" not in resumed(site).reason
    assert workers.reported(site)[CUPBOARD] == [REPLICA]
    with pytest.raises(RefusedError, match="has ended"):
        resumed(site)


def test_a_skip_of_a_host_that_is_off_is_refused_with_what_to_type(site: Site) -> None:
    killed(site, WEB, "done", "release")
    for action in ("release", "register", "verify"):
        with pytest.raises(RefusedError) as caught:
            control.skip(site.context, site.run, step_of(site, WEB, action), "do not wait for it")
        assert "web-01 may have been taken off auto-we" in caught.value.what
        assert f"`drkit resume {site.run}`" in caught.value.remedy
    assert resumed(site).outcome == "succeeded"


def test_what_somebody_else_installed_between_release_and_registration_is_not_written_over(site: Site) -> None:
    world = site.world.simulator.world
    killed(site, WEB, "intent", "register")
    host, theirs = world.hosts[WEB.lower()], model.account_of(world, world.resources[CONTROL.lower()])
    assert not host.extensions
    other = world.hosts[CUPBOARD.lower()].extensions
    held = next(iter(other.values())) if other else None
    assert held is not None
    copied = type(held)(**{name: getattr(held, name) for name in held.__dataclass_fields__})
    copied.settings = {**held.settings, model.URL: theirs.url}
    host.extensions[copied.name.lower()] = copied
    applied = resumed(site)
    assert (applied.outcome, applied.exit_code) == ("partial", 3)
    assert workers.carried(site, WEB) == [CONTROL]
    detail = site.state.of(step_of(site, WEB, "register")).detail
    assert site.state.of(step_of(site, WEB, "register")).status == "drifted"
    assert theirs.url in detail
    assert "another registration is on it now" in applied.reason
    # A person sees whose it is, and leaves it so.
    control.skip(site.context, site.run, step_of(site, WEB, "register"), "it is theirs now")
    assert resumed(site).outcome == "succeeded-with-exceptions"
    assert workers.carried(site, WEB) == [CONTROL]


def test_a_machine_that_carries_no_registration_any_more_is_noticed_explained_and_registered_again(site: Site) -> None:
    way.restore(site)
    world = site.world.simulator.world
    taken = world.hosts[WEB.lower()].extensions
    (held,) = taken.values()
    taken.clear()
    assessed = way.assess(site)
    assert [(one.name, one.another) for one in assessed.carried] == [("web-01", "")]
    told = explain.explain(site.context, "web-01")
    assert isinstance(told, Explanation)
    assert told.registration == ("web-01 carries no registration any more, and had that of auto-we",)
    assert "plan --kind repair" in told.to_do
    # What installs it again is kept, although a snapshot was taken since.
    way.snapshot(site)
    way.assess(site)
    planned = plan.plan(site.context)
    assert planned.runbook.kind == "repair"
    assert "register" in workers.actions(planned.runbook, WEB)
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    assert workers.reported(site)[WEB] == [OLD]
    assert next(iter(taken.values())).settings == held.settings
    assert way.assess(site).carried == ()


def test_somebody_elses_registration_goes_to_a_person(site: Site) -> None:
    way.restore(site)
    world = site.world.simulator.world
    (held,) = world.hosts[WEB.lower()].extensions.values()
    theirs = model.account_of(world, world.resources[CONTROL.lower()])
    held.settings[model.URL] = theirs.url
    assert [(one.name, one.another) for one in way.assess(site).carried] == [("web-01", theirs.url)]
    planned = plan.plan(site.context)
    assert planned.runbook.steps == ()
    assert any(theirs.url in one.reason for one in planned.runbook.unchanged)
    told = explain.explain(site.context, "web-01")
    assert isinstance(told, Explanation)
    assert told.to_do == "Find out whose registration it has: drkit overwrites nobody's registration."


def unlisted(site: Site, machine: str) -> None:
    """Somebody deletes a machine's worker from its account; its extension stays."""
    world = site.world.simulator.world
    account = model.account_of(world, world.resources[OLD.lower()])
    for group in account.groups.values():
        for key in [key for key, one in group.workers.items() if one.machine.lower() == machine.lower()]:
            del group.workers[key]


def test_a_worker_that_its_account_does_not_list_any_more_is_noticed_explained_and_registered_again(site: Site) -> None:
    way.restore(site)
    unlisted(site, WEB)
    assessed = way.assess(site)
    assert [(one.name, one.another) for one in assessed.carried] == [("web-01", "")]
    told = explain.explain(site.context, "web-01")
    assert isinstance(told, Explanation)
    assert told.registration == ("auto-we does not list web-01 any more",)
    assert "plan --kind repair" in told.to_do
    planned = plan.plan(site.context, kind="repair")
    assert "register" in workers.actions(planned.runbook, WEB)
    assert way.carry_out(site, planned).outcome == "succeeded", way.unfinished(site)
    assert workers.reported(site)[WEB] == [OLD]
    way.snapshot(site)
    assert way.assess(site).carried == ()


def test_a_worker_whose_old_record_was_cleaned_up_is_not_missed_where_it_was(site: Site) -> None:
    assert way.failover(site).outcome == "succeeded", way.unfinished(site)
    way.restore(site)
    way.assess(site)
    assert way.carry_out(site, cleanup_.cleanup(site.context, site.run)).outcome == "succeeded", way.unfinished(site)
    assert way.assess(site).carried == ()
    assert plan.plan(site.context, kind="repair").runbook.steps == ()
