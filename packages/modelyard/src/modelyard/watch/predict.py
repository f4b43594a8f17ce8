"""Batch scoring: a table in, the same table with the predictions out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.errors import DataInvalid, ModelyardError, UsageError
from modelyard.models.matrix import build
from modelyard.watch import blocks, signature
from modelyard.watch.findings import Findings
from modelyard_serve.contract import Manifest
from modelyard_serve.errors import InputError, PackageError
from modelyard_serve.scorer import Scorer, Scores

SUFFIXES = (".csv", ".tsv", ".parquet")
PREDICTION = "prediction"

_THREADS = 2
_SLICE = 8192


class PredictSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was scored. `columns` are those added; `counts` the rows predicted of each class."""

    rows: int
    output: str
    columns: tuple[str, ...]
    package_digest: str
    counts: dict[str, int] = {}
    warnings: tuple[str, ...] = ()


def predict(
    package: Path,
    source: Path,
    destination: Path,
    *,
    encoding: str = "auto",
    delimiter: str = "auto",
    missing: Iterable[str] = (),
) -> PredictSummary:
    """Score `source` with a package and write `destination` (CSV, TSV or Parquet by its suffix).

    The output has the source's columns and order of rows, then `prediction` and, for classes, the
    probability `p_<class>` of each; a name that the source uses gets a `_`. Large tables are read,
    scored and written in blocks. The output is written whole or not at all.

    Args:
        encoding, delimiter, missing: as in the data section of modelyard.yaml.

    Raises:
        UsageError: no such table, an output of another suffix, or the table itself as output.
        DataInvalid: a column of the signature is lost, or a value is not of its type.
        ModelyardError: the package cannot be used.
    """
    source, destination = Path(source), Path(destination)
    _refuse_destination(source, destination)
    scorer = open_package(package)
    tokens = tuple(missing)
    try:
        return _predict(scorer, source, destination, encoding, delimiter, tokens, False)
    except blocks.ReadWhole:
        return _predict(scorer, source, destination, encoding, delimiter, tokens, True)


def open_package(package: Path) -> Scorer:
    """Open a model package. Raises ModelyardError where it cannot be used."""
    try:
        return Scorer(package)
    except PackageError as error:
        raise ModelyardError(
            "The model package cannot be used.",
            why=error.detail,
            next_step="modelyard run, or name another one with --package",
        ) from error


def number_names(manifest: Manifest) -> frozenset[str]:
    """The features that are read as numbers."""
    return frozenset(f.name for f in manifest.features if f.kind in ("number", "integer"))


def scores_of(scorer: Scorer, frame: pl.DataFrame) -> Scores:
    """Score typed rows, in slices on two threads; the order of the rows is kept.

    Raises:
        DataInvalid: a value is not of its column's kind.
    """
    try:
        matrix = build(scorer.manifest.features, frame)
    except InputError as error:
        raise DataInvalid(
            "The table does not fit the signature.",
            why=error.detail,
            next_step="mend the table: package/manifest.json lists the model's columns",
        ) from error
    starts = range(0, len(matrix), _SLICE)
    if len(starts) < 2:
        return scorer.score_matrix(matrix)
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = list(pool.map(lambda at: scorer.score_matrix(matrix[at : at + _SLICE]), starts))
    return Scores(
        np.concatenate([part.outputs for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _predict(
    scorer: Scorer,
    source: Path,
    destination: Path,
    encoding: str,
    delimiter: str,
    missing: tuple[str, ...],
    whole: bool,
) -> PredictSummary:
    manifest = scorer.manifest
    findings = Findings(source.name)
    counts = dict.fromkeys(manifest.classes, 0)
    names: list[str] = []
    rows = 0
    with _Output(destination) as output:
        for block in blocks.each(
            source,
            encoding=encoding,
            delimiter=delimiter,
            numbers=number_names(manifest),
            whole=whole,
        ):
            report = signature.fit(
                block.frame, manifest, missing=missing, delimiter=block.delimiter
            )
            findings.add(report, block.start)
            scores = scores_of(scorer, report.frame)
            names = names or _free_names(manifest, block.frame)
            output.add(block.frame.with_columns(_added(names, manifest, scores)))
            rows += block.frame.height
            for label, count in zip(*np.unique(scores.labels, return_counts=True), strict=True):
                if manifest.classes:
                    counts[str(label)] += int(count)
    return PredictSummary(
        rows=rows,
        output=str(destination),
        columns=tuple(names),
        package_digest=scorer.digest,
        counts=counts,
        warnings=findings.warnings(),
    )


def _added(names: list[str], manifest: Manifest, scores: Scores) -> list[pl.Series]:
    dtype = pl.String if manifest.classes else pl.Float64
    made = [pl.Series(names[0], scores.labels.tolist(), dtype=dtype)]
    for index, name in enumerate(names[1:]):
        made.append(pl.Series(name, np.ascontiguousarray(scores.outputs[:, index])))
    return made


def _free_names(manifest: Manifest, frame: pl.DataFrame) -> list[str]:
    """The added columns' names, none of which the source uses."""
    taken = set(frame.columns)
    found = []
    for wanted in (PREDICTION, *(f"p_{name}" for name in manifest.classes)):
        name = wanted
        while name in taken:
            name += "_"
        taken.add(name)
        found.append(name)
    return found


def _refuse_destination(source: Path, destination: Path) -> None:
    if destination.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"The output {destination.name} must end in .csv, .tsv or .parquet.",
            why="The ending says the form to write.",
            next_step=f"modelyard predict {source} -o scored.csv",
        )
    if destination.is_dir() or destination.resolve() == source.resolve():
        what = "is a folder" if destination.is_dir() else "is the table itself"
        raise UsageError(
            f"The output {destination} {what}.",
            why="The scores go to a file of their own.",
            next_step=f"modelyard predict {source} -o scored.csv",
        )


class _Output:
    """A file that appears when all blocks are written, and not before.

    Parquet blocks are parts in a folder beside it until polars streams them into one file.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
        self.folder = destination.with_name(f".{destination.name}.{os.getpid()}.parts")
        self.kind = destination.suffix.lower()
        self.parts: list[Path] = []

    def __enter__(self) -> _Output:
        try:
            self.destination.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"The output {self.destination} cannot be written.",
                why=str(error),
                next_step="choose another place: -o scored.csv",
            ) from error
        self._clean()
        return self

    def add(self, frame: pl.DataFrame) -> None:
        """Write one block."""
        if self.kind == ".parquet":
            self.folder.mkdir(exist_ok=True)
            path = self.folder / f"{len(self.parts):06}.parquet"
            frame.write_parquet(path, compression="lz4", statistics=False)
        else:
            path = self.part
            separator = "\t" if self.kind == ".tsv" else ","
            with path.open("ab") as file:
                frame.write_csv(file, include_header=not self.parts, separator=separator)
        self.parts.append(path)

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            if kind is None:
                if self.kind == ".parquet":
                    pl.scan_parquet(self.parts, glob=False).sink_parquet(
                        self.part, maintain_order=True
                    )
                self.part.replace(self.destination)
        finally:
            self._clean()

    def _clean(self) -> None:
        self.part.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)
