"""Logging commands of Azure Pipelines, and foreign text defused so that it cannot be one. Pure.

An agent obeys ``##vso[area.action property=value;]text`` anywhere in the output of a step. Names in Azure are
other people's input, so everything else that is printed passes ``defuse`` (or ``defuse_json``) first.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drkit.cli.views import markdown
from drkit.model.ids import ArmId
from drkit.model.readiness import Finding
from drkit.model.runbook import Runbook
from drkit.model.summary import Described
from drkit.model.text import duration, exact, plural, safe

MOST_ISSUES = 30
MOST_TEXT = 1000
SHARP = "♯"
_ISSUE = {"error": "error", "warning": "warning"}
# What a terminal, a log or a filter may drop, or that looks the same: a command must not come to be when it is gone.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Mn", "Me", "Zs", "Zl", "Zp"})
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-_])")
_COMMAND = re.compile(r"##(?:vso)?\[", re.IGNORECASE)


def defuse(text: str) -> str:
    """Text in which an agent finds no command: a number sign that could begin one becomes a sharp sign, as wide as it was."""
    return "".join(_line(part) for part in re.split(r"(\n)", text))


def _line(line: str) -> str:
    bare = _ESCAPES.sub("", line)
    visible = "".join(
        letter for letter in unicodedata.normalize("NFKC", bare) if unicodedata.category(letter) not in _UNSEEN
    )
    if not _COMMAND.search(visible) and not _COMMAND.search(line):
        return line
    return "".join(SHARP if unicodedata.normalize("NFKC", letter) == "#" else letter for letter in line)


def defuse_json(text: str) -> str:
    """JSON that says the same and holds no command: a number sign is in strings only, where it may be written as an escape."""
    return text.replace("#", "\\u0023")


def data(text: object) -> str:
    """The text of a command, with what would end or alter it escaped."""
    return defuse(str(text)[:MOST_TEXT].replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A"))


def prop(text: object) -> str:
    """The value of a property of a command."""
    return data(text).replace("]", "%5D").replace(";", "%3B")


def _command(name: str, text: object = "", **properties: object) -> str:
    written = "".join(f"{key}={prop(value)};" for key, value in properties.items())
    return f"##vso[{name}{' ' if written else ''}{written}]{data(text)}"


def issue(kind: str, text: object, code: str = "") -> str:
    """An error or a warning, which the run's page lists."""
    words = safe(text, MOST_TEXT)
    return (
        _command("task.logissue", words, type=kind, code=code) if code else _command("task.logissue", words, type=kind)
    )


def progress(done: int, total: int, text: object) -> str:
    """How far the step is, in percent."""
    share = min(100, max(0, round(100 * done / total))) if total else 100
    return _command("task.setprogress", safe(text), value=share)


def summary(path: str | Path) -> str:
    """Put a Markdown file on the run's page."""
    return _command("task.uploadsummary", Path(path).absolute())


def variable(name: str, value: object) -> str:
    """An output variable, for later jobs and stages."""
    return _command("task.setvariable", value, variable=name, isOutput="true", isReadOnly="true")


def complete(text: object) -> str:
    """The step ends with exceptions that the run's page is to show."""
    return _command("task.complete", safe(text), result="SucceededWithIssues")


def group(title: object) -> str:
    """The beginning of lines that the log folds."""
    return f"##[group]{defuse(safe(title))}"


def endgroup() -> str:
    """Their end."""
    return "##[endgroup]"


def issues(kind: str, texts: Iterable[object]) -> list[str]:
    """Issues up to a number that a page can hold, and how many more there are."""
    every = list(texts)
    more = [issue(kind, f"and {len(every) - MOST_ISSUES} more; the log has them")] if len(every) > MOST_ISSUES else []
    return [*(issue(kind, text) for text in every[:MOST_ISSUES]), *more]


def planned(book: Runbook, digest: str, run: str, warnings: Sequence[str]) -> list[str]:
    """Output variables of ``drkit plan``: ``digest``, ``steps`` (how many), ``run`` (an open run of these bytes, else empty)."""
    commands = [*issues("warning", warnings), variable("digest", digest), variable("steps", len(book.steps))]
    return [*commands, variable("run", run)]


def fit(open_runs: Sequence[str]) -> list[str]:
    """Output variable of ``drkit preflight``: ``openRuns``, their names with spaces between."""
    return [variable("openRuns", " ".join(open_runs))]


def findings(every: Sequence[Finding]) -> list[str]:
    """What ``check`` found, as issues; what is only not known stays in the summary."""
    return [
        line
        for severity, kind in _ISSUE.items()
        for line in issues(
            kind,
            [f"{finding.rule}: {finding.what}; {finding.remedy}" for finding in every if finding.severity == severity],
        )
    ]


