"""``python -m tests.benchmarks.bicep_age``: which API versions in bicep/ have grown old. In scripts/bench only: time alone turns it red."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from tests.project import bicep_compiler

RULE = "use-recent-api-versions"
MEANT = ("Microsoft.Insights/diagnosticSettings",)
"""Old on purpose: the newest stable version of these is of 2016, and Azure Verified Modules use the preview of 2021."""


def old(compiler: str) -> list[str]:
    """What the compiler's own rule says of versions that are not meant to be old. RuntimeError when it says anything else."""
    with tempfile.TemporaryDirectory() as name:
        folder = bicep_compiler.copied(Path(name))
        config = folder / "bicep/bicepconfig.json"
        told = json.loads(config.read_text("utf-8"))
        told["analyzers"]["core"]["rules"][RULE]["level"] = "warning"
        config.write_text(json.dumps(told), "utf-8")
        done = bicep_compiler.run(compiler, "lint", folder / "bicep/main.bicep")
        said = [line.replace(f"{folder}/", "") for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    if done.returncode or any(RULE not in line for line in said):
        raise RuntimeError(f"the compiler left with {done.returncode}: " + "\n".join(said))
    return [line for line in said if not any(one in line for one in MEANT)]


def main() -> int:
    """Print each old version; 1 when there are any, 0 when there are none or there is no compiler to ask."""
    compiler = bicep_compiler.found()
    if compiler is None:
        print("left out: there is no Bicep compiler (DRKIT_BICEP, or bicep on PATH)")
        return 0
    try:
        found = old(compiler)
    except (RuntimeError, OSError) as error:
        print(error)
        return 1
    print("\n".join(found) or "all recent")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
