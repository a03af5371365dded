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
from drkit.model import runbook, settings
from drkit.model.clock import SystemClock
from drkit.model.operation import Operation
from drkit.model.runbook import Runbook, Step
from drkit.products import scripts, tables
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


# Those of today, which runbooks of this version name. A change of one makes every approved runbook that names it be planned again.
TODAY = {
    "probe": "d3450b32aa50a39498b9e20703d7b82fed911d193272150927004cd3cc475c46",
    "probe_windows": "54c6040539ddd24d23d9ca3aa55d4f35cdab90b92bb789bb53153665b2ac129b",
    "reach": "a29c58c17b3fcfbe6044f25b7497fcf340de2c10e222851f27c69f2b4611db04",
    "codespaces_release": "56812efa2b57a20d027088d07d5cae9c767a2a7953a578894c9ba21f85ef2640",
    "codespaces_register": "7ffcc1fd12654673036c77160df0eab149060de1af0971238bb398552e1d9924",
    "codespaces_watch": "2cab7bbbe0a8ac1648049e635fe46cdcfbf40f319165e52a094c43e3a6dfae6e",
    "codespaces_restore": "981299a6924c2dd4d93b181d86f063c2a8df9e1801d0f1ae1f7491036431c7f1",
}
SCRIPTS = scripts()


def test_the_scripts_of_this_version_are_those_that_its_runbooks_name() -> None:
    assert {name: script.sha256 for name, script in SCRIPTS.today.items()} == TODAY
    assert {name for name, sha256 in TODAY.items() if sha256 in SCRIPTS.reading()} == {
        "probe", "probe_windows", "reach", "codespaces_watch",
    }  # fmt: skip


def test_the_scripts_of_earlier_versions_are_kept_byte_for_byte() -> None:
    for version, named in EARLIER.items():
        for name, sha256 in named.items():
            script = SCRIPTS.approved(name, sha256)
            assert (script.name, script.sha256, script.version) == (name, sha256, version)
            assert SCRIPTS.load(name).sha256 != sha256
            assert (sha256 in SCRIPTS.reading()) is (name in ("reach", "codespaces_watch"))
    assert {sha256 for named in EARLIER.values() for sha256 in named.values()} < set(SCRIPTS.hashes())


def test_only_a_script_of_a_known_hash_is_run() -> None:
    for named in (EARLIER["0.1"], {"reach": SCRIPTS.load("reach").sha256}):
        check_scripts(cast("Runbook", SimpleNamespace(scripts=named)), SCRIPTS)
    for named in ({"reach": "0" * 64}, {"reach": EARLIER["0.1"]["codespaces_watch"]}):
        with pytest.raises(RefusedError, match="host scripts differ from the approved ones: reach"):
            check_scripts(cast("Runbook", SimpleNamespace(scripts=named)), SCRIPTS)


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
        scripts=SCRIPTS,
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
