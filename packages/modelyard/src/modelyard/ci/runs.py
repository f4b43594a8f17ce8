"""The record of a pipeline's run on this machine: `ci/logs/<run>/run.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from modelyard.project import Project
from modelyard.records import read_json

FOLDER = "ci/logs"
LATEST = "latest"

State = Literal["success", "failed", "canceled", "skipped", "manual", "running", "waiting"]


class JobRun(msgspec.Struct, frozen=True, kw_only=True):
    """One job: how it ended. `reason` says it in a sentence where it is not plain success."""

    name: str
    stage: str
    state: State = "waiting"
    exit_code: int | None = None
    seconds: float = 0.0
    log: str = ""
    reason: str = ""
    artifacts: tuple[str, ...] = ()
    allow_failure: bool = False
    process: str = ""
    """While it runs: the number of its group of processes, and when that began."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A run of the pipeline."""

    id: str
    project: str
    file: str
    event: str
    branch: str
    commit: str
    subject: str
    started: str
    seconds: float = 0.0
    state: State = "running"
    exit_code: int | None = None
    stages: tuple[str, ...]
    jobs: tuple[JobRun, ...]
    modelyard: str = ""


def folder(project: Project) -> Path:
    """Where the runs of this machine lie."""
    return project.root / FOLDER


def latest(project: Project) -> Run | None:
    """The newest run that has a record, or None."""
    found = sorted(folder(project).glob("*/run.json")) if folder(project).is_dir() else []
    found = [path for path in found if path.parent.name != LATEST]
    return read_json(found[-1], Run) if found else None
