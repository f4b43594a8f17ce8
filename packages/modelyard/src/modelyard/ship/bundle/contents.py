"""What goes into a bundle: a list of names in the zip and the files that they are read from."""

from __future__ import annotations

import shlex
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from platform import python_version_tuple
from typing import Literal

from modelyard.errors import ModelyardError, UsageError
from modelyard.project import Project
from modelyard.registry import champion
from modelyard.render.engine import fill
from modelyard.render.locks import requirements_lock
from modelyard.ship.bundle import wheels
from modelyard.tools import dvc, git

DataWanted = Literal["all", "current"]
CACHE = "data/dvc-cache"
HISTORY = "code/project.bundle"
TREE = "code/project.tar"
PATCH = "code/uncommitted.patch"
STORE = "model/mlflow.db"
ARTIFACTS = "model/mlartifacts"
PACKAGE = "model/package"
STATE = "state"
RECORDINGS = (".mp4", ".webm", ".srt", ".vtt")


@dataclass
class Contents:
    """Name in the zip -> file, in the zip's order; data versions inside; what is missing."""

    files: dict[str, Path] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    missing: list[str] = field(default_factory=list)

    def tree(self, folder: Path, at: str) -> None:
        """Every file below a folder."""
        for path in sorted(folder.rglob("*")):
            if path.is_file() and not path.name.endswith(".part"):
                self.files[f"{at}/{path.relative_to(folder).as_posix()}"] = path


def collect(project: Project, scratch: Path, wanted: DataWanted, name: str) -> Contents:
    """Bring together what the bundle holds; what has to be made first is made in `scratch`.

    Args:
        name: the zip's, for the commands of its README.

    Raises:
        UsageError: the project has no commit yet.
        ModelyardError: the content of a data version that is wanted is nowhere.
    """
    root = project.root
    if not git.is_repo(root) or git.head(root) is None:
        raise UsageError(
            "There is no commit to bundle.",
            why="The code goes into the bundle as git holds it.",
            next_step="git add . ; git commit -m 'Start'",
        )
    if git.is_shallow(root):
        raise UsageError(
            "This clone is shallow: it has no whole history to bundle.",
            why="Nobody could clone from such a bundle.",
            next_step="git fetch --unshallow --tags",
        )
    found = Contents()
    _code(project, scratch, found)
    _data(project, wanted, found)
    _model(project, scratch, found)
    _papers(project, found)
    lock = _software(project, scratch / "software", found)
    readme = scratch / "README.md"
    readme.write_text(
        fill(
            "bundle_readme.md.j2",
            name=project.name,
            folder=git.prefix(root),
            data=", ".join(found.data),
            missing=found.missing,
            zip=shlex.quote(f"../{name}"),
            lock=lock,
            python=".".join(python_version_tuple()[:2]),
        ),
        encoding="utf-8",
    )
    return Contents({"README.md": readme, **found.files}, found.data, found.missing)


def _code(project: Project, scratch: Path, found: Contents) -> None:
    root = project.root
    git.bundle(root, scratch / "project.bundle")
    git.archive(root, scratch / "project.tar")
    found.files |= {HISTORY: scratch / "project.bundle", TREE: scratch / "project.tar"}
    if git.changed_files(root):
        patch = scratch / "uncommitted.patch"
        patch.write_bytes(git.diff_patch(root))
        found.files[PATCH] = patch


