"""Later data against the schema: what is new, lost, of another type, unseen or out of range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import polars as pl

from modelyard.errors import SHOWN, DataInvalid
from modelyard.records import Column, Schema
from modelyard.tables.applying import Severity, Violation, conform, examples
from modelyard.tables.moments import parse_moments
from modelyard.tables.schema import MAX_LEVELS

__all__ = ["Report", "Violation", "validate"]


@dataclass(frozen=True)
class Report:
    """Every misfit of a table, the errors first, and the table typed by the schema."""

    violations: tuple[Violation, ...]
    frame: pl.DataFrame

    @property
    def errors(self) -> tuple[Violation, ...]:
        """What the table cannot be used with."""
        return tuple(v for v in self.violations if v.severity == "error")

    @property
    def warnings(self) -> tuple[Violation, ...]:
        """What a person should know."""
        return tuple(v for v in self.violations if v.severity == "warning")

    def raise_if_errors(self, what: str = "The table", *, next_step: str = "") -> None:
        """Raise DataInvalid (exit code 4) where there are errors; names the first ten."""
        errors = self.errors
        if not errors:
            return
        lines = [violation.message for violation in errors[:SHOWN]]
        if len(errors) > SHOWN:
            lines.append(f"and {len(errors) - SHOWN} more")
        raise DataInvalid(
            f"{what} does not fit the schema: {len(errors)} "
            f"problem{'s' if len(errors) > 1 else ''}.",
            why="\n".join(lines),
            next_step=next_step or "mend the table, or its columns' types in modelyard.yaml",
        )


def validate(
    frame_raw: pl.DataFrame,
    schema: Schema,
    *,
    limit: int = SHOWN,
    target_optional: bool = False,
    missing: Iterable[str] = (),
    delimiter: str = ",",
) -> Report:
    """Compare a raw table with the schema.

    Args:
        limit: at most so many rows are named for each column and kind.
        target_optional: the table is to be scored, not learned from: target, id and group may be
            absent, and columns that the schema does not know do no harm.
        missing: data.missing.
        delimiter: of the file that the table was read from.
    """
    found = [*_columns(frame_raw, schema, target_optional)]
    applied = conform(frame_raw, schema, missing=tuple(missing), delimiter=delimiter, limit=limit)
    found += applied.violations
    for column in schema.columns:
        if column.name not in frame_raw.columns or column.role == "excluded":
            continue
        values = applied.frame[column.name]
        if column.name == schema.target:
            found += _target(values, schema, target_optional, limit)
        elif column.role in ("feature", "time"):
            found += _unseen(values, column.levels, column, limit)
            found += _range(values, column, limit)
    ordered = sorted(found, key=lambda violation: violation.severity)
    return Report(tuple(ordered), applied.frame)


def _columns(frame: pl.DataFrame, schema: Schema, target_optional: bool) -> Iterator[Violation]:
    known = {column.name for column in schema.columns}
    for name in frame.columns:
        if name not in known:
            yield Violation(
                "new-column",
                name,
                f"{name}: a column that the schema does not know",
                "warning" if target_optional else "error",
            )
    for column in schema.columns:
        if column.name in frame.columns:
            continue
        spare = column.role in ("target", "id", "group")
        if target_optional and column.role == "target":
            continue
        mild = column.role == "excluded" or column.kind == "text" or (target_optional and spare)
        severity: Severity = "warning" if mild and not _named(column, target_optional) else "error"
        yield Violation(
            "lost-column", column.name, f"{column.name}: the column is not in the table", severity
        )


def _named(column: Column, target_optional: bool) -> bool:
    """A dataset without its id, group or target is another dataset."""
    return not target_optional and column.role in ("target", "id", "group")


def _target(
    values: pl.Series, schema: Schema, target_optional: bool, limit: int
) -> Iterator[Violation]:
    if target_optional:
        return
    if values.null_count():
        rows = values.is_null().arg_true()
        yield Violation(
            "missing-target",
            schema.target,
            f"{schema.target}: {len(rows)} of {len(values)} rows have no target; they are dropped",
            "error" if len(rows) == len(values) else "warning",
            rows[0] + 1,
            None,
            len(rows),
        )
    if schema.classes:
        rows = (~values.is_in(list(schema.classes)) & values.is_not_null()).arg_true()
        if len(rows):
            yield Violation(
                "unseen-category",
                schema.target,
                f"{schema.target}: {len(rows)} rows are of classes that the schema does not know "
                f"({examples(rows, values, limit)})",
                "error",
                rows[0] + 1,
                values[rows[0]],
                len(rows),
            )


def _unseen(
    values: pl.Series, levels: tuple[str, ...], column: Column, limit: int
) -> Iterator[Violation]:
    # A schema that kept only the most frequent levels cannot tell a new one from a rare one.
    if column.kind != "category" or len(levels) >= MAX_LEVELS:
        return
    new = values.drop_nulls().unique()
    new = new.filter(~new.is_in(list(levels)))
    if new.is_empty():
        return
    rows = values.is_in(new.implode()).arg_true()
    yield Violation(
        "unseen-category",
        column.name,
        f"{column.name}: {len(rows)} rows hold {len(new)} categories that were never seen "
        f"({examples(rows, values, limit)})",
        "warning",
        rows[0] + 1,
        values[rows[0]],
        len(rows),
    )


def _range(values: pl.Series, column: Column, limit: int) -> Iterator[Violation]:
    if column.minimum is None or column.maximum is None:
        return
    low: object = column.minimum
    high: object = column.maximum
    if isinstance(low, str):
        low, high = parse_moments(pl.Series([str(low), str(high)]), None).to_list()
    outside = (values < low) | (values > high)
    rows = outside.arg_true()
    if len(rows):
        dated = values.dtype == pl.Datetime("us")
        texts = values.dt.strftime("%Y-%m-%d %H:%M:%S") if dated else values.cast(pl.String)
        yield Violation(
            "out-of-range",
            column.name,
            f"{column.name}: {len(rows)} {'value lies' if len(rows) == 1 else 'values lie'} "
            f"outside {column.minimum} to {column.maximum} "
            f"({examples(rows, texts, limit)})",
            "warning",
            rows[0] + 1,
            texts[rows[0]],
            len(rows),
        )
