"""What a schema cannot see: names that must be there, and the one way from a plan through an approval to the same bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.project.pipelines.agent import MACRO, several
from tests.project.pipelines.expand import MAIN, STAGES, Files, Json, expand, load
from tests.project.pipelines.expressions import WrongError

PREDEFINED = {
    "build.sourcesdirectory", "build.artifactstagingdirectory", "agent.tempdirectory", "pipeline.workspace",
    "system.stageattempt", "build.buildid", "system.teamproject", "build.requestedfor", "system.accesstoken",
}  # fmt: skip
SETS = {"plan": ("digest", "steps", "run"), "preflight": ("openRuns",), "apply": ("run",)}
OUTPUT = re.compile(r"(dependencies|stageDependencies)\.(\w+)(?:\.(\w+))?\.outputs\['([\w.]+)'\]")
SHELL = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)")
SECRET = re.compile(r"(?i)password|secret|token|accountkey|sig=|clientkey|principalkey")
EMPTIED = ["BASH_ENV", "BASHOPTS", "SHELLOPTS", "PS4", "LD_AUDIT", "LD_LIBRARY_PATH", "LD_PRELOAD", "NODE_OPTIONS"]
CHOSEN = ["mode", "region", "target", "declareLost", "reason"]
"""All that a pipeline which extends the template may choose."""
SOURCED = '. "$PIPELINE_WORKSPACE/drkit/pipelines/drkit.sh"\n'
SHOWN_DIGEST = "$[ dependencies.Show.outputs['show.digest'] ]"
PLAIN_DIGEST = "stageDependencies.Plan.Plan.outputs['plan.digest']"
PLAIN_ARTIFACT = "stageDependencies.Plan.Plan.outputs['plan.artifact']"


def faults(texts: Files) -> list[str]:
    """Every fault of the committed files, for every mode."""
    found: list[str] = []
    try:
        modes = next(one["values"] for one in load(texts[MAIN])["parameters"] if one["name"] == "mode")
        pipelines = [expand(given=texts), *(expand({"mode": mode}, given=texts) for mode in modes)]
        constants = load(texts[STAGES])["stages"][0]["parameters"]
    except (WrongError, KeyError, StopIteration, AssertionError, ValueError) as error:
        return [f"cannot be expanded: {error}"]
    for pipeline in pipelines[:1] + pipelines[-1:]:
        found += [
            *_names(pipeline),
            *_variables(pipeline),
            *_gate(pipeline),
            *_same_bytes(pipeline),
            *_signing_in(pipeline, constants),
            *_where(pipeline, constants),
        ]
    found += [*_schedules(pipelines[0]), *_scripts(texts), *_caller(texts)]
    return list(dict.fromkeys(found))


def steps_of(job: Json) -> list[Json]:
    found: list[Json] = job["strategy"]["runOnce"]["deploy"]["steps"] if "deployment" in job else job["steps"]
    return found


def script_of(step: Json) -> str:
    return str(step.get("script") or step.get("inputs", {}).get("inlineScript", ""))


def name_of(job: Json) -> str:
    return str(job.get("job") or job["deployment"])


def every_step(pipeline: Json) -> Iterator[tuple[str, Json, Json]]:
    for stage in pipeline["stages"]:
        for job in stage["jobs"]:
            for step in steps_of(job):
                yield stage["stage"], job, step


def _names(pipeline: Json) -> Iterator[str]:
    upstream: dict[str, set[str]] = {}
    jobs: dict[str, dict[str, Json]] = {}
    for stage in pipeline["stages"]:
        name, needs = stage["stage"], several(stage.get("dependsOn", []))
        for one in needs:
            if one not in upstream:
                yield f"{name}: depends on {one}, which does not come before it"
        upstream[name] = set(needs).union(*(upstream.get(one, set()) for one in needs))
        known: set[str] = set()
        for job in stage["jobs"]:
            for one in several(job.get("dependsOn", [])):
                if one not in known:
                    yield f"{name}.{name_of(job)}: depends on {one}, which does not come before it"
            known.add(name_of(job))
        for kind, where, job_name, path in OUTPUT.findall(str(stage)):
            inner, *rest = path.split(".")
            asked = (inner, *rest) if kind == "dependencies" else (job_name, inner, *rest)
            if kind == "dependencies" and where in {name_of(job) for job in stage["jobs"]}:
                asking = [
                    job
                    for job in stage["jobs"]
                    if f"dependencies.{where}.outputs['{path}']" in str(job.get("variables", ""))
                ]
                given = next(job for job in stage["jobs"] if name_of(job) == where)
                if len(rest) != 1 or rest[0] not in _outputs(given, inner):
                    yield f"{name}: {where} has no output {path}"
                for job in asking:
                    if where not in several(job.get("dependsOn", [])):
                        yield f"{name}.{name_of(job)}: asks {where}, on which it does not depend"
                continue
            if where not in (needs if kind == "dependencies" else upstream[name]):
                yield f"{name}: asks {kind}.{where}, on which it does not depend"
            elif len(asked) != 3 or asked[2] not in _outputs(jobs[where].get(asked[0]), asked[1]):
                yield f"{name}: {where} has no output {'.'.join(asked)}"
        for where in re.findall(r"dependencies\.(\w+)\.result", stage.get("condition", "")):
            if where not in needs:
                yield f"{name}: asks the result of {where}, on which it does not depend"
        jobs[name] = {name_of(job): job for job in stage["jobs"]}


def _outputs(job: Json | None, step: str) -> set[str]:
    found: set[str] = set()
    for one in steps_of(job) if job else []:
        if one.get("name") == step:
            found |= set(re.findall(r"task\.setvariable variable=(\w+);isOutput=true", script_of(one)))
            found |= set(SETS.get(step, ()))
    return found


def _variables(pipeline: Json) -> Iterator[str]:
    root = {name.lower() for name in pipeline["variables"]} | PREDEFINED
    for stage, job, step in every_step(pipeline):
        here = root | {one["name"].lower() for one in job.get("variables", [])}
        for other in steps_of(job):
            here |= (
                {f"{other['name']}.{one}".lower() for one in _outputs(job, other.get("name", ""))}
                if "name" in other
                else set()
            )
        for name in MACRO.findall(str(step)):
            if name.lower() not in here:
                yield f"{stage}: $({name}) is not defined"
        shell = {re.sub(r"[^a-z0-9]", "_", one).upper() for one in here}
        for name in SHELL.findall(script_of(step)):
            if name not in shell:
                yield f"{stage}: ${name} is not in the environment"
    jobs = [job for stage in pipeline["stages"] for job in stage["jobs"]]
    for name, value in {one["name"]: one["value"] for job in jobs for one in job.get("variables", [])}.items():
        if SECRET.search(name) or SECRET.search(value):
            yield f"{name}: looks like a secret"


def _gate(pipeline: Json) -> Iterator[str]:
    stages = {stage["stage"]: stage for stage in pipeline["stages"]}
    approve, apply = stages.get("Approve"), stages.get("Apply")
    if not approve or not apply:
        yield "there is no gate before Apply"
        return
    if "Approve" not in several(apply.get("dependsOn", [])):
        yield "Apply does not depend on Approve"
    condition = re.sub(r"\s+", " ", apply.get("condition", ""))
    skipped = "and(eq(dependencies.Approve.result, 'Skipped'), ne(dependencies.Plan.outputs['Plan.plan.run'], ''))"
    if (
        "in(dependencies.Approve.result, 'Succeeded', 'SucceededWithIssues')" not in condition
        or skipped not in condition
    ):
        yield "Apply runs without an approval"
    if "eq(dependencies.Plan.outputs['Plan.plan.run'], '')" not in approve.get("condition", ""):
        yield "Approve may be skipped for a new run"
    wait = next(
        (job for job in approve["jobs"] if any(one.get("task") == "ManualValidation@1" for one in steps_of(job))), None
    )
    if wait is None:
        yield "nobody is asked"
    else:
        told = next(one for one in steps_of(wait) if one.get("task"))["inputs"]
        if told.get("allowApproversToApproveTheirOwnRuns", "true").lower() != "false":
            yield "who asks may approve"
        if told.get("onTimeout") != "reject":
            yield "silence is consent"
        before = several(wait.get("dependsOn", []))
        after = [job for job in approve["jobs"] if job is not wait and name_of(job) not in before]
        if not after or any(name_of(wait) not in several(job.get("dependsOn", [])) for job in after):
            yield "the approval is recorded before it is given"
        yield from _shown(approve, wait)
    for stage, job, step in every_step(pipeline):
        if (job.get("pool") == "server") != (step.get("task") == "ManualValidation@1"):
            yield f"{stage}: an agentless job runs a step of an agent, or the other way round"
    for job in apply["jobs"]:
        if not job.get("environment"):
            yield "Apply is bound to no environment"
    if pipeline.get("lockBehavior") != "sequential" or apply.get("lockBehavior") != "sequential":
        yield "a waiting recovery would be cancelled"


def _shown(approve: Json, wait: Json) -> Iterator[str]:
    """The approver's own job prints the runbook before somebody is asked, and what it printed is what is approved."""
    show = next((job for job in approve["jobs"] if name_of(job) == "Show"), None)
    if show is None or "Show" not in several(wait.get("dependsOn", [])):
        yield "somebody is asked before the runbook was printed"
        return
    script = next((script_of(step) for step in steps_of(show) if step.get("name") == "show"), "")
    compared, printed, said = (
        script.find(one)
        for one in ('if [ "$digest" != "$DIGEST" ]', 'drkit show "$file"', "variable=digest;isOutput=true]$digest")
    )
    if not 0 < compared < printed < said or 'digest=$(sha256sum "$file"' not in script:
        yield "Show does not print the bytes whose digest it gives"
    for job in approve["jobs"]:
        values = {one["name"]: one["value"] for one in job.get("variables", [])}
        if job is not show and values.get("DIGEST") != SHOWN_DIGEST:
            yield f"Approve.{name_of(job)}: the digest is not that of what was printed"


