"""Reasons: every code has a text of its own, which says what is said of the plan and what was observed."""

from __future__ import annotations

import pytest

from drkit.planning.dispositions import TABLE
from drkit.planning.reasons import TEXT, PlanStanding, Reason, ReasonCode, is_no_target, no_target


def test_every_code_has_a_text_and_no_two_have_the_same() -> None:
    assert set(TEXT) == set(ReasonCode)
    assert len({Reason(code, detail="seen").text for code in ReasonCode}) == len(ReasonCode)


@pytest.mark.parametrize("code", sorted({row[4] for row in TABLE if row[0] == "lost"}))
def test_a_reason_names_why_the_plan_is_left_unless_the_machine_itself_is_lost(code: ReasonCode) -> None:
    texts = [Reason(code, plan).text for plan in (PlanStanding.LOST, PlanStanding.LEFT_ON_PURPOSE, PlanStanding.BACK)]
    about_the_machine = code in (ReasonCode.MACHINE_LOST, ReasonCode.MACHINE_IN_LOST_REGION)
    assert len(set(texts)) == (1 if about_the_machine else 3)
    assert all("{" not in text for text in texts)


def test_a_reason_says_what_was_observed_and_that_it_is_not_certain() -> None:
    text = Reason(ReasonCode.ANOTHERS_REGISTRATION, PlanStanding.FINE, "worker {7} of plan x").text
    assert text.endswith("decides (worker {7} of plan x)")
    sure, unsure = Reason(ReasonCode.MACHINE_UNTOUCHED), Reason(ReasonCode.MACHINE_UNTOUCHED, uncertain=True)
    assert unsure.text == f"{sure.text}; but that verdict has low confidence, so a person does it"


def test_a_plan_that_goes_nowhere_is_known_by_its_reason() -> None:
    assert is_no_target(no_target("not eastus: quota"))
    assert not is_no_target("nothing of it is left to bring up")
