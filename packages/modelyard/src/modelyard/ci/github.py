"""A GitHub workflow -> the jobs that an event starts, by the rules of GitHub Actions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from modelyard import strict_yaml
from modelyard.ci.conditions import filled, holds
from modelyard.ci.pipeline import (
    Artifact,
    Pipeline,
    PipelineJob,
    Setting,
    Step,
    malformed,
    text_names,
)
from modelyard.ci.runs import State
from modelyard.errors import UsageError, capped

EVENTS = {
    "push": "push",
    "change": "pull_request",
    "schedule": "schedule",
    "manual": "workflow_dispatch",
}
BEYOND = ("strategy", "uses", "container", "services", "defaults", "outputs")
"""What a job may say on GitHub and is not understood here."""

STEP_BEYOND = ("working-directory", "shell", "continue-on-error")
"""What a step of a script may say, or an action of this repository's."""

KNOWN_LATER = re.compile(r"needs\.(?![\w-]+\.result != ')")
"""What a condition asks of the jobs before, other than `!=`, which is looked at when they ended."""

GITHUBS = {"failed": "failure", "manual": "skipped"}
"""State -> its name on GitHub, where that is another."""

STATUS = re.compile(r"\b(always|failure|cancelled)\s*\(")
"""A condition with one of these is asked even where a job that is needed was left out."""


def parse(
    file: str,
    text: str,
    setting: Setting,
    root: Path,
    waiting: Collection[str | None] = (),
) -> Pipeline:
    """The jobs of a workflow for one event.

    Args:
        root: where its local actions lie.
        waiting: the environments whose jobs a person has to approve. On GitHub that is said in the
            repository's settings, not in the file.

    Raises:
        UsageError: it is no workflow, or says something that is not understood here.
    """
    tree = _yaml(file, text)
    if "on" in tree and True in tree:
        raise malformed(file, "`on` is there twice")  # YAML 1.1 reads a bare one as true
    body = tree.get("jobs")
    if not isinstance(body, dict):
        raise malformed(file, "it holds no jobs")
    text_names(file, body)
    on = tree.get("on", tree.get(True))
    if not _starts(file, on, setting):
        return Pipeline(file, _stages(tuple(body)), (), known=tuple(body))
    context = _context(setting) | _inputs(file, on, setting)
    _refuse(file, tree, ("defaults",))
    jobs = [
        job
        for name, entry in body.items()
        if (job := _job(file, name, entry, tree, context, root, waiting)) is not None
    ]
    kept = _without_left_out(file, body, jobs)
    return Pipeline(file, _stages(tuple(body)), kept, known=tuple(body))


def _without_left_out(
    file: str, body: Mapping[str, Any], jobs: list[PipelineJob]
) -> tuple[PipelineJob, ...]:
    """The jobs without those that need one that the event leaves out: GitHub skips them too."""
    for job in jobs:
        for need in job.needs or ():
            if need not in body:
                raise malformed(file, f"{job.name} needs {need}, and there is no such job")
    while True:
        names = {job.name for job in jobs}
        kept = [
            job
            for job in jobs
            if names.issuperset(job.needs or ()) or STATUS.search(str(body[job.name].get("if", "")))
        ]
        if len(kept) == len(jobs):
            return tuple(kept)
        jobs = kept


def _refuse(file: str, entry: Mapping[Any, Any], keys: tuple[str, ...], place: str = "") -> None:
    """Refuse keys that would change what runs. bash, and no allowed failure, are what is here."""
    for key in keys:
        if entry.get(key) not in (None, False, *(("bash",) if key == "shell" else ())):
            raise malformed(file, f"{place}`{key}` is not understood here")


def _yaml(file: str, text: str) -> dict[Any, Any]:
    try:
        tree = strict_yaml.load(text)
    except yaml.YAMLError as error:
        raise malformed(file, f"it is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise malformed(file, "it is no workflow")
    return tree


def _stages(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_stage(name) for name in names))


def _stage(name: str) -> str:
    """The stage of a job. GitHub knows none: `deploy-staging` is of `deploy`."""
    return name.partition("-")[0]


