"""``check`` on estates that have what it promises to find, and on the same estates without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Any

import msgspec
import pytest
import requests

from drkit.api import apply, capture, check, plan
from drkit.api.check import Checked
from drkit.api.context import Context
from drkit.cli.views import check as view
from drkit.cli.views import terminal
from drkit.errors import RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model import roles, settings
from drkit.model.clock import Clock, parse_time
from drkit.model.cloud import Principal
from drkit.model.estate import Assessment
from drkit.model.readiness import Finding, Readiness
from drkit.model.runbook import decode
from drkit.planning.readiness import RULES
from drkit.products import tables
from drkit.store.store import Store
from drkit.survey import reachability
from drkit.survey.dependencies import imds
from tests.api import readiness_estates
from tests.api.readiness_estates import CASES, Case, seed_of, settings_of
from tests.model.test_roles import ACTING
from tests.support import workers
from tests.support.estates import World


class Later:
    """A cloud's clock, so many hours later."""

    def __init__(self, clock: Clock, hours: float) -> None:
        self.clock, self.by = clock, timedelta(hours=hours)

    def now(self) -> datetime:
        return self.clock.now() + self.by

    def monotonic(self) -> float:
        return self.clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep(seconds)


class Addressed(Store):
    """A folder that says it is an account's: what ``check`` asks of a store is its address."""

    address = ""


def context_of(world: World, folder: Path, case: Case, hours: float = 0.0) -> Context:
    one = world.facts["principals"][case.role]
    cloud = clouds.from_ready_file(world.ready, "of a test")
    store = Store(folder / "store")
    if case.store:
        store = Addressed(folder / "store")
        store.address = case.store
    return Context(
        settings.load(folder / "drkit.toml", tables()),
        store,
        lambda: cloud,
        loopback_only=True,
        principal=Principal(one["client_id"], one["client_secret"]),
        own_clock=Later(cloud.clock(), hours) if hours else None,
    )


@contextmanager
def running(case: Case, folder: Path) -> Iterator[tuple[World, Context]]:
    """The estate of a case, captured and changed as it says."""
    folder.mkdir(exist_ok=True)
    world = World(folder, seed_of(case))
    try:
        (folder / "drkit.toml").write_text(settings_of(case))
        for name, body in case.first:
            world.control(name, **body)
        for number in range(case.snapshots):
            asyncio.run(capture.snapshot(context_of(world, folder, case)))
            if number == 0 and case.act is not None:
                case.act(world.simulator.world)
        for name, body in case.then:
            world.control(name, **body)
        yield world, context_of(world, folder, case, case.hours)
    finally:
        world.stop()


def checked(case: Case, folder: Path) -> Checked:
    with running(case, folder) as (world, context):
        before = world.view("record")["count"]
        found = asyncio.run(check.check(context))
        record = world.view("record")["requests"][before:]
    assert {one["kind"] for one in record} <= {"read", "token"}
    return found


@cache
def untouched(base: str) -> Checked:
    """What is found in a base estate as it stands; looked at once a process."""
    with TemporaryDirectory(prefix="drkit-tests-") as folder:
        return checked(Case(base, ("", "", ""), base=base), Path(folder) / "estate")


def matching(found: Checked, case: Case) -> list[Finding]:
    rule, severity, words = case.finds
    return [
        one for one in found.readiness.findings if (one.rule, one.severity) == (rule, severity) and words in one.what
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_there_is_found_and_what_is_not_is_not(case: Case, tmp_path: Path) -> None:
    there = checked(case, tmp_path / "there")
    found = matching(there, case)
    assert found, [f"{one.severity} {one.rule}: {one.what}" for one in there.readiness.findings]
    for one in there.readiness.findings:
        assert one.remedy
        assert one.evidence, one
        assert all(read.source and parse_time(read.time) for read in one.evidence)
    assert there.exit_code == (1 if there.readiness.errors else 0)
    if case.finds[1] == "error":
        assert there.exit_code == 1
        assert there.readiness.rules[case.finds[0]] == "error"
    well = checked(case.well(), tmp_path / "well") if case.fine else untouched(case.base)
    assert matching(well, case) == []


def test_every_rule_has_an_estate_that_has_it_and_one_that_has_not() -> None:
    assert len(CASES) >= 30
    # There is always a runbook, or one of the other rules says why not; its own test is of the rules.
    assert {case.finds[0] for case in CASES} == RULES.keys() - {"runbook"}


# --- how it ends, and what it keeps


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Context]]:
    case = Case("plain", ("", "", ""), settings='[check]\nmachine = "East US"')
    with running(case, tmp_path_factory.mktemp("base")) as found:
        yield found


