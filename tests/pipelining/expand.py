"""The committed files as one pipeline: templates put in, ``${{ }}`` evaluated, every scalar a string as the service reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.pipelining.expressions import WrongError, evaluate

Json = dict[str, Any]
TOP = Path(__file__).parents[2]
MAIN = "azure-pipelines.yml"
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
ALLOWED = {"boolean": ("true", "false")}
Files = Mapping[str, str]


def files() -> dict[str, str]:
    """Every committed file of the pipeline, by its path."""
    paths = [TOP / MAIN, *sorted((TOP / "pipelines").glob("*.yml"))]
    return {str(path.relative_to(TOP)): path.read_text("utf-8") for path in paths}


@cache
def load(text: str) -> Json:
    found = yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))
    assert isinstance(found, dict)
    return found


def said(value: Any) -> str:
    return str(value) if isinstance(value, bool) else value


def fill(node: Any, context: Mapping[str, Any]) -> Any:
    """The node with its ``${{ }}`` evaluated."""
    if isinstance(node, dict):
        return {fill(key, context): fill(value, context) for key, value in node.items()}
    if isinstance(node, list):
        return [fill(one, context) for one in node]
    whole = EXPRESSION.fullmatch(node)
    if whole:
        return said(evaluate(whole.group(1), context))
    return EXPRESSION.sub(lambda match: str(said(evaluate(match.group(1), context))), node)


def bound(declared: list[Json], given: Mapping[str, Any], where: str) -> Json:
    """Parameters with their defaults; WrongError for one that is unknown, missing, or of another value than allowed."""
    names = {one["name"] for one in declared}
    if extra := set(given) - names:
        raise WrongError(f"{where}: unknown parameters {sorted(extra)}")
    values: Json = {}
    for one in declared:
        if one["name"] not in given and "default" not in one:
            raise WrongError(f"{where}: {one['name']} is missing")
        value = given.get(one["name"], one.get("default"))
        if one["type"] == "boolean":
            value = str(str(value).lower() == "true")
        if one.get("values") and value not in one["values"]:
            raise WrongError(f"{where}: {one['name']} is {value}, not of {one['values']}")
        values[one["name"]] = value
    return values


def expand(
    parameters: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None, given: Files | None = None
) -> Json:
    """The whole pipeline. ``variables``: what ops changed in the file."""
    texts = given if given is not None else files()
    root = load(texts[MAIN])
    chosen = bound(root["parameters"], parameters or {}, MAIN)
    known: Json = {}
    for one in root["variables"]:
        value = (variables or {}).get(one["name"], one["value"])
        known[one["name"]] = fill(value, {"parameters": chosen, "variables": known})
    context = {"parameters": chosen, "variables": known}
    inner = _template(root["extends"], "", texts, context)
    rest = {key: value for key, value in root.items() if key not in ("extends", "parameters", "variables")}
    return {**rest, "variables": known, **inner}


def _template(item: Json, here: str, texts: Files, context: Mapping[str, Any]) -> Json:
    path = str(Path(here).parent / item["template"]) if here else item["template"]
    if path not in texts:
        raise WrongError(f"{here or MAIN}: there is no template {path}")
    content = load(texts[path])
    chosen = bound(content.get("parameters", []), fill(item.get("parameters", {}), context), path)
    rest = {key: value for key, value in content.items() if key != "parameters"}
    # A template sees its own parameters and nothing of its caller's.
    filled = fill(rest, {"parameters": chosen, "variables": context["variables"]})
    found = _inside(filled, path, texts, context)
    assert isinstance(found, dict)
    return found


def _inside(node: Any, path: str, texts: Files, context: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        return {key: _inside(value, path, texts, context) for key, value in node.items()}
    if not isinstance(node, list):
        return node
    found = []
    for one in node:
        if isinstance(one, dict) and "template" in one:
            (inner,) = _template(one, path, texts, context).values()
            found += inner
        else:
            found.append(_inside(one, path, texts, context))
    return found
