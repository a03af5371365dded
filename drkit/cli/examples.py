"""What `--help` of a command ends with: lines that can be typed as they stand, and what a name may be."""

from __future__ import annotations

RUN = "RUN is a run's name, such as run-0001, or `latest`."
STEP = f"{RUN} STEP is a step's id, or any part of it that no other step has; `drkit status RUN` lists them."
RUNBOOK = "RUNBOOK is a file, a digest or its beginning, or `latest`."
LINES: dict[str, tuple[str, tuple[str, ...]]] = {
    "init": ("", ("drkit init --subscription 11111111-1111-4111-8111-111111111111",)),
    "snapshot": ("", ("drkit snapshot", "drkit snapshot --quiet --problems-only")),
    "check": ("", ("drkit check", "drkit check --if-lost westeurope --summary ready.md")),
    "preflight": ("", ("drkit preflight --protected-region westeurope",)),
    "drill": ("", ("drkit drill --with-failback", "drkit drill --story list")),
    "simulate": (
        "",
        (
            "drkit simulate --ready cloud.json",
            "drkit simulate --cloud cloud.json --lose westeurope --minutes-ago 25",
        ),
    ),
    "schema": ("", ("drkit schema runbook",)),
    "failover": ("", ("drkit failover", "drkit failover --declare-lost westeurope --reason 'the provider said so'")),
    "assess": (
        "",
        (
            "drkit assess",
            "drkit assess --declare-lost westeurope --reason 'it is dark'",
            "drkit assess --verdict region-lost",
        ),
    ),
    "explain": (
        "NAME is a host's, a plan's or an environment's name, or an ARM id.",
        ("drkit explain vm-build", "drkit explain vm-build --json"),
    ),
    "watch": ("", ("drkit watch --every 5 --for 120 --until settled",)),
    "probe-script": ("", ("drkit probe-script linux > probe.sh", "drkit probe-script windows > probe.ps1")),
    "plan": ("", ("drkit plan", "drkit plan --graceful --from westeurope", "drkit plan --rebase latest")),
    "show": (RUNBOOK, ("drkit show", "drkit show 3f0c9a1b --json")),
    "approve": (
        "RUNBOOK is a digest, at least its first 8 digits, or a file.",
        ("drkit approve 3f0c9a1b --note 'read by two'", "drkit approve runbook.json"),
    ),
    "apply": (RUNBOOK, ("drkit apply latest", "drkit apply latest --wait 30")),
    "resume": (RUN, ("drkit resume", "drkit resume run-0001 --wait 30")),
    "answer": (STEP, ("drkit answer latest vm-build:move", "drkit answer latest vm-build:register ready")),
    "skip": (STEP, ("drkit skip latest vm-build:register --reason 'the machine is scrapped'",)),
    "retry": (STEP, ("drkit retry latest vm-build:register",)),
    "pause": (RUN, ("drkit pause latest --reason 'hand over to the day shift'",)),
    "unpause": (RUN, ("drkit unpause latest",)),
    "abort": (RUN, ("drkit abort latest --reason 'the region is back'",)),
    "status": (RUN, ("drkit status", "drkit status latest --show-code")),
    "report": (RUN, ("drkit report --out report.html", "drkit report run-0001 --owners")),
    "failback": (RUN, ("drkit failback", "drkit failback run-0001 --out back.json")),
    "cleanup": (RUN, ("drkit cleanup run-0001", "drkit cleanup run-0001 --discard shop --reason 'nothing of worth'")),
    "verify": (RUN, ("drkit verify run-0001",)),
}


def epilog(command: str) -> str | None:
    """The end of a command's help, in click's way of writing: ``\\b`` keeps lines as they are."""
    if command not in LINES:
        return None
    words, lines = LINES[command]
    listed = "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))
    return f"{words}\n\n{listed}" if words else listed
