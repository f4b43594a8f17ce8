"""A pipeline as a service would run it: jobs in order, each with its steps, for one event."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from modelyard.ci.runs import State
from modelyard.errors import UsageError, capped, nearest

Event = Literal["push", "change", "schedule", "manual"]

EVENTS: Mapping[Event, str] = {
    "push": "a push",
    "change": "a proposed change",
    "schedule": "a schedule",
    "manual": "a start by hand",
}
"""Event -> its name in a sentence."""


@dataclass(frozen=True)
class Setting:
    """What the pipeline runs for. `variables` are those that the person sets, secrets included."""

    event: Event
    branch: str
    default_branch: str
    commit: str
    variables: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """A script for bash. `always` steps run after a failure too; `note` says what is left out."""

    name: str
    script: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    always: bool = False
    note: str = ""


@dataclass(frozen=True)
class Artifact:
    """What a job leaves: paths or patterns under its clone."""

    name: str
    paths: tuple[str, ...]
    always: bool = False


@dataclass(frozen=True)
class PipelineJob:
    """One job. `needs` None: all of the stages before. `downloads` None: of all that it needs.

    `after` are the states of what it needs after which it runs: success alone, unless it says more.
    """

    name: str
    stage: str
    steps: tuple[Step, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] | None = None
    artifacts: tuple[Artifact, ...] = ()
    downloads: tuple[str, ...] | None = None
    manual: bool = False
    after: tuple[State, ...] = ("success",)
    allow_failure: bool = False
    timeout: float = 3600.0


@dataclass(frozen=True)
class Pipeline:
    """The jobs that the event starts, in an order in which each stands after what it needs."""

    file: str
    stages: tuple[str, ...]
    jobs: tuple[PipelineJob, ...]
    leaving: Mapping[str, PipelineJob] = field(default_factory=dict)
    """Artifact -> the job that leaves it, of those that were not chosen too."""
    known: tuple[str, ...] = ()
    """Every job of the file, those that this event leaves out too."""

    def chosen(self, wanted: Sequence[str], until: str | None) -> Pipeline:
        """Only some stages' jobs.

        Raises:
            UsageError: there is no such stage or job.
        """
        names = [job.name for job in self.jobs]
        for name in (*wanted, *([until] if until else [])):
            if name not in (*self.stages, *names, *self.known):
                meant = nearest(name, (*self.stages, *self.known))
                raise UsageError(
                    f"{self.file} has no stage or job {name!r}{meant or '.'}",
                    why=f"Its stages are {capped(self.stages)}; its jobs for this event: "
                    f"{capped(names)}.",
                    next_step=f"modelyard ci run {self.stages[0] if self.stages else ''}".rstrip(),
                )
        kept = self.jobs
        if until:
            named = [i for i, job in enumerate(kept) if until in (job.stage, job.name)]
            kept = kept[: named[-1] + 1] if named else ()
        if wanted:
            kept = tuple(job for job in kept if job.stage in wanted or job.name in wanted)
        leaving = {artifact.name: job for job in self.jobs for artifact in job.artifacts}
        return Pipeline(self.file, self.stages, kept, leaving, self.known)


def seconds(value: Any, default: float = 3600.0) -> float:
    """A duration such as `30 minutes`, `6 hours`, `1h 30m`, in seconds."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    found = re.findall(r"(\d+)\s*([smhd])", str(value or ""))
    return float(sum(int(number) * units[unit] for number, unit in found)) or default


def text_names(file: str, names: Iterable[object]) -> None:
    """Refuse names of jobs that YAML 1.1 takes for something else, such as `no`.

    Raises:
        UsageError: one is no text.
    """
    for name in names:
        if not isinstance(name, str):
            raise malformed(file, f"a job's name is read as {name!r}, put it in quotes")


def malformed(file: str, what: str) -> UsageError:
    """A pipeline file that cannot be run here."""
    return UsageError(
        f"{file}: {what}.",
        why="It is read as the service would read it.",
        next_step="modelyard sync writes it as it should be; or: modelyard ci run --file ANOTHER",
    )
