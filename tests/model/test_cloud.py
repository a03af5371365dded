"""Which cloud, and why that one; what was made against another is refused."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drkit.errors import FileError, RefusedError, UsageError
from drkit.model import cloud as clouds
from drkit.model.cloud import PUBLIC_ARM, Cloud, CloudMark

FACTS: dict[str, Any] = {
    "arm": "https://127.0.0.1:4001", "authority": "https://127.0.0.1:4001", "ca_bundle": "/ca.pem", "tenant": "T-1",
    "client_id": "c", "client_secret": "s3cret", "principals": {"reader": {"client_id": "r", "client_secret": "x"}},
    "subscriptions": ["a"], "services": {"online.example": "https://127.0.0.1:4002"}, "control": "https://127.0.0.1:4001/control",
    "clock": {"origin": "2026-11-23T07:30:00Z", "started": "2026-11-23T07:30:00Z", "speed": 60},
}  # fmt: skip
TABLE = {"name": "test cloud", "arm": "https://arm.example", "tenant": ""}


@pytest.fixture
def ready(tmp_path: Path) -> Path:
    path = tmp_path / "ready.json"
    path.write_text(json.dumps({**FACTS, "pid": os.getpid()}))
    return path


def test_the_option_wins_then_the_variable_then_the_table_then_public_azure(ready: Path) -> None:
    here = {"DRKIT_CLOUD": str(ready)}
    assert clouds.resolve(str(ready), TABLE, {}).why == "from --cloud"
    assert clouds.resolve(None, TABLE, here).why == "from DRKIT_CLOUD"
    table = clouds.resolve(None, TABLE, {})
    assert (table.name, table.arm, table.authority) == ("test cloud", "https://arm.example", clouds.PUBLIC_AUTHORITY)
    public = clouds.resolve(None, None, {"DRKIT_CLOUD": ""})
    assert (public.arm, public.why, public.simulated) == (PUBLIC_ARM, "the default", False)


def test_the_announcement_names_cloud_address_and_reason(ready: Path) -> None:
    said = clouds.resolve(str(ready), None, {}).announce()
    assert said == "cloud: SIMULATED embedded Azure (https://127.0.0.1:4001), from --cloud"
    assert clouds.public().announce() == "cloud: public Azure (https://management.azure.com), the default"


def test_a_simulators_clock_is_the_same_in_every_process(ready: Path) -> None:
    one, other = (clouds.resolve(str(ready), None, {}).clock().now() for _ in range(2))
    assert abs(other - one) < timedelta(seconds=60)
    wall = datetime.now(UTC) - datetime(2026, 11, 23, 7, 30, tzinfo=UTC)
    assert abs(one - datetime(2026, 11, 23, 7, 30, tzinfo=UTC) - 60 * wall) < timedelta(minutes=5)


@pytest.mark.parametrize("missing", [*FACTS, "pid"])
def test_every_key_of_a_ready_file_is_needed(ready: Path, missing: str) -> None:
    facts = json.loads(ready.read_text())
    del facts[missing]
    ready.write_text(json.dumps(facts))
    with pytest.raises(FileError, match=missing) as found:
        clouds.resolve(str(ready), None, {})
    assert "drkit simulate" in found.value.remedy
    assert "s3cret" not in str(found.value)


def test_a_ready_file_may_say_more_than_is_needed(ready: Path) -> None:
    ready.write_text(json.dumps({**FACTS, "pid": os.getpid(), "mood": "good"}))
    assert clouds.resolve(str(ready), None, {}).simulated


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, 10**40])
def test_a_process_that_is_gone_takes_its_cloud_along(ready: Path, pid: int) -> None:
    ready.write_text(json.dumps({**FACTS, "pid": pid}))
    with pytest.raises(RefusedError, match="is gone"):
        clouds.resolve(str(ready), None, {})


def test_somebody_elses_process_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)
    assert clouds.alive(1)


CASES = [
    (CloudMark("https://arm.example", "t"), "https://ARM.example/", "T", True),
    (CloudMark("https://arm.example", ""), "https://arm.example", "t", True),
    (CloudMark("https://arm.example", "t"), "https://arm.example", "", True),
    (CloudMark("https://arm.example", "t"), "https://arm.example", "u", False),
    (CloudMark("https://other.example", "t"), "https://arm.example", "t", False),
    (CloudMark("https://arm.example", "t", simulated=True), "https://arm.example", "t", False),
]


@pytest.mark.parametrize(("mark", "arm", "tenant", "same"), CASES)
def test_the_same_cloud_is_endpoint_tenant_and_kind(mark: CloudMark, arm: str, tenant: str, same: bool) -> None:
    ours = Cloud(name="c", arm=arm, authority="https://login.example", why="", tenant=tenant)
    if same:
        clouds.check_same(mark, ours, "file.json")
        return
    with pytest.raises(RefusedError, match="was made against") as found:
        clouds.check_same(mark, ours, "file.json")
    assert (found.value.exit_code, found.value.where) == (4, "file.json")


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(-3, "0 min"), (0, "0 min"), (59, "59 min"), (60, "1 h 0 min"), (200, "3 h 20 min"), (1500, "1 d 1 h")],
)
def test_ages_are_said_in_words(minutes: int, text: str) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    assert clouds.age_text(now - timedelta(minutes=minutes), now) == text


@pytest.mark.parametrize("name", list(clouds.NAMED))
def test_a_named_cloud_has_the_endpoints_that_azure_s_own_packages_have(name: str) -> None:
    from azure.core import AzureClouds
    from azure.identity import AzureAuthorityHosts
    from azure.mgmt.core.tools import get_arm_endpoints

    known, authority = {
        "AzureCloud": (AzureClouds.AZURE_PUBLIC_CLOUD, AzureAuthorityHosts.AZURE_PUBLIC_CLOUD),
        "AzureUSGovernment": (AzureClouds.AZURE_US_GOVERNMENT, AzureAuthorityHosts.AZURE_GOVERNMENT),
        "AzureChinaCloud": (AzureClouds.AZURE_CHINA_CLOUD, AzureAuthorityHosts.AZURE_CHINA),
    }[name]
    found = clouds.resolve(name.lower(), {"credential": "azure-cli", "arm": "https://elsewhere.example"}, {})
    told = get_arm_endpoints(known)
    assert (f"{found.arm}/", [found.token_scope]) == (told["resource_manager"], told["credential_scopes"])
    assert (found.authority, found.credential, found.why) == (f"https://{authority}", "azure-cli", "from --cloud")
    assert clouds.resolve(None, {"name": name}, {}).arm == found.arm


@pytest.mark.parametrize("called", ["usgov", "US Government", "azureusgovernment"])
def test_a_cloud_is_found_by_what_people_call_it(called: str) -> None:
    assert clouds.resolve(None, None, {"DRKIT_CLOUD": called}).name == "Azure US Government"


def test_a_misspelt_cloud_is_never_taken_for_the_public_one() -> None:
    with pytest.raises(UsageError, match="did you mean AzureUSGovernment"):
        clouds.resolve(None, {"name": "AzureUSGoverment"}, {})
    with pytest.raises(FileError) as refused:
        clouds.resolve("AzureChinaClod", None, {})
    assert "AzureChinaCloud" in refused.value.remedy
    assert clouds.resolve(None, {"name": "ours", "arm": "https://arm.example"}, {}).name == "ours"
