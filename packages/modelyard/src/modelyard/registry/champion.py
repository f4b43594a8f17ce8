"""The released model: its record, and its package wherever it has to be fetched from."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import msgspec

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import AuditLine, ChampionRecord, read_if_there
from modelyard.tools import dvc, git

MANIFEST = "manifest.json"


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

    Raises:
        ModelyardError: it is nowhere, or what DVC gave is not what was released.
    """
    if manifest_digest(project.package) == digest:
        return project.package
    kept = project.state / "champions" / digest[:16]
    if manifest_digest(kept) == digest:
        return kept
    kept.parent.mkdir(parents=True, exist_ok=True)
    part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        dvc.get_from_rev(project.root, "package", f"model/v{version}", part)
        if manifest_digest(part) != digest:
            raise ModelyardError(
                f"The package at git tag model/v{version} is not the one that was released.",
                why=f"Expected digest {digest[:12]}…, found "
                f"{(manifest_digest(part) or 'none')[:12]}….",
                next_step="modelyard trace " + digest[:12],
            )
        shutil.rmtree(kept, ignore_errors=True)
        part.rename(kept)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return kept


def keep(project: Project, digest: str) -> None:
    """Copy the working package into this machine's cache, so that later gates find it at once."""
    kept = project.state / "champions" / digest[:16]
    if manifest_digest(kept) == digest:
        return
    part = kept.with_name(f".{kept.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(project.package, part)
    shutil.rmtree(kept, ignore_errors=True)
    part.rename(kept)


def manifest_digest(package: Path) -> str | None:
    """sha256 of the manifest, which names every other file's digest; None where there is none."""
    path = package / MANIFEST
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


def is_whole(project: Project, now: ChampionRecord) -> bool:
    """Whether the champion's release was completed: its tag exists."""
    return any(
        entry.name == f"model/v{now.version}" for entry in git.tags(project.root, "model/v*")
    )
