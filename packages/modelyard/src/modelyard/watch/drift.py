"""Drift of a batch: how far its columns and scores are from the training data's."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec
import polars as pl
from modelyard_serve.contract import ColumnReference, read_reference
from modelyard_serve.scorer import Scorer

from modelyard.models.matrix import raw_columns
from modelyard.records import Record
from modelyard.tables.shift import Distribution, shift_of
from modelyard.watch import signature

MODERATE, STRONG = 0.1, 0.25


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column's distance from the reference, and what is behind it."""

    column: str
    psi: float
    missing_before: float
    missing_after: float
    unseen_share: float = 0.0


class DriftRecord(Record, frozen=True, kw_only=True):
    """A batch against the package's reference. Dates are left out: time passing is no drift."""

    source: str
    package_digest: str
    rows: int
    verdict: Literal["none", "moderate", "strong"]
    columns: tuple[ColumnDrift, ...]
    score_psi: float


def drift(
    package: Path, source: Path, *, encoding: str = "auto", delimiter: str = "auto"
) -> DriftRecord:
    """Compare a table with the package's reference distributions.

    Raises:
        DataInvalid: the table does not fit the signature.
    """
    scorer = Scorer(package)
    manifest = scorer.manifest
    reference = read_reference(package)
    _, report = signature.read(source, manifest, encoding=encoding, delimiter=delimiter)
    frame = report.frame
    kinds = {feature.name: feature for feature in manifest.features}
    found = []
    for known in reference.columns:
        feature = kinds.get(known.name)
        if feature is None or feature.kind == "datetime":
            continue
        series = frame[known.name]
        unseen = 0.0
        if feature.kind == "category":
            unseen = float((~series.drop_nulls().is_in(list(feature.levels))).mean() or 0.0)
        found.append(
            ColumnDrift(
                column=known.name,
                psi=shift_of(_distribution(known), series),
                missing_before=known.missing_share,
                missing_after=series.null_count() / max(1, len(series)),
                unseen_share=unseen,
            )
        )
    found.sort(key=lambda entry: -entry.psi)
    worst = found[0].psi if found else 0.0
    outputs = scorer.score(raw_columns(manifest.features, frame)).outputs
    score_psi = max(
        (
            shift_of(_distribution(known), pl.Series(outputs[:, index]))
            for index, known in enumerate(reference.scores)
        ),
        default=0.0,
    )
    return DriftRecord(
        source=source.name,
        package_digest=scorer.digest,
        rows=len(frame),
        verdict="strong" if worst > STRONG else "moderate" if worst > MODERATE else "none",
        columns=tuple(found),
        score_psi=score_psi,
    )


def _distribution(known: ColumnReference) -> Distribution:
    return Distribution(
        known.name, known.edges, known.levels, known.shares, known.missing_share
    )
