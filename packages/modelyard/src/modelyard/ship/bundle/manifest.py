"""The bundle's manifest: what the zip holds, each file with its sha256."""

from __future__ import annotations

from pathlib import PurePosixPath

import msgspec

NAME = "manifest.json"
FORMAT = 1
"""Raise it when a reader of the old form would misread a new zip; old forms stay readable."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One file. `size` is in bytes."""

    sha256: str
    size: int


class BundleManifest(msgspec.Struct, frozen=True, kw_only=True):
    """manifest.json. `data` says which versions are inside, `missing` what could not be had.

    `folder` is where the project lies in its repository, empty where it is the repository.
    """

    format: int
    project: str
    commit: str
    data: tuple[str, ...]
    versions: dict[str, str]
    model_digest: str
    package_digest: str
    missing: tuple[str, ...] = ()
    folder: str = ""
    files: dict[str, Entry]


def is_safe(name: str) -> bool:
    """Whether a name stays inside the folder that it is written to."""
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts and "\\" not in name