def _same_bytes(pipeline: Json) -> Iterator[str]:
    stages = {stage["stage"]: stage for stage in pipeline["stages"]}
    published = [step for _, _, step in every_step({"stages": [stages["Plan"]]}) if "publish" in step]
    if [(one["publish"], one["artifact"]) for one in published] != [
        ("$(Build.ArtifactStagingDirectory)/runbook", "$(plan.artifact)")
    ]:
        yield "Plan does not publish the runbook it wrote"
    if not any("out=\"$BUILD_ARTIFACTSTAGINGDIRECTORY/runbook\"" in script_of(step) and '--out "$out/runbook.json"' in script_of(step)
               for _, _, step in every_step({"stages": [stages["Plan"]]})):  # fmt: skip
        yield "Plan writes its runbook elsewhere"
    for stage, verb in (("Approve", "approve"), ("Apply", "apply")):
        for job in stages[stage]["jobs"]:
            acting = [step for step in steps_of(job) if f"drkit {verb}" in script_of(step)]
            if not acting:
                continue
            text = script_of(acting[0])
            if f'drkit {verb} "$PIPELINE_WORKSPACE/$ARTIFACT/runbook.json" --digest "$DIGEST"' not in text:
                yield f"{stage}: does not take the published runbook by its digest"
            values = {one["name"]: one["value"] for one in job.get("variables", [])}
            digest = SHOWN_DIGEST if stage == "Approve" else PLAIN_DIGEST
            if digest not in values.get("DIGEST", "") or PLAIN_ARTIFACT not in values.get("ARTIFACT", ""):
                yield f"{stage}: digest or artifact are not those of Plan"
            downloads = [step.get("artifact") for step in steps_of(job) if "download" in step]
            if downloads != ["$(ARTIFACT)"]:
                yield f"{stage}: downloads something else than the published runbook"
        if not any(f"drkit {verb}" in script_of(step) for job in stages[stage]["jobs"] for step in steps_of(job)):
            yield f"{stage}: never calls drkit {verb}"