def test_a_check_reports_what_is_worse_better_and_hidden_since_the_last_one(base: tuple[World, Context]) -> None:
    world, context = base
    first = asyncio.run(check.check(context))
    again = asyncio.run(check.check(context)).readiness
    assert again.compared is not None
    assert (again.compared.worse, again.compared.better, again.compared.hidden) == ((), (), ())
    assert again.compared.unchanged == len(first.readiness.findings)
    world.control("governance", locks=[{"scope": readiness_estates.EUS, "name": "keep", "level": "ReadOnly"}])
    locked = asyncio.run(check.check(context)).readiness
    assert locked.compared is not None
    assert [key.split("|")[0] for key in locked.compared.worse] == ["lock"]
    rule = world.control("fault", url="/locks", status=403, code="AuthorizationFailed", times=0)
    blind = asyncio.run(check.check(context)).readiness
    assert blind.compared is not None
    assert blind.compared.better == ()
    assert {key.split("|")[0] for key in blind.compared.hidden} == {"lock"}
    world.control("unfault", id=rule["id"])
    world.control("governance", locks=[])
    free = asyncio.run(check.check(context)).readiness
    assert free.compared is not None
    assert {key.split("|")[0] for key in free.compared.better} == {"lock"}
    kept = context.store.newest(Readiness)
    assert kept is not None
    assert kept[0] == free
    assert free.generation == first.readiness.generation + 4


def test_if_azure_does_not_answer_nothing_is_reported_and_nothing_is_kept(base: tuple[World, Context]) -> None:
    world, context = base
    before = context.store.newest(Readiness)
    rule = world.control("fault", url="/subscriptions[?]", status=503, times=0)
    try:
        hurried = msgspec.structs.replace(
            context.settings, run=msgspec.structs.replace(context.settings.run, request_budget_seconds=2)
        )
        found = asyncio.run(check.check(Context(hurried, context.store, context.find_cloud, loopback_only=True)))
    finally:
        world.control("unfault", id=rule["id"])
    assert found.exit_code == 5
    assert found.path is None
    assert found.readiness.rules["lock"] == "unknown"
    assert context.store.newest(Readiness) == before


def test_the_views_hold_every_finding_and_defuse_it(tmp_path: Path) -> None:
    case = Case("odd", ("", "", ""), then=(("governance", {"locks": [
        {"scope": readiness_estates.EUS, "name": "keep", "level": "ReadOnly", "notes": "<script>\x1b[31m|`x`"}]}),))  # fmt: skip
    found = checked(case, tmp_path / "odd")
    text = terminal.render(*view.lines(found, 8), columns=100)
    summary = view.summary(found)
    assert "\x1b" not in text + summary
    assert "<script>" not in summary
    assert text.startswith("SIMULATED check 1")
    for one in found.readiness.findings:
        assert one.rule in summary


# --- what if


@pytest.fixture
def assumed(base: tuple[World, Context], tmp_path: Path) -> tuple[Context, Checked]:
    _, context = base
    return context, asyncio.run(check.check(context, lose="West Europe", out=str(tmp_path / "out")))


def test_an_assumed_loss_has_a_runbook_that_nobody_may_approve_or_apply(
    assumed: tuple[Context, Checked],
) -> None:
    context, found = assumed
    book_at, assessment_at = found.written
    assert found.runbook is not None
    assert found.runbook.assumed
    assert found.runbook.steps
    assert found.runbook.source_plans == {workers.OLD: "westeurope"}
    assert decode(book_at.read_bytes(), "book") == found.runbook
    assert book_at.read_bytes().startswith(b'{"drkit":"runbook/2"')
    with pytest.raises(RefusedError, match="assumption") as refused:
        plan.approve(context, str(book_at))
    assert refused.value.exit_code == 4
    with pytest.raises(RefusedError, match="assumption"):
        asyncio.run(apply.apply(context, str(book_at), yes=True))
    planned = plan.plan(context, assessment=str(assessment_at))
    assert planned.runbook.assumed
    assert planned.runbook.steps == found.runbook.steps
    with pytest.raises(RefusedError, match="assumption"):
        plan.approve(context, planned.digest)
    assert context.store.runs() == []
    assert "ASSUMED: westeurope is lost" in terminal.render(*view.lines(found, 8), columns=120)
    whole = terminal.show(planned.runbook, planned.digest, "a path", planned.described_steps, concurrency=8)
    for parts in (whole, terminal.planned(planned.runbook, planned.digest, "a path", concurrency=8)):
        text = terminal.render(*parts, columns=120)
        assert "ASSUMED" in text
        assert "drkit apply" not in text


