"""What happens to Codespaces steps when requests are cut, people stay away and hosts behave as hosts do.

Against the simulated service and its hosts, with the commands as processes of their own; judged by the simulator's
record and by what exists afterwards.
"""

from __future__ import annotations

import asyncio
import signal
import stat
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from drkit.api import apply, assess, plan
from drkit.execution.events import Event
from drkit.execution.sign_in_codes import socket_path
from drkit.model.clock import parse_time
from drkit.simulator.codespaces.environments import SimulatedEnvironment
from drkit.simulator.hosts.machine import Registration
from tests.support.estates import (
    HOSTED,
    MANAGED,
    NEXT,
    REGION,
    SUBSCRIPTION,
    TARGET,
    People,
    Site,
    done_twice,
    estate,
    guid,
    owner,
    plan_id,
    vm,
    wait_for,
)
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.slow

WAIT = ("--wait", "30", "--quiet")


def in_world(site: Site, act: Callable[[], None]) -> None:
    """Something happens in the world that no control call does, between two requests."""
    done = threading.Event()

    def acting() -> None:
        act()
        done.set()

    site.world._loop.call_soon_threadsafe(acting)
    assert done.wait(PATIENCE)


def run_command(name: str) -> str:
    """All scripts of a host go to one URL; reach is the first."""
    return f"virtualMachines/vm-{name}/runCommand"


# --- requests that are cut ---------------------------------------------------------------------------------------------


def test_requests_cut_after_they_were_acted_on_are_found_and_not_made_again(tmp_path: Path) -> None:
    with estate(tmp_path) as site, People(site):
        fault = site.world.control
        fault("fault", method="PUT", url="/plans/", drop="after")
        posts = {"method": "POST", "url": f"{TARGET}.*/api/v1/environments"}
        fault("fault", **posts, nth=1, drop="after")
        fault("fault", **posts, nth=2, html=True, status=502)
        fault("fault", **posts, nth=3, truncate=True)
        # reach, release and register of one host; the third delivery is of release again.
        for number in (1, 2, 4):
            fault("fault", method="POST", url=run_command("build"), nth=number, drop="after")
        assert site.apply(*WAIT) == 0
        made = site.under(TARGET)
        assert sorted(made) == ["api", "bench", "build", "docs", "rack", "shop"]
        assert {one["state"] for one in made.values()} == {"Available"}
        plans = [
            one
            for one in site.world.view("state")["resources"]
            if one["location"] == TARGET and "plans/plan-weu" in one["id"]
        ]
        assert len(plans) == 1
        # A PUT says the whole of what is to be, so the pipeline may repeat it; all else was sent once, or had no effect.
        assert [fault for fault in done_twice(site) if ": put " not in fault] == []
        assert site.starts("build") == 1


def test_what_a_cut_request_made_is_not_made_under_a_second_name_while_lists_lag_behind(tmp_path: Path) -> None:
    with estate(tmp_path) as site, People(site):
        posts = {"method": "POST", "url": f"{TARGET}.*/api/v1/environments"}
        for number in (1, 2, 3):
            site.world.control("fault", **posts, nth=number, drop="after")
        site.world.control("fault", method="GET", url=r"/environments\?", stale=60, times=0)
        assert site.apply(*WAIT) == 0
        assert any(one.get("behind") for one in site.record())
        assert sorted(site.under(TARGET)) == ["api", "bench", "build", "docs", "rack", "shop"]
        assert done_twice(site) == []


def test_requests_refused_or_cut_before_they_were_acted_on_are_made_once_looked_for(tmp_path: Path) -> None:
    with estate(tmp_path) as site, People(site):
        fault = site.world.control
        fault("fault", method="PUT", url="/resourcegroups/", drop="before")
        posts = {"method": "POST", "url": f"{TARGET}.*/api/v1/environments"}
        fault("fault", **posts, nth=1, status=500)
        fault("fault", **posts, nth=2, drop="before")
        fault("fault", method="POST", url="writeDelegates", nth=2, status=503)
        for number in (1, 2, 4):
            fault("fault", method="POST", url=run_command("build"), nth=number, drop="before")
        fault("fault", method="POST", url=run_command("bench"), nth=2, times=2, status=503)
        fault(
            "fault", method="POST", url=run_command("bench"), nth=3, lro="fail", code="VMAgentStatusCommunicationError"
        )
        assert site.apply(*WAIT) == 0
        assert sorted(site.under(TARGET)) == ["api", "bench", "build", "docs", "rack", "shop"]
        assert done_twice(site) == []


# --- people ------------------------------------------------------------------------------------------------------------


