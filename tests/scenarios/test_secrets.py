"""No secret is in a file, log, error or report that drkit writes, also when Azure says it back; after every run: ``estates.spilt``."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from drkit.providers.blob_store import BlobStore
from tests.scenarios.chaos import sample_estate as sample
from tests.support import azurite, workers
from tests.support.estates import Site, secrets_of, wait_for
from tests.support.run_process import Place

ECHOED = "planted-signature-0123456789abcdef"
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


def planted(site: Site, place: Place) -> dict[str, str]:
    """Azure says back what it was sent, in errors of every kind; by secret, what it is."""
    secrets = {value: "protected settings" for _, given in place.variables for value in json.loads(given).values()}
    secrets |= {str(site.world.facts["client_secret"]): "client secret", azurite.SECRET: "storage key"}
    said = " ".join(secrets)
    url = f"https://management.azure.com/x/operationresults/1?api-version=1&t=2&c=3&sig={ECHOED}&h=4"
    for method, path, fault in (
        ("PUT", "/plans/", {"status": 500}),
        ("PUT", "/extensions/", {"lro": "fail"}),
        ("POST", "/writeDelegates", {"status": 403}),
        ("POST", "/runCommand", {"lro": "fail"}),
        ("POST", "/oauth2/", {"status": 400}),
        ("GET", "/hybridRunbookWorkers/", {"status": 500}),
    ):
        message = f"cannot do it with {said}; see {url}"
        site.world.control("fault", method=method, url=path, times=1, code="Refused", message=message, **fault)
    return secrets | {ECHOED: "signature said back"}


def kept(site: Site) -> Iterator[tuple[Path, bytes]]:
    """What the account keeps, where the store is one."""
    if not isinstance(site.store, BlobStore):
        return
    service = site.store.service
    for one in list(service.list_containers()):
        container = service.get_container_client(one.name)
        for blob in list(container.list_blobs()):
            yield Path(one.name) / blob.name, container.download_blob(blob.name).readall()


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["folder", "account"])
def test_no_secret_of_any_kind_is_in_anything_that_drkit_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    account = azurite.account(tmp_path / "azurite") if backend == "account" else nullcontext(None)
    monkeypatch.setenv(azurite.KEY, azurite.SECRET)
    with account as address, sample.sample(tmp_path / "night", address) as (site, place):
        monkeypatch.setenv("XDG_CACHE_HOME", str(site.folder / "cache"))
        secrets = planted(site, place)
        log = site.folder / "log.json"
        for name, value in (*place.variables, ("DRKIT_LOG_FILE", str(log))):
            monkeypatch.setenv(name, value)
        with sample.Everybody(site):
            first = site.start("apply", place.digest)
            wait_for(lambda: sum(one["kind"] == "operation" for one in site.journal()) > 10)
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
            if address:
                azurite.let_leases_run_out(site.store)
            code = site.resume()
        assert code in (0, 3), code
        all_told(site)
        for command in ("assess", "check", "snapshot", "plan", "status"):
            told(site, command, "--json")

        known, signatures, codes = secrets_of(site)
        secrets |= known
        assert {"token", "plan token", "protected settings"} <= set(secrets.values())
        assert signatures
        assert codes
        everything = [*site.everything(), *kept(site)]
        found = {
            (path.suffix if path.suffix == ".jsonl" else path.name, what)
            for path, content in everything
            for text, what in (secrets | signatures | codes).items()
            if text.encode() in content
        }
        # A polling URL is what a resumed process looks at; a code is shown to who carries the run out, and kept nowhere.
        assert found == {(".jsonl", "signature of a polling URL"), ("out.log", "sign-in code")}
        assert any(b"[redacted]" in content for path, content in everything if path.suffix == ".jsonl")
        assert all((site.folder / f"report.{suffix}").stat().st_size for _, suffix in REPORTS)
        assert log.stat().st_size


def found_in(site: Site, secret: str) -> list[str]:
    return [path.name for path, content in site.everything() if secret.encode() in content]


@pytest.mark.slow
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
