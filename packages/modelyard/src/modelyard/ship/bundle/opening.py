"""Make a project of a bundle again: history, data, store and reports, each in its place."""

from __future__ import annotations

import os
import shlex
import shutil
import zipfile
from pathlib import Path

from modelyard.errors import ModelyardError, UsageError
from modelyard.ship.bundle import contents
from modelyard.ship.bundle.check import Checked, verify
from modelyard.tools import dvc, git

_PLACES = {
    "model/mlartifacts/": "mlartifacts/",
    "model/mlflow.db": "mlflow.db",
    "state/": ".modelyard/",
    "recording/": "reports/",
    "logs/ci/": "ci/logs/",
}
"""Where what is not code or data goes in the project; the longest prefix that fits counts."""


def unfold(path: Path, folder: Path) -> Checked:
    """Check the bundle and make a project of it in `folder`, which appears whole or not at all.

    Raises:
        UsageError: the folder exists.
        DataInvalid: the bundle is not as it was made.
    """
    if folder.exists():
        raise UsageError(
            f"{folder} exists already.",
            why="Opening a bundle overwrites nothing.",
            next_step=f"modelyard bundle open {shlex.quote(str(path))} ANOTHER-FOLDER",
        )
    checked = verify(path)
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = (folder.parent / f".{folder.name}.{os.getpid()}.part").resolve()
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        with zipfile.ZipFile(path) as archive:
            _unfold(archive, checked, part)
        (part / "project").rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return checked


def _unfold(archive: zipfile.ZipFile, checked: Checked, part: Path) -> None:
    root = part / "project"
    history = part / "project.bundle"
    _copy(archive, contents.HISTORY, history)
    git.clone_whole(history, root)
    if git.head(root) != checked.manifest.commit:
        git.checkout(root, checked.manifest.commit)
    home = root / checked.manifest.folder  # the project, which may be a folder of the repository
    _refuse_way_out(root, home)
    names = list(checked.manifest.files)
    for name in names:
        if name.startswith(contents.CACHE + "/"):
            md5 = name.removeprefix(contents.CACHE + "/").replace("/", "")
            _refuse_way_out(root, dvc.cache_path(home, md5))
            _copy(archive, name, dvc.cache_path(home, md5))
        elif place := _place(name):
            _refuse_way_out(root, home / place)
            _copy(archive, name, home / place)
    if contents.PATCH in names:
        git.apply_patch(root, archive.read(contents.PATCH))
    # The tables are inside, as `verify` saw; a stage's output may never have been made.
    dvc.checkout(home, force=True, some=True)
    # DVC remembers files by where they lie; this folder is about to be renamed.
    dvc.forget_state(home)


def _place(name: str) -> str:
    for prefix, place in _PLACES.items():
        if name == prefix or (prefix.endswith("/") and name.startswith(prefix)):
            return place + name.removeprefix(prefix)
    if name.startswith("reports/") and not name.endswith(("MODEL_CARD.md", "SUMMARY.md")):
        return name
    return ""


def _refuse_way_out(root: Path, target: Path) -> None:
    """A link in the bundle's history, or its DVC cache's place, must not lead out of the folder."""
    if target.is_symlink() or not target.resolve().is_relative_to(root.resolve()):
        raise ModelyardError(
            "The bundle would write outside of its folder.",
            why=f"{target.relative_to(root) if target.is_relative_to(root) else target} leads out "
            "of it, by a link in its history or by its DVC configuration.",
            next_step="do not use this bundle; ask for it again from where it came from",
        )


def _copy(archive: zipfile.ZipFile, name: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(name) as source, target.open("wb") as file:
        shutil.copyfileobj(source, file)
