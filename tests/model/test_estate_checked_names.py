"""A region or an address from Azure or from a file is checked before it becomes part of a host name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from drkit.errors import FileError, UnreachableError
from drkit.model import estate
from drkit.model.clock import SystemClock
from drkit.model.estate import Assessment, Location, Snapshot
from drkit.products.codespaces import settings
from drkit.products.hybrid_worker import client
from drkit.products.hybrid_worker.settings import is_service
from drkit.store.store import load
from tests.support.builders import MARK, TIME, a_plan, a_vm

NAMES = (
    "evil.example/x?", "evil.example#", "a@evil.example", "evil.example:443/", "evil.example\\", "../x", "a b", "é",
    "-a", "a-", "", "a" * 100, "a\n", "a\x00", "a.b", "a%2fb", "Ａ",
)  # fmt: skip
ADDRESSES = (
    "https://evil.example/", "http://a.jrds.we.azure-automation.net/", "https://azure-automation.net.evil.example/",
    "https://evil.example#.azure-automation.net", "https://evil.example\\.azure-automation.net/",
    "https://a.azure-automation.net@evil.example/", "https://evil.example/.azure-automation.net", "https://[", "x", "//a",
    "https://a.azure-automation.net:8443/", "https://.azure-automation.net", "https://a..azure-automation.net",
    "https://evil-azure-automation.net/",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_region_names_no_host(name: str) -> None:
    with pytest.raises(UnreachableError, match="no region"):
        settings.regional_host(name, "online.visualstudio.com")


@pytest.mark.parametrize("name", ["westeurope", "usgovvirginia", "chinaeast2", "eastus2euap"])
def test_regions_are_regions(name: str) -> None:
    assert settings.health_url(name, "x.example") == f"https://{name}.x.example/health"


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("place", ["plan", "group", "host", "location", "lost", "present"])
def test_a_file_with_an_invalid_region_is_refused(tmp_path: Path, name: str, place: str) -> None:
    if place in ("group", "host") and not name:
        return
    plan = a_plan(
        region=name if place in ("plan", "present") else "westeurope", group_region=name if place == "group" else ""
    )
    kept: Snapshot | Assessment
    if place in ("lost", "present"):
        kept = Assessment(
            cloud=MARK, taken=TIME, snapshot_digest="",
            lost_regions=(name,) if place == "lost" else (), present_plans=(plan,) if place == "present" else (),
        )  # fmt: skip
    else:
        kept = Snapshot(
            cloud=MARK, taken=TIME, plans=(plan,), hosts=(a_vm("m", region=name),) if place == "host" else (),
            locations=(Location(name, "x"),) if place == "location" else (),
        )  # fmt: skip
    path = tmp_path / "file.json"
    path.write_bytes(estate.encode(kept))
    path.chmod(0o600)
    with pytest.raises(FileError, match="is no region"):
        load(path, cast("Any", type(kept)))


@pytest.mark.parametrize("url", ADDRESSES)
def test_an_address_that_is_not_automations_is_not_asked(url: str) -> None:
    """Nothing is asked: the session is none."""
    assert not is_service(url)
    found = asyncio.run(client.answers(cast("Any", None), "westeurope", url, SystemClock()))
    assert (found.value, "not Automation" in found.detail) == ("unknown", True)


@pytest.mark.parametrize("domain", ["net", "us", "cn"])
def test_automations_addresses_are_its_own(domain: str) -> None:
    assert is_service(f"https://5A1C.jrds.we.azure-automation.{domain}/automationAccounts/5a1c")


def test_a_region_is_no_longer_than_a_name_may_be() -> None:
    assert not estate.is_region("a" * (estate.LONGEST_REGION + 1))
