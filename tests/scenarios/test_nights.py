"""Nights that go otherwise than the drill's, through the real commands: false alarms, timers, full regions, a second plan."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from drkit.api import assess, capture, control, plan
from drkit.errors import RefusedError
from drkit.model.estate import Assessment
from tests.support.estates import NEXT, REGION, SUBSCRIPTION, TARGET, People, Site, estate, plan_id


def assessed(site: Site, **options: str) -> Assessment:
    taken, _, _ = asyncio.run(assess.assess(site.context, **options))
    return taken


def states(taken: Assessment) -> dict[str, str]:
    return {one.plan.rsplit("/", 1)[-1]: one.state for one in taken.plans}


def test_a_fleet_that_is_fine_under_a_false_alarm_is_not_lost(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        site.world.control("announce", region=REGION, after_minutes=0, level="Error")
        taken = assessed(site)
        assert [claim.region for claim in taken.claims] == [REGION]
        assert set(states(taken).values()) == {"answering"}
        assert taken.lost_regions == ()
        assert plan.plan(site.context).runbook.steps == ()


def test_an_outage_that_nobody_claims_is_no_loss_until_somebody_declares_it(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        site.world.control("lose", region=REGION, announce=False)
        silent = assessed(site)
        assert states(silent)["plan-weu"] == "unreachable"
        assert not [step for step in plan.plan(site.context).runbook.steps if step.effect != "verify"]
        told = assessed(site, declare_lost="West Europe", reason="the status page and two calls")
        assert states(told)["plan-weu"] == "lost"
        (claim,) = told.claims
        assert (claim.kind, claim.region, claim.text) == ("declaration", REGION, "the status page and two calls")
        assert claim.who


def test_a_withdrawn_notice_and_an_informational_one_claim_nothing(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        site.world.control("lose", region=REGION, announce=False)
        site.world.control("announce", region=REGION, after_minutes=0, level="Error", false_positive=True)
        site.world.control("announce", region=REGION, after_minutes=0, level="Informational")
        taken = assessed(site)
        assert taken.claims == ()
        assert {one.why_not.split(":")[0] for one in taken.statements} == {
            "withdrawn as a false positive",
            "level informational",
        }
        assert states(taken)["plan-weu"] == "unreachable"


def test_a_snapshot_taken_by_a_timer_during_the_outage_spoils_nothing(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        before = site.planned
        assert before is not None
        for _ in range(2):
            taken, _ = asyncio.run(capture.snapshot(site.context))
        assert {capture.state for capture in taken.captures if capture.subject == plan_id()} == {"failed"}
        assessed(site)
        again = plan.plan(site.context)
        assert [msgspec.to_builtins(step) for step in again.runbook.steps] == [
            msgspec.to_builtins(step) for step in before.runbook.steps
        ]


def test_plan_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        assert plan.plan(site.context).content == plan.plan(site.context).content


def test_after_apply_it_proposes_only_what_was_skipped(tmp_path: Path) -> None:
    with estate(tmp_path, people={"bench": {"ready_after": None}}) as site:
        with People(site, unheard=["bench"]):
            assert site.apply("--wait", "5") == 3
        step = site.step("bench", "ready")
        control.skip(site.context, site.run, step, "out of reach")
        with People(site, unheard=["bench"]):
            assert site.resume("--wait", "5") == 0
        assessed(site)
        left = plan.plan(site.context).runbook
        assert {one.name for one in left.environments if one.disposition == "already"} == {
            "api", "shop", "docs", "build", "rack",
        }  # fmt: skip
        assert {one.name for one in left.environments if one.proof_step} == {"bench"}
        assert all(step.environment or step.effect == "verify" for step in left.steps)


def test_a_target_short_of_quota_gives_way_to_the_next_and_with_none_left_it_refuses(tmp_path: Path) -> None:
    with estate(tmp_path, lost=False) as site:
        site.world.control("quota", subscription=SUBSCRIPTION, region=TARGET, kind="cores", limit=6)
        site.lose()
        planned = site.plan()
        assert set(planned.runbook.target_regions.values()) == {NEXT}
        assert any(f"not {TARGET}: quota" in note for note in planned.runbook.notes)
        site.world.control("lose", region=NEXT, announce=False)
        assessed(site)
        with pytest.raises(RefusedError, match="no target region is left") as refused:
            plan.plan(site.context)
        assert f"not {TARGET}: quota" in str(refused.value)
        assert f"not {NEXT}: its own service does not answer" in str(refused.value)


def test_plan_and_show_load_no_azure_sdk(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom drkit.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code in (0, 2), end.code\n"
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in ('azure', 'msal')), file=sys.stderr)\n"
    )
    with estate(tmp_path) as site:
        for words in (["plan"], ["show"], ["status"], ["schema", "runbook"]):
            done = subprocess.run(
                [sys.executable, "-c", program, *site.words(*words)],
                capture_output=True, text=True, check=False, env=site.environment(),
            )  # fmt: skip
            assert done.stderr.splitlines()[-1] == "[]", done.stderr
            assert done.stdout


def test_every_command_speaks_json(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        digest = ""
        for words in (["assess"], ["plan"], ["show"], ["approve"], ["status"], ["schema", "snapshot"]):
            done = site.call(*words, *([digest] if words == ["approve"] else []), "--json")
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert isinstance(told, dict)
            digest = told.get("digest", digest)


def test_what_the_service_says_of_itself_is_shown_beside_and_claims_nothing(tmp_path: Path) -> None:
    with estate(tmp_path) as site:
        taken = assessed(site)
        (said,) = [one for one in taken.witnesses if one.subject == "locations"]
        assert said.source == "https://online.visualstudio.com/api/v1/locations"
        assert REGION not in str(said.value)
        assert TARGET in str(said.value)
        shown = site.call("assess")
        assert "also read, not a claim: https://online.visualstudio.com/api/v1/locations" in " ".join(
            shown.stdout.split()
        )
        assert all(claim.kind == "service-health" for claim in taken.claims)
