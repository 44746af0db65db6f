"""Runs a workflow of GitHub Actions on this machine, job by job and step by step."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from tests.e2e.actions import ACTIONS, ActionError, Stage
from tests.e2e.expressions import as_text, asks_for_status, evaluate, fill_in, is_true
from tests.e2e.project import SOURCE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["Job", "Rehearsal"]

_PINNED = re.compile(r"(?P<action>[\w-]+/[\w-]+)@[0-9a-f]{40}")
_RECORDER = """#!{python}
import json, sys
from pathlib import Path
arguments = sys.argv[1:]
named = [file for word, file in zip(arguments, arguments[1:]) if word == "--body-file"]
bodies = [Path(file).read_text("utf-8") for file in named]
with open({log!r}, "a", encoding="utf-8") as log:
    log.write(json.dumps([{name!r}, *arguments, *bodies]) + "\\n")
answers = json.loads(Path({answers!r}).read_text("utf-8"))
print(answers.get(" ".join([{name!r}, *arguments[:2]]), ""))
"""
_MODULE = '#!/bin/sh\nexec "{python}" -m {name} "$@"\n'


@dataclass
class Job:
    """How a job went.

    Attributes:
        result: `success`, `failure` or `skipped`.
        outputs: What it told the jobs after it.
        log: What its commands printed.
        summary: What it wrote for its page.
    """

    result: str = "success"
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""

    @property
    def went_well(self) -> bool:
        """Whether it need not be run again."""
        return self.result != "failure"


class Rehearsal:
    """One run of a workflow.

    Args:
        root: An empty folder.
        workflow: The workflow's text.
        origin: A bare repository.
        event: Why it runs: `schedule`, `workflow_dispatch` or `pull_request`.
        inputs: What is given by hand.
        answers: What programs that stand in say, by their first three words.
        lost: Artifacts that get lost after they were handed back.

    Attributes:
        jobs: How each job went; those of a matrix by job and cell.
        calls: What the programs that stand in were called with.
    """

    def __init__(  # noqa: PLR0913 - each is something that a run on GitHub has
        self,
        root: Path,
        workflow: str,
        origin: Path,
        event: str,
        *,
        inputs: Mapping[str, Any] | None = None,
        answers: Mapping[str, str] | None = None,
        lost: frozenset[str] = frozenset(),
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.stage = Stage(root, origin)
        self._root = root
        self._lost = lost
        self._workflow = yaml.safe_load(workflow)
        self._github: dict[str, Any] = {
            "event_name": event,
            "ref": "refs/heads/main",
            "ref_name": "main",
            "repository": "someone/something",
            "run_id": "17",
            "run_attempt": "1",
            "server_url": "https://host.invalid",
            "token": "secret",
            "event": {"repository": {"default_branch": "main"}},
        }
        # The key `on` is true in YAML 1.1, which GitHub does not care about.
        triggers = self._workflow[True]
        assert event in triggers
        declared = triggers["workflow_dispatch"]["inputs"]
        self._inputs = {**dict.fromkeys(declared), **(inputs or {})}
        assert self._inputs.keys() == declared.keys()
        self._install(answers or {})
        self._run()

    @property
    def calls(self) -> list[list[str]]:
        """What the programs that stand in were called with."""
        lines = (self._root / "calls").read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def _install(self, answers: Mapping[str, str]) -> None:
        """Put programs on the path: ours, and recorders of what must not happen here."""
        programs = self._root / "bin"
        programs.mkdir()
        (self._root / "calls").touch()
        (self._root / "answers").write_text(json.dumps(answers), "utf-8")
        places = {"log": str(self._root / "calls"), "answers": str(self._root / "answers")}
        texts = {n: _MODULE.format(python=sys.executable, name=n) for n in ("nox", "torchfloor")}
        for name in ("gh", "pip", "sudo"):
            texts[name] = _RECORDER.format(python=sys.executable, name=name, **places)
        for name, text in texts.items():
            (programs / name).write_text(text, "utf-8")
            (programs / name).chmod(stat.S_IRWXU)

    def run_failed_again(self) -> None:
        """Run the jobs that failed again, and all that need them, as a further attempt."""
        self._github["run_attempt"] = str(int(self._github["run_attempt"]) + 1)
        self._lost = frozenset()
        earlier, self.jobs = self.jobs, {}
        self._run(earlier)

    def _run(self, earlier: Mapping[str, Job] | None = None) -> None:
        """Run the jobs, but for those that went well in an earlier attempt."""
        again: set[str] = set()
        for name, job in self._workflow["jobs"].items():
            needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            kept = {}
            if earlier is not None and again.isdisjoint(needs):
                kept = {n: j for n, j in earlier.items() if n.split()[0] == name and j.went_well}
            if name in kept:
                self.jobs |= kept
                continue
            again.add(name)
            contexts = self._contexts(needs)
            if not self._holds(job.get("if"), contexts):
                self.jobs[name] = Job("skipped")
                continue
            matrix = fill_in(job.get("strategy", {}).get("matrix", {"include": [{}]}), contexts)
            (cells,) = matrix.values()  # only `include` is known here
            ran = {}
            for cell in cells:
                known = kept.get(f"{name} {cell.get('cell')}")
                ran[cell.get("cell", "")] = known or self._run_job(job, contexts | {"matrix": cell})
            failed = any(each.result == "failure" for each in ran.values())
            self.jobs[name] = Job("failure") if failed else Job()
            if list(ran) == [""]:
                self.jobs[name] = ran[""]
            else:
                self.jobs |= {f"{name} {cell}": each for cell, each in ran.items()}
            self._lose()

    def _lose(self) -> None:
        for name in self._lost:
            for file in (self.stage.artifacts / name).glob("*"):
                file.unlink()
                file.parent.rmdir()

    def _contexts(self, needs: list[str]) -> dict[str, Any]:
        results = [self.jobs[name].result for name in needs]
        contexts = {
            "github": self._github,
            "inputs": self._inputs,
            "needs": {
                n: {"result": self.jobs[n].result, "outputs": self._declared(n)} for n in needs
            },
            "fromJSON": json.loads,
            **_statuses(ok=all(result == "success" for result in results)),
        }
        contexts["env"] = fill_in(self._workflow["env"], contexts)
        return contexts

    def _declared(self, name: str) -> dict[str, str]:
        return (
            dict.fromkeys(self._workflow["jobs"][name].get("outputs", {}), "")
            | self.jobs[name].outputs
        )

    def _holds(self, condition: str | None, contexts: Mapping[str, Any]) -> bool:
        if condition is None:
            return bool(contexts["success"]())
        holds = is_true(evaluate(condition, contexts))
        return holds and (asks_for_status(condition) or contexts["success"]())

    def _run_job(self, job: dict[str, Any], contexts: dict[str, Any]) -> Job:
        self.stage.sweep()
        ran = Job()
        steps: dict[str, Any] = {
            step["id"]: {"outputs": {}} for step in job["steps"] if "id" in step
        }
        contexts |= {"steps": steps}
        contexts["env"] = contexts["env"] | fill_in(job.get("env", {}), contexts)
        for step in job["steps"]:
            contexts |= _statuses(ok=ran.result == "success")
            if not self._holds(step.get("if"), contexts):
                steps.setdefault(step.get("id", ""), {})["skipped"] = True
                continue
            try:
                outputs = self._run_step(step, contexts, ran)
            except ActionError as error:
                ran.log += f"{error}\n"
                outputs, ran.result = {}, "failure"
            steps.setdefault(step.get("id", ""), {})["outputs"] = outputs
        wanted = job.get("outputs", {})
        ran.outputs = {name: self._output(text, contexts, ran) for name, text in wanted.items()}
        return ran

    def _output(self, text: str, contexts: Mapping[str, Any], ran: Job) -> str:
        """Read a step's output, which a job that went well must have set."""
        _, step, kind, name = text.strip("${} ").split(".")
        assert kind == "outputs"
        outputs = contexts["steps"][step]["outputs"]
        assert ran.result == "failure" or name in outputs, text
        return str(outputs.get(name, ""))

    def _run_step(self, step: dict[str, Any], contexts: dict[str, Any], ran: Job) -> dict[str, str]:
        if "uses" in step:
            pinned = _PINNED.fullmatch(step["uses"])
            assert pinned, step["uses"]
            inputs = fill_in(step.get("with", {}), contexts)
            outputs = ACTIONS[pinned["action"]](self.stage, inputs)
            assert not inputs, (step["uses"], inputs)
            return outputs
        assert "${{" not in step["run"], "no text from outside is part of a command"
        return self._run_commands(step, contexts, ran)

    def _run_commands(
        self, step: dict[str, Any], contexts: dict[str, Any], ran: Job
    ) -> dict[str, str]:
        files = {name: self._root / name for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.write_text("", "utf-8")
        assert self._workflow["defaults"]["run"]["shell"] == "bash"
        script = self._root / "step.sh"
        script.write_text(step["run"], "utf-8")
        said = contexts["env"] | fill_in(step.get("env", {}), contexts)
        done = subprocess.run(  # noqa: S603 - as GitHub runs it
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", script],  # noqa: S607
            cwd=self.stage.workspace,
            env=self._environment() | {k: as_text(v) for k, v in (said | files).items()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        ran.log += done.stdout
        ran.summary += files["GITHUB_STEP_SUMMARY"].read_text("utf-8")
        if done.returncode:
            ran.result = "failure"
        return _outputs(files["GITHUB_OUTPUT"].read_text("utf-8"))

    def _environment(self) -> dict[str, str]:
        """Return what a runner has in its environment, and nothing of this test run."""
        ours = ("TORCHFLOOR_", "NOX", "PYTEST_", "GITHUB_")
        passed_on = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        return passed_on | {
            "PATH": os.pathsep.join([str(self._root / "bin"), os.environ["PATH"]]),
            "PYTHONPATH": str(SOURCE),
            "NO_COLOR": "1",
            "COLUMNS": "100",
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_RUN_ID": self._github["run_id"],
            "GITHUB_REF_NAME": self._github["ref_name"],
        }


def _statuses(*, ok: bool) -> dict[str, Any]:
    return {
        "always": lambda: True,
        "cancelled": lambda: False,
        "success": lambda: ok,
        "failure": lambda: not ok,
    }


def _outputs(text: str) -> dict[str, str]:
    """Read `name=value` lines; anything else fails on GitHub, too."""
    outputs = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        assert equals, line
        assert re.fullmatch(r"[A-Za-z_]\w*", name), line
        outputs[name] = value
    return outputs
