"""A job's clean clone: what is committed, its artifacts, where DVC's store lies; nothing else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from modelyard.project import Project
from modelyard.tools import dvc, git


def make(project: Project, target: Path, commit: str, branch: str | None) -> None:
    """Clone the project at a commit.

    A DVC remote that is a folder of the project does not come with a clone; the clone is told where
    it lies, in its own `.dvc/config.local`. Any other remote is reached as it would be on the
    service.
    """
    top = git.toplevel(project.root) or project.root
    git.clone(top, target, commit, branch)
    git.install_drivers(target)
    inside = target / project.root.resolve().relative_to(top.resolve())
    store = local_store(project)
    if store is not None:
        name = dvc.default_remote(project.root)
        text = f"['remote \"{name}\"']\n    url = {_quoted(str(store))}\n"
        (inside / ".dvc/config.local").write_text(text, encoding="utf-8")


def _quoted(value: str) -> str:
    """A value of DVC's configuration: bare, a comma would make a list of it, a # a comment."""
    mark = next((mark for mark in ('"', "'") if mark not in value), "'''")
    return f"{mark}{value}{mark}"


def local_store(project: Project) -> Path | None:
    """The folder of the default remote where that is one inside the project, else None."""
    name = dvc.default_remote(project.root)
    url = dvc.configured(project.root, f"'remote \"{name}\"'", "url") if name else None
    if url is None or "://" in url or Path(url).is_absolute():
        return None
    store = Path(os.path.normpath(project.root / ".dvc" / url))
    return store if store.is_relative_to(project.root) else None


def collect(clone: Path, patterns: Iterable[str], target: Path) -> list[str]:
    """Copy what fits the patterns out of a clone; return what was there, relative to it."""
    found = []
    for pattern in patterns:
        plain = pattern.strip().removeprefix("./").rstrip("/")
        if Path(plain).is_absolute():
            continue  # as on the services: what lies outside of the clone is not kept
        paths = sorted(clone.glob(plain)) if any(c in plain for c in "*?[") else [clone / plain]
        for path in paths:
            # A pattern cannot lead out of the clone, nor can a link in it.
            if not path.exists() or not path.resolve().is_relative_to(clone.resolve()):
                continue
            name = path.relative_to(clone)
            copy(path, target / name)
            found.append(name.as_posix())
    return found


def copy(source: Path, target: Path) -> None:
    """Copy a file or a folder over what is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.unlink(missing_ok=True)
        shutil.copy2(source, target)