def test_nothing_of_an_assumed_loss_is_kept_in_the_store(base: tuple[World, Context]) -> None:
    _, context = base
    before = (context.store.newest(Assessment), context.store.newest(Readiness))
    books = sorted((context.store.folder / "state" / "runbooks").glob("*"))
    found = asyncio.run(check.check(context, lose="westeurope"))
    assert (found.path, found.written) == (None, ())
    assert (context.store.newest(Assessment), context.store.newest(Readiness)) == before
    assert sorted((context.store.folder / "state" / "runbooks").glob("*")) == books


def test_what_cannot_be_lost_is_refused(base: tuple[World, Context]) -> None:
    _, context = base
    with pytest.raises(UsageError, match="no plan is in 'mars'"):
        asyncio.run(check.check(context, lose="mars"))
    with pytest.raises(UsageError, match="--out goes with --if-lost"):
        asyncio.run(check.check(context, out="somewhere"))


def test_a_runbook_of_what_is_keeps_its_bytes(tmp_path: Path) -> None:
    with workers.site(tmp_path) as site:
        book = workers.lost(site)
        assert site.planned is not None
        assert b"only_assumed" not in site.planned.content
        assert not book.assumed


def test_the_assumed_runbook_equals_the_one_of_a_real_loss(tmp_path: Path) -> None:
    """What ``check --if-lost`` shows by day is what ``plan`` proposes when the region is really lost."""
    with workers.site(tmp_path) as site:
        foreseen = asyncio.run(check.check(site.context, lose="westeurope")).runbook
        really = workers.lost(site)
    assert foreseen is not None
    assert [step.id for step in foreseen.steps] == [step.id for step in really.steps]
    assert foreseen.target_regions == really.target_regions


# --- a subscription without plans, and the machine itself


def test_a_subscription_with_machines_only_gets_findings(tmp_path: Path) -> None:
    found = checked(Case("vms", ("", "", ""), base="vms", role="reader"), tmp_path / "vms")
    assert found.readiness.protected == ("westeurope",)
    assert found.readiness.rules["snapshot"] == "unknown"
    assert (
        found.readiness.rules["sku"] == found.readiness.rules["quota"] == found.readiness.rules["group-place"] == "ok"
    )
    assert found.exit_code == 0


def test_of_a_fleet_the_power_is_read_in_one_list_and_the_agents_are_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reachability, "FLEET", 2)
    stop: Any = ("host", {"id": workers.WEB, "event": "stop"})
    with running(Case("fleet", ("", "", ""), then=(stop,)), tmp_path / "fleet") as (world, context):
        before = world.view("record")["count"]
        found = asyncio.run(check.check(context)).readiness
        record = world.view("record")["requests"][before:]
    told = {(one.severity, one.subject) for one in found.findings if one.rule == "host"}
    assert told == {("error", workers.WEB), ("unknown", "hosts")}
    assert not [one for one in record if one["path"].lower() == workers.WEB.lower()]


@pytest.mark.parametrize("base", ["codespaces", "workers", "vms"])
def test_the_least_privileged_planner_may_read_all_that_check_reads(base: str, tmp_path: Path) -> None:
    own = {"name": "planner", "actions": [one.action for one in roles.load()["planner"].actions]}
    alone = readiness_estates.ALONE if base == "workers" else {}
    needs = f'[check]\nneeds = ["{readiness_estates.WHO}"]' if base == "workers" else ""
    there = {"resources": readiness_estates._also(readiness_estates._resource(readiness_estates.WHO, "eastus"))}
    case = Case(
        base, ("", "", ""), base=base, role="planner", settings=f"{needs}\n# no channels",
        seed={"roles": [own], **alone, **(there if base == "workers" else {})},
        then=(readiness_estates._own("deny"),) if base == "workers" else (),
    )  # fmt: skip
    with running(case, tmp_path / "there") as (world, context):
        found = asyncio.run(check.check(context)).readiness
        record = world.view("record")["requests"]
    assert [one["path"] for one in record if one["status"] == 403] == []
    assert [one.what for one in found.findings if one.rule == "permission" and one.severity == "warning"] == []


