""".gitlab-ci.yml -> the jobs that an event starts, by the rules of GitLab."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from modelyard import strict_yaml
from modelyard.ci.conditions import holds
from modelyard.ci.pipeline import (
    Artifact,
    Pipeline,
    PipelineJob,
    Setting,
    Step,
    malformed,
    seconds,
    text_names,
)

GLOBAL = {
    "stages",
    "variables",
    "default",
    "workflow",
    "include",
    "image",
    "services",
    "cache",
    "before_script",
    "after_script",
    "pages",
}
"""Keys at the top that are no jobs."""

SOURCES = {"push": "push", "change": "merge_request_event", "schedule": "schedule", "manual": "web"}
BEYOND = ("trigger", "parallel", "only", "except", "inherit", "dependencies")
"""What a job may say on GitLab and is not understood here."""

RULE_BEYOND = ("changes", "exists", "variables", "needs")
DIND = re.compile(r"(^|/)docker:[\w.-]*dind")
"""The service in which a runner in a container finds an engine, by DOCKER_ variables."""

WHEN = ("on_success", "always", "manual", "never")


def parse(file: str, text: str, setting: Setting) -> Pipeline:
    """The jobs of a .gitlab-ci.yml for one event.

    Raises:
        UsageError: it is no pipeline, or says something that is not understood here.
    """
    try:
        tree = strict_yaml.load(text)
    except yaml.YAMLError as error:
        raise malformed(file, f"it is no YAML ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise malformed(file, "it holds no jobs")
    text_names(file, tree)
    if "include" in tree:
        raise malformed(file, "`include` is not understood here")
    stages = tuple(tree.get("stages", ("build", "test", "deploy")))
    variables = _variables(tree, setting)
    known = tuple(
        name
        for name, body in tree.items()
        if name not in GLOBAL and not name.startswith(".") and isinstance(body, dict)
    )
    if not _starts(file, tree.get("workflow", {}), variables):
        return Pipeline(file, stages, (), known=known)
    jobs = []
    for name in known:
        job = _job(file, tree, name, _extended(file, tree, name), stages, variables)
        if job is not None:
            jobs.append(job)
    jobs.sort(key=lambda job: stages.index(job.stage))
    ordered = _by_need(_with_needs(file, tree, jobs, stages))
    return Pipeline(file, stages, tuple(ordered), known=known)


def _with_needs(
    file: str, tree: Mapping[str, Any], jobs: list[PipelineJob], stages: tuple[str, ...]
) -> list[PipelineJob]:
    """The jobs without optional needs that are not there.

    Raises:
        UsageError: a job needs one that is left out, or one of a later stage. GitLab makes no
            pipeline of that.
    """
    stage_of = {job.name: job.stage for job in jobs}
    made = []
    for job in jobs:
        said = _listed(_extended(file, tree, job.name).get("needs"))
        optional = {need["job"] for need in said if isinstance(need, dict) and need.get("optional")}
        needs = [n for n in job.needs or () if n in stage_of or n not in optional]
        for need in needs:
            why = "which this event leaves out" if need in tree else "which there is not"
            if need in stage_of and stages.index(stage_of[need]) > stages.index(job.stage):
                why = "which is of a later stage"
            elif need in stage_of:
                continue
            raise malformed(file, f"{job.name} needs {need}, {why}: GitLab makes no such pipeline")
        if job.needs is not None:
            passed = tuple(name for name in job.downloads or () if name in needs)
            job = replace(job, needs=tuple(needs), downloads=passed)
        made.append(job)
    return made


def _variables(tree: Mapping[str, Any], setting: Setting) -> dict[str, str]:
    made = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_PIPELINE_SOURCE": SOURCES[setting.event],
        "CI_COMMIT_SHA": setting.commit,
        "CI_COMMIT_SHORT_SHA": setting.commit[:8],
        "CI_COMMIT_REF_NAME": setting.branch,
        "CI_DEFAULT_BRANCH": setting.default_branch,
    }
    if setting.event == "change":
        made["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"] = setting.default_branch
        made["CI_MERGE_REQUEST_SOURCE_BRANCH_NAME"] = setting.branch
    else:
        made["CI_COMMIT_BRANCH"] = setting.branch
    return made | _texts(tree.get("variables")) | dict(setting.variables)


def _texts(mapping: Any) -> dict[str, str]:
    return {
        str(name): str(value["value"] if isinstance(value, dict) else value)
        for name, value in (mapping or {}).items()
    }


def _starts(file: str, workflow: Mapping[str, Any], variables: Mapping[str, str]) -> bool:
    rules = workflow.get("rules")
    return rules is None or _rule(file, "workflow", rules, variables).get("when") != "never"


def _rule(
    file: str, name: str, rules: list[Any], variables: Mapping[str, str]
) -> Mapping[str, Any]:
    """The first rule that holds; without one, `never`."""
    for rule in rules:
        for key in RULE_BEYOND:
            if key in rule:
                raise malformed(file, f"{name}: `rules:{key}` is not understood here")
        if "if" not in rule or holds(str(rule["if"]), variables.get):
            found: Mapping[str, Any] = rule
            return found
    return {"when": "never"}


def _extended(file: str, tree: Mapping[str, Any], name: str, depth: int = 0) -> dict[str, Any]:
    """A job's body over those that it extends; mappings are merged, everything else replaced."""
    body = tree.get(name)
    if not isinstance(body, dict) or depth > 10:
        raise malformed(file, f"{name} is extended, and is no job")
    parents = body.get("extends", ())
    merged: dict[str, Any] = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        merged = _over(merged, _extended(file, tree, parent, depth + 1))
    return _over(merged, {key: value for key, value in body.items() if key != "extends"})


