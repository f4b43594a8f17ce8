"""Drift of a batch: how far its columns and scores are from those of the training rows."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import ModelyardError
from modelyard.records import Record
from modelyard.tables import shift
from modelyard.tables.shift import MODERATE, STRONG
from modelyard.watch import blocks, signature
from modelyard.watch.findings import Findings
from modelyard.watch.predict import number_names, open_package, scores_of
from modelyard_serve import contract
from modelyard_serve.errors import PackageError

Verdict = Literal["none", "moderate", "strong"]
_ORDER: tuple[Verdict, ...] = ("none", "moderate", "strong")
_HELD_OUT = 4
"""The reference's scores are of the held-out rows, about a quarter as many as the training rows."""


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """One column's distance from the reference, and the bin that moved most, before and after.

    `noise` is what PSI stays below by chance for so few rows; `part` is the part of a date that
    moved most; `unseen_share` that of the values that are no level of the model.
    """

    column: str
    psi: float
    noise: float
    verdict: Verdict
    before: str
    after: str
    missing_before: float
    missing_after: float
    unseen_share: float = 0.0
    part: str | None = None


class DriftRecord(Record, frozen=True, kw_only=True):
    """A batch against the package's reference; columns and scores with the largest PSI first.

    `verdict` is the worst of all columns and of the scores.
    """

    source: str
    package_digest: str
    rows: int
    reference_rows: int
    verdict: Verdict
    columns: tuple[ColumnDrift, ...]
    scores: tuple[ColumnDrift, ...] = ()
    score_psi: float = 0.0
    moderate_above: float = MODERATE
    strong_above: float = STRONG
    warnings: tuple[str, ...] = ()


def drift(
    package: Path,
    source: Path,
    *,
    encoding: str = "auto",
    delimiter: str = "auto",
    missing: Iterable[str] = (),
) -> DriftRecord:
    """Compare a table with the package's reference distributions, in blocks where it is large.

    Args:
        encoding, delimiter, missing: as in the data section of modelyard.yaml.

    Raises:
        UsageError: there is no such table.
        DataInvalid: the table does not fit the signature.
        ModelyardError: the package cannot be used.
    """
    source, tokens = Path(source), tuple(missing)
    try:
        return _drift(package, source, encoding, delimiter, tokens, False)
    except blocks.ReadWhole:
        return _drift(package, source, encoding, delimiter, tokens, True)


def _drift(
    package: Path,
    source: Path,
    encoding: str,
    delimiter: str,
    missing: tuple[str, ...],
    whole: bool,
) -> DriftRecord:
    scorer = open_package(package)
    manifest = scorer.manifest
    known, known_scores, reference_rows = _reference(package)
    findings = Findings(source.name)
    tally = [np.zeros(_bins(entry), dtype=np.int64) for entry in known]
    score_tally = [np.zeros(_bins(entry), dtype=np.int64) for entry in known_scores]
    unseen: dict[str, int] = {}
    owners = [_owner(entry.name, {f.name for f in manifest.features}) for entry in known]
    rows = 0
    for block in blocks.each(
        source,
        encoding=encoding,
        delimiter=delimiter,
        numbers=number_names(manifest),
        as_text=signature.texts(manifest),
        whole=whole,
    ):
        report = signature.fit(block.frame, manifest, missing=missing, delimiter=block.delimiter)
        findings.add(report, block.start)
        frame = report.frame
        for entry, owner, found in zip(known, owners, tally, strict=True):
            if owner is not None:
                found += shift.counts(entry, frame[owner])
        outputs = scores_of(scorer, frame).outputs
        for index, (entry, found) in enumerate(zip(known_scores, score_tally, strict=True)):
            found += shift.counts(entry, pl.Series(outputs[:, index]))
        for feature in manifest.features:
            if feature.kind == "category":
                new = ~frame[feature.name].drop_nulls().is_in(list(feature.levels))
                unseen[feature.name] = unseen.get(feature.name, 0) + int(new.sum())
        rows += frame.height
    columns: dict[str, ColumnDrift] = {}
    for entry, owner, found in zip(known, owners, tally, strict=True):
        if owner is None:
            continue
        drifted = _column(entry, owner, reference_rows, found, unseen.get(owner, 0) / max(1, rows))
        if owner not in columns or drifted.psi > columns[owner].psi:
            columns[owner] = drifted
    scores = [
        _column(entry, entry.name, max(1, reference_rows // _HELD_OUT), found, 0.0)
        for entry, found in zip(known_scores, score_tally, strict=True)
    ]
    verdicts = [entry.verdict for entry in (*columns.values(), *scores)]
    return DriftRecord(
        source=source.name,
        package_digest=scorer.digest,
        rows=rows,
        reference_rows=reference_rows,
        verdict=max(verdicts, key=_ORDER.index, default="none"),
        columns=_sorted(columns.values()),
        scores=_sorted(scores),
        score_psi=max((entry.psi for entry in scores), default=0.0),
        warnings=findings.warnings(),
    )


def _reference(
    package: Path,
) -> tuple[list[shift.ColumnReference], list[shift.ColumnReference], int]:
    """The package's reference as the build half's own records."""
    try:
        read = contract.read_reference(package)
    except PackageError as error:
        raise ModelyardError(
            "The model package cannot be used.", why=error.detail, next_step="modelyard run"
        ) from error
    return [_own(e) for e in read.columns], [_own(e) for e in read.scores], read.rows


def _own(entry: contract.ColumnReference) -> shift.ColumnReference:
    return shift.ColumnReference(
        entry.name, entry.edges, entry.levels, entry.shares, entry.missing_share
    )


def _bins(entry: shift.ColumnReference) -> int:
    return max(1, len(entry.shares)) + 1


def _owner(name: str, features: set[str]) -> str | None:
    """The feature that an entry describes: its own name, or a date's part; None if it is gone."""
    if name in features:
        return name
    column, _, part = name.rpartition(".")
    return column if part in shift.PARTS and column in features else None


def _column(
    entry: shift.ColumnReference,
    name: str,
    reference_rows: int,
    found: NDArray[np.int64],
    unseen_share: float,
) -> ColumnDrift:
    moved = shift.column_shift(entry, reference_rows, found)
    verdict = next(v for v in _ORDER if v == moved.verdict)
    return ColumnDrift(
        column=name,
        psi=moved.psi,
        noise=moved.noise,
        verdict=verdict,
        before=moved.before,
        after=moved.after,
        missing_before=moved.missing_before,
        missing_after=moved.missing_after,
        unseen_share=unseen_share,
        part=moved.part,
    )


def _sorted(entries: Iterable[ColumnDrift]) -> tuple[ColumnDrift, ...]:
    return tuple(sorted(entries, key=lambda entry: (-entry.psi, entry.column)))