def _where(pipeline: Json, constants: Json) -> Iterator[str]:
    """Each kind of job in a pool of its own, and what a script finds there is of the template's repository."""
    if len({constants["plannerPool"], constants["approverPool"], constants["operatorPool"]}) != 3:
        yield "two roles share a pool"
    for stage in pipeline["stages"]:
        wanted = {"Approve": "approverPool", "Apply": "operatorPool"}.get(stage["stage"], "plannerPool")
        for job in stage["jobs"]:
            if job.get("pool") == "server":
                continue
            if job["pool"] != {"name": constants[wanted]}:
                yield f"{stage['stage']}: runs in {job['pool']}"
            if "deployment" in job and job.get("environment") != constants["environment"]:
                yield f"{stage['stage']}: is bound to {job.get('environment')}"
            first = steps_of(job)[0]
            if not str(first.get("checkout", "")).startswith("git://") or first.get("path") != "drkit":
                yield f"{stage['stage']}: begins without the template's repository"
            if any("checkout" in step for step in steps_of(job)[1:]):
                yield f"{stage['stage']}: checks out something else besides"
            names = [one["name"] for one in job.get("variables", [])]
            if names[: len(constants["variables"])] != list(constants["variables"]):
                yield f"{stage['stage']}: has not the template's variables"
            for step in steps_of(job):
                if script_of(step) and not script_of(step).startswith(SOURCED):
                    yield f"{stage['stage']}: a script takes the environment as it comes"


