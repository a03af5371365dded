"""Ids are compared without case and without a slash at their end, and taken apart by name."""

from __future__ import annotations

import copy
import itertools
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drkit.model.estate import Environment, Host
from drkit.model.ids import ArmId, slug

VM = "/subscriptions/S1/resourceGroups/rg-Apps/providers/Microsoft.Compute/virtualMachines/Web01"
WORDS = st.text("abcXYZ019-._/", max_size=12)


@given(WORDS, WORDS)
def test_two_ids_are_equal_where_only_case_or_a_final_slash_differs(one: str, other: str) -> None:
    same = one.rstrip("/").lower() == other.rstrip("/").lower()
    for right in (other, ArmId(other)):
        assert (ArmId(one) == right) is same
        assert (right == ArmId(one)) is same
        assert (ArmId(one) != right) is not same
    assert not same or hash(ArmId(one)) == hash(ArmId(other))
    assert (ArmId(one) in {ArmId(other): None}) is same


@given(st.lists(WORDS))
def test_ids_are_sorted_by_their_texts_in_lower_case(texts: list[str]) -> None:
    folded = [text.rstrip("/").lower() for text in texts]
    assert [item.folded for item in sorted(map(ArmId, texts))] == sorted(folded)
    for one, other in itertools.pairwise(texts):
        left, right = one.rstrip("/").lower(), other.rstrip("/").lower()
        assert (ArmId(one) < other, ArmId(one) <= other) == (left < right, left <= right)
        assert (ArmId(one) > other, ArmId(one) >= other) == (left > right, left >= right)


def test_an_id_is_no_number_and_nothing() -> None:
    for value in (None, 3, b"/a"):
        assert ArmId("/a") != value
        assert not (ArmId("/a") == value)  # noqa: SIM201


@given(WORDS)
def test_an_id_keeps_its_text_when_shown_copied_and_pickled(text: str) -> None:
    arm_id = ArmId(text)
    assert f"{arm_id}" == str(arm_id) == text
    assert ArmId(arm_id) is arm_id
    for again in (copy.deepcopy(arm_id), pickle.loads(pickle.dumps(arm_id))):
        assert again == arm_id
        assert str(again) == text


def test_an_id_is_taken_apart_by_name_in_its_own_case() -> None:
    arm_id = ArmId(VM)
    assert (arm_id.name, arm_id.subscription, arm_id.resource_group) == ("Web01", "S1", "rg-Apps")
    assert arm_id.segment("VIRTUALMACHINES") == "Web01"
    assert arm_id.segment("disks") == ""
    assert arm_id.resource_type == "Microsoft.Compute/virtualMachines"
    assert arm_id.group == "/subscriptions/s1/resourcegroups/rg-apps"
    assert ArmId(f"{VM}/extensions/Agent").parent == VM.lower()
    assert ArmId(f"{VM}/").name == "Web01"


@pytest.mark.parametrize("text", ["", "web01", "/"])
def test_what_is_no_id_has_no_parts(text: str) -> None:
    arm_id = ArmId(text)
    assert (arm_id.subscription, arm_id.resource_group, arm_id.resource_type) == ("", "", "")
    assert arm_id.name == text.strip("/")


@pytest.mark.parametrize(
    ("scope", "inside"),
    [
        (VM.upper(), True),
        (f"{VM}/", True),
        ("/SUBSCRIPTIONS/s1", True),
        ("/subscriptions/s1/resourceGroups/rg-App", False),
        (f"{VM}/extensions/Agent", False),
    ],
)
def test_an_id_is_within_its_scopes_and_not_within_a_name_that_only_begins_like_them(scope: str, inside: bool) -> None:
    assert ArmId(VM).within(scope) is inside


def test_the_keys_of_the_estate_are_compared_without_case() -> None:
    host = Host(VM, "azure-vm", "Web01")
    environment = Environment(id="AB", product="p", plan=VM, name="n", kind="managed")
    assert host.key == ArmId(VM.upper())
    assert environment.key == (ArmId(VM.upper()), ArmId("ab"))
    assert environment.plan_key == host.key


def test_a_slug_does_not_depend_on_the_case_of_the_id() -> None:
    assert slug("Web 01", VM) == slug("Web 01", f"{VM.upper()}/")
    assert slug("Web 01", VM).startswith("web-01.")
    assert slug("", "") == "x.e3b0c4"
