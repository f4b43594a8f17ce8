"""The merge drivers: a clone has to be told of them once."""

from __future__ import annotations

from modelyard.checks.finding import Finding
from modelyard.project import Project
from modelyard.tools import git


def check(project: Project) -> list[Finding]:
    """Look whether this clone knows how dvc.lock and the champion are merged."""
    if not git.is_repo(project.root):
        return []
    missing = git.missing_drivers(project.root)
    if missing:
        return [
            Finding(
                "merging",
                "warning",
                f"this clone does not know {len(missing)} merge drivers: branches that both ran "
                "the line conflict in dvc.lock",
                "modelyard git setup, or: modelyard doctor --fix",
            )
        ]
    return [Finding("merging", "ok", "the merge drivers are known")]


def mend(project: Project) -> list[str]:
    """Tell this clone of the merge drivers that it lacks."""
    return [f"merge driver {name}: told" for name in git.install_drivers(project.root)]
