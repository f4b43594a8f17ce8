"""A later table against the schema: typed where it can be, and every misfit named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import polars as pl

from modelyard.errors import SHOWN
from modelyard.records import Column, Schema
from modelyard.tables import typing as ty

ViolationKind = Literal[
    "new-column", "lost-column", "type", "infinite", "unseen-category", "out-of-range",
    "missing-target",
]  # fmt: skip
Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Violation:
    """One way in which a column does not fit. `row` is the first such data row, counted from 1."""

    kind: ViolationKind
    column: str
    message: str
    severity: Severity
    row: int | None = None
    value: str | None = None
    count: int = 1


@dataclass(frozen=True)
class Applied:
    """The typed table and what did not fit."""

    frame: pl.DataFrame
    violations: tuple[Violation, ...]


def conform(
    frame: pl.DataFrame,
    schema: Schema,
    *,
    missing: tuple[str, ...] = (),
    delimiter: str = ",",
    limit: int = SHOWN,
) -> Applied:
    """Type a raw table by a schema: its columns in the schema's order; absent ones are null.

    `missing` counts besides the schema's own.
    """
    missing = (*missing, *schema.missing)
    values: list[pl.Series] = []
    violations: list[Violation] = []
    for column in schema.columns:
        if column.name not in frame.columns:
            empty = pl.Series(column.name, [None], dtype=_dtype(column, schema))
            values.append(empty.new_from_index(0, frame.height))
            continue
        raw = frame[column.name]
        if column.role != "excluded":
            raw = ty.without(raw, missing)
        typed = _typed(raw, column, schema, delimiter)
        if column.role != "excluded":
            violations += _misread(raw, typed, column, missing, limit)
            typed = ty.without(typed, missing)
            typed, infinite = _finite(typed, column, limit)
            violations += infinite
        values.append(typed)
    return Applied(pl.DataFrame(values), tuple(violations))


def examples(rows: pl.Series, texts: pl.Series, limit: int) -> str:
    """Name the first rows and their values, at most `limit`, and how many more there are."""
    shown = [f"row {row + 1}: {texts[row]!r}" for row in rows.head(limit).to_list()]
    more = f" and {len(rows) - limit} more" if len(rows) > limit else ""
    return "; ".join(shown) + more


def _typed(raw: pl.Series, column: Column, schema: Schema, delimiter: str) -> pl.Series:
    """Read one column as the schema has it; what cannot be read is null."""
    dtype = _dtype(column, schema)
    if column.name == schema.target and schema.classes:
        return _class_text(raw, schema)
    if dtype == pl.String:
        typed = raw if raw.dtype == pl.String else ty.native(raw)
        return _empty(raw, dtype) if typed is None else ty.canonical_text(typed)
    natural = raw if raw.dtype == pl.String else ty.native(raw)
    if natural is None:
        return _empty(raw, dtype)
    if column.kind == "datetime":
        return _moments(natural, column)
    if column.kind == "boolean":
        texts = natural if natural.dtype == pl.String else ty.canonical_text(natural)
        return ty.convert(texts, _boolean(column))
    if natural.dtype == pl.String:
        form = ty.wanted_form(natural, "number", column.name, delimiter, column.style)
        natural = ty.convert(natural, ty.Form("number", form.share, form.style))
    elif natural.dtype == pl.Datetime("us"):
        return _empty(raw, dtype)
    if dtype == natural.dtype == pl.Int64:
        return natural  # by way of decimals ids beyond 2^53 would be equal to others
    numbers = natural.cast(pl.Float64)
    if dtype == pl.Int64:
        whole = numbers.cast(pl.Int64, strict=False)
        fractions = (numbers != numbers.round()).any() or whole.null_count() > numbers.null_count()
        return numbers if fractions else whole
    return numbers


def _class_text(raw: pl.Series, schema: Schema) -> pl.Series:
    """The target's classes, as ingest reads them.

    A boolean, a number or a differently cased spelling is that class; words for a missing value are
    missing where the classes are booleans or numbers (among others they may be classes).
    """
    typed = raw if raw.dtype == pl.String else ty.native(raw)
    if typed is None:
        return _empty(raw, pl.String())
    texts = ty.canonical_text(typed)
    known = {label: label for label in schema.classes}
    words = {label.strip().lower(): label for label in schema.classes}
    fold = len(words) == len(known)  # classes that differ in case only stay apart
    truth = [
        dict.fromkeys(group, label)
        for word, label in words.items()
        for group in (ty.FALSE_WORDS, ty.TRUE_WORDS)
        if word in group
    ]
    if len(words) == len(truth) == 2:
        words = truth[0] | truth[1] | words
    labels = pl.Series(schema.classes, dtype=pl.String)
    numbers = ty.number_form(labels, ",").share == 1.0
    parsed = numbers or ty.boolean_form(labels, labels).share == 1.0
    further = texts.drop_nulls().unique()
    further = further.filter(~further.is_in(labels.implode()))
    for text, number in zip(further, _number_texts(further), strict=True):
        word = text.strip().lower()
        if fold and word in words:
            known[text] = words[word]
        elif numbers and number in schema.classes:
            known[text] = number
        elif not (parsed and word in ty.MISSING_WORDS):
            known[text] = text
    return texts.replace_strict(known, default=None, return_dtype=pl.String)


def _number_texts(texts: pl.Series) -> pl.Series:
    """The canonical spelling of texts that are numbers, such as 1 for 1.0; codes are none."""
    form = ty.number_form(ty.spellings(texts), ",")
    if form.share == 0.0:
        return _empty(texts, pl.String())
    return ty.canonical_text(ty.convert(texts, ty.Form("number", form.share, form.style)))


def _moments(natural: pl.Series, column: Column) -> pl.Series:
    if natural.dtype == pl.Datetime("us"):
        return natural
    if natural.dtype == pl.String or natural.dtype == pl.Int64:
        form = ty.Form("datetime", 1.0, time_format=column.time_format)
        return ty.convert(natural.cast(pl.String), form)
    return _empty(natural, pl.Datetime("us"))


def _boolean(column: Column) -> ty.Form:
    levels = (column.levels[0], column.levels[1]) if len(column.levels) == 2 else ()
    return ty.Form("boolean", 1.0, levels=levels)


def _dtype(column: Column, schema: Schema) -> pl.DataType:
    if column.name == schema.target and schema.classes:
        return pl.String()
    dtypes: dict[str, pl.DataType] = {
        "number": pl.Float64(),
        "integer": pl.Int64(),
        "boolean": pl.Boolean(),
        "datetime": pl.Datetime("us"),
    }
    return dtypes.get(column.kind, pl.String())


def _empty(raw: pl.Series, dtype: pl.DataType) -> pl.Series:
    return pl.Series(raw.name, [None], dtype=dtype).new_from_index(0, len(raw))


def _misread(
    raw: pl.Series, typed: pl.Series, column: Column, missing: tuple[str, ...], limit: int
) -> Iterator[Violation]:
    if typed.null_count() > raw.null_count() and column.kind not in ("category", "text"):
        rows = ty.failures(raw, typed, missing).arg_true()
        if len(rows):
            texts = _shown(raw)
            yield Violation(
                "type",
                column.name,
                f"{column.name}: {len(rows)} of {len(raw)} values are no {column.kind} "
                f"({examples(rows, texts, limit)})",
                "error",
                rows[0] + 1,
                texts[rows[0]],
                len(rows),
            )
    elif column.kind == "integer" and typed.dtype == pl.Float64:
        rows = (typed != typed.round()).arg_true()
        if len(rows):
            yield Violation(
                "type",
                column.name,
                f"{column.name}: {len(rows)} values are no whole numbers "
                f"({examples(rows, _shown(raw), limit)})",
                "warning",
                rows[0] + 1,
                _shown(raw)[rows[0]],
                len(rows),
            )


def _finite(typed: pl.Series, column: Column, limit: int) -> tuple[pl.Series, list[Violation]]:
    if typed.dtype != pl.Float64:
        return typed, []
    infinite = typed.is_infinite()
    if not infinite.any():
        return typed, []
    rows = infinite.arg_true()
    violation = Violation(
        "infinite",
        column.name,
        f"{column.name}: {len(rows)} values are infinite "
        f"({examples(rows, typed.cast(pl.String), limit)})",
        "error",
        rows[0] + 1,
        str(typed[rows[0]]),
        len(rows),
    )
    return typed.set(infinite.fill_null(False), None), [violation]


def _shown(raw: pl.Series) -> pl.Series:
    """Texts for messages; types that have none are shown by their name."""
    if raw.dtype == pl.String:
        return raw
    try:
        return raw.cast(pl.String)
    except pl.exceptions.PolarsError:
        return pl.Series(raw.name, [str(raw.dtype)] * len(raw))
