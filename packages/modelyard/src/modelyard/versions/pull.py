"""data pull: the working table, and what the stages made of it, as far as it is to be had."""

from __future__ import annotations

import os
from collections.abc import Callable

from modelyard.errors import ModelyardError, ToolFailed
from modelyard.project import Project
from modelyard.registry.lock import hold
from modelyard.tools import dvc


def pull(project: Project, say: Callable[[str], None] = lambda text: None) -> None:
    """Bring the working table; of the stages' outputs bring what there is, the run makes the
    others.

    Raises:
        ToolFailed: the table is neither in the cache nor in the remote.
        LockHeld: another modelyard command works here.
    """
    with hold(project, "modelyard data pull"):
        name = project.data_pointer.relative_to(project.root).as_posix()
        try:
            dvc.pull(project.root, [name])
        except ToolFailed as error:
            raise _lost(project, error) from error
        # DVC passes over what a remote lacks, and says so of its stages only.
        if not project.data.is_file():
            raise _lost(
                project,
                ToolFailed(
                    f"The table {project.settings.data.path} is not to be had here.",
                    why="Neither this machine's cache nor the remote holds it.",
                    next_step="dvc push on a machine that has it, then: modelyard data pull",
                ),
            )
        say(f"{project.settings.data.path}: {dvc.pointer_md5(project.data_pointer)}")
        if not (project.root / "dvc.lock").is_file():
            return
        try:
            dvc.pull(project.root)
            say("the stages' outputs are here")
        except ModelyardError as error:
            say(f"not all of the stages' outputs are here, a run makes them anew: {error.what}")


def _lost(project: Project, error: ToolFailed) -> ToolFailed:
    """Say it of the remote that a new project starts with: one machine has it."""
    remote = dvc.default_remote(project.root)
    url = dvc.remote_url(project.root)
    folder = os.path.normpath(project.root / ".dvc" / url) if url and "://" not in url else None
    if folder is None or not folder.startswith(f"{project.root}{os.sep}"):
        return error
    return ToolFailed(
        f"The table {project.settings.data.path} is not in this clone.",
        why=f"The DVC remote {remote!r} is a folder of the project that it was made in "
        f"({os.path.relpath(folder, project.root)}); git does not carry it.",
        next_step="there: dvc remote add -d --force NAME URL ; dvc push ; git commit -am remote ; "
        "git push",
    )
