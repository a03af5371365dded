"""An endpoint that refuses, hangs, speaks HTML, shows a bad certificate or cuts its answers; wrong identities; tokens that end.

``snapshot`` keeps a failed capture and leaves with 1, ``assess`` records it and leaves with 5; nothing else is written.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command_line import Cloud, Done, Here, drkit, settings

IMPATIENT = "[run]\nrequest_budget_seconds = 1.5\n"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    running = Cloud(tmp_path_factory.mktemp("cloud"))
    yield running
    assert running.stop() == 0


@pytest.fixture(scope="module")
def captured(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose store has one snapshot."""
    folder = tmp_path_factory.mktemp("captured")
    (folder / "drkit.toml").write_text(settings(channels=False, more=IMPATIENT))
    done = drkit("snapshot", cwd=folder, DRKIT_CLOUD=str(cloud.ready))
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def here(
    cloud: Cloud, captured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Here]:
    """That folder, a copy of one's own; faults are over afterwards."""
    for path in captured.rglob("*"):
        if path.is_file():
            copy = tmp_path / path.relative_to(captured)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    yield Here(tmp_path, monkeypatch, capsys, cloud.ready)
    cloud.control("unfault")


@pytest.fixture
def silent() -> Iterator[str]:
    """An address that accepts connections and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(100)
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return f"https://127.0.0.1:{once.getsockname()[1]}"


def with_facts(here: Here, cloud: Cloud, **facts: Any) -> str:
    here.put("changed.json", {**cloud.facts, **facts})
    return "changed.json"


def snapshot_failed(here: Here, *options: str, says: str) -> Done:
    """``snapshot`` keeps one failed capture, which names the cause, and leaves with 1."""
    before = here.files()
    done = here("snapshot", *options)
    assert done.code == 1, done.err
    assert done.out == ""
    assert says in done.err, done.err
    after = here.files()
    new = sorted(after.keys() - before.keys())
    assert len(new) == 1
    assert new[0].startswith("state/snapshots/")
    assert {name: after[name] for name in before} == before
    kept = json.loads(after[new[0]])
    assert [(one["state"], one["source"]) for one in kept["captures"]] == [("failed", "the cloud itself")]
    assert says in kept["captures"][0]["detail"]
    assert kept["plans"] == (json.loads(before["state/snapshots/000001.json"])["plans"] if before else [])
    return done


def assess_blind(here: Here, *options: str, says: str) -> dict[str, Any]:
    """``assess`` keeps one assessment that says what did not answer, and leaves with 5."""
    before = here.files()
    done = here("assess", *options)
    assert done.code == 5, done.err
    after = here.files()
    new = sorted(after.keys() - before.keys())
    assert len(new) == 1
    assert new[0].startswith("state/assessments/")
    assert {name: after[name] for name in before} == before
    kept: dict[str, Any] = json.loads(after[new[0]])
    assert any(says in text for text in kept["unread"]), kept["unread"]
    assert {reading["value"] for one in kept["plans"] for reading in one["readings"] if reading["signal"] == "arm"} == {
        "unreachable"
    }
    assert "lost" not in {one["state"] for one in kept["plans"]}
    assert {one["outcome"] for one in kept["hosts"]} == {"undetermined"}
    return kept


FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "HTML": ({"html": True}, "an HTML page"),
    "HTML and 200": ({"html": True, "status": 200}, "an HTML page"),
    "503": ({"status": 503}, "failed at the service (503)"),
    "cut bodies": ({"truncate": True}, "the answer was cut off"),
    "cut connections": ({"drop": "before"}, "the connection was cut"),
    "hanging requests": ({"hang": True}, "did not answer within the time allowed"),
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_an_arm_that_goes_wrong(here: Here, cloud: Cloud, fault: str) -> None:
    rule, says = FAULTS[fault]
    cloud.control("fault", url="/subscriptions", times=0, **rule)
    snapshot_failed(here, says=says)
    assess_blind(here, says=says)


@pytest.mark.parametrize("where", ["arm", "arm and authority"])
def test_an_endpoint_that_refuses(here: Here, cloud: Cloud, closed: str, where: str) -> None:
    """Made against that address, so that nothing but the refusal stands in the way."""
    made_for(here, closed)
    facts = {"arm": closed} if where == "arm" else {"arm": closed, "authority": closed}
    ready = with_facts(here, cloud, **facts)
    snapshot_failed(here, "--cloud", ready, says="connection refused")
    assess_blind(here, "--cloud", ready, says="connection refused")


@pytest.mark.parametrize("fault", ["HTML", "503", "cut bodies"])
def test_an_authority_that_goes_wrong_is_an_endpoint_too(here: Here, cloud: Cloud, fault: str) -> None:
    cloud.control("fault", url="/oauth2/", times=0, **FAULTS[fault][0])
    snapshot_failed(here, says="no token")
    assess_blind(here, says="no token")


def test_an_endpoint_that_hangs(here: Here, cloud: Cloud, silent: str) -> None:
    made_for(here, silent)
    ready = with_facts(here, cloud, arm=silent)
    snapshot_failed(here, "--cloud", ready, says="within the time allowed")
    assess_blind(here, "--cloud", ready, says="within the time allowed")


def test_a_bad_certificate(here: Here, cloud: Cloud, tmp_path: Path) -> None:
    """The trust of another authority: what answers is not whom it says it is."""
    other = Cloud(tmp_path / "other")
    try:
        (tmp_path / "other.pem").write_bytes(Path(other.facts["ca_bundle"]).read_bytes())
    finally:
        other.stop()
    ready = with_facts(here, cloud, ca_bundle=str(tmp_path / "other.pem"))
    done = snapshot_failed(here, "--cloud", ready, says="its certificate is not trusted")
    assert "ca_bundle" in done.err
    assess_blind(here, "--cloud", ready, says="its certificate is not trusted")


def test_a_ca_file_that_cannot_be_used(here: Here, cloud: Cloud) -> None:
    here.put("empty.pem", "")
    for name in ("empty.pem", "none.pem"):
        ready = with_facts(here, cloud, ca_bundle=str(here.path(name)))
        assert "CA file" in snapshot_failed(here, "--cloud", ready, says=name).err
        before = here.files()
        assert here("assess", "--cloud", ready).code == 1
        assert here.files() == before


def test_a_first_snapshot_that_fails_is_in_nobodys_way(here: Here, cloud: Cloud, closed: str) -> None:
    """A wrong address, then the right one: the failed capture was made against another cloud, and captured nothing."""
    ready = with_facts(here, cloud, arm=closed)
    done = here("snapshot", "--store", "new", "--cloud", ready)
    assert (done.code, "connection refused" in done.err) == (1, True)
    assert here("snapshot", "--store", "new").code == 0
    assert here("assess", "--store", "new").code == 0
    assert here("plan", "--store", "new").code == 0


def test_configured_subscriptions_do_not_hide_a_dead_endpoint(here: Here, cloud: Cloud) -> None:
    here.put("drkit.toml", f"subscriptions = {json.dumps(cloud.facts['subscriptions'])}\n{IMPATIENT}")
    cloud.control("fault", url="/subscriptions", times=0, status=503)
    snapshot_failed(here, says="failed at the service (503)")
    assess_blind(here, says="failed at the service (503)")


def made_for(here: Here, arm: str) -> None:
    """Make the kept snapshot one of that address."""
    path = here.path(".drkit/state/snapshots/000001.json")
    value = json.loads(path.read_bytes())
    value["made_against"]["arm"] = arm
    path.write_text(json.dumps(value))


# who asks


IDENTITIES: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "a wrong tenant": ({"tenant": "11111111-2222-4333-8444-555555555555"}, ("AADSTS90002", "tenant")),
    "a wrong secret": ({"client_secret": "not the secret"}, ("AADSTS7000215", "secret")),
    "an unknown client": ({"client_id": "11111111-2222-4333-8444-555555555555"}, ("AADSTS700016", "client id")),
}


@pytest.mark.parametrize("what", list(IDENTITIES))
def test_an_identity_that_is_refused(here: Here, cloud: Cloud, what: str) -> None:
    facts, words = IDENTITIES[what]
    ready = with_facts(here, cloud, **facts)
    for name in ("snapshot", "assess"):
        options = ("--store", "new") if name == "snapshot" else ()
        before = here.files()
        if "tenant" in facts and name == "assess":
            path = here.path(".drkit/state/snapshots/000001.json")
            value = json.loads(path.read_bytes())
            path.write_text(json.dumps({**value, "made_against": {**value["made_against"], "tenant": facts["tenant"]}}))
            before = here.files()
        done = here(name, "--cloud", ready, *options)
        assert done.code == 1, done.err
        for word in words:
            assert word in done.err, done.err
        assert "not the secret" not in done.err
        assert cloud.facts["client_secret"] not in done.err
        assert here.files() == before
        assert here(name, "--cloud", ready, *options, "--json").error["kind"] == "CredentialError"


def test_an_identity_that_may_read_nothing_gets_a_clear_message(here: Here, cloud: Cloud) -> None:
    cloud.control("fault", url="/subscriptions[?]", times=0, status=403, code="AuthorizationFailed", message="no")
    done = here("snapshot", "--store", "new")
    assert (done.code, "AuthorizationFailed" in done.err) == (1, True)


def test_a_token_that_expires_midway_is_renewed(here: Here, cloud: Cloud) -> None:
    """Every answer of the first requests is a 401, as when the token ends between two of them."""
    count = cloud.view("record")["count"]
    for nth in (3, 11):
        cloud.control("fault", url="/subscriptions/", nth=nth, times=1, status=401, code="ExpiredAuthenticationToken")
    done = here("snapshot")
    assert done.code == 0, done.err
    taken = json.loads(here.files()["state/snapshots/000002.json"])
    assert {one["state"] for one in taken["captures"]} == {"complete"}
    asked = cloud.view("record")["requests"][count:]
    assert sum("/oauth2/" in str(one) for one in asked) >= 2 or len(cloud.view("faults")["faults"]) == 2


def test_tokens_that_all_end_at_once_are_renewed(here: Here, cloud: Cloud) -> None:
    """Slow answers keep the command busy while its token is taken away."""
    import threading

    cloud.control("fault", url="providers/Microsoft.Compute", times=0, delay=20)
    ender = threading.Timer(0.9, cloud.control, ("token",), {"expire": True})
    ender.start()
    done = here("snapshot")
    ender.join()
    assert done.code == 0, done.err
    assert {one["state"] for one in json.loads(here.files()["state/snapshots/000002.json"])["captures"]} == {"complete"}
