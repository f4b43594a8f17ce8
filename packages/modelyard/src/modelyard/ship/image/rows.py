"""The rows that an image is asked for, and the project's own scores of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.models.matrix import sides
from modelyard.project import Project
from modelyard_serve.contract import Feature, read_golden
from modelyard_serve.errors import ServeError
from modelyard_serve.scorer import Scorer

MOST = 50_000
"""Held-out rows that are asked for at most; of more, evenly spaced ones."""


@dataclass(frozen=True)
class Expected:
    """Rows as JSON carries them, golden samples first (`golden` of them), and their scores.

    `scores` has shape (rows, outputs). `note` says why no held-out rows are among them.
    """

    rows: list[dict[str, Any]]
    golden: int
    scores: NDArray[np.float64]
    note: str = ""


def expected_scores(project: Project, package: Path) -> Expected:
    """Score the golden samples and the held-out test rows in this process, from the package."""
    scorer = Scorer(package)
    golden = read_golden(package).rows
    held_out: list[dict[str, Any]] = []
    note = ""
    if project.table.is_file() and project.split_table.is_file():
        held_out = _held_out(project, scorer.manifest.features)
    else:
        note = "the held-out rows are not on this machine (dvc pull)"
    rows = [*golden, *held_out]
    try:
        scores = scorer.score_rows(rows).outputs
    except ServeError as error:
        # The working data has moved on, and no longer fits an older release's signature.
        note, rows = f"the working data does not fit this release: {error.detail}", list(golden)
        scores = scorer.score_rows(rows).outputs
    return Expected(rows, len(golden), np.asarray(scores), note)


def _held_out(project: Project, features: tuple[Feature, ...]) -> list[dict[str, Any]]:
    frame = pl.read_parquet(project.table)
    frame = frame[sides(pl.read_parquet(project.split_table)).test]
    if len(frame) > MOST:
        frame = frame.gather_every(-(-len(frame) // MOST))
    names = [feature.name for feature in features if feature.name in frame.columns]
    return [
        {name: _plain(value) for name, value in row.items()}
        for row in frame.select(names).iter_rows(named=True)
    ]


def _plain(value: Any) -> Any:
    """A typed cell as JSON carries it; a number that is not one is missing."""
    if isinstance(value, float) and not np.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return value.isoformat()
