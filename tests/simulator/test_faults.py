"""What goes wrong on purpose: rules, throttling, lost regions, ports that close and come back."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import requests
from azure.core.exceptions import HttpResponseError

from tests.support.patience import PATIENCE
from tests.support.simulator_thread import SUB, Running, group_id

Fresh = Callable[..., Running]
GROUPS = f"/subscriptions/{SUB}/resourcegroups"
SERVICE = "westeurope.online.visualstudio.com"


def test_the_nth_request_is_struck_as_often_as_the_rule_says(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("fault", method="GET", url="/RESOURCEGROUPS", nth=2, times=2, status=503, retry_after=7)
    answers = [azure.get(GROUPS) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert answers[1].json()["error"]["code"] == "ServiceUnavailable"


def test_a_rule_ends_with_its_time_or_when_it_is_taken_back(fresh: Fresh) -> None:
    azure = fresh(speed=1.0)
    azure.control("fault", url="resourcegroups", times=0, for_seconds=7200, status=500)
    assert azure.get(GROUPS).status_code == 500
    clock = azure.simulator.world.clock
    azure.simulator.world.clock = replace(clock, origin=clock.origin + timedelta(hours=2))
    assert azure.get(GROUPS).status_code == 200
    rule = azure.control("fault", url="resourcegroups", times=0, principal="owner", status=429, code="Busy")
    assert azure.get(GROUPS, role="reader").status_code == 200
    assert azure.get(GROUPS).json()["error"]["code"] == "Busy"
    assert azure.control("unfault", id=rule["id"]) == {"removed": 1}
    assert azure.get(GROUPS).status_code == 200


@pytest.mark.parametrize(("drop", "made"), [("before", False), ("after", True)])
def test_a_connection_is_cut_before_or_after_the_work_is_done(fresh: Fresh, drop: str, made: bool) -> None:
    azure = fresh()
    azure.control("fault", method="PUT", drop=drop)
    with pytest.raises(requests.ConnectionError):
        azure.http.put(
            azure.ready["arm"] + group_id("dr"),
            params={"api-version": "2024-11-01"},
            json={"location": "eastus"},
            headers=azure.bearer(),
            timeout=PATIENCE,
        )
    assert (group_id("dr") in {group["id"] for group in azure.view("state")["groups"]}) is made
    told = [one["status"] for one in azure.view("record")["requests"] if one["method"] == "PUT"]
    assert told == [201 if made else None]


def test_a_body_is_truncated_or_html(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("fault", url="resourcegroups", truncate=True)
    with pytest.raises(requests.exceptions.RequestException):
        azure.get(GROUPS).json()
    azure.control("fault", url="resourcegroups", html=True)
    page = azure.get(GROUPS)
    assert (page.status_code, page.headers["Content-Type"]) == (502, "text/html")


def test_a_request_hangs_or_is_slow(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("fault", url="resourcegroups", hang=True)
    bearer = azure.bearer()
    with pytest.raises(requests.Timeout):
        azure.http.get(azure.ready["arm"] + GROUPS, headers=bearer, timeout=(PATIENCE, 0.3))
    azure.control("fault", url="resourcegroups", delay=18)
    start = time.monotonic()
    assert azure.get(GROUPS).status_code == 200
    assert time.monotonic() - start >= 0.3
    assert [line["status"] for line in azure.view("record")["requests"] if line["path"] == GROUPS] == [None, 200]


def test_a_long_running_operation_fails_or_never_ends(fresh: Fresh) -> None:
    azure = fresh()
    client = azure.resources()
    azure.control("fault", method="DELETE", lro="fail", code="Conflict", message="It is in use.")
    with pytest.raises(HttpResponseError, match="It is in use"):
        client.resource_groups.begin_delete("dev-ne").result()
    azure.control("fault", method="DELETE", lro="never")
    poller = client.resource_groups.begin_delete("dev-ne")
    poller.wait(1.5)
    assert not poller.done()


def test_a_run_command_that_never_ends_is_given_up_at_its_limit(fresh: Fresh, monkeypatch: pytest.MonkeyPatch) -> None:
    from drkit.simulator.arm import compute

    assert compute.LONGEST == 90 * 60
    monkeypatch.setattr(compute, "LONGEST", 60.0)
    azure = fresh()
    azure.control("fault", method="POST", url="/runCommand", lro="never")
    body: Any = {"commandId": "RunShellScript", "script": ["true"]}
    commands = azure.compute().virtual_machines
    first = commands.begin_run_command("dev-ne", "web-01", body)
    with pytest.raises(HttpResponseError, match="in progress"):
        commands.begin_run_command("dev-ne", "web-01", body)
    with pytest.raises(HttpResponseError, match="OperationTimedOut"):
        first.result()
    assert commands.begin_run_command("dev-ne", "web-01", body).result()


def test_a_list_lags_behind_what_exists_and_a_resource_by_its_id_does_not(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("fault", method="GET", url="resourcegroups[?]", stale=600, times=0)

    def names() -> set[str]:
        return {one["name"] for one in azure.get(GROUPS).json()["value"]}

    before = names()
    client = azure.resources()
    client.resource_groups.create_or_update("made-now", {"location": "eastus"})
    client.resource_groups.begin_delete("dev-ne").wait(PATIENCE)
    assert names() == before
    assert client.resource_groups.get("made-now").name == "made-now"
    assert not client.resource_groups.check_existence("dev-ne")
    assert any(one.get("behind") for one in azure.view("record")["requests"])
    azure.control("unfault")
    assert names() == before - {"dev-ne"} | {"made-now"}


def test_a_list_that_lags_a_moment_catches_up(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("fault", method="GET", url="resourcegroups[?]", stale=30, times=0)
    azure.resources().resource_groups.create_or_update("made-now", {"location": "eastus"})
    deadline = time.monotonic() + PATIENCE
    seen: list[bool] = []
    while not seen or not seen[-1]:
        seen.append("made-now" in azure.get(GROUPS).text)
        assert time.monotonic() < deadline
    assert seen[0] is False


def test_resource_manager_really_throttles(fresh: Fresh) -> None:
    azure = fresh(speed=1.0)
    azure.control("throttle", reads=[3, 0.001])
    bearer = azure.bearer()
    url = azure.ready["arm"] + GROUPS + "?api-version=2024-11-01"
    answers = [azure.http.get(url, headers=bearer, timeout=PATIENCE) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [a.headers["x-ms-ratelimit-remaining-subscription-reads"] for a in answers] == ["2", "1", "0", "0"]
    assert 500 < int(answers[-1].headers["Retry-After"]) <= 1001
    assert answers[-1].json()["error"]["code"] == "SubscriptionRequestsThrottled"
    assert azure.get(GROUPS, role="reader").status_code == 200
    assert azure.view("throttle")["throttled"] == 1


def test_the_published_buckets_hold_250_reads(fresh: Fresh) -> None:
    azure = fresh(speed=1.0)
    bearer = azure.bearer()
    url = azure.ready["arm"] + f"/subscriptions/{SUB}?api-version=2024-11-01"
    now = azure.simulator.world.clock.now()
    buckets = azure.simulator.throttle
    for _ in range(250):
        buckets.take(now, SUB, "somebody", "northeurope", "GET")
    assert azure.http.get(url, headers=bearer, timeout=PATIENCE).status_code == 200
    with pytest.raises(Exception, match="429"):
        buckets.take(now, SUB, "somebody", "northeurope", "GET")


@pytest.mark.parametrize(("mode", "error"), [("refuse", requests.ConnectionError), ("hang", requests.Timeout)])
def test_a_lost_regions_service_is_silent_and_comes_back_on_its_port(
    fresh: Fresh, mode: str, error: type[Exception]
) -> None:
    azure = fresh()
    url = azure.ready["services"][SERVICE] + "/health"
    other = azure.ready["services"]["eastus.online.visualstudio.com"] + "/health"
    assert azure.http.get(url, timeout=PATIENCE).status_code == 200
    azure.control("lose", region="West Europe", mode=mode, announce=False)
    with pytest.raises(error):
        azure.http.get(url, timeout=0.5)
    assert azure.http.get(other, timeout=PATIENCE).status_code == 200
    azure.control("lose", region="westeurope", mode="hang" if mode == "refuse" else "refuse", announce=False)
    azure.control("restore", region="westeurope")
    assert azure.http.get(url, timeout=PATIENCE).status_code == 200


@pytest.mark.parametrize("arm", ["5xx", "hang"])
def test_a_write_into_a_lost_region_fails_at_the_provider(fresh: Fresh, arm: str) -> None:
    azure = fresh()
    azure.control("lose", region="westeurope", arm=arm, announce=False)

    def put(path: str, location: str, answers_within: float = PATIENCE) -> int:
        return azure.http.put(
            azure.ready["arm"] + path,
            params={"api-version": "2024-11-01"},
            json={"location": location},
            headers=azure.bearer(),
            timeout=(PATIENCE, answers_within),
        ).status_code

    disks = "/providers/Microsoft.Compute/disks/new"
    for path, location in (
        (group_id("dr-we"), "westeurope"),
        (group_id("dev-ne") + disks, "westeurope"),
        (group_id("dev-we") + disks, "northeurope"),
    ):
        if arm == "5xx":
            assert put(path, location) == 503
        else:
            with pytest.raises(requests.Timeout):
                put(path, location, 0.6)
    assert put(group_id("dev-ne") + disks, "northeurope") == 201
    assert azure.get(group_id("dev-we")).status_code == 200


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("fault", {"colour": "blue"}, "a fault has no 'colour'"),
        ("fault", {"url": "("}, "url:"),
        ("fault", {"url": "(a+)+b"}, "url: repeats a group that repeats"),
        ("fault", {"url": r"((?:x|[)(]*)\(){2,}"}, "url: repeats a group that repeats"),
        ("fault", {"url": ".*a.*b.*c.*d.*e"}, "url: has more than"),
        ("fault", {"url": "a" * 501}, "url: has more than"),
        ("lose", {"region": "atlantis"}, "there is no region 'atlantis'"),
        ("lose", {}, "'region' is missing"),
        ("lose", {"region": "eastus", "mode": "explode"}, "mode is refuse or hang"),
        ("host", {"id": "nobody", "event": "heal"}, "'nobody'"),
        ("change", {"id": "nothing"}, "'nothing'"),
    ],
)
def test_control_says_what_is_wrong(azure: Running, name: str, body: dict[str, str], said: str) -> None:
    answer = azure.http.post(f"{azure.ready['control']}/{name}", json=body, timeout=PATIENCE)
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_control_obeys_who_reads_the_ready_file_and_nobody_else(azure: Running) -> None:
    url, arm = azure.ready["control"], azure.ready["arm"]
    lost: dict[str, Any] = {"json": {"region": "westeurope"}, "timeout": 5}

    def status(url: str = f"{url}/lose", **more: Any) -> int:
        return int(azure.http.post(url, **(lost | more)).status_code)

    assert status(f"{arm}/control/lose") == 403
    assert status(f"{arm}/control/{'x' * 43}/lose") == 403
    assert status(f"{arm}/control//lose") == 403
    assert azure.http.get(f"{arm}/control/state", timeout=PATIENCE).status_code == 403
    assert status(headers={"Origin": "https://attacker.example"}) == 403
    assert status(headers={"Origin": "null"}) == 403
    assert status(headers={"Host": "attacker.example"}) == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert status(json=None, data='{"region": "westeurope"}', headers={"Content-Type": kind}) == 415
    assert azure.view("state")["lost"] == {}


def test_rules_with_ordinary_expressions_are_taken(azure: Running) -> None:
    for expression in (
        r"virtualMachines/vm-\w+/runCommand",
        r"eastus.*/api/v1/environments\?",
        "(a|b)+/x",
        "[*+(]+",
        r"\(\*+\)+",
    ):
        rule = azure.control("fault", url=expression, status=503, times=0)
        azure.control("unfault", id=rule["id"])


def test_control_is_not_in_the_record_and_the_record_can_be_read_from_a_number(fresh: Fresh) -> None:
    azure = fresh()
    azure.get(GROUPS)
    before = azure.view("record")["count"]
    azure.control("quota", kind="plans", limit=1)
    azure.get(GROUPS, role="reader")
    later = azure.view("record", since=before)["requests"]
    assert [(line["principal"], line["path"]) for line in later if line["kind"] == "read" and line["principal"]] == [
        ("reader", GROUPS)
    ]
    assert [line["n"] for line in later] == list(range(before + 1, before + 1 + len(later)))


def test_somebody_elses_change_shows(fresh: Fresh) -> None:
    azure = fresh()
    azure.control("change", id=group_id("dev-ne"), patch={"tags": {"owner": "else"}})
    assert azure.get(group_id("dev-ne")).json()["tags"] == {"team": "web", "owner": "else"}
    azure.control("change", id=group_id("dev-we"), delete=True)
    assert azure.get(group_id("dev-we")).status_code == 404
    assert azure.view("clock")["speed"] == 60.0