def ended(outcome: str, reason: str, run: str) -> list[str]:
    """How a run ended after ``apply`` or ``resume``."""
    if outcome == "succeeded":
        return [variable("run", run)]
    if outcome == "succeeded-with-exceptions":
        text = f"{run} succeeded with exceptions: {reason}"
        return [issue("warning", text), variable("run", run), complete(text)]
    again = "; run the pipeline, or this stage, again: it continues where it stopped" if outcome == "partial" else ""
    return [issue("error", f"{run} is {outcome}: {reason}{again}"), variable("run", run)]


def _code(text: str) -> str:
    """A span of code, whole: an id that is cut is none."""
    return f"`{exact(text).replace('`', 'ˋ')}`"


def _step(step: Described) -> list[str]:
    """A step in Markdown: ids, requests and inputs whole."""
    after = f", after {' '.join(map(str, step.after))}" if step.after else ""
    ids = {"environment": step.environment, "plan": step.plan, "host": step.host, "target": step.target}
    escape = markdown.escape
    return [
        "",
        f"### {step.number} {step.effect}: {escape(step.product)} {escape(step.action)}{after}",
        "",
        *(f"- {name} {_code(value)}" for name, value in ids.items() if value),
        *(f"- sends {_code(f'{request.method} {request.target}')}" for request in step.requests),
        *(["- sends no write"] if not step.requests else []),
        *(f"- **look**, differs from the product's default: {_code(text)}" for text in step.unusual),
        *(f"- {escape(name)} = {_code(value)}" for name, value in step.inputs.items()),
        *(f"- only if {_code(text)}" for text in step.only_if),
        *(f"- a person sees first {_code(text)}" for text in step.see_first),
        *(f"- a person types {_code(text)}" for text in step.commands),
        f"- the file says: {escape(step.text_of_file)}",
    ]


def runbook_summary(
    book: Runbook, digest: str, steps: Sequence[Described], run: str = "", warnings: Sequence[str] = ()
) -> str:
    """A runbook as Markdown, for the approver. ``steps``: its steps as they will be carried out."""
    title = "SIMULATED " if book.cloud.simulated else ""
    lost = ", ".join(book.lost_regions) or "none"
    targets = ", ".join(sorted(set(book.target_regions.values()))) or "none"
    seconds = sum(step.estimate.seconds for step in book.steps)
    facts: Mapping[str, Any] = {
        "digest": digest,
        "lost regions": lost,
        "target regions": targets,
        "environments": len(book.environments),
        "steps": len(book.steps),
        "steps one after another": duration(seconds),
        "continues": run or "nothing: a new run",
    }
    lines = [f"# {title}{markdown.escape(book.kind)} runbook {digest[:12]}", ""]
    lines += markdown.table(("", ""), list(facts.items()))
    lines += [f"\n- look: {markdown.escape(text)}" for text in (*warnings, *book.notes)]
    lines += [
        f"\n- forced: {markdown.escape(guard.name)}: {markdown.escape(guard.detail)}; because {markdown.escape(guard.forced)}"
        for guard in book.guards
        if guard.forced
    ]
    lines += [
        f"- {markdown.escape(ArmId(plan).name)} to {_code(target.plan)}: {markdown.escape(target.why)}"
        for plan, target in book.target_plans.items()
    ]
    lines += [f"- approved with it: {_code(f'{key} = {value}')}" for key, value in book.settings.items()]
    if book.environments:
        rows = [
            (
                environment.name,
                ArmId(environment.plan).name,
                environment.owner,
                environment.disposition,
                environment.data_at_risk,
            )
            for environment in book.environments
        ]
        lines += ["", "## Environments", "", *markdown.table(("environment", "plan", "owner", "what", "at risk"), rows)]
    if book.steps:
        lines += ["", "## Steps", ""]
        lines += ["Described by action, target and inputs. What the file says is its text; nothing depends on it."]
        lines += [line for target in steps for line in _step(target)]
    if book.unchanged:
        unchanged = [
            (untouched.name or ArmId(untouched.subject).name, untouched.reason, untouched.remedy)
            for untouched in book.unchanged
        ]
        lines += ["", "## Considered and left alone", "", *markdown.table(("what", "why", "remedy"), unchanged)]
    counted = plural(len(book.steps), "step")
    return (
        "\n".join([*lines, "", f"An approval covers exactly these bytes: {counted}, sha256 {markdown.code(digest)}."])
        + "\n"
    )
