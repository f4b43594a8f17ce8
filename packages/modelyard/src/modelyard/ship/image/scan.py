"""What lies in an image: sizes by part, and what must not be there."""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

FORBIDDEN_PACKAGES = frozenset(
    {
        "scikit_learn",
        "sklearn",
        "pandas",
        "polars",
        "mlflow",
        "mlflow_skinny",
        "joblib",
        "cloudpickle",
        "dill",
        "skops",
        "lightgbm",
        "xgboost",
        "scipy",
        "optuna",
        "dvc",
        "modelyard",
        "pip",
        "setuptools",
        "wheel",
    }
)
"""Distributions of the build half, and installers."""

FORBIDDEN_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".h5", ".pt")
"""Files that run code, or could, when they are opened."""

COMPILERS = frozenset(("gcc", "cc", "g++", "c++", "clang", "cpp", "ld", "make", "cargo", "go"))
APP, LIB = "app", "lib"
BIG = {"onnxruntime": ("onnxruntime",), "numpy": ("numpy", "numpy.libs"), "granian": ("granian",)}
"""Packages that are worth a line of their own, with their folders."""

BASE, OTHERS, SERVE, PACKAGE = "base", "other packages", "modelyard-serve", "model package"


@dataclass
class Found:
    """Bytes by part, and the paths that must not be there, each with why."""

    parts: dict[str, int] = field(default_factory=dict)
    forbidden: list[str] = field(default_factory=list)


def scan(archive: tarfile.TarFile) -> Found:
    """Read a container's files once. Links have no size of their own."""
    found = Found(dict.fromkeys((BASE, *BIG, OTHERS, SERVE, PACKAGE), 0))
    for member in archive:
        path = PurePosixPath(member.name.removeprefix("./"))
        part = _part(path)
        if member.isfile():
            found.parts[part] += member.size
        if reason := _fault(path, member, part):
            found.forbidden.append(f"/{path} ({reason})")
    return found


def _part(path: PurePosixPath) -> str:
    parts = path.parts
    if parts[:1] != (APP,) or len(parts) < 3:
        return BASE
    if parts[1] in ("serve", "about"):
        return SERVE
    if parts[1] == "package":
        return PACKAGE
    for name, folders in BIG.items():
        if parts[2] in folders:
            return name
    return OTHERS


def _fault(path: PurePosixPath, member: tarfile.TarInfo, part: str) -> str:
    if path.suffix in FORBIDDEN_SUFFIXES and part != BASE:
        return "a file that runs code when it is opened"
    if path.name in COMPILERS and path.parent.name in ("bin", "sbin"):
        return "a compiler or build tool"
    if path.parts[:3] == ("root", ".cache", "pip"):
        return "pip's cache"
    if part == BASE:
        return ""
    if member.isfile() and member.mode & 0o6000:
        return "runs as another user"
    if member.mode & 0o022 and not member.issym():
        return "others may write to it"
    if path.suffix == ".dist-info":
        name = path.name.partition("-")[0].lower()
        if name in FORBIDDEN_PACKAGES:
            return "a package that an endpoint must not have"
    return ""


def compressed_size(stream: IO[bytes], say: Callable[[int], None] | None = None) -> int:
    """Bytes after gzip at its usual level, about what a registry keeps and a node fetches."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    total = 0
    while block := stream.read(1 << 20):
        total += len(packer.compress(block))
        if say is not None:
            say(total)
    return total + len(packer.flush())
