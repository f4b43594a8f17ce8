"""Hold a bundle against its manifest: every byte of every file, nothing lost, nothing added."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from modelyard.errors import DataInvalid, UsageError, capped
from modelyard.ship.bundle.archive import BLOCK
from modelyard.ship.bundle.manifest import FORMAT, NAME, BundleManifest, is_safe


@dataclass(frozen=True)
class Checked:
    """A bundle that is what its manifest says."""

    manifest: BundleManifest
    digest: str
    size: int


def verify(path: Path) -> Checked:
    """Check a bundle.

    Raises:
        UsageError: there is no such file.
        DataInvalid: it is no bundle, of a later form, or a file in it is not as the manifest says.
    """
    if not path.is_file():
        raise UsageError(
            f"There is no file {path}.",
            why="bundle verify takes the zip that modelyard bundle made.",
            next_step="modelyard bundle",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            return _verify(path, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise _refused(path, f"The zip itself is damaged: {error}.") from error


def _verify(path: Path, archive: zipfile.ZipFile) -> Checked:
    names = archive.namelist()
    if NAME not in names:
        raise _refused(path, f"It has no {NAME}: it is no bundle.")
    text = archive.read(NAME)
    try:
        manifest = msgspec.json.decode(text, type=BundleManifest)
    except msgspec.DecodeError as error:
        raise _refused(path, f"Its {NAME} cannot be read: {error}.") from error
    if manifest.format > FORMAT:
        raise _refused(path, f"It is of form {manifest.format}; this modelyard knows {FORMAT}.")
    wrong = [f"{name} leads out of the folder" for name in manifest.files if not is_safe(name)]
    wrong += [f"{name} comes twice" for name in sorted({n for n in names if names.count(n) > 1})]
    wrong += [
        f"{name} is not in the manifest" for name in names if name not in (*manifest.files, NAME)
    ]
    for name, entry in manifest.files.items():
        if name not in names:
            wrong.append(f"{name} is missing")
        elif _sha256(archive, name) != entry.sha256:
            wrong.append(f"{name} was changed")
    if wrong:
        raise _refused(path, capped(wrong))
    size = sum(entry.size for entry in manifest.files.values())
    return Checked(manifest, hashlib.sha256(text).hexdigest(), size)


def _sha256(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(name) as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        return ""
    return digest.hexdigest()


def _refused(path: Path, why: str) -> DataInvalid:
    return DataInvalid(
        f"{path.name} is not as it was made.",
        why=why,
        next_step="modelyard bundle, or fetch it again",
    )
