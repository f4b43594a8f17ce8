"""What a person should know of a table before a model is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import polars as pl

from modelyard.errors import capped
from modelyard.records import Column, Finding, Schema
from modelyard.tables.leakage import suspects
from modelyard.tables.schema import MAX_LEVELS
from modelyard.tables.typing import text_counts

FEW_ROWS = 200
FEW_CLASS_ROWS = 10
_MISSING = 0.2
_RARE = 0.1
_HIGH = 100
_UNLIKE = 0.95
_EACH = 20
"""Findings of one kind that are listed before the rest is only counted."""


def duplicate_rows(frame: pl.DataFrame, schema: Schema | None = None) -> int:
    """Rows that repeat an earlier one in every column.

    The schema saves the hashing of whole rows where one column is already different in each.
    """
    for column in schema.columns if schema else ():
        unlike = not column.missing and column.distinct >= _UNLIKE * frame.height
        if unlike and frame[column.name].n_unique() == frame.height:
            return 0
    return frame.height - frame.hash_rows().n_unique()


def examine(
    frame: pl.DataFrame,
    schema: Schema,
    *,
    target_missing: int = 0,
    target_words: Mapping[str, int] | None = None,
    duplicates: int | None = None,
) -> tuple[Finding, ...]:
    """Look for what spoils a model: leaks first, then lost columns and rows.

    Args:
        frame: the typed table, as `schema.infer` returns it.
        target_missing: rows that were dropped since they have no target.
        target_words: what the target said in some of these, and in how many rows.
        duplicates: `duplicate_rows(frame)` where it is known already.
    """
    found = [
        *_leaks(frame, schema),
        *_table(frame, schema, target_missing, target_words or {}, duplicates),
        *_balance(frame, schema),
        *_id(frame, schema),
        *(finding for column in schema.columns for finding in _column(column, frame.height)),
    ]
    kept: list[Finding] = []
    for kind in dict.fromkeys(finding.kind for finding in found):
        same = [finding for finding in found if finding.kind == kind]
        kept += same[:_EACH]
        if len(same) > _EACH:
            rest = len(same) - _EACH
            kept.append(
                Finding(kind=kind, message=f"{rest} more columns: {kind}", figure=float(rest))
            )
    return tuple(kept)


def _leaks(frame: pl.DataFrame, schema: Schema) -> Iterator[Finding]:
    measure = {"binary": "ROC AUC", "multiclass": "accuracy", "regression": "R2"}[schema.task]
    for name, figure in suspects(frame, schema):
        yield Finding(
            kind="leakage",
            column=name,
            message=f"{name} alone predicts {schema.target} ({measure} {figure:.3f}): was it known "
            "before the outcome? If not, name it in data.exclude",
            figure=figure,
        )


def _said(target: str, words: Mapping[str, int]) -> str:
    """A word that passes for a missing value may have been meant as a class."""
    if not words:
        return ""
    shown = capped(f"{word!r} in {rows}" for word, rows in words.items())
    return f" ({shown}; data.types.{target}: category keeps such a word as a class)"


def _table(
    frame: pl.DataFrame,
    schema: Schema,
    target_missing: int,
    target_words: Mapping[str, int],
    duplicates: int | None,
) -> Iterator[Finding]:
    rows = frame.height
    if rows < FEW_ROWS:
        yield Finding(
            kind="few-rows",
            message=f"{rows} rows are few: figures on the held-out rows will be vague",
            figure=float(rows),
        )
    if target_missing:
        yield Finding(
            kind="target-missing",
            message=f"{target_missing} rows have no target and were dropped"
            + _said(schema.target, target_words),
            figure=float(target_missing),
        )
    same = duplicate_rows(frame, schema) if duplicates is None else duplicates
    if same:
        yield Finding(
            kind="duplicates",
            message=f"{same} rows repeat an earlier one; they are kept on one side of the split",
            figure=float(same),
        )


def _balance(frame: pl.DataFrame, schema: Schema) -> Iterator[Finding]:
    if not schema.classes:
        return
    counts = class_counts(frame, schema)
    rare = min(counts, key=lambda label: counts[label])
    share = counts[rare] / frame.height
    if counts[rare] < FEW_CLASS_ROWS:
        yield Finding(
            kind="imbalance",
            column=schema.target,
            message=f"the class {rare!r} has {counts[rare]} rows: it may be missing from a side "
            "of the split, and nothing certain can be said of it",
            figure=share,
        )
    elif share < _RARE:
        yield Finding(
            kind="imbalance",
            column=schema.target,
            message=f"the class {rare!r} is {100 * share:.1f} % of the rows: accuracy says little",
            figure=share,
        )


def class_counts(frame: pl.DataFrame, schema: Schema) -> dict[str, int]:
    """Rows of each class, in the order of `schema.classes`; empty for regression."""
    if not schema.classes:
        return {}
    values = frame[schema.target]
    if len(schema.classes) <= 4:  # comparing is cheaper than counting all texts
        return {label: int((values == label).sum()) for label in schema.classes}
    found = dict(text_counts(values).iter_rows())
    return {label: int(found.get(label, 0)) for label in schema.classes}


def _id(frame: pl.DataFrame, schema: Schema) -> Iterator[Finding]:
    for column in schema.columns:
        if column.role != "id":
            continue
        values = frame[column.name].drop_nulls()
        again = len(values) - values.n_unique()
        if again:
            yield Finding(
                kind="duplicates",
                column=column.name,
                message=f"{again} rows repeat the {column.name} of an earlier one",
                figure=float(again),
            )


def _column(column: Column, rows: int) -> Iterator[Finding]:
    name, reason = column.name, column.reason
    if column.role in ("target", "id") or reason == "named in data.exclude":
        return
    share = column.missing / max(1, rows)
    if column.missing == rows:
        yield Finding(kind="missing", column=name, message=f"{name} is empty: left out", figure=1.0)
    elif column.distinct == 1 and column.role == "excluded":
        yield Finding(
            kind="constant", column=name, message=f"{name} is constant: left out", figure=1.0
        )
    elif reason.startswith("id-like"):
        yield Finding(
            kind="id-like",
            column=name,
            message=f"{name} is left out ({reason}); data.id may name it",
            figure=float(column.distinct),
        )
    elif column.kind == "text" or reason.startswith("not every value"):
        yield Finding(
            kind="text",
            column=name,
            message=f"{name}: {reason or 'text'}",
            figure=float(column.distinct),
        )
    elif column.kind == "category" and column.distinct > _HIGH:
        kept = f"; the {MAX_LEVELS} most frequent are kept" if column.distinct > MAX_LEVELS else ""
        yield Finding(
            kind="high-cardinality",
            column=name,
            message=f"{name} has {column.distinct} categories{kept}",
            figure=float(column.distinct),
        )
    if _MISSING < share < 1.0 and column.role in ("feature", "time"):
        yield Finding(
            kind="missing",
            column=name,
            message=f"{name} is missing in {100 * share:.0f} % of the rows",
            figure=share,
        )