def _over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(made.get(key), dict)
        made[key] = _over(made[key], value) if both else value
    return made


def _job(
    file: str,
    tree: Mapping[str, Any],
    name: str,
    body: Mapping[str, Any],
    stages: tuple[str, ...],
    variables: Mapping[str, str],
) -> PipelineJob | None:
    for key in BEYOND:
        if key in body:
            raise malformed(file, f"{name}: `{key}` is not understood here")
    default = tree.get("default", {})
    rule = _rule(file, name, body["rules"], variables) if "rules" in body else {}
    when = rule.get("when", body.get("when", "on_success"))
    if when == "never":
        return None
    if when not in WHEN:
        raise malformed(file, f"{name}: `when: {when}` is not understood here")
    stage = body.get("stage", "test")
    if stage not in stages:
        raise malformed(file, f"{name}: there is no stage {stage!r}")
    before = body.get("before_script", default.get("before_script", tree.get("before_script")))
    own = _texts(body.get("variables"))
    services = _listed(body.get("services", default.get("services", tree.get("services"))))
    engine = [name for name in map(_service, services) if DIND.search(name)]
    if len(engine) < len(services):
        other = next(name for name in map(_service, services) if name not in engine)
        raise malformed(file, f"{name}: the service {other!r} is not started here")
    if engine:
        own = {key: value for key, value in own.items() if not key.startswith("DOCKER_")}
    commands = [*_lines(before), *_lines(body.get("script"))]
    after = _lines(body.get("after_script", default.get("after_script")))
    kept = body.get("artifacts", {})
    needs = body.get("needs")
    reports = [str(path) for path in _listed(kept.get("reports", {}).get("junit"))]
    return PipelineJob(
        name=name,
        stage=stage,
        steps=(
            *(
                Step(entry, note=f"left out: the service {entry}; this machine's engine serves")
                for entry in engine
            ),
            Step("script", _script(commands)),
            *((Step("after_script", _script(after), always=True),) if after else ()),
        ),
        env={**variables, **own, "CI_JOB_NAME": name, "CI_JOB_STAGE": stage},
        needs=None if needs is None else tuple(_need(file, name, need) for need in needs),
        downloads=None
        if needs is None
        else tuple(_need(file, name, need) for need in needs if _passes_on(need)),
        artifacts=(
            Artifact(
                name,
                tuple(dict.fromkeys([*kept.get("paths", ()), *reports])),
                always=kept.get("when") == "always",
            ),
        )
        if kept
        else (),
        manual=when == "manual",
        after=("success", "failed", "skipped", "manual") if when == "always" else ("success",),
        allow_failure=bool(rule.get("allow_failure", body.get("allow_failure", False))),
        timeout=seconds(body.get("timeout", default.get("timeout"))),
    )


def _need(file: str, name: str, need: Any) -> str:
    if not isinstance(need, dict):
        return str(need)
    for key in need:
        if key not in ("job", "artifacts", "optional"):
            raise malformed(file, f"{name}: `needs:{key}` is not understood here")
    return str(need["job"])


def _service(entry: Any) -> str:
    return str(entry.get("name", "")) if isinstance(entry, dict) else str(entry)


def _passes_on(need: Any) -> bool:
    """Whether the artifacts of a job that is needed are passed on: they are, unless it says no."""
    return not isinstance(need, dict) or need.get("artifacts") is not False


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _lines(script: Any) -> list[str]:
    return [str(line) for entry in _listed(script) for line in _listed(entry)]


def _script(commands: list[str]) -> str:
    """The commands for bash, each shown before it runs, as the service's runner does it."""
    parts = []
    for command in commands:
        shown = shlex.quote("$ " + command.rstrip("\n").replace("\n", "\n  "))
        parts.append(f"printf '%s\\n' {shown}\n{command}")
    return "\n".join(parts) + "\n"


def _by_need(jobs: list[PipelineJob]) -> list[PipelineJob]:
    """A stage's jobs behind those of the same stage that they need."""
    done: list[PipelineJob] = []
    left = list(jobs)
    while left:
        waiting = {job.name for job in left}
        ready = next((j for j in left if not waiting & set(j.needs or ()) - {j.name}), left[0])
        left.remove(ready)
        done.append(ready)
    return done
