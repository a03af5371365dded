"""What is wrong with how a command ended. It reads what was printed and kept, and calls nothing of drkit's."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

CODES = frozenset({0, 1, 2, 3, 4, 5, 64, 130, 143})
"""docs/exit-codes.md, and those of SIGINT and SIGTERM."""
STORE = ".drkit"
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code (negative: a signal), None when it did not end."""

    words: tuple[str, ...]
    code: int | None
    out: str
    err: str
    seconds: float


def faults(ended: Ended, secrets: Collection[str]) -> list[str]:
    """Why this end is not good: nothing for one that is."""
    found = []
    said = ended.out + ended.err
    if ended.code is None:
        found.append(f"did not end in {ended.seconds:.0f} s")
    elif ended.code not in CODES:
        found.append(f"left with {ended.code}")
    if "drkit itself failed" in said:
        found.append("drkit itself failed")
    if "Traceback (most recent call last)" in said:
        found.append("a traceback")
    if "Task exception was never retrieved" in said or "was never awaited" in said:
        found.append("asyncio complains")
    if any(secret in said for secret in secrets):
        found.append("a secret was printed")
    if ended.code in (1, 4, 64) and not said.strip():
        found.append(f"left with {ended.code} and no word")
    if CONTROL.search(ended.err):
        found.append("a control character on stderr")
    if "--json" in ended.words and ended.out.strip() and ended.code is not None and not one_object(ended.out):
        found.append("--json, and stdout is no JSON object")
    return found


def one_object(text: str) -> bool:
    """Whether it is one JSON object (a command that has none prints no brace)."""
    if not text.lstrip().startswith("{"):
        return True
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


def kept(folder: Path) -> dict[str, bytes]:
    """Every file of the store and what it holds; locks apart."""
    store = folder / STORE
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted(store.rglob("*"))
        if path.is_file() and path.suffix != ".lock"
    }


def kept_faults(before: dict[str, bytes], after: dict[str, bytes], secrets: Collection[str]) -> list[str]:
    """What is wrong with what was written to the store since."""
    found = []
    for name, content in after.items():
        if before.get(name) == content:
            continue
        lines = content.split(b"\n")[:-1] if name.endswith(".jsonl") else [content]
        try:
            for line in lines:
                json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            found.append(f"kept and cannot be read: {name}: {error}")
        if any(secret.encode() in content for secret in secrets):
            found.append(f"a secret was kept in {name}")
    return found


def strayed(folder: Path) -> list[str]:
    """Tokens that reached a host of nobody's."""
    lines = (folder / "strayed").read_text("utf-8").splitlines()
    return [f"a token went to a foreign host: {line}" for line in lines if json.loads(line)["token"]]
