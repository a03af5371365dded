"""How many files of drkit one ``drkit plan`` enters: a measure of how far somebody must read to follow it.

The store was kept from a run of version 0.1 (``tests/stores``): one plan is lost, and no run has begun. A file counts once if a function
of it runs between the start of ``main()`` and the end of the process. What runs while a module is imported does not count: module
bodies, class bodies, decorators, and whatever these call.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from drkit.model.files import write
from tests.scenarios import earlier_stores
from tests.support.command_line import environment
from tests.support.patience import PATIENCE

MOST = 34
TRACE = """
import atexit, json, os, sys

import drkit
from drkit.cli.main import main

FOLDER = os.path.dirname(drkit.__file__) + os.sep
entered, importing = set(), 0


def called(frame, event, _value):
    global importing
    code = frame.f_code
    if code.co_name == "<module>" and event in ("call", "return"):
        importing += 1 if event == "call" else -1
    # 1: CO_OPTIMIZED, which a function has and the body of a class has not.
    elif event == "call" and not importing and code.co_flags & 1 and code.co_filename.startswith(FOLDER):
        entered.add(code.co_filename.removeprefix(FOLDER))


def told():
    sys.setprofile(None)
    with open(os.environ["DRKIT_TEST_ENTERED"], "w") as stream:
        json.dump(sorted(entered), stream)


atexit.register(told)
sys.argv = ["drkit", *sys.argv[1:]]
sys.setprofile(called)
main()
"""


def entered(folder: Path) -> list[str]:
    """The files that ``drkit plan`` enters, by their paths below ``drkit``."""
    made = earlier_stores.STORES / "workers"
    earlier_stores.put(made / "store", folder / "store", journal=False)
    (folder / "drkit.toml").write_bytes((made / "drkit.toml").read_bytes())
    (assessment,) = (folder / "store/state/assessments").iterdir()
    mark = json.loads(assessment.read_bytes())["made_against"]
    now = datetime.now(UTC).isoformat()
    ready = {
        "arm": mark["arm"], "tenant": mark["tenant"], "authority": "https://127.0.0.1:1", "control": "https://127.0.0.1:1",
        "ca_bundle": "", "client_id": "c", "client_secret": "s", "principals": {}, "subscriptions": [], "services": {},
        "pid": os.getpid(), "clock": {"origin": now, "started": now, "speed": 1.0},
    }  # fmt: skip
    write(folder / "ready.json", json.dumps(ready).encode())
    done = subprocess.run(
        [sys.executable, "-c", TRACE, "plan", "--store", "store", "--cloud", "ready.json"], cwd=folder,
        env=environment(DRKIT_TEST_PROTECTED="{}", DRKIT_TEST_ENTERED=str(folder / "entered.json")),
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "failover runbook" in done.stdout
    assert "auto-we" in done.stdout
    paths: list[str] = json.loads((folder / "entered.json").read_bytes())
    return paths


def test_one_plan_takes_few_files(tmp_path: Path) -> None:
    files = entered(tmp_path)
    assert {"api/plan.py", "store/store.py", "planning/failover.py", "products/hybrid_worker/plan.py"} <= set(files)
    assert len(files) <= MOST, "\n".join(files)


def test_a_plan_of_one_product_enters_no_other_product_and_nothing_that_talks_to_azure(tmp_path: Path) -> None:
    files = entered(tmp_path)
    assert [
        path for path in files if path.startswith(("products/codespaces", "providers/", "survey/", "execution/"))
    ] == []
