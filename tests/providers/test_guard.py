"""Which requests may be sent, as a table."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence

import pytest

from drkit.errors import GuardError, LockedError
from drkit.model.operation import Request
from drkit.products import reading_posts
from drkit.providers.guard import Guard, Outgoing, ReadingPosts, classify, reading_guard, script_hash, writing_guard

ARM = "https://management.azure.com"
GROUP = f"{ARM}/subscriptions/s/resourceGroups/g"
PLAN = f"{GROUP}/providers/Microsoft.Codespaces/plans/p"
OLD_PLAN = f"{GROUP}/providers/Microsoft.VSOnline/plans/p"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/v"
PROBE = "printf probe\n"
HASHES = frozenset({hashlib.sha256(PROBE.encode()).hexdigest()})
READING = ReadingPosts(reading_posts().actions, HASHES)


def command(*lines: str, kind: str = "RunShellScript") -> bytes:
    return json.dumps({"commandId": kind, "script": list(lines), "parameters": []}).encode()


def leaving(method: str, url: str, body: bytes | None = None) -> Outgoing:
    return Outgoing(method, url, body, classify(method, url, body, READING))


READS = [
    ("GET", PLAN, None),
    ("HEAD", GROUP, None),
    ("OPTIONS", GROUP, None),
    ("POST", f"{PLAN}/readAllCodespaces?api-version=2020-06-16", None),
    ("POST", f"{OLD_PLAN}/readAllEnvironments?api-version=2020-05-26-preview", None),
    ("POST", f"{OLD_PLAN.lower()}/readallenvironments", None),
    ("POST", f"{ARM}/providers/Microsoft.ResourceGraph/resources?api-version=2022-10-01", b"{}"),
    ("POST", f"{VM}/runCommand?api-version=2026-04-01", command(PROBE)),
]
WRITES = [
    ("PUT", PLAN, b"{}"),
    ("PATCH", PLAN, b"{}"),
    ("DELETE", PLAN, None),
    ("POST", f"{PLAN}/writeCodespaces", None),
    ("POST", f"{PLAN}/writeDelegates", b"{}"),
    ("POST", f"{PLAN}/deleteAllCodespaces", None),
    ("POST", f"{PLAN}/readAllEnvironments", None),  # the other namespace's action
    ("POST", f"{PLAN}/readAllCodespaces/more", None),
    ("POST", f"{ARM}/subscriptions/s/providers/Microsoft.VSOnline/register", None),
    ("POST", f"{ARM}/providers/Microsoft.ResourceGraph/resourcesHistory", b"{}"),
    ("POST", "https://online.visualstudio.com/api/v1/environments", b"{}"),
    ("POST", f"{VM}/runCommand", command("rm -rf /")),
    ("POST", f"{VM}/runCommand", command(PROBE, "rm -rf /")),
    ("POST", f"{VM}/runCommand", command(PROBE, kind="RunPowerShellScript")),
    ("POST", f"{VM}/runCommand", b"not json"),
    ("POST", f"{VM}/runCommand", None),
    ("POST", f"{VM}/restart", command(PROBE)),
    ("PUT", f"{VM}/runCommands/x", command(PROBE)),
    ("BREW", PLAN, None),
]


@pytest.mark.parametrize(("method", "url", "body"), READS)
def test_a_reading_command_sends_reads_and_probes(method: str, url: str, body: bytes | None) -> None:
    reading_guard(READING)(leaving(method, url, body))


@pytest.mark.parametrize(("method", "url", "body"), WRITES)
def test_a_reading_command_sends_nothing_else(method: str, url: str, body: bytes | None) -> None:
    with pytest.raises(GuardError) as caught:
        reading_guard(READING)(leaving(method, url, body))
    assert method in caught.value.what
    assert caught.value.where == url.split("?")[0]
    assert "reads" in caught.value.what


def test_without_permission_to_probe_no_script_runs() -> None:
    with pytest.raises(GuardError, match="not one of the probes"):
        reading_guard(ReadingPosts())(leaving("POST", f"{VM}/runCommand", command(PROBE)))


@pytest.mark.parametrize(
    "url",
    [
        f"{PLAN}/readAllCodespaces/../../../x",
        f"{GROUP}/%2e%2e/other",
        f"{GROUP}/%2E./other",
        f"{GROUP}/a%2fb",
        f"{GROUP}/a%5Cb",
        f"{GROUP}/a\\b",
        f"{GROUP}/a b",
        "http://management.azure.com/subscriptions",
        "https://user@management.azure.com/subscriptions",
        f"{GROUP}#fragment",
        "/subscriptions/s",
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_a_url_that_could_mean_two_things_is_refused_even_to_read(method: str, url: str) -> None:
    with pytest.raises(GuardError):
        reading_guard(READING)(leaving(method, url))
    with pytest.raises(GuardError):
        writer([Request(method, url)])(leaving(method, url))


def writer(
    permitted: Sequence[Request] = (),
    lease: Callable[[], None] = lambda: None,
    lost: Callable[[str], bool] = lambda _url: False,
    deletes: Callable[[str], bool] = lambda _url: True,
) -> Guard:
    return writing_guard(lambda: permitted, lease, lost, READING, deletes)


@pytest.mark.parametrize(("method", "url", "body"), READS)
def test_a_run_may_read_and_probe(method: str, url: str, body: bytes | None) -> None:
    writer()(leaving(method, url, body))


@pytest.mark.parametrize(("method", "url", "body"), WRITES)
def test_a_run_writes_only_what_an_intent_announces(method: str, url: str, body: bytes | None) -> None:
    with pytest.raises(GuardError, match="no open intent"):
        writer([Request(method, f"{PLAN}-other"), Request("GET", url)])(leaving(method, url, body))
    writer([Request(method, url.split("?")[0].upper())])(leaving(method, url, body))


def test_a_deletion_is_refused_though_announced_where_nothing_allows_it() -> None:
    for allowed in (None, lambda url: url != PLAN):
        more = {} if allowed is None else {"deletes": allowed}
        guard = writing_guard(lambda: [Request("DELETE", PLAN)], lambda: None, lambda _url: False, READING, **more)
        with pytest.raises(GuardError, match="nothing in the store"):
            guard(leaving("DELETE", PLAN))
    writer([Request("DELETE", PLAN)], deletes=lambda url: url == PLAN)(leaving("DELETE", f"{PLAN}?api-version=1"))


def test_an_announced_name_may_be_percent_encoded_on_the_wire() -> None:
    writer([Request("PUT", f"{ARM}/subscriptions/s/resourceGroups/rg(1)")])(
        leaving("PUT", f"{ARM}/subscriptions/s/resourcegroups/rg%281%29?api-version=2025-04-01")
    )


def test_a_write_into_a_lost_region_is_refused_though_announced() -> None:
    with pytest.raises(GuardError, match="lost"):
        writer([Request("PUT", PLAN)], lost=lambda url: "Codespaces" in url)(leaving("PUT", PLAN))


def test_the_lease_is_checked_last_and_only_for_writes() -> None:
    looks: list[int] = []

    def lease() -> None:
        looks.append(1)

    guard = writer([Request("PUT", PLAN)], lease=lease)
    guard(leaving("GET", PLAN))
    with pytest.raises(GuardError):
        guard(leaving("DELETE", PLAN))
    assert looks == []
    guard(leaving("PUT", PLAN))
    assert looks == [1]


def test_a_lost_lease_raises_its_own_error() -> None:
    def lease() -> None:
        raise LockedError("somebody else holds the run")

    with pytest.raises(LockedError):
        writer([Request("PUT", PLAN)], lease=lease)(leaving("PUT", PLAN))


def test_the_hash_is_over_the_lines_joined() -> None:
    assert script_hash(command("a", "b")) == hashlib.sha256(b"a\nb").hexdigest()
    assert script_hash(json.dumps({"commandId": "RunShellScript", "script": "text"}).encode()) == ""
    assert script_hash(b"[]") == ""
    assert script_hash(None) == ""


def test_a_probe_for_powershell_goes_to_powershell_only() -> None:
    text = "#Requires -Version 5.1\n'probe'\n"
    hashes = frozenset({hashlib.sha256(text.encode()).hexdigest()})
    for kind, expected in (("RunPowerShellScript", "probe"), ("RunShellScript", "write"), ("", "write")):
        assert classify("POST", f"{VM}/runCommand", command(text, kind=kind), ReadingPosts(scripts=hashes)) == expected


def test_what_a_request_is_counted_as() -> None:
    kinds = [classify(method, url, body, READING) for method, url, body in READS]
    assert kinds == ["read"] * 7 + ["probe"]
    assert {classify(method, url, body, READING) for method, url, body in WRITES} == {"write", "delete"}
