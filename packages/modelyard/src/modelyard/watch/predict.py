"""Batch scoring: a table in, the same table with the predictions out."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from modelyard_serve.scorer import Scorer

from modelyard.errors import UsageError
from modelyard.models.matrix import raw_columns
from modelyard.watch import signature

BLOCK = 65_536
"""Rows scored at a time: the matrix of a large table is never whole in memory."""

SUFFIXES = (".csv", ".parquet")


@dataclass(frozen=True)
class PredictSummary:
    """What was scored."""

    rows: int
    output: Path
    columns: tuple[str, ...]
    warnings: tuple[str, ...]


def predict(
    package: Path,
    source: Path,
    destination: Path,
    *,
    encoding: str = "auto",
    delimiter: str = "auto",
) -> PredictSummary:
    """Score `source` with a package and write `destination` (CSV or Parquet by its suffix).

    The output has the source's columns and order of rows, then `predicted_<target>` and, for classes,
    a probability `p_<class>` each. It is written whole or not at all.

    Raises:
        UsageError: the output's suffix is neither .csv nor .parquet, or it is the source itself.
        DataInvalid: the table does not fit the signature.
    """
    if destination.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"The output {destination.name} must end in .csv or .parquet.",
            next_step=f"modelyard predict {source} -o scored.csv",
        )
    if destination.resolve() == source.resolve():
        raise UsageError("The output would overwrite the table.", next_step="choose another name")
    scorer = Scorer(package)
    manifest = scorer.manifest
    raw, report = signature.read(source, manifest, encoding=encoding, delimiter=delimiter)
    labels, outputs = [], []
    for start in range(0, max(1, len(report.frame)), BLOCK):
        block = report.frame[start : start + BLOCK]
        scores = scorer.score(raw_columns(manifest.features, block))
        labels.append(scores.labels)
        outputs.append(scores.outputs)
    whole = np.concatenate(outputs)
    made = [pl.Series(_free(f"predicted_{manifest.target}", raw), np.concatenate(labels).tolist())]
    for index, name in enumerate(manifest.classes):
        made.append(pl.Series(_free(f"p_{name}", raw), whole[:, index]))
    _write(raw.with_columns(made), destination)
    return PredictSummary(
        rows=len(raw),
        output=destination,
        columns=tuple(series.name for series in made),
        warnings=tuple(violation.message for violation in report.warnings[:10]),
    )


def _free(name: str, frame: pl.DataFrame) -> str:
    """A column's name that the source does not use."""
    while name in frame.columns:
        name += "_"
    return name


def _write(frame: pl.DataFrame, destination: Path) -> None:
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        if destination.suffix.lower() == ".csv":
            frame.write_csv(part)
        else:
            frame.write_parquet(part)
        part.replace(destination)
    finally:
        part.unlink(missing_ok=True)