def test_people_who_stay_away_hold_up_nothing_but_their_own(tmp_path: Path) -> None:
    """One is not ready, one is ready and never signs in; and one machine's new registration never becomes Available."""
    people: dict[str, dict[str, float | None]] = {"bench": {"ready_after": 0, "signs_in_after": None}}
    behaviour = {name: {"stop_while_lost": "succeed"} for name in HOSTED} | {"rack": {"start": "never-available"}}
    times = "[run]\nsign_in_minutes = 18\n"
    with (
        estate(tmp_path, people=people, behaviour=behaviour, tail=times) as site,
        People(site, unheard=["build"]),
    ):
        process = site.start("apply", site.planned.digest if site.planned else "", "--wait", "1")
        shown: set[str] = set()
        path = wait_for(lambda: site.run and socket_path(site.store.folder, site.run))
        while process.poll() is None:
            if path.exists():
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
                assert path.stat().st_mode & 0o077 == 0
            seen = site.call("status", site.run, "--show-code") if site.run and path.exists() else None
            if seen and seen.returncode == 0:
                shown |= {code for code in site.world.codes(vm("bench")) if code in seen.stdout}
            time.sleep(0.5)
        assert process.returncode == 3
        assert site.state.outcome == "partial"
        made = site.under(TARGET)
        assert sorted(made) == ["api", "docs", "rack", "shop"]

        # Never Available: given up in time, and said as the service says it.
        assert "not finished after 20 min; the service says: Unavailable" in site.detail("rack", "verify")

        # Nobody was ready: nothing was done on that host.
        assert site.status("build", "ready") == "asked"
        assert site.scripts("build", "codespaces_release") == []
        assert [one["id"] for one in site.host("build")["registrations"]] == [guid("build")]

        # Nobody signed in: a second code was shown when the first expired, and the old registration is back.
        printed = (site.folder / "out.log").read_text()
        codes = site.world.codes(vm("bench"))
        assert len(codes) == 2
        assert all(code in printed for code in codes)
        assert shown == codes
        assert site.status("bench", "register") == "failed"
        assert "nobody signed in within 18 min" in site.detail("bench", "register")
        assert [one["id"] for one in site.host("bench")["registrations"]] == [guid("bench")]
        assert len(site.scripts("bench", "codespaces_restore")) == 1

        # Elsewhere, and after it ended, nobody has the codes.
        after = site.call("status", site.run, "--show-code")
        assert after.returncode == 4

        # The owners are found: resume asks again, and releases again.
        site.world.control("people", owner=owner("bench"), ready_after=0, signs_in_after=5)
        assert site.call("skip", site.run, site.step("build", "ready"), "--reason", "on leave").returncode == 0
        rack = next(one for one in site.environments() if one["name"] == "rack" and one["plan"] != plan_id())
        in_world(site, lambda: setattr(site.world.simulator.world.environments[rack["id"]], "dead", False))
        assert site.resume(*WAIT) == 0
        assert site.state.outcome == "succeeded-with-exceptions"
        assert site.kinds("bench", "ready") == ["asked", "answered", "reopen", "asked", "answered"]
        assert site.kinds("bench", "release").count("done") == 2
        made = site.under(TARGET)
        assert made["bench"]["state"] == "Available"
        assert made["bench"]["hosts"] == [vm("bench")]
        assert len(site.host("bench")["registrations"]) == 1
        assert site.detail("build", "ready") == "on leave"


# --- hosts -------------------------------------------------------------------------------------------------------------


def test_a_name_held_by_a_record_nobody_sees_is_left_for_the_second_one(tmp_path: Path) -> None:
    """For a managed environment and for a host; and a ``stop`` that hangs or fails while its region is down.

    One host lost its workspace since: its old registration, moved aside, is put back.
    """
    behaviour = {"build": {"stop_while_lost": "hang"}, "bench": {"stop_while_lost": "fail"}}
    with estate(tmp_path, behaviour=behaviour) as site, People(site):
        world = site.world.simulator.world
        target = next(str(step.target) for step in site.book.steps if step.action == "create-plan")

        def hold() -> None:
            now = world.now()
            for name in ("api", "build"):
                hidden = SimulatedEnvironment(
                    f"hidden-{name}", "staticEnvironment", name, target, owner("billing"), now, now, invisible=True
                )
                world.environments[hidden.id] = hidden

        in_world(site, hold)
        in_world(site, lambda: world.hosts[vm("bench").lower()].folders.clear())
        assert site.apply(*WAIT) == 3
        made = site.under(TARGET)
        assert {name for name, one in made.items() if not one["invisible"]} == {
            "api-2",
            "build-2",
            "shop",
            "docs",
            "rack",
        }
        assert made["build-2"]["hosts"] == [vm("build")]
        for name in HOSTED:
            assert site.state.of(site.step(name, "release")).data["state"] == "forgotten"
            assert len(site.host(name)["registrations"]) == 1
        assert "the host has no folder" in site.detail("bench", "register")
        assert "its old registration is back" in site.detail("bench", "register")
        assert site.host("bench")["registrations"][0]["id"] == guid("bench")
        assert site.state.of(site.step("build", "verify")).data["name"] == "build-2"


