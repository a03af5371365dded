"""The committed files as one pipeline: templates put in, ``${{ }}`` evaluated, every scalar a string as the service reads it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.project.pipelines.expressions import WrongError, evaluate, truth

Json = dict[str, Any]
TOP = Path(__file__).parents[3]
MAIN = "azure-pipelines.yml"
STAGES = "pipelines/stages.yml"
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


EACH = re.compile(r"\$\{\{ each (\w+) in (.*) \}\}")
IF = re.compile(r"\$\{\{ if (.*) \}\}")
INSERT = "${{ insert }}"


def fill(node: Any, context: Mapping[str, Any]) -> Any:
    """The node with its ``${{ }}`` evaluated, ``each``, ``if`` and ``insert`` included."""
    if isinstance(node, dict):
        made: Json = {}
        for key, value in node.items():
            made |= fill(value, context) if key == INSERT else {fill(key, context): fill(value, context)}
        return made
    if isinstance(node, list):
        return [made for one in node for made in _items(one, context)]
    whole = EXPRESSION.fullmatch(node)
    if whole:
        return said(evaluate(whole.group(1), context))
    return EXPRESSION.sub(lambda match: str(said(evaluate(match.group(1), context))), node)


def _items(node: Any, context: Mapping[str, Any]) -> list[Any]:
    """What stands in a list for one item of it."""
    key, value = next(iter(node.items())) if isinstance(node, dict) and len(node) == 1 else ("", None)
    if repeated := EACH.fullmatch(key):
        pairs = evaluate(repeated[2], context)
        every = [{repeated[1]: {"key": name, "value": given}} for name, given in pairs.items()]
        return [made for one in every for made in fill(value, {**context, **one})]
    if chosen := IF.fullmatch(key):
        return list(fill(value, context)) if truth(evaluate(chosen[1], context)) else []
    return [fill(node, context)]


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
        if one.get("type") == "boolean":
            value = str(str(value).lower() == "true")
        if one.get("values") and value not in one["values"]:
            raise WrongError(f"{where}: {one['name']} is {value}, not of {one['values']}")
        values[one["name"]] = value
    return values


def expand(
    parameters: Mapping[str, str] | None = None, constants: Mapping[str, str] | None = None, given: Files | None = None
) -> Json:
    """The whole pipeline. ``constants``: what an organisation changed in the template, by the name before the colon.

    WrongError for what Azure Pipelines refuses before anything runs.
    """
    texts = dict(given if given is not None else files())
    for name, value in (constants or {}).items():
        line = re.search(rf"(?m)^ +{name}: (.*)$", texts[STAGES])
        assert line, name
        texts[STAGES] = texts[STAGES][: line.start(1)] + json.dumps(value) + texts[STAGES][line.end(1) :]
    root = load(texts[MAIN])
    chosen = bound(root["parameters"], parameters or {}, MAIN)
    known: Json = {"system": "build", "system.teamProject": "ops", "build.reason": "Manual"}
    for one in root.get("variables", []):
        known[one["name"]] = fill(one["value"], {"parameters": chosen, "variables": known})
    context = {"parameters": chosen, "variables": known}
    inner = _template(root["extends"], "", texts, context)
    for stage in inner["stages"]:
        if "stage" not in stage:
            raise WrongError(f"unexpected value {next(iter(stage))}")
        for job in stage["jobs"]:
            # Either form is the same to the service; here it is the list.
            if isinstance(job.get("variables"), dict):
                job["variables"] = [{"name": name, "value": value} for name, value in job["variables"].items()]
    rest = {key: value for key, value in root.items() if key not in ("extends", "parameters", "variables")}
    return {**rest, "variables": known, **inner}


def _template(item: Json, here: str, texts: Files, context: Mapping[str, Any]) -> Json:
    name, _, repository = item["template"].partition("@")
    if repository and repository not in {one["repository"] for one in load(texts[MAIN])["resources"]["repositories"]}:
        raise WrongError(f"{here or MAIN}: there is no repository {repository}")
    path = str(Path(here).parent / name) if here else name
    if path not in texts:
        raise WrongError(f"{here or MAIN}: there is no template {path}")
    content = load(texts[path])
    given = item.get("parameters", {})
    # Within a template it is evaluated already, and what somebody typed is not evaluated again.
    chosen = bound(content.get("parameters", []), given if here else fill(given, context), path)
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
