"""A run that was begun, or approved, with the host scripts of an earlier version is carried out with exactly those."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from drkit.api import plan
from drkit.errors import RefusedError
from drkit.execution.session import check_scripts
from drkit.model import host_scripts, runbook, settings
from drkit.model.clock import SystemClock
from drkit.model.operation import Operation
from drkit.model.runbook import Runbook, Step
from drkit.products import tables
from drkit.products.base import StepContext, StepFailedError
from drkit.products.codespaces.act_on_host import Register, Release
from tests.support.estates import People, Site, estate

# The SHA-256 of the scripts that version 0.1.0 put into its runbooks.
EARLIER = {
    "0.1": {
        "reach": "410a9097c4792bf1697dee956120f10e0d37bbf400c1856d6cb6916675055eed",
        "codespaces_release": "b1d3c9db8ff573efed14dfea7445c25917ad6cc7a5b692339dec91fa43941282",
        "codespaces_register": "7dc9befd7f10e3b5e0238931687f3838e8899fc175da6d197cec29d9363af2ba",
        "codespaces_watch": "5123681412ca2129ccc47e5bbf74cd9b0bb044a80bba156bb90566de5b7cbb28",
        "codespaces_restore": "6136271e86e5f7d2a89273810248ee4c99cb5ce23e3c37f91288f832d1814888",
    }
}


def test_the_scripts_of_earlier_versions_are_kept_byte_for_byte() -> None:
    for version, scripts in EARLIER.items():
        for name, sha256 in scripts.items():
            script = host_scripts.approved(name, sha256)
            assert (script.name, script.sha256, script.version) == (name, sha256, version)
            assert host_scripts.load(name).sha256 != sha256
            assert (sha256 in host_scripts.reading()) is (name in ("reach", "codespaces_watch"))
    assert {sha256 for scripts in EARLIER.values() for sha256 in scripts.values()} < set(host_scripts.hashes())


def test_only_a_script_of_a_known_hash_is_run() -> None:
    for scripts in (EARLIER["0.1"], {"reach": host_scripts.load("reach").sha256}):
        check_scripts(cast("Runbook", SimpleNamespace(scripts=scripts)))
    for scripts in ({"reach": "0" * 64}, {"reach": EARLIER["0.1"]["codespaces_watch"]}):
        with pytest.raises(RefusedError, match="host scripts differ from the approved ones: reach"):
            check_scripts(cast("Runbook", SimpleNamespace(scripts=scripts)))


@pytest.mark.parametrize("action", ["release", "register"])
@pytest.mark.parametrize("path", ["/shared/registration", "/home/ann/.vsonline/environment.json", "~/else"])
async def test_an_earlier_script_does_not_write_as_root_outside_a_home(action: str, path: str) -> None:
    """What version 0.1 would have written there as root is not sent, not even to put a registration back."""
    sent: list[str] = []

    async def run_command(_host: str, _script: Any, values: dict[str, str]) -> Operation:
        sent.append(values["drkit_registration"])
        return Operation()

    inputs = {
        "user": "ann", "registration": path, "environment": "e", "timeout": 5, "move_aside": True,
        "released_by": "codespaces:x:release", "host": "h",
    }  # fmt: skip
    step = cast("Step", SimpleNamespace(id=f"codespaces:x:{action}", action=action, target="x", inputs=inputs))
    context = SimpleNamespace(
        run="run-0001",
        runbook=SimpleNamespace(scripts=EARLIER["0.1"]),
        nonce=lambda _step: "0" * 32,
        results=lambda _step: {"nonce": "0" * 32},
        azure=SimpleNamespace(compute=SimpleNamespace(run_command=run_command)),
        settings=settings.parse("", "drkit.toml", tables()),
        clock=SystemClock(),
    )

    async def put_back(step: Step, context: StepContext) -> Any:
        return await Register(listings)._restore(step, context, 0, "nobody signed in")

    async def listed(_step: Step, _context: StepContext) -> bool:
        return True

    listings = cast("Any", SimpleNamespace(still_listed=listed))
    act = Release(listings).act if action == "release" else put_back
    if path.startswith("/shared/"):
        with pytest.raises(StepFailedError) as failed:
            await act(step, cast("StepContext", context))
        assert (failed.value.code, sent) == ("UnsafeScript", [])
    else:
        await act(step, cast("StepContext", context))
        assert sent == ["~/else" if path == "~/else" else "~/.vsonline/environment.json"]


def with_earlier_scripts(site: Site) -> None:
    """The approved runbook becomes what version 0.1 would have written."""
    book = msgspec.structs.replace(site.book, scripts=EARLIER["0.1"])
    content = runbook.encode(book)
    site.store.keep_runbook(content)
    digest = runbook.digest(content)
    plan.approve(site.context, digest)
    assert site.planned is not None
    site.planned = replace(site.planned, runbook=book, digest=digest)


def test_a_runbook_with_the_scripts_of_the_version_before_is_carried_out(tmp_path: Path) -> None:
    with estate(tmp_path) as site, People(site):
        with_earlier_scripts(site)
        assert site.apply("--wait", "30", "--quiet") == 0
        assert site.state.outcome == "succeeded"