def _context(setting: Setting) -> dict[str, str | bool]:
    ref = f"refs/heads/{setting.branch}"
    variables = dict(setting.variables)
    return {
        "github.event_name": EVENTS[setting.event],
        "github.ref": "refs/pull/0/merge" if setting.event == "change" else ref,
        "github.ref_name": setting.branch,
        "github.sha": setting.commit,
        "github.base_ref": setting.default_branch if setting.event == "change" else "",
        **{
            f"{kind}.{name}": value
            for kind in ("vars", "secrets")
            for name, value in variables.items()
        },
        "github.token": variables.get("GITHUB_TOKEN", ""),
    }


def _starts(file: str, on: Any, setting: Setting) -> bool:
    event = EVENTS[setting.event]
    if isinstance(on, str):
        return on == event
    if isinstance(on, list):
        return event in on
    if not isinstance(on, dict) or event not in on:
        return False
    rules = on[event] if isinstance(on[event], dict) else {}
    for key in rules:
        if key != ("inputs" if event == "workflow_dispatch" else "branches"):
            raise malformed(file, f"`on.{event}.{key}` is not understood here")
    branches = rules.get("branches")
    if branches is None:
        return True
    branches = [branches] if isinstance(branches, str) else [str(name) for name in branches]
    for name in branches:
        if re.search(r"[*?+!\[]", name):
            raise malformed(file, f"the pattern {name!r} in `on.{event}` is not understood here")
    # A proposed change is asked by the branch that it is to be merged into.
    return (setting.default_branch if event == "pull_request" else setting.branch) in branches


def _inputs(file: str, on: Any, setting: Setting) -> dict[str, str | bool]:
    """What a start by hand is given: the variable of an input's name, else its default.

    Raises:
        MissingInput: one that is required is not given.
        UsageError: one is not of its type.
    """
    if setting.event != "manual" or not isinstance(on, dict):
        return {}
    made: dict[str, str | bool] = {}
    for name, entry in ((on.get("workflow_dispatch") or {}).get("inputs") or {}).items():
        rules = entry or {}
        value = setting.variables.get(name, rules.get("default"))
        if rules.get("required") and value in (None, ""):
            raise MissingInput(
                f"{file} needs the input {name!r}.",
                why=str(rules.get("description") or "It says that it is required."),
                next_step=f"modelyard ci run --file {file} --event manual --variable {name}=VALUE",
            )
        text = (
            str(value).lower() if isinstance(value, bool) else str("" if value is None else value)
        )
        kind = rules.get("type", "string")
        allowed = {"boolean": ["true", "false", ""], "choice": rules.get("options")}.get(kind)
        if allowed and text not in map(str, allowed):
            raise UsageError(
                f"{file}: {name} cannot be {text!r}.",
                why=f"It is one of {capped(option for option in allowed if option)}.",
                next_step=f"modelyard ci run --file {file} --event manual --variable {name}=VALUE",
            )
        made[f"github.event.inputs.{name}"] = text
        # There a boolean is one; as a text, false would count as true.
        made[f"inputs.{name}"] = text == "true" if kind == "boolean" else text
    return made


class MissingInput(UsageError):
    """A workflow is started by hand without an input that it requires."""