@pytest.mark.parametrize("base", ["codespaces", "workers"])
def test_the_least_privileged_operator_may_make_every_call_of_a_runbook(base: str, tmp_path: Path) -> None:
    granted = [one.action for name in ACTING for one in roles.load()[name].actions]
    case = Case(
        base, ("", "", ""), base=base, role="operator", settings='[check]\nroles = ["operator"]',
        seed={"roles": [{"name": "operator", "actions": granted}]},
    )  # fmt: skip
    assert checked(case, tmp_path / "there").readiness.rules["permission"] == "ok"


class Metadata(BaseHTTPRequestHandler):
    answers: tuple[int, bytes] = (200, b"westeurope")

    def do_GET(self) -> None:
        status, body = self.answers if self.headers.get("Metadata") == "true" else (400, b"")
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words: Any) -> None:
        pass


def test_a_virtual_machine_says_its_region() -> None:
    server = HTTPServer(("127.0.0.1", 0), Metadata)
    Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        assert imds("127.0.0.1", port) == ("westeurope", "")
        Metadata.answers = (404, b"<html>")
        region, why = imds("127.0.0.1", port)
    finally:
        server.shutdown()
        server.server_close()
    assert region == ""
    assert "404" in why
    assert imds("127.0.0.1", port)[1].startswith("the metadata service does not answer")


def test_locks_and_policies_of_the_simulator_stop_what_check_says_they_stop(tmp_path: Path) -> None:
    """The finding is no guess: the same write is refused there."""
    with running(Case("obeyed", ("", "", ""), seed=readiness_estates.ALONE), tmp_path / "world") as (world, _):
        world.control("governance", locks=[{"scope": readiness_estates.EUS, "name": "keep", "level": "ReadOnly"}])
        assert _put(world, f"{readiness_estates.EUS}/providers/Microsoft.Automation/automationAccounts/new") == (
            409,
            "ScopeLocked",
        )
        name, body = readiness_estates._places(readiness_estates.ALLOWED, "westeurope")
        world.control(name, **{**body, "locks": []})
        answer = _put(world, f"{readiness_estates.EUS}/providers/Microsoft.Automation/automationAccounts/new")
        assert answer == (403, "RequestDisallowedByPolicy")


def _put(world: World, path: str) -> tuple[int, str]:
    facts = world.facts
    options: Any = {"verify": facts["ca_bundle"], "proxies": {"https": ""}, "timeout": 10}
    one = facts["principals"]["owner"]
    form = {
        "grant_type": "client_credentials",
        "client_id": one["client_id"],
        "client_secret": one["client_secret"],
        "scope": "https://management.azure.com/.default",
    }
    token = requests.post(f"{facts['authority']}/{facts['tenant']}/oauth2/v2.0/token", data=form, **options).json()
    answer = requests.put(
        f"{facts['arm']}{path}",
        params={"api-version": "2024-10-23"},
        json={"location": "eastus", "properties": {}},
        headers={"Authorization": f"Bearer {token['access_token']}"},
        **options,
    )
    return answer.status_code, str(json.loads(answer.text).get("error", {}).get("code"))


# --- the command


def test_the_command_ends_and_speaks_as_the_design_says(tmp_path: Path) -> None:
    from tests.support.command_line import drkit

    with running(Case("command", ("", "", "")), tmp_path / "there") as (world, context):
        folder = tmp_path / "there"
        more = {"DRKIT_CLOUD": str(world.ready)}
        given = ("--config", str(folder / "drkit.toml"), "--store", str(context.store.folder))
        found = drkit("check", *given, "--json", "--summary", str(tmp_path / "ready.md"), cwd=tmp_path, **more)
        told = json.loads(found.out)
        assert found.code == 1, found.err
        assert told["drkit"] == "readiness/1"
        assert msgspec.convert(told, Readiness).findings
        assert (tmp_path / "ready.md").read_text().startswith("# SIMULATED check 1")
        lost = drkit("check", *given, "--if-lost", "westeurope", "--json", cwd=tmp_path, **more)
        assert json.loads(lost.out)["runbook"]["only_assumed"] is True
        spoken = drkit("check", *given, "--if-lost", "mars", cwd=tmp_path, **more)
        assert spoken.code == 64
        assert "no plan is in 'mars'" in spoken.err
        assert "Traceback" not in spoken.err
