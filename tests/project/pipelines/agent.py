"""Carries out the expanded pipeline: each job in a folder of its own, which shares with the others only what it publishes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from tests.project.pipelines.expressions import evaluate, truth
from tests.support.patience import PATIENCE

Json = dict[str, Any]
TOP = Path(__file__).parents[3]
GOOD = ("Succeeded", "SucceededWithIssues")
COMMAND = re.compile(r"##vso\[([a-z.]+)(?: ([^\]]*))?\](.*)", re.IGNORECASE)
MACRO = re.compile(r"\$\(([A-Za-z][\w.]*)\)")
WRITTEN = (("%3B", ";"), ("%5D", "]"), ("%0D", "\r"), ("%0A", "\n"), ("%AZP25", "%"))
BIN = Path(sys.executable).parent


@dataclass
class Job:
    """What one job left."""

    result: str = "Skipped"
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass
class Agent:
    """A run of the pipeline. ``settings``: drkit.toml of the template's repository; ``watch`` hears each line and may kill."""

    pipeline: Json
    folder: Path
    settings: str
    environment: Mapping[str, str]
    predefined: Mapping[str, str] = field(default_factory=dict)
    approve: Callable[[Json], bool] = lambda _inputs: True
    watch: Callable[[str, str, subprocess.Popen[str]], None] = lambda _step, _line, _process: None
    attempt: int = 0
    jobs: dict[str, dict[str, Job]] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)
    commands: list[tuple[str, str, Json, str]] = field(default_factory=list)
    number: int = 0

    # stages

    def go(self, *, until: str = "") -> dict[str, str]:
        """Carry out what has not succeeded yet, as a run, or "rerun failed", does; ``until``: stop when this stage ended."""
        self.attempt += 1
        for stage in self.pipeline["stages"]:
            name = stage["stage"]
            if self.results.get(name) not in GOOD:
                self.results[name] = self._stage(stage)
            if name == until:
                break
        return self.results

    def _stage(self, stage: Json) -> str:
        needs = several(stage.get("dependsOn", []))
        context = {
            "variables": {"": "may miss", **self.pipeline["variables"], **self.predefined},
            "dependencies": {one: {"result": self.results[one], "outputs": self._outputs(one, "")} for one in needs},
        }
        results = [self.results[one] for one in needs]
        if not truth(evaluate(stage.get("condition", "succeeded()"), context, standing(results))):
            self.jobs[stage["stage"]] = {}
            return "Skipped"
        done = self.jobs[stage["stage"]] = {}
        for job in stage["jobs"]:
            name = job.get("job") or job["deployment"]
            before = [done[one].result for one in several(job.get("dependsOn", []))]
            done[name] = Job()
            if truth(evaluate(job.get("condition", "succeeded()"), context, standing(before))):
                done[name].result = self._job(job, done[name], stage["stage"])
        worst = [one for word in ("Failed", *reversed(GOOD)) for one in done.values() if one.result == word]
        return worst[0].result if worst else "Skipped"

    def _outputs(self, stage: str, job: str) -> Json:
        every = self.jobs.get(stage, {})
        found: Json = {"": "may miss"}
        for name, one in every.items():
            if not job or name == job:
                found |= {key if job else f"{name}.{key}": value for key, value in one.outputs.items()}
        return found

    # jobs

    def _job(self, job: Json, left: Job, stage: str) -> str:
        self.number += 1
        root = self.folder / f"{self.number}-{job.get('job') or job['deployment']}"
        for name in ("s", "a", "t"):
            (root / name).mkdir(parents=True)
        known = {
            **self.pipeline["variables"],
            "Build.SourcesDirectory": str(root / "s"), "Build.ArtifactStagingDirectory": str(root / "a"),
            "Agent.TempDirectory": str(root / "t"), "Pipeline.Workspace": str(root),
            "System.DefaultWorkingDirectory": str(root / "s"), "System.StageAttempt": str(self.attempt),
            "Build.BuildId": "4711", "System.TeamProject": "ops", "Build.RequestedFor": "Ada",
            "System.AccessToken": "the job's own token", **self.predefined,
        }  # fmt: skip
        stages = {
            one: {name: {"outputs": self._outputs(one, name)} for name in jobs} for one, jobs in self.jobs.items()
        }
        beside = {
            name: {"outputs": {"": "may miss", **one.outputs}}
            for name, one in self.jobs[stage].items()
            if name in several(job.get("dependsOn", []))
        }
        for one in job.get("variables", []):
            runtime = re.fullmatch(r"\$\[(.*)\]", one["value"])
            value = (
                evaluate(runtime.group(1), {"stageDependencies": stages, "dependencies": beside})
                if runtime
                else one["value"]
            )
            known = {key: kept for key, kept in known.items() if key.lower() != one["name"].lower()} | {
                one["name"]: value
            }
        server = job.get("pool") == "server"
        steps = job["strategy"]["runOnce"]["deploy"]["steps"] if "deployment" in job else job["steps"]
        result = "Succeeded"
        for step in steps:
            asked = standing([result])
            if not truth(
                evaluate(step.get("condition", "succeeded()"), {"variables": {"": "may miss", **known}}, asked)
            ):
                continue
            ended = self._step(step, root, known, left, server=server)
            if ended == "Failed" and step.get("continueOnError", "false").lower() == "true":
                ended = "SucceededWithIssues"
            result = max(result, ended, key=("Succeeded", "SucceededWithIssues", "Failed").index)
        return result

    def _step(self, step: Json, root: Path, known: Json, left: Job, *, server: bool) -> str:
        task = step.get("task", "")
        assert server == (task == "ManualValidation@1"), f"{task} in {'an agentless' if server else 'an ordinary'} job"
        told = {key: macros(value, known) for key, value in step.get("inputs", {}).items()}
        shared = self.folder / "published"
        if task == "ManualValidation@1":
            return "Succeeded" if self.approve(told) else "Failed"
        if "checkout" in step:
            assert step["checkout"].startswith("git://"), "what the caller's repository holds is not for an agent"
            there = root / macros(step["path"], known)
            shutil.copytree(TOP / "pipelines", there / "pipelines")
            (there / "drkit.toml").write_text(self.settings, "utf-8")
        elif "publish" in step:
            name = macros(step["artifact"], known)
            assert not (shared / name).exists(), f"artifact {name} is published already"
            shutil.copytree(macros(step["publish"], known), shared / name)
        elif "download" in step:
            name = macros(step["artifact"], known)
            if not (shared / name).exists():
                return "Failed"
            shutil.copytree(shared / name, root / name)
        elif task == "PublishTestResults@2":
            ET.parse(Path(told["searchFolder"]) / told["testResultsFiles"])
            self.log.append(("tests", str(Path(told["searchFolder"]) / told["testResultsFiles"])))
        elif task == "AzureCLI@2":
            assert told["scriptType"] == "bash"
            signed = {
                "AZURESUBSCRIPTION_CLIENT_ID": told["azureSubscription"], "AZURESUBSCRIPTION_TENANT_ID": "tenant",
                "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": told["azureSubscription"],
            }  # fmt: skip
            return self._script(step, step["inputs"]["inlineScript"], root, known, left, signed)
        else:
            return self._script(step, step["script"], root, known, left, {})
        return "Succeeded"

    def _script(self, step: Json, script: str, root: Path, known: Json, left: Job, signed: Mapping[str, str]) -> str:
        secret = ("system.accesstoken",)
        own = {
            re.sub(r"[^A-Za-z0-9]", "_", key).upper(): value
            for key, value in known.items()
            if key.lower() not in secret
        }
        file = root / "t" / "script.sh"
        file.write_text(macros(script, known), "utf-8")
        # A variable wins over what a step's own `env` says, as with the real agent.
        more = {key: macros(value, known) for key, value in step.get("env", {}).items()}
        env = {
            "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(root / "t"), "XDG_CACHE_HOME": str(root / "t" / "cache"),
            "LANG": "C.UTF-8", "TF_BUILD": "True", **self.environment, **signed, **more, **own,
        }  # fmt: skip
        process = subprocess.Popen(
            ["/bin/bash", str(file)], cwd=root / "s", env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True, errors="replace",
        )  # fmt: skip
        issues: list[str] = []
        readers = [
            threading.Thread(target=self._read, args=(stream, step, process, known, left, issues))
            for stream in (process.stdout, process.stderr)
        ]
        for one in readers:
            one.start()
        for one in readers:
            one.join(PATIENCE)
        if process.wait(PATIENCE) != 0:
            return "Failed"
        return issues[-1] if issues else "Succeeded"

    def _read(
        self, stream: Any, step: Json, process: subprocess.Popen[str], known: Json, left: Job, issues: list[str]
    ) -> None:
        name = step.get("name", "")
        for line in stream:
            self.log.append((name, line.rstrip("\n")))
            for part in re.split(r"[\r\n]", line):
                found = COMMAND.search(part)
                if found:
                    self._obey(found, name, known, left, issues)
            self.watch(name, line, process)
        stream.close()

    def _obey(self, found: re.Match[str], step: str, known: Json, left: Job, issues: list[str]) -> None:
        properties = dict(pair.split("=", 1) for pair in (found.group(2) or "").split(";") if "=" in pair)
        properties = {key: plain(value) for key, value in properties.items()}
        name, value = found.group(1).lower(), plain(found.group(3))
        self.commands.append((step, name, properties, value))
        if name == "task.setvariable":
            if properties.get("isOutput", "").lower() == "true":
                left.outputs[f"{step}.{properties['variable']}"] = value
                known[f"{step}.{properties['variable']}"] = value
            else:
                known[properties["variable"]] = value
        elif name == "task.uploadsummary":
            assert Path(value).is_absolute()
            assert Path(value).read_text("utf-8").strip()
        elif name == "task.complete":
            issues.append(properties["result"])

    def said(self, step: str) -> str:
        return "\n".join(line for name, line in self.log if name == step)


def kill(process: subprocess.Popen[str]) -> None:
    """SIGKILL the script and all that it started."""
    os.killpg(process.pid, signal.SIGKILL)


def plain(text: str) -> str:
    for written, meant in WRITTEN:
        text = text.replace(written, meant)
    return text


def macros(text: str, known: Mapping[str, str]) -> str:
    """``$(name)`` replaced; one that nobody defined stays as it is, as in Azure Pipelines."""
    lower = {key.lower(): value for key, value in known.items()}
    return MACRO.sub(lambda match: lower.get(match.group(1).lower(), match.group(0)), text)


def several(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def standing(results: list[str]) -> dict[str, Callable[..., bool]]:
    """The functions that ask how what came before ended."""
    return {
        "succeeded": lambda: all(one in GOOD for one in results),
        "failed": lambda: "Failed" in results,
        "always": lambda: True,
        "canceled": lambda: False,
    }