def _job(
    file: str,
    name: str,
    body: Mapping[str, Any],
    tree: Mapping[Any, Any],
    context: Mapping[str, str | bool],
    root: Path,
    waiting: Collection[str | None],
) -> PipelineJob | None:
    _refuse(file, body, BEYOND, f"{name}: ")
    if KNOWN_LATER.search(str(body.get("if", ""))):
        raise malformed(file, f"{name}: only `needs.JOB.result != '…'` is understood here")
    if "if" in body and not holds(_bare(body["if"]), context.get):
        return None
    needs = body.get("needs", ())
    env = {
        "CI": "true",
        "GITHUB_ACTIONS": "true",
        "GITHUB_JOB": name,
        "GITHUB_EVENT_NAME": str(context["github.event_name"]),
        "GITHUB_REF": str(context["github.ref"]),
        "GITHUB_REF_NAME": str(context["github.ref_name"]),
        "GITHUB_SHA": str(context["github.sha"]),
        "GITHUB_BASE_REF": str(context["github.base_ref"]),
        **_filled(tree.get("env"), context),
        **_filled(body.get("env"), context),
    }
    steps: list[Step] = []
    artifacts: list[Artifact] = []
    downloads: list[str] = []
    for step in body.get("steps", ()):
        action = str(step.get("uses", "")).partition("@")[0]
        given = step.get("with") or {}
        if action == "actions/upload-artifact":
            artifacts.append(
                Artifact(
                    str(given.get("name", "artifact")),
                    tuple(str(given["path"]).split()),
                    always="always()" in str(step.get("if", "")),
                )
            )
        elif action == "actions/download-artifact":
            downloads.append(str(given.get("name", "artifact")))
        else:
            steps += _steps(file, step, context, root)
    return PipelineJob(
        name=name,
        stage=_stage(name),
        steps=tuple(steps),
        env=env,
        needs=tuple([needs] if isinstance(needs, str) else needs),
        artifacts=tuple(artifacts),
        downloads=tuple(downloads),
        after=_after(str(body.get("if", ""))),
        manual=_environment(body.get("environment")) in waiting,
        allow_failure=bool(body.get("continue-on-error", False)),
        timeout=float(body.get("timeout-minutes", 360)) * 60,
    )


def _steps(
    file: str, step: Mapping[str, Any], context: Mapping[str, str | bool], root: Path
) -> Iterator[Step]:
    condition = _bare(step.get("if", "success()"))
    always = "always()" in condition
    if not holds(condition, context.get):
        return
    env = _filled(step.get("env"), context)
    if "run" in step or str(step.get("uses", "")).startswith("./"):
        shown = str(step.get("name", step.get("run", step.get("uses")))).strip().partition("\n")[0]
        _refuse(file, step, STEP_BEYOND, f"{shown}: ")
    if "run" in step:
        script = filled(str(step["run"]), context.get)
        first = script.strip().splitlines()[0] if script.strip() else ""
        shown = str(step.get("name", first))
        yield Step(shown, script, env, always)
        return
    action = str(step.get("uses", ""))
    if action.startswith("./"):
        path = root / action / "action.yml"
        if not path.is_file():
            raise malformed(file, f"the action {action} is not in this repository")
        runs = _yaml(f"{action}/action.yml", path.read_text(encoding="utf-8")).get("runs", {})
        for inner in runs.get("steps", ()):
            yield from _steps(f"{action}/action.yml", inner, context, root)
        return
    if action.partition("@")[0] == "actions/checkout":
        # Each job starts in a clean clone of what is checked out here.
        given = step.get("with") or {}
        _refuse(file, given, ("repository", "path"), "a job's checkout: ")
        ref = filled(str(given.get("ref") or ""), context.get)
        here = ("", context["github.ref_name"], context["github.ref"], context["github.sha"])
        if ref not in here:
            raise malformed(file, f"a job checks out {ref!r}, and {here[1]!r} is what runs here")
        return
    name = action.partition("@")[0]
    yield Step(name, note=f"left out: {name} sets up the service's machine, this one is set up")


def _after(condition: str) -> tuple[State, ...]:
    """After which states of what it needs a job runs."""
    if "always()" not in condition:
        return ("success",)
    states: tuple[State, ...] = ("success", "failed", "skipped", "manual")
    left_out = set(re.findall(r"needs\.[\w-]+\.result != '(\w+)'", condition))
    return tuple(state for state in states if GITHUBS.get(state, state) not in left_out)


def _environment(entry: Any) -> str | None:
    """A job's environment, by its name alone or as a mapping."""
    name = entry.get("name") if isinstance(entry, dict) else entry
    return None if name is None else str(name)


def _bare(condition: Any) -> str:
    text = str(condition).strip()
    if text.startswith("${{") and text.endswith("}}"):
        return text[3:-2].strip()
    return text


def _filled(mapping: Any, context: Mapping[str, str | bool]) -> dict[str, str]:
    return {str(k): filled(str(v), context.get) for k, v in (mapping or {}).items()}
