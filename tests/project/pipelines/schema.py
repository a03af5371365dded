"""The published schema, applied the way the service reads a file: every scalar is a string, and expressions may stand anywhere."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema

Json = dict[str, Any]
PATH = Path(__file__).parents[4] / "shared/data/schemas/azure-pipelines-service-schema.json"
DYNAMIC = r"^[\s\S]*(?:\$\([^)]*\)|\$\{\{[\s\S]*\}\}|\$\[[\s\S]*\])[\s\S]*$"
# Documented, and not in this version of the schema.
UNKNOWN_TO_IT: frozenset[str] = frozenset()


def there() -> bool:
    return PATH.is_file()


@cache
def _schema() -> Json:
    read: Json = json.loads(PATH.read_text("utf-8"))
    return read


def _as_read(node: Any) -> Any:
    """The schema with what YAML calls a number or a truth value as the text it is, in any case where it says so."""
    if isinstance(node, list):
        return [_as_read(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {key: _as_read(value) for key, value in node.items()}
    if made.get("type") == "boolean":
        made = {**made, "type": "string", "pattern": "^(?i:true|false)$"}
    elif made.get("type") in ("integer", "number"):
        made = {**made, "type": "string", "pattern": "^-?[0-9]+$"}
    if isinstance(made.get("enum"), list) and all(isinstance(one, str) for one in made["enum"]):
        words = "|".join(re.escape(one) for one in made.pop("enum"))
        made = {**made, "type": "string", "pattern": f"^(?i:{words})$" if made.get("ignoreCase") else f"^(?:{words})$"}
    if made.get("type") == "string" and "pattern" in made:
        rest = {key: made.pop(key) for key in ("type", "pattern")}
        made["anyOf"] = [rest, {"type": "string", "pattern": DYNAMIC}]
    return made


@cache
def _definitions() -> Json:
    found: Json = _as_read(_schema()["definitions"])
    # Task steps are judged by their own alternative; here their form is enough, and the messages stay short.
    return {**found, "task": {"type": "object", "required": ["task"]}}


@cache
def _tasks() -> dict[str, Json]:
    """The alternatives of a task step, by the task's name in lower case."""
    found: dict[str, Json] = {}
    for one in _walk(_schema()["definitions"]["task"]["anyOf"]):
        names = one.get("properties", {}).get("task")
        if isinstance(names, dict) and "inputs" in one.get("properties", {}):
            for name in _texts(names):
                found.setdefault(name.lower(), one)
    return found


def _walk(node: Any) -> list[Json]:
    found = []
    if isinstance(node, dict):
        found.append(node)
        for value in node.values():
            found += _walk(value)
    elif isinstance(node, list):
        for value in node:
            found += _walk(value)
    return found


def _texts(node: Any) -> list[str]:
    found = []
    for one in _walk(node):
        if "pattern" in one:
            found.append(re.sub(r"^\^|\$$", "", one["pattern"]))
        found += one.get("enum", [])
    return found


def faults(document: Json, definition: str = "pipeline") -> list[str]:
    """What the schema has against a document (a pipeline, or ``{"stages": …}`` and such of a template), each in a line."""
    found = []
    for step in _walk(document):
        if isinstance(step.get("task"), str):
            found += _step_faults(step)
    schema = {"definitions": _definitions(), "$ref": f"#/definitions/{definition}"}
    for error in jsonschema.Draft7Validator(schema).iter_errors(document):
        best = jsonschema.exceptions.best_match([error])
        found.append(f"{'/'.join(map(str, best.absolute_path))}: {best.message[:3000]}")
    return found


def _step_faults(step: Json) -> list[str]:
    own = _tasks().get(step["task"].lower())
    if own is None:
        return [] if step["task"] in UNKNOWN_TO_IT else [f"{step['task']}: there is no such task"]
    inputs = _as_read(own["properties"]["inputs"])
    known = {name.lower() for name in inputs.get("properties", {})}
    known |= {alias.lower() for one in inputs.get("properties", {}).values() for alias in one.get("aliases", [])}
    given = {name.lower(): value for name, value in step.get("inputs", {}).items()}
    found = [f"{step['task']}: unknown input {name}" for name in given if name not in known]
    for name, one in inputs.get("properties", {}).items():
        names = [name.lower(), *(alias.lower() for alias in one.get("aliases", []))]
        value = next((given[word] for word in names if word in given), None)
        if value is None:
            if name in inputs.get("required", []):
                found.append(f"{step['task']}: {name} is required")
            continue
        schema = {"definitions": _definitions(), **one}
        found += [
            f"{step['task']}: {name}: {error.message[:200]}"
            for error in jsonschema.Draft7Validator(schema).iter_errors(value)
        ]
    return found
