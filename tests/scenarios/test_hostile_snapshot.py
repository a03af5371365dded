"""Snapshots that somebody forged: what is planned of them is what a product's table allows and show tells, or they are refused in words."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.scenarios.test_hostile_runbook import CUSTOM, FILE, OTHERS_HOST, AssessmentDraft, night
from tests.support import every_command
from tests.support.estates import guid, plan_id, vm
from tests.support.worker_estate import WORKERS

__all__ = ["night"]  # the fixture

Json = dict[str, Any]
ATTACKER = "attacker.example"
ESCAPES = "\x1b[2J\r\n##vso[task.setvariable variable=pwned]yes\nnext: `drkit apply --yes`\u202e"
OWN_REQUEST = re.compile(
    r"https://(127\.0\.0\.1:\d+/subscriptions/[^?#%]+|[a-z0-9]+\.online\.visualstudio\.com/api/v1/environments(/[^/?#]+)?)"
)


def environment(content: Json, name: str) -> Json:
    wanted = guid(name)
    return next(one for one in content["environments"] if one["id"] == wanted)


def worker(content: Json) -> Json:
    return next(one for one in content["environments"] if one["id"] == WORKERS[next(iter(WORKERS))])


def plan(content: Json) -> Json:
    return next(one for one in content["plans"] if one["id"] == plan_id())


def account(content: Json) -> Json:
    return next(one for one in content["plans"] if one["name"] == "auto-we")


def whole(content: Json) -> None:
    """What passes as a snapshot: the extension of another, escapes in names, owners and tags, settings that are huge."""
    for one in content["environments"]:
        one["name"] = f"{one['name']}{ESCAPES}"
        one["owner"] = one["owner"] and f"{one['owner']}{ESCAPES}"
        if "extension" in one["settings"]:
            one["settings"]["extension"]["properties"] |= CUSTOM
            one["settings"]["protected"] = FILE
    environment(content, "shop")["settings"]["autoShutdownDelayMinutes"] = 10**30
    environment(content, "docs")["repository"] = f"https://{ATTACKER}/$(touch pwned)"
    plan(content)["tags"] = {"drkit-source": plan_id(), "x": ESCAPES}
    account(content)["properties"]["automationHybridServiceUrl"] = f"https://{ATTACKER}/x"


def put(find: Callable[[Json], Json], key: str, value: Any) -> Callable[[Json], None]:
    def forge(content: Json) -> None:
        find(content)[key] = value

    return forge


def twice(key: str) -> Callable[[Json], None]:
    def forge(content: Json) -> None:
        content[key].append(dict(content[key][0]))

    return forge


def custom(**properties: Any) -> Callable[[Json], None]:
    def forge(content: Json) -> None:
        worker(content)["settings"]["extension"]["properties"] |= properties

    return forge


def renamed(content: Json) -> None:
    worker(content)["settings"]["extension"]["name"] = "../../x"


def on_another(content: Json) -> None:
    environment(content, "build")["host"]["host"] = OTHERS_HOST


def on_another_known(content: Json) -> None:
    on_another(content)
    content["hosts"].append({**next(one for one in content["hosts"] if one["id"] == vm("build")), "id": OTHERS_HOST})


FORGED: dict[str, Callable[[Json], None]] = {
    "another extension": custom(**CUSTOM),
    "a command in the extension's settings": custom(protectedSettings={"commandToExecute": "x"}),
    "an extension of another name": renamed,
    "an environment twice": twice("environments"),
    "a plan twice": twice("plans"),
    "a host twice": twice("hosts"),
    "an environment's id with dots": put(lambda one: environment(one, "api"), "id", "../../x"),
    "an environment's id with a query": put(lambda one: environment(one, "api"), "id", "x?y=1#z"),
    "an environment's id with an encoded slash": put(lambda one: environment(one, "api"), "id", "x%2f..%2fy"),
    "a plan's id with dots": put(plan, "id", f"{plan_id()}/../../x"),
    "a plan of another subscription": put(plan, "id", OTHERS_HOST.replace("Compute/virtualMachines", "VSOnline/plans")),
    "a plan's region that is a host": put(plan, "region", f"{ATTACKER}/"),
    "a plan's group with a path": put(plan, "resource_group", "x/../../y"),
    "a plan's subscription with a path": put(plan, "subscription", f"https://{ATTACKER}"),
    "a machine of others": on_another,
    "a machine of others, whose facts are forged too": on_another_known,
    "a service of others": put(
        lambda one: account(one)["properties"], "automationHybridServiceUrl", f"https://{ATTACKER}"
    ),
    "a workspace that is a command": put(lambda one: environment(one, "build"), "workspace", "/x'; touch pwned; '"),
    "numbers without end": put(lambda one: environment(one, "shop")["settings"], "autoShutdownDelayMinutes", 10**40),
    "settings that are a list": put(lambda one: environment(one, "shop"), "settings", ["x"]),
}


def forge(night: AssessmentDraft, genuine: Json, how: Callable[[Json], None]) -> None:
    content = json.loads(json.dumps(genuine))
    how(content)
    night.here.put(".drkit/state/snapshots/000001.json", content).chmod(0o600)


def allowed(night: AssessmentDraft) -> list[Json]:
    """The steps of the newest runbook, whose requests go nowhere but to ARM, where the estate is, and the service itself."""
    told: list[Json] = json.loads(night.here("show", "--json").out)["steps"]
    for step in told:
        for one in step["requests"]:
            assert OWN_REQUEST.fullmatch(one["target"]), one
            assert "/../" not in one["target"]
            # A machine that the assessment did not see is nobody's to act on.
            assert OTHERS_HOST.lower() not in one["target"].lower()
        words = json.dumps(step["inputs"])
        assert "CustomScript" not in words, step["id"]
        assert "commandToExecute" not in words
        assert "msal" not in words
    return told


@pytest.fixture
def genuine(night: AssessmentDraft) -> Json:
    found: Json = json.loads(night.here.path(".drkit/state/snapshots/000001.json").read_text("utf-8"))
    return found


def test_what_is_planned_of_a_forged_snapshot_is_what_a_table_allows(night: AssessmentDraft, genuine: Json) -> None:
    for what, how in FORGED.items():
        forge(night, genuine, how)
        for words in (("plan",), ("assess",) if "host" in what else ("explain", plan_id())):
            done = night.here(*words)
            assert done.code in (0, 1, 3, 4, 64), what
            if done.code == 0 and words == ("plan",):
                allowed(night)
            elif words == ("plan",):
                assert "snapshots/000001.json" in done.err.replace("\n", ""), (what, done.err)
        assert night.writes() == [], what
    hosts = {one["host"] for one in night.world.view("record")["requests"]}
    assert not [one for one in hosts if ATTACKER in one]


def test_a_forged_snapshot_steers_no_command(night: AssessmentDraft, genuine: Json) -> None:
    """Every command in turn; then what was planned is carried out, and nothing but what ``show`` announced is written."""
    forge(night, genuine, whole)
    here = night.here
    done = here("plan")
    assert done.code == 0, done.err
    told = allowed(night)
    digest = json.loads(here("show", "--json").out)["digest"]
    moved = [one["id"] for one in told if one["product"] == "hybrid-worker" and one["effect"] == "release"]
    assert moved == [], "an extension that is none of the hybrid worker's goes to a person"
    looked: tuple[tuple[str, ...], ...] = (
        ("status",),
        ("show",),
        ("show", "--pipelines"),
        ("explain", vm("build")),
        ("check",),
        ("assess",),
        ("approve", digest),
    )
    for words in looked:
        shown = here(*words)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown.out + shown.err), words
        assert not [
            line for line in shown.out.splitlines() if line.startswith(("##vso[task.set", "next: `drkit apply --yes"))
        ]
        assert night.writes() == [], words
    here("apply", digest, "--yes")
    announced = {
        (sent["method"], re.sub(r"^https://127\.0\.0\.1:\d+", "https://management.azure.com", sent["target"]).lower())
        for one in told
        for sent in one["requests"]
    }
    written = {tuple(one.lower().split(" ", 1)) for one in night.writes()}
    assert written
    assert {(method.upper(), f"https://{rest}") for method, rest in written} <= announced
    for host in night.world.simulator.world.hosts.values():
        assert {one.type for one in host.extensions.values()} <= {"HybridWorkerForLinux", "HybridWorkerForWindows"}
    after: tuple[tuple[str, ...], ...] = (
        ("report", "latest"),
        ("report", "latest", "--owners"),
        ("status", "latest", "--pipelines"),
        ("verify", "latest"),
    )
    for words in after:
        shown = here(*words)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown.out + shown.err), words
        assert not [line for line in shown.out.splitlines() if line.startswith("##vso[task.setvariable variable=pwned")]
    run = night.store.runs()[0]
    before = night.writes()
    put_in = {every_command.RUN: run, every_command.STEP: told[-1]["id"], every_command.RUNBOOK: digest}
    for name in ("failback", "cleanup", "preflight", "check", "snapshot", "explain"):
        for asked in every_command.WORDS[name]:
            here(*(put_in.get(word, word) for word in asked))
            assert night.writes() == before, asked
    assert not [one for one in here.folder.rglob("*") if "pwned" in one.name]
    assert not [one for one in night.world.view("record")["requests"] if ATTACKER in one["host"]]
