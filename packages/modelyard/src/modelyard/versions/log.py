"""data log: the data versions, newest first."""

from __future__ import annotations

from modelyard.project import Project
from modelyard.registry.data_versions import DataVersion, current_version, versions

__all__ = ["DataVersion", "current_version", "log"]


def log(project: Project) -> list[DataVersion]:
    """The data versions, newest first; `current` marks the working one.

    Raises:
        UsageError: the project is not in a git repository.
    """
    return versions(project)[::-1]
