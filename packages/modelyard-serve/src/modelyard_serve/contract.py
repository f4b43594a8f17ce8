"""The model package: its structs, its FORMAT number, its digests.

A package is a directory:

    manifest.json    the index: FORMAT, signature, task, digests of every other file, lineage
    model.onnx       one graph, one float64 matrix in, one float64 matrix of scores out
    masks.msgpack    where the model is trees: the same scores as tables (see `masks`), optional
    golden.json      rows with the scores that the native model gave them
    reference.json   training-time distributions of every column, for drift

To raise FORMAT: add the new struct beside the old one, teach `read_manifest` both, keep a golden
package of the old number under `contract/` and leave its test alone (see docs/architecture).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from modelyard_serve.errors import PackageError

FORMAT = 1
MANIFEST = "manifest.json"
GRAPH = "model.onnx"
GOLDEN = "golden.json"
REFERENCE = "reference.json"
MASKS = "masks.msgpack"
PREDICTION = "prediction"

Kind = Literal["number", "integer", "boolean", "category", "datetime"]
Task = Literal["binary", "multiclass", "regression"]
Style = Literal["plain", "thousands", "comma"]
Scalar = str | int | float | bool | None
T = TypeVar("T")


class Feature(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One raw column that the model takes.

    `levels` are a category's known spellings in code order (code 0 is everything else, code 1 is
    `levels[0]`), or for a boolean its two spellings, false first. `parts` are the numbers that a
    datetime is taken apart into; `time_format` is the strptime form of its text where it is not
    ISO 8601. `minimum` and `maximum` are those of the training rows (datetimes in days since 1970).
    `missing` are a person's spellings of a missing value, besides null; a number that one of them
    spells is missing too. `style` is how text spells a number: 1234.5, 1,234.5 or 1.234,5.
    """

    name: str
    kind: Kind
    levels: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    time_format: str | None = None
    missing: tuple[str, ...] = ()
    style: Style = "plain"
    minimum: float | None = None
    maximum: float | None = None
    typical: Scalar = None
    missing_share: float = 0.0

    @property
    def width(self) -> int:
        """How many columns of the matrix the feature takes."""
        return len(self.parts) if self.kind == "datetime" else 1


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The package's index. Everything outside `identity()` may differ between equal models."""

    format: int
    name: str
    task: Task
    target: str
    features: tuple[Feature, ...]
    classes: tuple[str, ...] = ()
    positive: str | None = None
    threshold: float | None = None
    metrics: dict[str, float] = {}
    lineage: dict[str, str] = {}
    files: dict[str, str] = {}

    @property
    def width(self) -> int:
        """Columns of the matrix that the graph takes."""
        return sum(feature.width for feature in self.features)

    def names_added(self, taken: Iterable[str] = ()) -> list[str]:
        """A scored table's new columns: `prediction` and `p_<class>`.

        Each has as many `_` at its end as make it new beside `taken`.
        """
        used = set(taken)
        found = []
        for name in (PREDICTION, *(f"p_{label}" for label in self.classes)):
            while name in used:
                name += "_"
            used.add(name)
            found.append(name)
        return found

    def identity(self) -> dict[str, Any]:
        """What makes the model the model: the signature, the decision rule and the files."""
        return {
            "format": self.format,
            "task": self.task,
            "target": self.target,
            "features": msgspec.to_builtins(self.features),
            "classes": self.classes,
            "positive": self.positive,
            "threshold": self.threshold,
            "files": self.files,
        }

    @property
    def model_digest(self) -> str:
        """sha256 over `identity()`: two trainings that gave the same model share it."""
        text = msgspec.json.encode(self.identity(), order="deterministic")
        return hashlib.sha256(text).hexdigest()


class Golden(msgspec.Struct, frozen=True, kw_only=True):
    """Raw rows and the scores that the native model gave them (rows x outputs)."""

    rows: list[dict[str, Scalar]]
    scores: list[list[float]]
    tolerance: float


class ColumnReference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column's training-time distribution: bin edges (numbers) or levels, and shares.

    For numbers `shares` has one entry per bin between `edges` (the outer bins are open); for
    categories one per level of `levels`, the last being everything else.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    missing_share: float = 0.0


class Reference(msgspec.Struct, frozen=True, kw_only=True):
    """The training rows' distributions, and those of the model's scores on held-out rows."""

    rows: int
    columns: tuple[ColumnReference, ...]
    scores: tuple[ColumnReference, ...] = ()


def file_digest(path: Path) -> str:
    """Return the sha256 of a file as hex, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def package_digest(package: Path) -> str:
    """Return the sha256 of the manifest: it covers every file and the lineage."""
    path = package / MANIFEST
    if not path.is_file():
        raise PackageError(f"{package} holds no {MANIFEST}: it is not a model package")
    return file_digest(path)


def read_manifest(package: Path, *, verify: bool = True) -> Manifest:
    """Read the manifest and check the digest of every file that it names.

    Raises:
        PackageError: no manifest, an unknown FORMAT, a missing, changed or unlisted file.
    """
    path = package / MANIFEST
    if not path.is_file():
        raise PackageError(f"{package} holds no {MANIFEST}: it is not a model package")
    text = path.read_bytes()
    try:
        number = msgspec.json.decode(text, type=dict[str, Any]).get("format")
        if number != FORMAT:
            raise PackageError(
                f"{path} has FORMAT {number!r}; this modelyard-serve reads FORMAT {FORMAT}: "
                "install the version that wrote it, or pack the model again"
            )
        manifest = msgspec.json.decode(text, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PackageError(f"{path} is not a manifest: {error}") from error
    if verify:
        _verify_files(package, manifest)
    return manifest


def _verify_files(package: Path, manifest: Manifest) -> None:
    for name, expected in manifest.files.items():
        file = package / name
        if Path(name).name != name:
            raise PackageError(f"the manifest names {name!r}, which lies outside the package")
        if not file.is_file():
            raise PackageError(f"{name} is missing from {package}")
        if (found := file_digest(file)) != expected:
            raise PackageError(
                f"{name} was changed after packing: sha256 {found[:12]}…, "
                f"the manifest says {expected[:12]}…"
            )
    listed = {*manifest.files, MANIFEST}
    extra = sorted(entry.name for entry in package.iterdir() if entry.name not in listed)
    if extra:
        raise PackageError(f"{package} holds files that the manifest does not list: {extra[:10]}")


def read_golden(package: Path) -> Golden:
    """Read the golden samples. Call it after `read_manifest` has checked the digests."""
    return _decode(package / GOLDEN, Golden)


def read_reference(package: Path) -> Reference:
    """Read the reference distributions. Call it after the digests were checked."""
    return _decode(package / REFERENCE, Reference)


def _decode(path: Path, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError) as error:
        raise PackageError(f"{path} cannot be read: {error}") from error