def test_a_host_that_is_not_as_planned_is_left_untouched(tmp_path: Path) -> None:
    """Another environment is registered there; or it has no command line."""
    with estate(tmp_path) as site, People(site):
        world = site.world.simulator.world
        other = guid("somebody else's")

        def change() -> None:
            world.hosts[vm("build").lower()].registrations[0].id = other
            world.hosts[vm("bench").lower()].cli = False

        in_world(site, change)
        assert site.apply(*WAIT) == 3
        assert f"another environment is registered there ({other}): nothing was touched" in site.detail(
            "build", "release"
        )
        assert "no codespaces command line" in site.detail("bench", "release")
        assert [one["id"] for one in site.host("build")["registrations"]] == [other]
        assert [one["id"] for one in site.host("bench")["registrations"]] == [guid("bench")]
        for name in HOSTED:
            assert site.starts(name) == 0
            assert len(site.scripts(name, "codespaces_release")) == 1
        assert set(site.under(TARGET)) == {*MANAGED, "rack"}


def test_already_registered_and_refused_across_regions_are_reported_and_not_repeated(tmp_path: Path) -> None:
    people: dict[str, dict[str, float | None]] = {"build": {"signs_in_after": 60}}
    behaviour = {"bench": {"stop_while_lost": "succeed", "start": "unauthorized"}}
    with estate(tmp_path, people=people, behaviour=behaviour) as site, People(site):
        world = site.world.simulator.world
        other = guid("somebody else's")
        process = site.start("apply", site.planned.digest if site.planned else "", *WAIT)
        wait_for(lambda: site.host("build")["jobs"])
        in_world(
            site,
            lambda: world.hosts[vm("build").lower()].registrations.append(
                Registration(other, "root", "/root/other.json")
            ),
        )
        assert site.finish(process) == 3
        assert f"registered already, as {other}" in site.detail("build", "register")
        assert "Unauthorized" in site.detail("bench", "register")
        assert "its old registration is back" in site.detail("bench", "register")
        assert [one["id"] for one in site.host("bench")["registrations"]] == [guid("bench")]
        assert [site.starts(name) for name in HOSTED] == [1, 1]


def test_what_the_service_has_is_believed_where_the_host_shows_nothing(tmp_path: Path) -> None:
    """The command line keeps its registration elsewhere than the settings say: nothing old is put back beside it."""
    with (
        estate(
            tmp_path, registration_path="~/.elsewhere/environment.json", tail="[run]\nsign_in_minutes = 2\n"
        ) as site,
        People(site),
    ):
        assert site.apply(*WAIT) == 0
        for name in HOSTED:
            assert site.starts(name) == 1
            assert site.scripts(name, "codespaces_restore") == []
            assert len(site.host(name)["registrations"]) == 1


# --- the region comes back ---------------------------------------------------------------------------------------------


def test_the_plan_answering_again_stops_what_has_not_begun_and_finishes_what_has(tmp_path: Path) -> None:
    people: dict[str, dict[str, float | None]] = {"bench": {"ready_after": 300}, "build": {"signs_in_after": 120}}
    with estate(tmp_path, people=people) as site, People(site):
        posts = {"method": "POST", "url": f"{TARGET}.*/api/v1/environments"}
        site.world.control("fault", **posts, nth=2, times=0, status=503)
        process = site.start("apply", site.planned.digest if site.planned else "", *WAIT)
        wait_for(lambda: site.run and site.status("build", "release") == "done")
        site.world.control("restore", region=REGION)
        site.world.control("unfault")
        assert site.finish(process) == 3
        assert site.status("build", "verify") == "done"
        assert site.under(TARGET)["build"]["state"] == "Available"
        assert site.status("bench", "release") == "drifted"
        for name in ("shop", "docs"):
            assert site.status(name, "create") == "drifted"
            assert "answers of plan-weu is 'yes', not 'no'" in site.detail(name, "create")
        assert site.scripts("bench", "codespaces_release") == []
        assert [one["id"] for one in site.host("bench")["registrations"]] == [guid("bench")]
        assert done_twice(site) == []


