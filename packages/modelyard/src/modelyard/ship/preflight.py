"""What must hold before a run spends a person's time: git, DVC, the data, the store."""

from __future__ import annotations

import os

from modelyard.errors import DataInvalid, ModelyardError, ToolFailed, UsageError
from modelyard.project import Project
from modelyard.tools import dvc, git, mlflow


def check(project: Project, *, release: bool = True) -> None:
    """Look at everything that is cheap to look at; fetch the data where only its pointer is here.

    Args:
        release: whether the run may release, which pushes to the DVC remote.

    Raises:
        UsageError: not a git repository, no pipeline.
        DataInvalid: the table is nowhere.
        ToolFailed: the tracking store is locked, broken, or of a newer MLflow; DVC lacks what its
            remote needs.
    """
    root = project.root
    if not git.is_repo(root):
        raise UsageError(
            f"{root} is not in a git repository.",
            why="A run records the commit that it ran from.",
            next_step="git init -b main ; git add . ; git commit -m 'Start' ; modelyard run",
        )
    if git.head(root) is None:
        raise UsageError(
            "This git repository has no commit yet.",
            why="A run records the commit that it ran from.",
            next_step="git add . ; git commit -m 'Start' ; modelyard run",
        )
    for name in (".dvc", "dvc.yaml"):
        if not (root / name).exists():
            raise UsageError(
                f"{name} is missing.",
                why="The pipeline is a DVC pipeline.",
                next_step="modelyard doctor",
            )
    if release and (plugin := dvc.missing_plugin(root)):
        raise ToolFailed(
            f"DVC cannot reach its remote {dvc.default_remote(root)!r}: {plugin} is not installed.",
            why=f"The remote lies at {dvc.remote_url(root)}, and a release is pushed before "
            "anything moves.",
            next_step=f"{dvc.install_plugin(plugin)} ; modelyard run (with --no-release it does "
            "without)",
        )
    if not project.data.is_file():
        _fetch(project)
    mlflow.preflight(root, tracking_uri(project))


def tracking_uri(project: Project) -> str:
    """MLFLOW_TRACKING_URI, else what modelyard.yaml says."""
    return os.environ.get("MLFLOW_TRACKING_URI") or project.settings.track.uri


def _fetch(project: Project) -> None:
    where = project.settings.data.path
    if not project.data_pointer.is_file():
        raise DataInvalid(
            f"The table {where} does not exist.",
            why="data.path in modelyard.yaml points to it, and DVC has no version of it.",
            next_step="modelyard data add TABLE.csv -m 'First version'",
        )
    try:
        dvc.checkout(project.root, [project.data_pointer])
    except ModelyardError:
        dvc.pull(project.root, [str(project.data_pointer)])
    if not project.data.is_file():
        raise DataInvalid(
            f"The table {where} could not be fetched from DVC's cache or remote.",
            why=f"{project.data_pointer.name} names it, and it was still not there afterwards.",
            next_step="dvc pull, or: modelyard data add TABLE.csv -m 'Again'",
        )
