"""``python -m tests.benchmarks.bicep_age``: which API versions in bicep/ have grown old. In scripts/bench only: time alone turns it red."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SHARED = ROOT.parent / "shared/tools/bicep"

MEANT = ("Microsoft.Insights/diagnosticSettings",)
"""Old on purpose: the newest stable version of these is of 2016, and Azure Verified Modules use the preview of 2021."""


def main() -> int:
    """Print each old version; 1 when there are any, 0 when there are none or there is no compiler to ask."""
    compiler = shutil.which("bicep") or (str(SHARED) if SHARED.exists() else None)
    if compiler is None:
        print("no Bicep compiler on the PATH nor in ../shared/tools: the age of API versions was not looked at")
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(ROOT / "bicep", folder / "bicep")
        (folder / "drkit").mkdir()
        shutil.copy(ROOT / "drkit/roles.json", folder / "drkit/roles.json")
        config = folder / "bicep/bicepconfig.json"
        told = json.loads(config.read_text("utf-8"))
        told["analyzers"]["core"]["rules"]["use-recent-api-versions"]["level"] = "warning"
        config.write_text(json.dumps(told), "utf-8")
        done = subprocess.run(
            [compiler, "build", str(folder / "bicep/main.bicep"), "--stdout"], capture_output=True, text=True, check=False,
            env={**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"},
        )  # fmt: skip
    old = [
        line.replace(f"{folder}/", "")
        for line in done.stderr.splitlines()
        if "use-recent-api-versions" in line and not any(one in line for one in MEANT)
    ]
    print("\n".join(old) or "every API version in bicep/ is recent")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
