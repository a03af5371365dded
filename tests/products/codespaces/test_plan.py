"""The steps that Codespaces proposes: for plans, managed environments, hosts that are reached and hosts that are not."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit import products
from drkit.model.estate import ArmIdentity, Baseline, Environment, Host, HostLink, Plan, Risk
from drkit.model.runbook import Step
from drkit.model.settings import RunSettings, Settings
from drkit.model.text import exact
from drkit.planning.proposal import Item, Proposal, Proposed, Target, spare_names
from drkit.products import registry
from drkit.products.codespaces import plan as pure
from drkit.products.codespaces import settings as names
from tests.model.test_host_scripts_windows import ENGINE, needs_engine
from tests.support.builders import LOST, TARGET, a_plan, a_vm, hosted, managed
from tests.support.patience import PATIENCE

PLAN = a_plan()
THERE = Target(
    TARGET, PLAN.subscription, "drkit", "azure:g:create", "dev-eastus", f"{PLAN.id}-eastus", plan_exists=False
)
BOX = a_vm("box")


def proposed(*items: Item, plan: Plan = PLAN, target: Target | None = THERE, **more: Any) -> Proposed:
    fields: dict[str, Any] = {"kind": "failover" if target else "repair", "settings": Settings()}
    names = frozenset(item.environment.name.lower() for item in items)
    return pure.propose(Proposal(plan=plan, target=target, items=items, **({"names_in_use": names} | fields | more)))


def an_item(environment: Environment, disposition: str = "new-plan", host: Host | None = None, **more: Any) -> Item:
    channel = host.channel if host else ""
    return Item(
        environment, disposition, "its plan is lost", host, **({"channel": channel, "confidence": "high"} | more)
    )


def steps(*items: Item, **more: Any) -> list[Step]:
    return [step for chain in proposed(*items, **more).chains for step in chain.steps]


def web(**more: Any) -> Environment:
    return msgspec.structs.replace(hosted("web", PLAN, BOX), **more)


# --- what it needs ---------------------------------------------------------------------------------------------------


def test_managed_environments_need_their_skus_and_cores_and_hosts_need_nothing() -> None:
    found = pure.need(
        [managed("a", PLAN), managed("b", PLAN, sku="premiumLinux"), managed("c", PLAN, sku="odd"), web()]
    )
    assert found.skus == {"standardLinux", "premiumLinux", "odd"}
    assert found.cores == 4 + 8 + 4
    assert pure.need([web()]).cores == 0


def test_it_is_in_the_registry_under_its_name_with_its_regions() -> None:
    product = registry()[names.NAME]
    assert product.plan_types == names.PLAN_TYPES
    assert LOST in product.regions
    assert product.plan_limit(Settings()) == 20


# --- plans -----------------------------------------------------------------------------------------------------------


def test_a_plan_is_created_with_what_can_be_carried_over_and_then_verified() -> None:
    plan = a_plan(
        sku={"name": "standard"},
        tags={"team": "x"},
        properties={"defaultEnvironmentSku": "s", "userId": "u", "vnetProperties": {"subnetId": ""}},
    )
    create, verify = proposed(plan=plan).plan_steps
    body = create.inputs["body"]
    assert body == {
        "location": TARGET,
        "properties": {"defaultEnvironmentSku": "s", "userId": "u"},
        "tags": {"team": "x"},
        "sku": {"name": "standard"},
    }
    assert create.needs == ("azure:g:create",)
    assert {(one.signal, one.expected) for one in create.preconditions} == {("exists", False), ("answers", "no")}
    assert verify.needs == (create.id,)
    assert {create.criticality, verify.criticality} == {"critical"}


def test_an_empty_subnet_or_a_key_of_microsoft_s_is_nothing_to_carry() -> None:
    plan = a_plan(properties={"vnetProperties": {"subnetId": ""}, "encryption": {"keySource": "Microsoft.Codespaces"}})
    assert proposed(plan=plan).unchanged == ()


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, {"subnetId": None}])
def test_odd_properties_of_a_plan_harm_nothing(odd: Any) -> None:
    assert proposed(plan=a_plan(properties={"vnetProperties": odd, "encryption": odd})).unchanged == ()


def test_a_plan_that_is_there_or_stays_is_only_verified() -> None:
    exists = replace(THERE, plan_exists=True, group_step="")
    (verify,) = proposed(target=exists).plan_steps
    assert (verify.action, verify.needs, verify.region) == ("verify-plan", (), TARGET)
    (verify,) = proposed(target=None).plan_steps
    assert (verify.action, verify.target, verify.region) == ("verify-plan", PLAN.id, PLAN.region)


# --- managed ---------------------------------------------------------------------------------------------------------


def test_a_managed_environment_is_created_from_its_repository_and_branch_for_its_owner_and_verified() -> None:
    create, verify = steps(
        an_item(managed("api", PLAN, settings={"autoShutdownDelayMinutes": 5, "gitConfig": {"userName": "A"}}))
    )
    assert create.inputs["body"] == {
        "type": "cloudEnvironment",
        "planId": THERE.plan_id,
        "skuName": "standardLinux",
        "autoShutdownDelayMinutes": 5,
        "experimentalFeatures": {"customContainers": True},
        "seed": {"type": "git", "moniker": "https://example.org/api/tree/main", "gitConfig": {"userName": "A"}},
    }
    assert create.inputs["owner"] == verify.inputs["owner"] == "ada"
    assert create.inputs["names"] == verify.inputs["names"] == ["api", "api-2"]
    assert verify.needs == (create.id,)


def test_a_branch_that_the_address_names_already_is_not_named_twice() -> None:
    (create, _) = steps(an_item(managed("api", PLAN, repository="https://example.org/api/tree/dev")))
    assert create.inputs["body"]["seed"]["moniker"] == "https://example.org/api/tree/dev"


def test_what_has_no_repository_on_record_is_made_by_a_person() -> None:
    ask, verify = steps(an_item(managed("api", PLAN, repository="")))
    assert (ask.effect, verify.effect) == ("ask", "verify")
    assert "no repository is recorded" in ask.inputs["commands"][0]


@pytest.mark.parametrize("risk", msgspec.inspect.type_info(Risk).values)  # type: ignore[attr-defined]
def test_where_owners_create_their_own_it_is_a_step_for_that_owner_with_the_risk_said(risk: Risk) -> None:
    own = Settings(products={"codespaces": {"keep_owner": "person"}})
    ask, verify = steps(an_item(managed("api", PLAN, data_at_risk=risk)), settings=own)
    assert (ask.effect, verify.effect) == ("ask", "verify")
    assert pure.RISK[risk] in ask.reason
    assert "https://example.org/api" in ask.inputs["commands"][0]
    assert "signed in as ada" in ask.inputs["see_first"]


def test_the_second_name_is_one_that_nothing_on_the_plan_has() -> None:
    items = [an_item(managed(name, PLAN)) for name in ("api", "API-2", "api-3")]
    assert steps(*items)[0].inputs["names"] == ["api", "api-4"]


@given(st.text(max_size=5), st.sets(st.integers(2, 60)))
def test_spare_names_never_end_and_are_never_taken(name: str, numbers: set[int]) -> None:
    taken = {f"{name}-{number}".lower() for number in numbers}
    found = spare_names(name, taken)
    first = [next(found) for _ in range(3)]
    assert len({one.lower() for one in first}) == 3
    assert not {one.lower() for one in first} & taken


# --- hosts that are reached ------------------------------------------------------------------------------------------


def test_a_host_is_reached_its_owner_ready_released_registered_and_verified_in_that_order() -> None:
    reach, ready, release, register, verify = steps(an_item(web(), host=BOX))
    assert [step.effect for step in (reach, ready, release, register, verify)] == [
        "verify",
        "ask",
        "release",
        "register",
        "verify",
    ]
    for earlier, later in ((reach, ready), (ready, release), (release, register), (register, verify)):
        assert later.needs == (earlier.id,)
    assert reach.needs == (proposed().plan_steps[-1].id,)
    assert reach.inputs["urls"] == ["https://eastus.online.visualstudio.com/health"]
    assert register.inputs["names"] == ["web", "web-2"]
    assert register.inputs["released_by"] == release.id
    assert (register.inputs["user"], register.inputs["workspace"]) == ("dev", "/srv/work")
    assert {step.confidence for step in (reach, ready, release, register)} == {"high"}


def test_every_step_on_a_host_rests_on_the_host_being_itself() -> None:
    for step in steps(an_item(web(), host=BOX)):
        if "script" in step.inputs:
            assert [one.subject for one in step.preconditions if one.signal == "instance_id"] == [BOX.id]
    nameless = a_vm("box", baseline=Baseline(ArmIdentity()))
    assert not [
        one
        for step in steps(an_item(web(), host=nameless))
        for one in step.preconditions
        if one.signal == "instance_id"
    ]


def test_the_loss_of_the_plan_is_looked_at_before_the_release_and_not_when_the_move_is_meant() -> None:
    for more, expected in (({}, 1), ({"graceful": True}, 0), ({"target": None}, 0)):
        release = next(step for step in steps(an_item(web(), host=BOX), **more) if step.effect == "release")
        assert [one.signal for one in release.preconditions].count("answers") == expected


def test_in_a_repair_the_host_goes_back_to_its_own_plan_under_a_name_that_is_free() -> None:
    found = steps(an_item(web(), "same-plan", BOX), target=None)
    register = next(step for step in found if step.action == "register")
    assert register.inputs["plan"] == PLAN.id
    assert register.inputs["names"] == ["web-2", "web-3"]
    assert found[0].needs == (proposed(target=None).plan_steps[-1].id,)


def test_the_scripts_used_are_named_with_their_hashes_and_none_when_none_is_used() -> None:
    assert proposed(an_item(web(), host=BOX)).scripts == {
        name: products.scripts().load(name).sha256
        for name in ("reach", "codespaces_release", "codespaces_register", "codespaces_watch", "codespaces_restore")
    }
    assert proposed(an_item(managed("api", PLAN))).scripts == {}


# --- by hand ---------------------------------------------------------------------------------------------------------


def by_hand(host: Host | None, **environment: Any) -> Step:
    one = hosted("web", PLAN, host, **environment)
    return steps(an_item(one, "person", host))[0]


def test_a_person_gets_the_exact_commands_and_what_identifies_the_machine() -> None:
    ask = by_hand(a_vm("box", channel="manual"))
    assert ask.effect == "ask"
    assert ask.inputs["commands"] == ["codespaces stop", f"codespaces start -i {THERE.plan_id} -n web -w /srv/work"]
    seen = " ".join(ask.inputs["see_first"])
    for word in ("box", "0123456789abcdef", "SHA256:key", "11111111-2222-4333-8444-555555555555", "id-rg-dev-web"):
        assert word in seen
    assert "not tried from the host" in ask.reason
    assert "dev" in ask.reason
    assert ask.needs == (proposed().plan_steps[-1].id,)


def test_a_machine_nobody_knows_is_to_be_found_first() -> None:
    assert "which machine" in by_hand(None).inputs["see_first"][0]


HOSTILE = ["a b", "$(reboot)", "x;y", "it's", '"', "-n", "a\nb", "`id`", "*", "ü"]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_in_commands_are_quoted_for_the_shell_of_the_machine(name: str) -> None:
    link = HostLink(BOX.id, "settings", "dev", f"/w/{name}")
    manual = a_vm("box", channel="manual")
    ask = steps(an_item(web(name=name, host=link), "person", manual))[0]
    assert shlex.split(ask.inputs["commands"][1]) == [
        "codespaces", "start", "-i", THERE.plan_id, "-n", name, "-w", f"/w/{name}",
    ]  # fmt: skip
    windows = a_vm("box", channel="manual", os="windows")
    ask = steps(an_item(web(name=name, host=link), "person", windows))[0]
    quoted = name.replace("'", "''")
    assert f"-n '{quoted}' -w '/w/{quoted}'" in ask.inputs["commands"][1]


@needs_engine
def test_powershell_reads_any_name_as_one_word(tmp_path: Path) -> None:
    windows = a_vm("box", channel="manual", os="windows")
    # A quotation mark from a word processor ends a text too: ’; does as much harm as ';
    names = [
        *HOSTILE,
        *(f"{mark}; Set-Content pwned x; {mark}" for mark in "'\u2018\u2019\u201a\u201b\"\u201c\u201d\u201e"),
        "\u2019\u2018'\u201b", "$env:PATH", "a`nb", "@{}", "# no", "w" * 5000,
    ]  # fmt: skip
    script = tmp_path / "pasted.ps1"
    lines = ["$ErrorActionPreference = 'Stop'", 'function codespaces { foreach ($one in $args) { "<$one>" } }']
    for name in names:
        link = HostLink(BOX.id, "settings", "dev", "/w")
        ask = steps(an_item(web(name=name, host=link), "person", windows))[0]
        lines.append(exact(ask.inputs["commands"][1]))
    script.write_text("\n".join(lines))
    ran = subprocess.run(
        [str(ENGINE), "run", str(script)], cwd=tmp_path, capture_output=True, timeout=PATIENCE, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, b"")
    expected = [f"<{word}>" for name in names for word in ("start", "-i", THERE.plan_id, "-n", exact(name), "-w", "/w")]
    assert ran.stdout.decode().splitlines() == expected
    assert [path.name for path in tmp_path.iterdir()] == ["pasted.ps1"]


@pytest.mark.parametrize("channel", ["", "manual", "ssh"])
def test_a_host_without_a_channel_that_drkit_works_through_is_done_by_hand(channel: str) -> None:
    found = steps(an_item(web(), host=a_vm("box", channel=channel)))
    assert [step.action for step in found] == ["by-hand", "verify"]


def test_a_reached_host_whose_environment_nobody_linked_is_done_by_hand() -> None:
    assert [step.action for step in steps(an_item(web(host=None), host=BOX))] == ["by-hand", "verify"]


# --- everything ------------------------------------------------------------------------------------------------------

NO_STEPS = {"lost": "[[host]]", "start": "start", "wait": "assess again"}


@pytest.mark.parametrize("word", NO_STEPS)
def test_what_brings_no_steps_says_what_would_help(word: str) -> None:
    (chain,) = proposed(an_item(web(), word, BOX)).chains
    assert chain.steps == ()
    assert chain.affected.proof_step == ""
    assert NO_STEPS[word] in chain.affected.reason


def test_a_chain_knows_whether_a_person_must_act_in_it() -> None:
    found = proposed(an_item(managed("api", PLAN)), an_item(web(), host=BOX), an_item(web(), "person", BOX))
    assert [chain.needs_person for chain in found.chains] == [False, True, True]


def test_every_step_names_whose_it_is_costs_something_and_holds_no_secret() -> None:
    run = Settings(run=RunSettings(sign_in_minutes=45))
    found = steps(
        an_item(managed("api", PLAN)), an_item(web(), host=BOX), an_item(web(name="by"), "person"), settings=run
    )
    for step in found:
        assert step.environment
        assert step.plan == PLAN.id
        assert step.estimate.seconds > 0
        assert step.criticality == "optional"
        assert not [key for key in step.inputs if any(word in key for word in ("token", "secret", "password", "code"))]
    assert next(step for step in found if step.action == "register").inputs["sign_in_minutes"] == 45
