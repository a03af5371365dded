"""A secret that Azure says back is in no file, log, error or report that drkit writes; other secrets: ``estates.spilt``."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from tests import workers
from tests.estates import Site, wait_for

REPORTS = (("html", "html"), ("markdown", "md"), ("junit", "xml"), ("json", "json"))


def told(site: Site, *arguments: str) -> None:
    """A command's output and errors go into out.log, what it logs into log.jsonl.txt: both are looked through."""
    site.call(*arguments, "--log-file", str(site.folder / "log.json"))


def all_told(site: Site) -> None:
    """Everything that says something of a run, in every form."""
    for form, suffix in REPORTS:
        told(site, "report", site.run, "--format", form, "--out", str(site.folder / f"report.{suffix}"))
    for command in ("status", "report", "verify"):
        told(site, command, site.run, "--json")
    told(site, "report", site.run, "--owners", "--json")
    told(site, "show", "latest", "--json")


def found_in(site: Site, secret: str) -> list[str]:
    return [path.name for path, content in site.everything() if secret.encode() in content]


@pytest.mark.timeout(150)
def test_protected_settings_are_found_nowhere_though_azure_says_them_back_to_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRKIT_TEST_PROTECTED", json.dumps({"Proxy_URL": workers.SECRET}))
    with workers.site(tmp_path) as site:
        book = workers.lost(site)
        echo = {"code": "VMExtensionProvisioningError", "message": f"cannot reach {workers.SECRET}"}
        site.world.control("fault", method="PUT", url="/web-01/extensions/", lro="fail", times=1, **echo)
        assert site.planned is not None
        first = site.start("apply", site.planned.digest, "--log-file", str(site.folder / "log.json"))
        wanted = next(
            one.id for one in book.steps if one.action == "register" and "web-01" in str(one.inputs["machine"])
        )
        wait_for(lambda: any(one["kind"] == "operation" and one["step"] == wanted for one in site.journal()))
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        site.resume("--log-file", str(site.folder / "log.json"))
        failed = [one for one in site.journal() if one["kind"] == "failed"]
        assert any("[redacted]" in str(one["data"]) for one in failed), failed
        all_told(site)
        assert book.steps
        assert any(b"cannot reach" in content for _, content in site.everything()), "the failure was reported"
        assert found_in(site, workers.SECRET) == []
