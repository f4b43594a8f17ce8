"""The package that a person means when they name none: the champion's, else the working one."""

from __future__ import annotations

from pathlib import Path

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.registry import champion


def package_to_use(project: Project) -> Path:
    """Return the champion's package, or the candidate's before the first release.

    Raises:
        ModelyardError: nothing was packed yet.
    """
    now = champion.current(project)
    if now is not None:
        return champion.package_of(project, now.version, now.package_digest)
    if champion.manifest_digest(project.package):
        return project.package
    raise ModelyardError(
        "There is no model yet.",
        why="Neither a champion nor a packed candidate is in this project.",
        next_step="modelyard run",
    )
