"""The verdict on a host: stories, the edges of every row, the safety rules, and what is refused."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, asdict, fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drkit.planning import transparency
from drkit.planning.transparency import (
    DOMAINS,
    NOTES,
    ROWS,
    Signals,
    Verdict,
    VerdictOutcome,
    judge,
    lower_confidence,
    with_notes,
)
from tests.planning.enumerate_transparency import (
    COMPARISONS,
    CONTEXTS,
    POINTS,
    SAMPLE,
    Tally,
    after_first,
    broken_rules,
    reassured,
    tallies,
)

STORIES = json.loads((Path(__file__).parents[1] / "cases" / "transparency_stories.json").read_text("utf-8"))

signals_as_fields = st.fixed_dictionaries({name: st.sampled_from(values) for name, values in DOMAINS.items()})
many = settings(max_examples=400)


def azure(**given: Any) -> Signals:
    return Signals(host_kind="azure-vm", **given)


def found(**given: Any) -> Signals:
    return azure(arm="found", **given)


def up(**given: Any) -> Signals:
    """A VM that answers, well in every respect but those given."""
    well = {"instance_id": "same", "os_id": "same", "registration": "same", "health": "ok"}
    return azure(**{"arm": "found", "probe": "up"} | well | given)


def arc(**given: Any) -> Signals:
    return Signals(host_kind="arc", **given)


# --- stories ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", STORIES, ids=[story["name"] for story in STORIES])
def test_story(story: dict[str, Any]) -> None:
    verdict = judge(Signals(**story["signals"]), trust_registration=story.get("trust_registration", False))
    told = asdict(verdict) | {"notes": list(verdict.notes)}
    del told["evidence"]
    assert told == story["expect"], story["why"]


def test_stories_have_unique_names_and_together_use_every_row() -> None:
    assert len({story["name"] for story in STORIES}) == len(STORIES)
    assert {story["expect"]["rule"] for story in STORIES} == {row.number for row in ROWS}


# --- the edges of the rows -------------------------------------------------------------------------------------------

EDGES: list[tuple[Signals, int, str]] = [
    (arc(arc_cloned=True, probe="up"), 1, "high"),
    # 2: each half of "alive", and each way to fall out of it into row 3.
    (azure(successor="proved", probe="up"), 2, "medium"),
    (azure(successor="proved", probe="up", region="both"), 2, "medium"),
    (found(successor="proved", health="ok", region="claimed"), 2, "medium"),
    (found(successor="proved", health="ok", probe="down"), 3, "high"),
    (found(successor="proved", health="ok", region="observed"), 3, "medium"),
    (found(successor="proved", health="ok", region="both"), 3, "medium"),
    (found(successor="proved", health="ok", instance_id="different"), 3, "medium"),
    (azure(successor="proved", probe="up", instance_id="different"), 3, "medium"),
    (found(successor="proved", health="unknown"), 3, "medium"),
    (azure(successor="proved", health="ok"), 3, "medium"),
    (found(successor="proved", health="down-within-grace"), 3, "medium"),
    (found(successor="proved", health="down"), 3, "high"),
    (found(successor="proved", health="stopped"), 3, "high"),
    (azure(successor="proved", arm="gone"), 3, "high"),
    (azure(successor="proved", arm="none", probe="down"), 3, "high"),
    # 4 and 5: gone.
    (azure(arm="gone", region="both", probe="down", health="stopped"), 4, "medium"),
    (azure(arm="gone", region="claimed"), 5, "high"),
    (azure(arm="gone", region="observed"), 5, "high"),
    (azure(arm="gone", successor="drill"), 5, "high"),
    (azure(arm="gone", successor="name-only"), 5, "medium"),
    (arc(arm="gone", region="both"), 17, "medium"),
    # 6: the region, and what keeps a host out of its loss.
    (found(region="both", health="down"), 6, "high"),
    (found(region="both", health="down", probe="down"), 6, "high"),
    (found(region="both", health="ok", probe="down"), 6, "medium"),
    (found(region="both", health="unknown"), 6, "medium"),
    (found(region="both", health="down-within-grace"), 6, "medium"),
    (azure(region="both"), 6, "medium"),
    (azure(region="both", health="down"), 6, "medium"),
    (azure(region="both", health="ok"), 6, "medium"),
    (azure(region="both", arm="none"), 19, "low"),
    (azure(region="both", health="stopped"), 18, "low"),
    (found(region="both", health="stopped"), 14, "high"),
    (found(region="both", health="ok"), 21, "low"),
    (up(region="both", boot="same"), 26, "medium"),
    (arc(arm="found", region="both", health="unknown"), 16, "low"),
    # 7 and 8: the platform says down.
    (found(region="observed", health="down"), 7, "medium"),
    (found(region="observed", health="down", probe="down"), 7, "medium"),
    (found(region="observed", health="unknown"), 16, "low"),
    (azure(region="observed", health="down"), 18, "low"),
    (found(region="claimed", health="down"), 8, "medium"),
    (found(health="down", probe="down"), 8, "high"),
    (up(health="down", boot="same"), 26, "medium"),
    (arc(arm="found", health="down", probe="down", region="observed"), 20, "medium"),
    # 9 and 10: another instance.
    (arc(instance_id="different", os_id="same", registration="same", probe="up"), 9, "medium"),
    (arc(instance_id="different", os_id="same", registration="same", probe="up", arm="gone"), 9, "medium"),
    (arc(instance_id="different", os_id="same", registration="unknown", probe="up"), 10, "high"),
    (arc(instance_id="different", os_id="unknown", registration="same", probe="up"), 10, "high"),
    (arc(instance_id="different", os_id="same", registration="same", probe="down"), 10, "medium"),
    (up(instance_id="different"), 10, "high"),
    (found(instance_id="different", health="stopped"), 10, "high"),
    (azure(instance_id="different"), 10, "medium"),
    (azure(instance_id="different", probe="up"), 10, "high"),
    # 11 and 12: what a guest said to differ before it fell silent stands.
    (azure(os_id="different"), 11, "high"),
    (up(os_id="different", registration="different"), 11, "high"),
    (azure(registration="different"), 12, "medium"),
    # 13: an ephemeral OS disk after a move.
    (found(ephemeral_os_disk=True, event="reboot-other-host"), 13, "medium"),
    (found(ephemeral_os_disk=True, event="reboot-other-host", os_id="same"), 13, "medium"),
    (azure(ephemeral_os_disk=True, boot="different", physical_host="different"), 13, "medium"),
    (up(ephemeral_os_disk=True, boot="different", physical_host="different"), 28, "high"),
    (up(ephemeral_os_disk=True, event="reboot-other-host", registration="unknown"), 30, "medium"),
    (up(ephemeral_os_disk=True, event="reboot-other-host", os_id="unknown"), 30, "medium"),
    (up(ephemeral_os_disk=True, event="reboot-same-host", os_id="unknown", registration="unknown"), 30, "medium"),
    (up(ephemeral_os_disk=True, boot="different", os_id="unknown", registration="unknown"), 29, "low"),
    (up(ephemeral_os_disk=True, physical_host="different", os_id="unknown", registration="unknown"), 31, "low"),
    (up(event="reboot-other-host", os_id="unknown", registration="unknown"), 30, "medium"),
    # 14 to 22: not known.
    (found(health="stopped", probe="down"), 14, "high"),
    (up(health="stopped"), 33, "medium"),
    (found(health="down-within-grace"), 15, "medium"),
    (up(health="down-within-grace"), 33, "medium"),
    (found(health="unknown", probe="down"), 16, "low"),
    (up(health="unknown"), 33, "medium"),
    (arc(arm="gone", health="ok"), 17, "medium"),
    (azure(probe="down"), 18, "low"),
    (azure(health="down-within-grace"), 18, "low"),
    (azure(health="stopped"), 18, "low"),
    (up(arm="unreachable"), 33, "medium"),
    (azure(arm="none", probe="down"), 19, "low"),
    (up(arm="none"), 33, "medium"),
    (found(health="ok", probe="down", region="observed"), 20, "medium"),
    (arc(arm="found", health="down"), 20, "medium"),
    (found(health="ok", region="observed", instance_id="same"), 21, "low"),
    (found(health="ok", region="claimed", instance_id="same"), 33, "medium"),
    (arc(arm="found", health="ok", region="observed", instance_id="same"), 33, "medium"),
    (up(region="observed"), 33, "medium"),
    (up(arm="gone", boot="same"), 22, "medium"),
    (up(arm="gone", boot="same", region="both"), 22, "medium"),
    # 23 and 24: another OS disk.
    (up(os_disk="different", boot="same", os_id="unknown"), 23, "medium"),
    (up(os_disk="different", registration="unknown"), 23, "medium"),
    (found(os_disk="different", health="ok", instance_id="same", registration="same"), 23, "medium"),
    (found(os_disk="different", health="ok", instance_id="same", os_id="same"), 24, "medium"),
    (up(os_disk="different", instance_id="unknown"), 24, "medium"),
    (up(os_disk="different", os_id="unknown", registration="unknown"), 24, "medium"),
    (up(os_disk="same", boot="same"), 26, "medium"),
    # 25 and 26: the same boot.
    (up(boot="same", physical_host="different"), 25, "high"),
    (up(boot="same", physical_host="different", event="freeze", health="unknown"), 25, "high"),
    (up(boot="same", physical_host="different", os_id="unknown"), 25, "high"),
    (up(boot="same", physical_host="different", event="reboot-other-host"), 25, "medium"),
    (up(boot="same", physical_host="different", event="reboot-same-host"), 25, "medium"),
    (up(boot="same", physical_host="different", instance_id="unknown"), 25, "medium"),
    (up(boot="same", physical_host="different", os_id="unknown", registration="unknown"), 25, "medium"),
    (up(boot="same", physical_host="different", health="stopped"), 25, "medium"),
    (up(boot="same", physical_host="same", event="freeze"), 25, "medium"),
    (up(boot="same", event="reboot-same-host"), 25, "medium"),
    (up(boot="same", physical_host="same"), 26, "high"),
    (up(boot="same"), 26, "medium"),
    (up(boot="same", physical_host="same", health="down"), 26, "medium"),
    (up(boot="same", physical_host="same", instance_id="unknown"), 26, "medium"),
    (azure(boot="same", probe="up"), 26, "medium"),
    # 27: any one identity is enough to be known.
    (azure(probe="up", boot="different", event="reboot-same-host"), 27, "low"),
    (azure(probe="up", os_id="same"), 33, "medium"),
    (azure(probe="up", registration="same"), 33, "medium"),
    (azure(probe="up", instance_id="same"), 33, "medium"),
    (found(health="ok", os_id="same"), 27, "low"),
    (found(health="ok", registration="same"), 33, "medium"),
    # 28 and 29: another boot.
    (up(boot="different", physical_host="different"), 28, "high"),
    (up(boot="different", event="reboot-same-host"), 28, "high"),
    (up(boot="different", event="reboot-other-host", registration="unknown"), 28, "high"),
    (up(boot="different", event="reboot-other-host", health="down"), 28, "medium"),
    (up(boot="different", event="reboot-other-host", instance_id="unknown"), 28, "medium"),
    (up(boot="different", event="freeze"), 29, "low"),
    (up(boot="different", physical_host="same"), 29, "low"),
    (found(boot="different", health="ok", instance_id="same"), 29, "low"),
    # 30 to 33: the boot is unknown.
    (up(event="reboot-same-host", physical_host="different"), 30, "medium"),
    (up(event="reboot-other-host"), 30, "medium"),
    (up(physical_host="different", event="freeze"), 31, "low"),
    (up(event="freeze"), 32, "medium"),
    (found(health="ok", instance_id="same", boot="same", physical_host="same"), 33, "medium"),
]


@pytest.mark.parametrize(("signals", "rule", "confidence"), EDGES)
def test_edge(signals: Signals, rule: int, confidence: str) -> None:
    verdict = judge(signals)
    assert (verdict.rule, verdict.confidence) == (rule, confidence)


def test_the_edges_touch_every_row() -> None:
    assert {rule for _, rule, _ in EDGES} == {row.number for row in ROWS}


def test_trusting_the_registration_opens_row_9_to_azure_vms_and_nothing_else() -> None:
    restored = up(instance_id="different")
    assert judge(restored, trust_registration=True).rule == 9
    assert judge(replace(restored, registration="unknown"), trust_registration=True).rule == 10
    assert judge(replace(restored, probe="none"), trust_registration=True).rule == 10


@many
@given(signals_as_fields)
def test_trusting_the_registration_turns_row_10_into_row_9_or_changes_nothing(given: dict[str, Any]) -> None:
    without, with_it = (judge(Signals(**given), trust_registration=trusted) for trusted in (False, True))
    assert with_it == without or (without.rule, with_it.rule) == (10, 9)


# --- before the rows -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("region", DOMAINS["region"])
@pytest.mark.parametrize("kind", ["arc", "physical"])
def test_the_region_of_a_host_outside_azure_is_metadata(kind: Any, region: Any) -> None:
    signals = Signals(host_kind=kind, arm="found", health="unknown", region=region)
    assert judge(signals) == judge(replace(signals, region="ok"))


@pytest.mark.parametrize(
    ("arm", "instance_id", "rule"),
    [
        ("gone", "unknown", 33),
        ("gone", "same", 33),
        ("found", "unknown", 33),
        ("gone", "different", 5),
        ("found", "different", 10),
        ("unreachable", "unknown", 18),
        ("none", "same", 19),
    ],
)
def test_a_moved_machine_is_rebound_only_if_arm_answered_and_no_other_instance_was_seen(
    arm: Any, instance_id: Any, rule: int
) -> None:
    verdict = judge(azure(arm=arm, instance_id=instance_id, health="ok", successor="moved"))
    assert (verdict.rule, verdict.notes[0]) == (rule, "moved")


@pytest.mark.parametrize("name", ["os_id", "boot", "physical_host"])
@pytest.mark.parametrize("probe", ["none", "down"])
def test_what_a_silent_guest_said_to_be_same_is_unknown(name: str, probe: Any) -> None:
    given: dict[str, Any] = {"health": "ok", "probe": probe, "instance_id": "same", "event": "freeze"}
    assert judge(found(**given | {name: "same"})) == judge(found(**given))


def test_a_difference_that_a_guest_reported_before_it_fell_silent_counts() -> None:
    silent = found(health="ok", instance_id="same")
    assert judge(replace(silent, os_id="different")).rule == 11
    assert judge(replace(silent, boot="different")).rule == 29
    assert judge(replace(silent, physical_host="different")).rule == 31


@many
@given(signals_as_fields, st.booleans())
def test_first_is_read_as_the_text_has_it_and_reading_it_twice_changes_only_the_notes(
    given: dict[str, Any], trusted: bool
) -> None:
    signals = Signals(**given)
    view = transparency._after_first(signals, trusted)
    stand = after_first(given)
    assert {name: getattr(view, name) for name in DOMAINS} == stand
    once, twice = judge(signals, trust_registration=trusted), judge(Signals(**stand), trust_registration=trusted)
    assert replace(once, notes=tuple(word for word in once.notes if word not in ("moved", "drill-copy"))) == twice


# --- notes and evidence ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("signals", "notes"),
    [
        (found(region="observed", health="down", successor="moved"), ("moved", "region-suspected")),
        (azure(successor="moved"), ("moved",)),
        (azure(successor="drill", region="both"), ("drill-copy", "region-claimed")),
        (azure(successor="name-only", region="claimed"), ("name-only-successor", "region-claimed")),
        (azure(successor="proved"), ()),
        (azure(region="both"), ("region-claimed",)),
        (azure(region="observed"), ("region-suspected",)),
        (Signals(host_kind="physical", region="observed"), ()),
        (azure(arm="gone", os_id="different", region="both"), ("region-claimed", "identity-differs")),
        (azure(arm="gone", registration="different"), ("identity-differs",)),
        (found(health="down", region="observed", instance_id="different"), ("region-suspected", "identity-differs")),
        (found(health="down", instance_id="different"), ("identity-differs",)),
        (azure(region="both", instance_id="different"), ("region-claimed", "identity-differs")),
        (found(health="down", boot="different"), ()),
        (found(health="down", os_id="same"), ()),
        (azure(instance_id="different"), ()),
        (up(health="down"), ("sources-disagree",)),
        (up(health="down-within-grace"), ("sources-disagree",)),
        (up(health="stopped"), ("sources-disagree",)),
        (up(health="unknown"), ()),
        (up(boot="same", event="reboot-other-host"), ("sources-disagree",)),
        (up(boot="same", event="freeze"), ()),
        (up(boot="different", event="reboot-same-host"), ()),
        (found(health="stopped", boot="same", event="reboot-same-host"), ()),
        (arc(arc_cloned=True, probe="up", health="stopped", successor="drill"), ("drill-copy", "sources-disagree")),
        (up(os_disk="different"), ("state-rolled-back",)),
        (up(os_disk="different", instance_id="unknown"), ()),
        (
            up(os_disk="different", health="down", region="observed", successor="moved"),
            ("moved", "region-suspected", "sources-disagree", "state-rolled-back"),
        ),
    ],
)
def test_notes(signals: Signals, notes: tuple[str, ...]) -> None:
    assert judge(signals).notes == notes


@many
@given(signals_as_fields)
def test_notes_are_known_words_each_once_in_order_and_never_the_surveys(given: dict[str, Any]) -> None:
    notes = judge(Signals(**given)).notes
    assert list(notes) == [word for word in NOTES if word in notes]
    assert not {"zone", "provisional"} & set(notes)


@given(signals_as_fields)
def test_evidence_is_passed_on_and_not_read(given: dict[str, Any]) -> None:
    plain, proved = judge(Signals(**given)), judge(Signals(**given, evidence=("a reading", {"of": "anything"})))
    assert proved == replace(plain, evidence=("a reading", {"of": "anything"}))


def test_the_survey_adds_its_notes_in_their_place() -> None:
    verdict = judge(found(health="down", region="claimed"))
    noted = with_notes(verdict, "provisional", "zone", "region-claimed")
    assert noted == replace(verdict, notes=("region-claimed", "zone", "provisional"))
    assert with_notes(verdict) == verdict
    assert with_notes(with_notes(verdict, "provisional"), "zone") == with_notes(verdict, "zone", "provisional")
    with pytest.raises(ValueError, match=r"'perhaps' is no note; notes are moved, .*provisional"):
        with_notes(verdict, "zone", "perhaps")


def test_confidence_is_lowered_to_low_and_no_further() -> None:
    verdict = judge(found(health="stopped"))
    assert [lower_confidence(verdict, levels).confidence for levels in range(4)] == ["high", "medium", "low", "low"]
    assert lower_confidence(verdict) == replace(verdict, confidence="medium")
    with pytest.raises(ValueError, match="levels is -1"):
        lower_confidence(verdict, -1)


# --- what is refused -------------------------------------------------------------------------------------------------


class Text(str):
    """Equal to a plain string, and not one."""

    __slots__ = ()


@pytest.mark.parametrize("name", DOMAINS)
def test_a_value_outside_its_domain_is_refused_by_field_and_values(name: str) -> None:
    allowed = DOMAINS[name]
    equal_but_other: list[Any] = [0, 1, 0.0] if allowed == (False, True) else [Text(allowed[0]), allowed[0].encode()]
    for value in [*equal_but_other, None, "", "Same", "no such value", (), [], {}, allowed]:
        with pytest.raises(ValueError, match=rf"^{name} is .*, which is none of ") as refusal:
            Signals(**{"host_kind": "azure-vm", name: value})
        assert str(refusal.value).endswith(", ".join(repr(one) for one in allowed))


def test_evidence_is_a_tuple() -> None:
    with pytest.raises(ValueError, match=r"evidence is .* no tuple"):
        azure(evidence=["a reading"])


def test_signals_are_made_by_keyword_know_their_host_and_do_not_change() -> None:
    with pytest.raises(TypeError):
        Signals("azure-vm")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="host_kind"):
        Signals()  # type: ignore[call-arg]
    with pytest.raises(FrozenInstanceError):
        azure().arm = "found"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        judge(azure()).rule = 1  # type: ignore[misc]
    with pytest.raises(ValueError, match="arm is 'lost'"):
        replace(azure(), arm="lost")  # type: ignore[arg-type]


def test_every_default_is_the_first_of_its_domain() -> None:
    assert [field.name for field in fields(Signals)] == [*DOMAINS, "evidence"]
    blank = azure()
    assert {name: getattr(blank, name) for name in DOMAINS} == {name: values[0] for name, values in DOMAINS.items()}
    assert blank.evidence == ()


# --- the table as data -----------------------------------------------------------------------------------------------


def test_rows_are_numbered_in_order_and_only_the_undetermined_have_a_reason_each_its_own() -> None:
    assert [row.number for row in ROWS] == list(range(1, 34))
    assert all(row.outcome in get_args(VerdictOutcome) and row.when for row in ROWS)
    reasons = [row.reason for row in ROWS if row.outcome == "undetermined"]
    assert all(reasons)
    assert len(set(reasons)) == len(reasons)
    assert not any(row.reason for row in ROWS if row.outcome != "undetermined")


@given(signals_as_fields, st.booleans())
def test_a_verdict_says_what_its_row_says(given: dict[str, Any], trusted: bool) -> None:
    verdict = judge(Signals(**given), trust_registration=trusted)
    row = ROWS[verdict.rule - 1]
    assert (row.number, row.outcome, row.reason) == (verdict.rule, verdict.outcome, verdict.reason)


# --- the safety rules ------------------------------------------------------------------------------------------------


@many
@given(signals_as_fields, st.booleans())
def test_no_verdict_breaks_a_safety_rule(given: dict[str, Any], trusted: bool) -> None:
    verdict = judge(Signals(**given), trust_registration=trusted)
    assert broken_rules(after_first(given), verdict) == []


@many
@given(signals_as_fields, st.booleans())
def test_knowing_less_never_reassures(given: dict[str, Any], trusted: bool) -> None:
    for stand in (given, after_first(given)):
        verdict = judge(Signals(**stand), trust_registration=trusted)
        for name in COMPARISONS:
            if stand[name] == "same":
                unseen = judge(Signals(**stand | {name: "unknown"}), trust_registration=trusted)
                assert not reassured(verdict, unseen), name


@pytest.mark.parametrize("trusted", [False, True])
def test_an_even_sample_of_all_combinations_breaks_no_rule_and_meets_every_row(trusted: bool) -> None:
    total = Tally()
    for tally in tallies(SAMPLE, trust_registration=trusted):
        total += tally
    assert total.broken == []
    assert total.combinations >= CONTEXTS
    assert set(total.rows) == {row.number for row in ROWS}


def test_all_combinations_are_42_million() -> None:
    assert CONTEXTS * POINTS == 41_990_400


def test_the_rules_are_seen_to_be_broken_when_they_are() -> None:
    lost, moved = Verdict("host-lost", "high", 8), Verdict("transparent", "high", 25)
    stand = {name: values[0] for name, values in DOMAINS.items()}
    assert broken_rules(stand | {"os_id": "different"}, moved) == [1]
    assert broken_rules(stand | {"os_id": "different"}, replace(moved, rule=9)) == [1]
    assert broken_rules(stand, lost) == [2]
    assert broken_rules(stand | {"arm": "gone", "probe": "up"}, lost) == [2]
    assert broken_rules(stand | {"region": "observed"}, replace(lost, outcome="region-lost")) == [3]
    assert broken_rules(stand | {"region": "both", "probe": "up"}, replace(lost, outcome="region-lost")) == [3]
    assert broken_rules(stand | {"boot": "different"}, replace(lost, outcome="re-register")) == [4]
    assert reassured(lost, moved)
    assert reassured(moved, replace(moved, outcome="no-failover", confidence="low"))
    assert reassured(replace(moved, confidence="medium"), moved)
    assert not reassured(moved, lost)
    assert not reassured(replace(lost, confidence="low"), lost)
