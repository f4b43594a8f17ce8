"""Which pipeline file is run, what it starts for an event, and what is said where it is nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

from modelyard.ci import github, gitlab
from modelyard.ci.pipeline import EVENTS, Event, Pipeline, Setting
from modelyard.errors import UsageError
from modelyard.project import Project
from modelyard.render import ci as rendering

FILES = {"gitlab": ".gitlab-ci.yml", "github": ".github/workflows/pipeline.yml"}
"""The pipeline file of each service; the first that there is is run."""


def read(project: Project, file: str | None, setting: Setting) -> Pipeline:
    """The pipeline of a file, of the first of FILES that there is where none is named.

    Raises:
        UsageError: there is no such file, or it says what is not understood here.
    """
    known = [name for service in project.settings.ci.services if (name := FILES[service])]
    known.sort(key=list(FILES.values()).index)
    there = [name for name in known if (project.root / name).is_file()]
    chosen = file or (there[0] if there else known[0] if known else FILES["gitlab"])
    path = project.root / chosen
    if not path.is_file():
        raise UsageError(
            f"There is no {chosen} in this project.",
            why="The pipeline file itself is run, not a copy of what it should hold.",
            next_step="modelyard sync, which writes it"
            if known
            else "ci.services=[gitlab] in modelyard.yaml, then modelyard sync",
        )
    text = path.read_text(encoding="utf-8")
    if "workflows" in path.parts:
        waiting = {job.environment for job in rendering.jobs(project.settings) if job.approval}
        return github.parse(chosen, text, setting, project.root, waiting)
    return gitlab.parse(chosen, text, setting)


def nothing(
    project: Project,
    file: str | None,
    setting: Setting,
    whole: Pipeline,
    stages: Sequence[str],
    until: str | None,
) -> UsageError:
    """A run of no job: it would be green, and show nothing."""
    others = [
        event
        for event in get_args(Event)
        if event != setting.event and _runs(project, file, setting, event, stages, until)
    ]
    asked = " ".join([*stages, *(["--until", until] if until else [])])
    command = " ".join(filter(None, ["modelyard ci run", asked, f"--file {file}" if file else ""]))
    if others:
        why = f"On {setting.branch} it runs for {' and '.join(EVENTS[event] for event in others)}."
        next_step = f"{command} --event {others[0]}"
    elif setting.branch != setting.default_branch:
        why = "Its rules leave every job out on this branch."
        next_step = f"git switch {setting.default_branch} ; {command}"
    else:
        why = "No event alone starts one; its rules may ask for a variable."
        next_step = f"{command} --event manual --variable NAME=VALUE"
    return UsageError(
        f"No job{f' of {asked}' if asked else ''} in {whole.file} runs for "
        f"{EVENTS[setting.event]} on {setting.branch}.",
        why=why,
        next_step=next_step,
    )


def _runs(
    project: Project,
    file: str | None,
    setting: Setting,
    event: Event,
    stages: Sequence[str],
    until: str | None,
) -> bool:
    """Whether the event would start something of what was asked for."""
    try:
        return bool(read(project, file, replace(setting, event=event)).chosen(stages, until).jobs)
    except github.MissingInput:
        return True  # it says itself what has to be given
    except UsageError:
        return False
