"""The nonces of host scripts are of one run alone, the same in whatever process, and cannot be known beforehand."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any, cast

import pytest

from drkit.execution import run_outcome
from drkit.execution import session as execution
from drkit.model.clock import SystemClock
from drkit.model.run import RunState
from drkit.model.settings import Settings
from drkit.products.base import StepContext
from drkit.store.store import Store
from tests.execution.test_runner import RUN
from tests.model.test_runbook import a_runbook, a_step

STEP = "codespaces:x:release"


def nonce(state: RunState, attempt: int = 1) -> str:
    context = StepContext(
        run=RUN, runbook=cast("Any", None), azure=cast("Any", None), clock=SystemClock(), settings=Settings(), attempt=attempt,
        results=lambda _step: {}, show_code=lambda _step, _code, _url: None, salt=state.salt,
    )  # fmt: skip
    return context.nonce(STEP)


def begun(folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunState:
    """The state of a run that was begun in a store of its own, and carried out by nobody."""
    store = Store(folder)
    store.new_run()

    async def nothing(*_words: Any, **_more: Any) -> run_outcome.Ending:
        return cast("run_outcome.Ending", None)

    monkeypatch.setattr(execution, "_hold", nothing)
    monkeypatch.setattr(execution, "_note_remarks", nothing)
    book = a_runbook(a_step("a"))
    job = cast("execution.Job", type("Job", (), {"store": store, "runbook": book, "digest": "0" * 64}))
    asyncio.run(execution.begin(job, RUN, SystemClock(), {}, {"who": "ada", "how": "self-approved"}))
    return store.state(RUN)


def test_two_stores_first_runs_share_no_nonce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = [begun(tmp_path / name, monkeypatch) for name in "ab"]
    assert [len(bytes.fromhex(state.salt)) for state in states] == [16, 16]
    nonces = {nonce(state, attempt) for state in states for attempt in (1, 2)}
    assert len(nonces) == 4
    assert all(len(bytes.fromhex(one)) == 16 for one in nonces)
    assert nonce(Store(tmp_path / "a").state(RUN)) == nonce(states[0])


def test_a_run_of_the_version_before_keeps_its_nonces() -> None:
    assert nonce(RunState()) == hashlib.sha256(f"{RUN}/{STEP}/1".encode()).hexdigest()[:32]
