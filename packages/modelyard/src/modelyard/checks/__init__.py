"""doctor: one check a file, all of them in this table. Each finding names its fix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from modelyard.checks import (
    disk,
    environment,
    locks,
    merge_drivers,
    remote,
    repository,
    store,
    tracked_data,
)
from modelyard.checks.finding import Finding
from modelyard.errors import ModelyardError
from modelyard.project import Project, load

MACHINE: tuple[Callable[[], Sequence[Finding]], ...] = (environment.check,)
"""Checks that need no project."""

IN_PROJECT: tuple[Callable[[Project], Sequence[Finding]], ...] = (
    repository.check,
    merge_drivers.check,
    tracked_data.check,
    remote.check,
    store.check,
    locks.check,
    disk.check,
)
"""Checks of one project, in the order in which a run would meet the faults."""


def examine(start: Path | None = None) -> list[Finding]:
    """Run every check; a broken or missing project file is a finding, not an exception."""
    findings = [finding for check in MACHINE for finding in check()]
    try:
        project = load(start)
    except ModelyardError as error:
        findings.append(
            Finding("project", "error", f"{error.what} {error.why}".strip(), error.next_step)
        )
        return findings
    findings.append(Finding("project", "ok", f"{project.name} in {project.root}"))
    for check in IN_PROJECT:
        findings.extend(check(project))
    return findings


def mend(start: Path | None = None) -> list[str]:
    """Do what can be done without asking: a clone's merge drivers. Returns what was done.

    Raises:
        NotAProject: there is no project here.
    """
    return merge_drivers.mend(load(start))


__all__ = ["Finding", "examine", "mend"]
