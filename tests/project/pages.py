"""The pages of the documentation that are made from the code: every command, the roles, the drill as a picture."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from html import escape, unescape
from pathlib import Path

import click

from drkit.cli.group import GROUPS, main_group
from drkit.model import roles
from tests.project import bicep_compiler

ROOT = Path(__file__).parents[2]
COMMANDS, PERMISSIONS, PICTURE = ROOT / "docs/commands.md", ROOT / "docs/permissions.md", ROOT / "docs/drill.svg"
HEAD = """\
# Commands

This page contains what `drkit COMMAND --help` prints. `RUN` is the name of a run or `latest`. `RUNBOOK` is a path,
the beginning of a digest, or `latest`. `STEP` is the id of a step, or a part of it that no other step has. Results go
to stdout, progress to stderr; [states.md](states.md) lists the exit codes.

Every command takes these options:

"""


def commands() -> str:
    """Every command, its arguments and its options."""
    found = main_group.commands
    everywhere = set.intersection(*({str(one.name) for one in command.params} for command in found.values()))
    shared = [one for one in found["status"].params if one.name in everywhere]
    parts = [HEAD + _table(shared)]
    for title, names in GROUPS.items():
        parts.append(f"## {title}")
        parts.extend(_command(found[name], everywhere) for name in names)
    return "\n\n".join(parts) + "\n"


def _command(command: click.Command, everywhere: set[str]) -> str:
    context = click.Context(command, info_name=command.name)
    own = [one for one in command.params if one.name not in everywhere]
    arguments = [one.make_metavar(context) for one in own if isinstance(one, click.Argument)]
    text = "\n".join(line.strip() for line in (command.help or "").replace("\b", "").strip().splitlines())
    table = _table([one for one in own if isinstance(one, click.Option)])
    return "\n\n".join(filter(None, (f"### `{' '.join(['drkit', str(command.name), *arguments])}`", text, table)))


def _table(options: Sequence[click.Parameter]) -> str:
    context = click.Context(main_group)
    records = [record for one in options if (record := one.get_help_record(context))]
    rows = [f"| `{name}` | {text} |".replace("\n", " ") for name, text in ((_cell(a), _cell(b)) for a, b in records)]
    return "\n".join(["| option | what it does |", "| --- | --- |", *rows]) if rows else ""


def _cell(text: str) -> str:
    return text.replace("|", "/")


# the roles

ROLES = """\
# Permissions

These are drkit's roles, each with the single actions it needs and the reason for each. They are defined in `drkit/model/roles.json`;
`bicep/` creates role definitions from that file, and `drkit check` compares it with the rights of the identity.
Planning, approving, answering and applying are different roles: grant them to different people and identities.

**Three roles are root on hosts.** An extension is code that the machine runs as root, or as SYSTEM, and Azure cannot
limit which code. An identity that may write extensions (*operator on hosts*) can run anything on every VM and Arc
machine on which it has the role. The same is true of run commands (*prober*, *operator by run command*): a custom
role cannot limit them to drkit's scripts. Root also has the tokens of the machine's managed identity, and with them
everything that this identity may do elsewhere in Azure. So grant these roles on the resource groups of hosts that
drkit registers, never on a subscription; grant run commands only where `drkit.toml` names them as a channel.

Grant the operator *planner* on the subscription too, because it checks before each step; *operator* on the target
groups and on the groups of the plans and accounts that move; *operator on hosts* on the groups of the hosts.

To look at a subscription on the first day, the built-in role *Reader* is enough.
"""


def permissions() -> str:
    """Every role with its actions."""
    parts = [ROLES.rstrip()]
    for role in roles.load().values():
        parts.append(f"## {role.title}\n\n{role.description} Granted on: {role.scope.replace('-', ' ')}.")
        if role.actions:
            rows = [f"| `{one.action}` | {one.why}{f' ({one.unused})' if one.unused else ''} |" for one in role.actions]
            parts.append("\n".join(["| action | what for |", "| --- | --- |", *rows]))
        if role.data_actions:
            short = [(one, one.action.partition("/containers/")[2]) for one in role.data_actions]
            rows = [
                f"| `{one.container}` | `{action}`{f', on `{one.path}*` only' if one.path else ''} | {one.why} |"
                for one, action in short
            ]
            parts.append("\n".join(["| container | data action | what for |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"


# the drill's picture

COLUMNS, LINE, WIDTH = 80, 17, 8.4


def drill() -> str:
    """What `drkit drill` prints at 80 columns."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "drkit", "drill", "--store", f"{folder}/drill"],
            env={**os.environ, "COLUMNS": str(COLUMNS)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
    return done.stdout.replace(f"{folder}/", "/tmp/")


def picture(output: str) -> str:
    """An SVG of a terminal's output: text, light and dark, nothing from elsewhere."""
    lines = output.rstrip("\n").splitlines()
    width, height = round(COLUMNS * WIDTH + 40), len(lines) * LINE + 40
    rows = []
    for number, line in enumerate(lines):
        kind = "c" if line.startswith("$ ") else "s" if not line.startswith(" ") else "t"
        rows.append(f'<text class="{kind}" x="20" y="{32 + number * LINE}" xml:space="preserve">{escape(line)}</text>')
    style = (
        "text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#24292f}"
        "rect{fill:#f6f8fa;stroke:#d0d7de}.c{fill:#0550ae;font-weight:bold}.s{font-weight:bold}"
        "@media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#161b22;stroke:#30363d}.c{fill:#79c0ff}}"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="what drkit drill prints">'
        f'<style>{style}</style><rect x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="8"/>\n'
        + "\n".join(rows)
        + "\n</svg>\n"
    )


def told(svg: str) -> str:
    """The text in such a picture."""
    return "".join(f"{unescape(line)}\n" for line in re.findall(r'xml:space="preserve">(.*?)</text>', svg))


def steady(output: str) -> list[str]:
    """What every drill of one seed prints alike: its commands, tables and outcome; digests and minutes masked."""
    masked = re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", output)
    kept = [
        line
        for line in masked.splitlines()
        if re.match(
            r"\$ |  (unaffected|failed over|restarted|must be|lost |lost with|cannot be|auto-|plan-|vso-)", line
        )
    ]
    return [*kept, *re.findall(r"\d+ of \d+ environments recovered", masked)]


def review() -> None:
    """What deployments of bicep/ would do, to be read before it is committed; nothing where there is no compiler."""
    compiler = bicep_compiler.found()
    if compiler is None:
        return
    with tempfile.TemporaryDirectory() as name:
        folder = bicep_compiler.copied(Path(name))
        for which in ("main", "full"):
            path = bicep_compiler.parameters(folder, which)
            made = path.with_name(f"{which}.snapshot.json")
            made.unlink(missing_ok=True)
            bicep_compiler.snapshot(compiler, path).check_returncode()
            shutil.copy(made, ROOT / "tests/bicep" / made.name)


def main() -> None:
    """Write them all."""
    COMMANDS.write_text(commands(), "utf-8")
    PERMISSIONS.write_text(permissions(), "utf-8")
    PICTURE.write_text(picture(drill()), "utf-8")
    review()


if __name__ == "__main__":
    main()
