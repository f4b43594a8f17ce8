"""Write the bundle: one zip, in a fixed order, with fixed times, whole or not at all."""

from __future__ import annotations

import hashlib
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modelyard import __version__
from modelyard.errors import UsageError
from modelyard.project import Project
from modelyard.records import PackRecord, read_if_there
from modelyard.registry.lock import hold
from modelyard.ship.bundle import contents
from modelyard.ship.bundle.contents import DataWanted
from modelyard.ship.bundle.manifest import FORMAT, NAME, BundleManifest, Entry
from modelyard.tools import git

BLOCK = 1 << 20
STAMP = (1980, 1, 1, 0, 0, 0)
PACKED = (".mp4", ".webm", ".whl", ".zip", ".gz", ".png", ".pdf", ".parquet")
"""What is compressed already is stored as it is."""


@dataclass(frozen=True)
class Made:
    """A bundle. `digest` is the sha256 of its manifest, which names every other file's."""

    path: Path
    files: int
    size: int
    digest: str
    data: tuple[str, ...]
    missing: tuple[str, ...]


def bundle(project: Project, target: Path | None = None, *, data: DataWanted = "all") -> Made:
    """Write the bundle.

    Args:
        target: the zip; `reports/NAME-bundle.zip` where None.
        data: every version that git names, or the one at work alone.

    Raises:
        UsageError: there is no commit yet, or the place is a folder.
        ModelyardError: a wanted data version's content is nowhere.
        LockHeld: a run is at work.
    """
    path = target or project.reports / f"{project.name}-bundle.zip"
    if path.is_dir():
        raise UsageError(
            f"{path} is a folder.",
            why="The bundle is one file.",
            next_step=f"modelyard bundle --output {path / 'bundle.zip'}",
        )
    scratch = project.state / "bundle"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with hold(project, "modelyard bundle"):
        contents.remove(scratch)
        scratch.mkdir(parents=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            found = contents.collect(project, scratch, data, path.name)
            manifest, text = _write(project, part, found)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
            contents.remove(scratch)
    return Made(
        path=path,
        files=len(manifest.files),
        size=path.stat().st_size,
        digest=hashlib.sha256(text).hexdigest(),
        data=found.data,
        missing=tuple(found.missing),
    )


def _write(project: Project, part: Path, found: contents.Contents) -> tuple[BundleManifest, bytes]:
    packed = read_if_there(project.record("pack"), PackRecord)
    entries: dict[str, Entry] = {}
    with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for name, path in found.files.items():
            entries[name] = _add(archive, name, path)
        manifest = BundleManifest(
            format=FORMAT,
            project=project.name,
            commit=git.head(project.root) or "",
            data=found.data,
            versions={"modelyard": __version__},
            model_digest=packed.model_digest if packed else "",
            package_digest=packed.package_digest if packed else "",
            missing=tuple(found.missing),
            folder=git.prefix(project.root),
            files=entries,
        )
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        archive.writestr(_info(NAME), text)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    return manifest, text


def _add(archive: zipfile.ZipFile, name: str, path: Path) -> Entry:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as source, archive.open(_info(name), "w", force_zip64=True) as target:
        while block := source.read(BLOCK):
            digest.update(block)
            size += len(block)
            target.write(block)
    return Entry(sha256=digest.hexdigest(), size=size)


def _info(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, STAMP)
    entry.external_attr = 0o644 << 16
    packed = name.endswith(PACKED)
    entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
    return entry
