"""The documentation's commands, run as they are printed; the pages that are made from the code, made again and compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from drkit.simulator import sample_seed
from tests.project import pages
from tests.support.command_line import environment
from tests.support.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXIT_CODE = re.compile(r"\s+# exit code (\d+)$")
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
# What a page's commands begin with; a page that is not here begins with nothing.
SIMULATOR = """\
drkit simulate --speed 60 --ready cloud.json > exports.txt &
until [ -s cloud.json ]; do sleep 0.1; done
export DRKIT_CLOUD=cloud.json
cat > drkit.toml <<'END'
targets = ["westus2", "eastus"]
[channels]
azure_vm = "run-command"
[products.hybrid-worker.replicas]
REPLICAS
END
drkit snapshot --quiet > snapshot.txt
""".replace(
    "REPLICAS", "\n".join(f'"{one}" = "{other}"' for one, other in sample_seed(1)["settings"]["replicas"].items())
)
APPLIED = """\
drkit assess --quiet > assessment.txt
drkit plan --quiet > plan.txt
code=0; drkit apply latest --yes --quiet > run.txt || code=$?
[ "$code" = 3 ]
"""
FINISHED = """\
python - <<END
from drkit import blocking as drkit
context = drkit.desk()
at = drkit.status(context)
for step in [step.id for step in at.runbook.steps if at.state.of(step.id).status == "asked"]:
    drkit.skip(context, at.run, step, "not tonight")
END
drkit resume latest --quiet > run.txt
drkit simulate --restore westeurope
"""
LOST = "drkit simulate --lose westeurope --minutes-ago 25\n"
BEGINS = {
    "docs/logging-and-completion.md": SIMULATOR,
    "docs/readiness.md": SIMULATOR,
    "docs/outage-checklist.md": SIMULATOR + LOST,
    "docs/report.md": SIMULATOR + LOST + APPLIED,
    "docs/runs.md": SIMULATOR + LOST + APPLIED,
    "docs/failback.md": SIMULATOR + LOST + APPLIED + FINISHED,
}
# Pages whose commands are not for a fresh folder, and who runs them instead.
ELSEWHERE: dict[str, str] = {}


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def script(page: Path) -> str:
    """Every ``sh`` block of a page, in order; a line that names its exit code is held to it."""
    lines = []
    for line in "".join(BLOCK.findall(page.read_text("utf-8"))).splitlines():
        expected = EXIT_CODE.search(line)
        if expected:
            command, code = line[: expected.start()], expected[1]
            lines += [f"code=0; {command} || code=$?", f'[ "$code" = {code} ] || exit "$code"']
        else:
            lines.append(line)
    return "\n".join(lines)


RUN = [page for page in PAGES if BLOCK.search(page.read_text("utf-8")) and shown(page) not in ELSEWHERE]


@pytest.mark.parametrize("page", RUN, ids=shown)
def test_the_commands_of_a_page_run_as_printed(page: Path, drkit_folder: Path, tmp_path: Path) -> None:
    whole = f"set -eux\ntrap 'kill $(jobs -p) 2>/dev/null' EXIT\n{BEGINS.get(shown(page), '')}{script(page)}\n"
    path = os.pathsep.join([str(drkit_folder), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", whole],
        cwd=tmp_path,
        env=environment(PATH=path, COLUMNS="80"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stdout + done.stderr


def test_the_page_of_commands_is_what_their_help_says() -> None:
    assert pages.COMMANDS.read_text("utf-8") == pages.commands(), "run scripts/pages to generate it again"


def test_the_page_of_permissions_is_what_the_roles_say() -> None:
    assert pages.PERMISSIONS.read_text("utf-8") == pages.permissions(), "run scripts/pages to generate it again"


def test_links_lead_to_files_that_are_there() -> None:
    dead = [
        f"{shown(page)}: {target}"
        for page in PAGES
        for target, _ in LINK.findall(page.read_text("utf-8"))
        if not target.startswith(("https://", "http://", "mailto:")) and not (page.parent / target).exists()
    ]
    assert not dead


def test_every_path_that_contributing_names_is_there() -> None:
    named = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
    assert {"drkit/cli/", "drkit/planning/", "tests/PACKAGE/test_MODULE.py"} <= named
    patterns = {path: re.sub("NAME|PACKAGE|MODULE", "*", path) for path in named}
    assert [path for path, pattern in patterns.items() if not any(ROOT.glob(pattern))] == []


def test_contributing_has_every_package_in_its_table() -> None:
    table = set(re.findall(r"^\| `drkit/(\w+)/` \|", (ROOT / "CONTRIBUTING.md").read_text("utf-8"), re.MULTILINE))
    assert table >= {folder.parent.name for folder in (ROOT / "drkit").glob("*/__init__.py")}


def test_what_help_lists_is_what_there_is() -> None:
    from drkit.cli.group import GROUPS, main_group

    assert sorted(name for names in GROUPS.values() for name in names) == sorted(main_group.commands)
