"""What `--help` of a command ends with: what a name may be, and lines that can be typed as they are.

The names in them are those of the sample estate, so they work in the folder of a drill (`drkit drill --keep`); a test types them all.
"""

from __future__ import annotations

RUN = "RUN is a run's name, such as run-0001, or `latest`."
STEP = f"{RUN} STEP is a step's id, or any part of it that no other step has; `drkit status RUN` lists them."
RUNBOOK = "RUNBOOK is a file, a digest or its beginning, or `latest`."
LINES: dict[str, tuple[str, tuple[str, ...]]] = {
    "init": ("", ("drkit init --out first.toml",)),
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
        ("drkit explain vm-orders-build", "drkit explain vso-plan-westeurope --json"),
    ),
    "watch": ("", ("drkit watch --every 5 --for 120 --until settled",)),
    "probe-script": ("", ("drkit probe-script linux > probe.sh", "drkit probe-script windows > probe.ps1")),
    "plan": ("", ("drkit plan --out runbook.json", "drkit plan --kind repair", "drkit plan --rebase latest")),
    "show": (RUNBOOK, ("drkit show", "drkit show runbook.json --json")),
    "approve": (
        "RUNBOOK is a digest, at least its first 8 digits, or a file.",
        ("drkit approve runbook.json --note 'read by two'",),
    ),
    "apply": (RUNBOOK, ("drkit apply latest", "drkit apply latest --resume-existing --wait 30")),
    "resume": (RUN, ("drkit resume", "drkit resume run-0001 --wait 30")),
    "answer": (
        STEP,
        ("drkit answer latest deploy-agent.d01cbc:by-hand", "drkit answer latest payments-dev.dcc508:ready ready"),
    ),
    "skip": (STEP, ("drkit skip latest mobile-ci.927d3b:ready --reason 'owner on leave'",)),
    "retry": (STEP, ("drkit retry latest orders-build.213a3c:reach",)),
    "pause": (RUN, ("drkit pause latest --reason 'hand over to the day shift'",)),
    "unpause": (RUN, ("drkit unpause latest",)),
    "abort": (RUN, ("drkit abort latest --reason 'the region is back'",)),
    "status": (RUN, ("drkit status", "drkit status latest --show-code")),
    "report": (RUN, ("drkit report --out report.html", "drkit report run-0001 --owners")),
    "failback": (RUN, ("drkit failback", "drkit failback run-0001 --out back.json")),
    "cleanup": (
        RUN,
        (
            "drkit cleanup run-0001",
            "drkit cleanup run-0001 --discard orders-returns --reason 'abandoned'",
        ),
    ),
    "verify": (RUN, ("drkit verify run-0001",)),
}


def epilog(command: str) -> str | None:
    """The end of a command's help, in click's way of writing: ``\\b`` keeps lines as they are."""
    if command not in LINES:
        return None
    words, lines = LINES[command]
    listed = "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))
    return f"{words}\n\n{listed}" if words else listed
