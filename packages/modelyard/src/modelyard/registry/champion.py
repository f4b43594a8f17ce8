"""The released model: its record, and its package wherever it has to be fetched from."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from modelyard.errors import ModelyardError, ToolFailed
from modelyard.project import Project
from modelyard.records import AuditLine, ChampionRecord, read_if_there
from modelyard.tools import dvc, git

MANIFEST = "manifest.json"


class _Manifest(msgspec.Struct):
    """The part of the manifest that says what the package consists of: name -> sha256."""

    files: dict[str, str]


def current(project: Project) -> ChampionRecord | None:
    """The champion, or None before the first release."""
    return read_if_there(project.record("champion"), ChampionRecord)


def audit(project: Project) -> list[AuditLine]:
    """Every move of the champion, oldest first."""
    if not project.audit.is_file():
        return []
    lines = project.audit.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=AuditLine) for line in lines if line.strip()]


def released(project: Project, digest: str) -> str | None:
    """The version that this package was released as, or None."""
    return next((line.to_version for line in audit(project) if line.package_digest == digest), None)


def package_of(project: Project, version: str, digest: str) -> Path:
    """Return a folder with the released version's package, whole and of this digest.

    Looked for in the working tree, then in this machine's cache, then in DVC at the release's tag.
    A copy that is not whole, byte for byte, is passed over; the one in the cache is replaced.

    Raises:
        ModelyardError: it is nowhere, or what DVC gave is not what was released.
    """
    kept = _kept(project, digest)
    for folder in (project.package, kept):
        if not fault(folder, digest):
            return folder
    tag = f"model/v{version}"
    md5 = dvc.output_md5(git.show(project.root, f"{tag}:dvc.lock"), project.package.name)
    if md5 is None:
        raise ModelyardError(
            f"The package of v{version} is not on this machine, and git tag {tag} is missing.",
            why="Where DVC keeps a released package is read at its tag.",
            next_step="git fetch --tags",
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        dvc.bring_folder(project.root, md5, part)
        if found := fault(part, digest):
            raise ModelyardError(
                f"The package at git tag {tag} is not the one that was released.",
                why=f"In what DVC gave, {found}.",
                next_step="modelyard trace " + digest[:12],
            )
        shutil.rmtree(kept, ignore_errors=True)
        part.rename(kept)
    except ToolFailed as error:
        raise ModelyardError(
            f"The package of v{version} cannot be fetched.",
            why=f"{error.what} {error.why}".strip(),
            next_step=error.next_step,
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return kept


def keep(project: Project, digest: str) -> None:
    """Copy the working package into this machine's cache, so that later gates find it at once."""
    kept = _kept(project, digest)
    if not fault(kept, digest):
        return
    part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(project.package, part)
    shutil.rmtree(kept, ignore_errors=True)
    part.rename(kept)


def fault(package: Path, digest: str) -> str:
    """What keeps a folder from being the package of this digest, whole; empty where nothing does.

    Every file is read: the manifest against the digest, the others against the manifest.
    """
    try:
        text = (package / MANIFEST).read_bytes()
        if (found := hashlib.sha256(text).hexdigest()) != digest:
            return f"{MANIFEST} has digest {found[:12]}…, not {digest[:12]}…"
        files = msgspec.json.decode(text, type=_Manifest).files
        for name, expected in files.items():
            with (package / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                    return f"{name} was changed"
        extra = {entry.name for entry in package.iterdir()} - {*files, MANIFEST}
        return f"{min(extra)} is not of the package" if extra else ""
    except OSError as error:
        return f"{Path(error.filename).name} cannot be read ({error.strerror})"


def manifest_digest(package: Path) -> str | None:
    """sha256 of the manifest, which names every other file's digest; None where there is none."""
    path = package / MANIFEST
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def is_whole(project: Project, now: ChampionRecord) -> bool:
    """Whether the champion's release was completed: its tag exists."""
    return any(
        entry.name == f"model/v{now.version}" for entry in git.tags(project.root, "model/v*")
    )


def _kept(project: Project, digest: str) -> Path:
    """Where this machine keeps a copy of a released package."""
    return project.state / "champions" / digest[:16]