def test_a_release_under_way_when_its_process_died_is_finished_although_the_plan_answers_again(tmp_path: Path) -> None:
    with estate(tmp_path) as site, People(site, unheard=["bench"]):
        planned = len(site.record())
        # Its request is carried out, and the process dies before it hears so.
        site.world.control("fault", method="POST", url=run_command("build"), nth=2, delay=40)
        process = site.start("apply", site.planned.digest if site.planned else "", *WAIT)
        path = f"{vm('build')}/runCommand".lower()
        wait_for(lambda: sum(one["path"].lower() == path for one in site.record()[planned:]) == 2)
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: not site.host("build")["registrations"])
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert site.status("build", "release") == "open"
        assert site.kinds("build", "release") == ["intent"]
        site.world.control("restore", region=REGION)
        assert site.resume("--wait", "2", "--quiet") == 3
        assert site.kinds("build", "release") == ["intent", "done"]
        assert site.under(TARGET)["build"]["state"] == "Available"
        assert done_twice(site) == []


# --- no room -----------------------------------------------------------------------------------------------------------


def test_a_target_that_refuses_at_the_last_moment_is_passed_over_by_the_next_plan(tmp_path: Path) -> None:
    with estate(tmp_path) as site, People(site):
        world = site.world
        secret, bearer = world.facts["client_secret"], "eyJhbGciOiJub25lIn0.eyJvaWQiOiJ4In0.c2lnbmF0dXJl"
        world.control("quota", subscription=SUBSCRIPTION, region=TARGET, kind="plans", limit=2)
        # A refusal that repeats what it was sent: no word of that is kept or shown.
        said = f"You have exceeded the quota. client_secret={secret} Authorization: Bearer {bearer}"
        world.control("fault", method="PUT", url="/plans/", status=403, code="ExceededQuota", message=said)
        assert site.apply(*WAIT) == 1
        assert site.state.outcome == "failed"
        printed = (site.folder / "out.log").read_text()
        assert "goes to the next region" in " ".join(printed.split())
        assert site.under(TARGET) == {}
        assert all(site.starts(name) == 0 for name in HOSTED)
        for _, content in site.everything():
            assert bearer.encode() not in content

        asyncio.run(assess.assess(site.context))
        site.planned = plan.plan(site.context)
        assert set(site.book.target_regions.values()) == {NEXT}
        assert any(f"not {TARGET}" in note and "quota" in note and "run-0001" in note for note in site.book.notes)
        plan.approve(site.context, site.planned.digest)
        assert site.apply(*WAIT) == 0
        assert sorted(site.under(NEXT)) == ["api", "bench", "build", "docs", "rack", "shop"]
        assert done_twice(site) == []


def test_a_script_that_never_arrives_is_given_up_after_some_minutes_and_the_rest_continues(tmp_path: Path) -> None:
    with estate(tmp_path, leaping=True) as site, People(site):
        site.world.control("fault", method="POST", url="/vm-build/runCommand", status=500, times=0)
        assert site.planned is not None
        applied = asyncio.run(apply.apply(site.context, site.planned.digest, wait_minutes=30))
        assert applied.outcome == "partial"
        assert site.status("bench", "verify") == "done"
        assert site.status("build", "reach") == "failed"
        told = [one for one in site.journal() if one["step"] == site.step("build", "reach")]
        first, last = (next(one["time"] for one in told if one["kind"] == kind) for kind in ("operation", "failed"))
        assert timedelta(minutes=9) < parse_time(last) - parse_time(first) < timedelta(minutes=15)
        assert "no script reached the host" in site.detail("build", "reach")
        site.world.control("unfault")
        assert asyncio.run(apply.resume(site.context, site.run, wait_minutes=30)).outcome == "succeeded"


def test_nobody_is_sent_to_a_machine_whose_plan_answers_again(tmp_path: Path) -> None:
    def hear(event: Event) -> None:
        if event.kind == "done" and event.step is not None and event.step.action == "create-plan":
            site.world.control("restore", region=REGION)

    with estate(tmp_path, leaping=True, lost_writes_count=False) as site, People(site):
        assert site.planned is not None
        applied = asyncio.run(apply.apply(site.context, site.planned.digest, wait_minutes=30, on_event=hear))
        assert applied.outcome == "partial"
        assert site.status("rack", "by-hand") == "drifted"
        assert "answers" in site.detail("rack", "by-hand")
        assert site.kinds("rack", "by-hand") == ["drifted"]
        assert site.host("rack")["jobs"] == []