def _data(project: Project, wanted: DataWanted, found: Contents) -> None:
    """DVC's contents by md5: the tables of the versions, and what the stages made of them."""
    root, pointer = project.root, project.data_pointer.relative_to(project.root).as_posix()
    needed: dict[str, str] = {}
    extra: dict[str, tuple[str, str]] = {}
    working = dvc.pointer_md5(project.data_pointer)
    if working is not None:
        needed[working] = f"the working table ({working[:12]})"
    names: list[str] = []
    for tag in git.tags(root, "data/v*"):
        known = dvc.read_pointer(git.show(root, f"{tag.name}:{pointer}"))
        if known is None or (wanted == "current" and known.md5 != working):
            continue
        names.append(tag.name.removeprefix("data/"))
        needed[known.md5] = f"the table of {tag.name}"
    lock = root / "dvc.lock"
    locks = {"HEAD": lock.read_bytes() if lock.is_file() else None}
    if wanted == "all":
        locks |= {
            tag.name: git.show(root, f"{tag.name}:dvc.lock") for tag in git.tags(root, "model/v*")
        }
    for where, content in locks.items():
        for path, md5 in dvc.outputs(content).items():
            extra.setdefault(md5, (path, where))
    lacking = [md5 for md5 in {**needed, **extra} if not dvc.cache_has(root, md5)]
    if lacking:
        _fetch(root, lacking)
    if lost := [said for md5, said in needed.items() if not dvc.cache_has(root, md5)]:
        raise ModelyardError(
            f"The bundle would lack {lost[0]}.",
            why="Neither DVC's cache nor its remote holds the content.",
            next_step="modelyard data pull, or from where it was pushed: dvc fetch --all-tags"
            + ("; or what is at work alone: modelyard bundle --data current" * (wanted == "all")),
        )
    md5s = set(needed)
    for md5, (path, where) in extra.items():
        inner = dvc.members(root, md5)
        if dvc.cache_has(root, md5) and all(dvc.cache_has(root, one) for one in inner):
            md5s |= {md5, *inner}
        elif git.show(root, f"{where}:{path}") is None:  # what git keeps is in the history
            found.missing.append(f"{path} of {where}")
    for md5 in sorted(md5s):
        found.files[f"{CACHE}/{md5[:2]}/{md5[2:]}"] = dvc.cache_path(root, md5)
    found.data = tuple(names)


def _fetch(root: Path, lacking: list[str]) -> None:
    """Ask the remote; what it does not have is looked at by the caller."""
    if dvc.default_remote(root) is not None:
        dvc.fetch(root, *lacking)


def _model(project: Project, scratch: Path, found: Contents) -> None:
    """The package, the tracking store, and the released packages that this machine keeps."""
    if project.package.is_dir():
        found.tree(project.package, PACKAGE)
    store = project.root / "mlflow.db"
    if store.is_file():
        copy = scratch / "mlflow.db"
        # A store that is written to while it is copied would be half of two states.
        with closing(sqlite3.connect(store)) as here, closing(sqlite3.connect(copy)) as there:
            here.backup(there)
        found.files[STORE] = copy
    artifacts = project.root / "mlartifacts"
    if artifacts.is_dir():
        found.tree(artifacts, ARTIFACTS)
    if now := champion.current(project):
        kept = project.state / "champions" / now.package_digest[:16]
        if not champion.fault(kept, now.package_digest):
            found.tree(kept, f"{STATE}/champions/{kept.name}")


def _software(project: Project, folder: Path, found: Contents) -> str:
    """modelyard's wheels and a lock that names them; returns whose lock it is.

    An adopted project keeps a lock of its own, which may not name modelyard or an earlier one:
    then what is installed here is written down instead.
    """
    own, known = wheels.write(folder), project.environment_lock
    text = known.read_text(encoding="utf-8") if known.is_file() else ""
    whose = "the project's own"
    if not set(wheels.pins()) <= set(text.split()):
        text, whose = requirements_lock(), "the environment that it was bundled in"
    lock = folder / "requirements.lock"
    lock.write_text(text, encoding="utf-8")
    for path in (*own, lock):
        found.files[f"software/{path.name}"] = path
    return whose


def _papers(project: Project, found: Contents) -> None:
    """Reports, card, summary, recording, logs, and the lists that reports are made from."""
    for path in sorted(project.reports.rglob("*")) if project.reports.is_dir() else ():
        if path.is_file() and path.suffix != ".zip" and not path.name.startswith("."):
            kind = "recording" if path.suffix in RECORDINGS else "reports"
            found.files[f"{kind}/{path.relative_to(project.reports).as_posix()}"] = path
    for name in ("MODEL_CARD.md", "SUMMARY.md"):
        if (project.root / name).is_file():
            found.files[f"reports/{name}"] = project.root / name
    for folder, at in (
        (project.root / "ci/logs", "logs/ci"),
        (project.state / "diffs", f"{STATE}/diffs"),
    ):
        if folder.is_dir():
            found.tree(folder, at)
    if (project.state / "runs.json").is_file():
        found.files[f"{STATE}/runs.json"] = project.state / "runs.json"


def remove(scratch: Path) -> None:
    """Forget what was made for a bundle."""
    shutil.rmtree(scratch, ignore_errors=True)