def _caller(texts: Files) -> Iterator[str]:
    """What a pipeline that extends the template can say."""
    root, template = load(texts[MAIN]), load(texts[STAGES])
    if "variables" in root:
        yield "the pipeline sets variables"
    declared = [one["name"] for one in template["parameters"]]
    if declared != CHOSEN:
        yield f"the caller may choose {declared}"
    if list(template["stages"][0]["parameters"]["variables"])[-8:] != EMPTIED or any(
        template["stages"][0]["parameters"]["variables"][name] for name in EMPTIED
    ):
        yield "a variable acts before a script's first line"


def _signing_in(pipeline: Json, told: Json) -> Iterator[str]:
    for stage, _, step in every_step(pipeline):
        text = script_of(step)
        if step.get("task") == "AzureCLI@2":
            if step.get("env", {}).get("SYSTEM_ACCESSTOKEN") != "$(System.AccessToken)":
                yield f"{stage}: its tokens cannot be renewed"
            if step["inputs"].get("addSpnToEnvironment", "false") != "false":
                yield f"{stage}: puts credentials in the environment"
            used = step["inputs"]["azureSubscription"]
            wanted = {"show": "approverConnection", "approve": "approverConnection", "apply": "operatorConnection"}.get(
                step.get("name", "")
            )
            allowed = (
                [told[wanted]]
                if wanted
                else [told["plannerConnection"], *([told["operatorConnection"]] if stage == "Apply" else [])]
            )
            if used not in allowed:
                yield f"{stage}: {step.get('name')} signs in as {used}"
        elif re.search(r"^\s*drkit (?!drill|report run)", text, re.MULTILINE):
            yield f"{stage}: calls drkit without signing in"
    for stage in ("Validate", "Plan", "Apply"):
        steps = [step for where, _, step in every_step(pipeline) if where == stage and step.get("task") == "AzureCLI@2"]
        if not steps or 'drkit preflight --protected-region "$REGION" --machine "$AGENTREGION"' not in script_of(
            steps[0]
        ):
            yield f"{stage}: begins without looking where it runs"


def _schedules(pipeline: Json) -> Iterator[str]:
    names = []
    for one in pipeline.get("schedules", []):
        names.append(one.get("displayName"))
        if next(iter(one)) != "cron" or len(one["cron"].split()) != 5:
            yield "a schedule begins with no cron of five fields"
        if one.get("always") != "true":
            yield "a schedule waits for a commit"
        if not one.get("branches", {}).get("include"):
            yield "a schedule names no branch"
    if sorted(map(str, names)) != ["drill", "readiness"]:
        yield "drill and readiness are not scheduled"
    for stage in pipeline["stages"]:
        for name in re.findall(r"variables\['Build.CronSchedule.DisplayName'\], '(\w+)'", stage.get("condition", "")):
            if name not in names:
                yield f"{stage['stage']}: no schedule is called {name}"
    if pipeline.get("trigger") != "none" or pipeline.get("pr") != "none":
        yield "a commit starts it"


def _scripts(texts: Files) -> Iterator[str]:
    """Whatever a person or Azure wrote reaches a script through its environment only."""
    for path, text in texts.items():
        for script in _texts_of(load(text), ("script", "inlineScript")):
            if script == f"{SOURCED}${{{{ parameters.script }}}}\n":
                continue
            if "${{" in script or MACRO.search(script) or "$[" in script:
                yield f"{path}: a script has text put into it: {script[:40]!r}"


def _texts_of(node: Any, keys: tuple[str, ...]) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key in keys and isinstance(value, str):
                yield value
            else:
                yield from _texts_of(value, keys)
    elif isinstance(node, list):
        for one in node:
            yield from _texts_of(one, keys)
