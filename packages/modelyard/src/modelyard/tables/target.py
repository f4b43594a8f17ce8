"""The target: what kind of prediction it asks for, its classes, and the class of interest."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from modelyard.errors import DataInvalid, capped, nearest
from modelyard.forms import Task
from modelyard.records import ColumnKind
from modelyard.settings import DataSection
from modelyard.tables import typing as ty
from modelyard.values import Style

MIN_CLASS_ROWS = 3
"""A class must be able to stand on each side of the split: train, valid, test."""

MAX_CLASSES = 100
FOR_NUMBERS = "take them as numbers: data.task: regression"
_FEW_INTEGERS = 20
_POSITIVE = frozenset(
    {"yes", "y", "true", "t", "1", "on", "ja", "oui", "si", "sí", "sim", "tak", "ano", "да"}
    | {"bad", "positive", "pos", "churn", "churned", "default", "defaulted", "fraud", "fraudulent"}
    | {"late", "delayed", "cancelled", "canceled", "sick", "ill", "disease", "dead", "died"}
    | {"malignant", "spam", "failed", "failure", "fail", "attrited", "left", "lost", "anomaly"}
    | {"abnormal", "event", "case", "high"}
)


@dataclass(frozen=True)
class Target:
    """The typed target, one value a source row (null where missing).

    Classes are canonical texts; for binary the class of interest stands last. `values` is String
    for classes, Int64 or Float64 for regression.
    """

    task: Task
    values: pl.Series
    kind: ColumnKind
    classes: tuple[str, ...] = ()
    positive: str | None = None
    reason: str = ""
    counts: pl.DataFrame | None = None
    style: Style = "plain"


def read_target(series: pl.Series, data: DataSection, delimiter: str) -> Target:
    """Type the target and decide the task.

    Raises:
        DataInvalid: nothing but missing values, one value only, a class too small to be split, too
            many classes, or values that do not fit the task that was asked for.
    """
    name = series.name
    series = ty.without(series, data.missing)
    values, counts, style = _typed(series, data, delimiter)
    present = values.drop_nulls()
    if present.is_empty():
        raise DataInvalid(
            f"The target {name!r} has no value in any row.",
            why=f"All {len(series)} rows are missing it.",
            next_step="name another column: data.target in modelyard.yaml",
        )
    task, reason = _task(values, data)
    if task == "regression":
        return _regression(series, values, reason, style)
    texts = ty.canonical_text(_whole(values)) if values.dtype != pl.String else values
    return _classes(texts, counts, task, data, reason)


def words_for_nothing(series: pl.Series, data: DataSection) -> dict[str, int]:
    """What the raw target says in rows that were taken to have none, such as `none`, and how often.

    Empty cells and what `data.missing` names are not among them.
    """
    if series.dtype != pl.String or data.types.get(series.name) in ("category", "text"):
        return {}
    texts = ty.without(series, data.missing).drop_nulls().str.strip_chars()
    words = [word for word in ty.MISSING_WORDS if word]
    counts = ty.text_counts(texts.filter(texts.str.to_lowercase().is_in(words)))
    return dict(counts.iter_rows())


def _typed(
    series: pl.Series, data: DataSection, delimiter: str
) -> tuple[pl.Series, pl.DataFrame | None, Style]:
    """Read the target; classes come with their counts, numbers with how they are written."""
    if series.dtype != pl.String:
        values = ty.native(series)
        if values is None:
            raise DataInvalid(
                f"The target {series.name!r} holds {series.dtype}, which cannot be predicted.",
                why="A class or a number can be predicted.",
                next_step="name another column: data.target in modelyard.yaml",
            )
        if values.dtype == pl.String and series.dtype.is_numeric() and _numeric(series.name, data):
            values = series.cast(pl.Float64)
        return values, None, "plain"
    if data.types.get(series.name) in ("category", "text"):
        return ty.canonical_text(series), None, "plain"
    if _numeric(series.name, data):
        # Also what would pass for codes, such as amounts of more digits than 64 bits hold.
        style = ty.number_form(ty.spellings(series), delimiter).style
        values = ty.convert(series, ty.Form("number", 1.0, style))
        if not ty.failures(series, values, data.missing).any():
            return ty.without(_whole(values), data.missing), None, style
    read = ty.read(series, series.name, delimiter)
    if read.form.kind == "boolean":
        # "Yes" stays "Yes": people know their classes by the spelling in the table.
        return *_one_spelling(series, read), "plain"
    return ty.without(read.values, data.missing), read.counts, read.form.style


def _numeric(name: str, data: DataSection) -> bool:
    """Whether a person said that the target is a number."""
    return data.task == "regression" or data.types.get(name) in ("number", "integer")


def _task(values: pl.Series, data: DataSection) -> tuple[Task, str]:
    """Decide by the values, or keep the task asked for where they allow it."""
    name, distinct = values.name, values.drop_nulls().n_unique()
    if distinct == 1:
        raise DataInvalid(
            f"The target {name!r} is constant.",
            why=f"Every row says {values.drop_nulls()[0]!r}; there is nothing to predict.",
            next_step="name another column: data.target in modelyard.yaml",
        )
    if values.dtype == pl.Datetime("us"):
        raise DataInvalid(
            f"The target {name!r} holds dates.",
            why="A class or a number can be predicted; a date cannot.",
            next_step="name another column, or turn the date into a number of days",
        )
    numeric = values.dtype.is_numeric()
    if data.task == "regression":
        if not numeric:
            texts = capped([repr(text) for text in values.drop_nulls().unique().sort()], 5)
            raise DataInvalid(
                f"The target {name!r} is not numeric, and data.task is regression.",
                why=f"Its values are {texts}.",
                next_step="set data.task: auto in modelyard.yaml",
            )
        return "regression", "as data.task says"
    counted = _whole(values).dtype == pl.Int64
    if data.task == "auto" and numeric and (not counted or distinct > _FEW_INTEGERS):
        what = "fractions" if not counted else f"{distinct} different whole numbers"
        return "regression", f"regression: the target holds {what}"
    if distinct > MAX_CLASSES:
        rather = "name another column: data.target in modelyard.yaml"
        if _like_numbers(values.unique()):
            rather = f"{FOR_NUMBERS} in modelyard.yaml"
        raise DataInvalid(
            f"The target {name!r} has {distinct} classes; at most {MAX_CLASSES} can be told apart.",
            why="A column of names or ids is seldom what one wants to predict.",
            next_step=f"merge rare classes, or {rather}",
        )
    if data.task == "binary" and distinct != 2:
        raise DataInvalid(
            f"The target {name!r} has {distinct} classes, and data.task is binary.",
            why="A binary target has two.",
            next_step="set data.task: auto in modelyard.yaml",
        )
    if distinct == 2:
        return "binary", "binary: the target has two values"
    return "multiclass", f"multiclass: the target has {distinct} values"


def _like_numbers(values: pl.Series) -> bool:
    """Whether regression could be asked for instead of classes."""
    present = values.drop_nulls()
    return not present.cast(pl.Float64, strict=False).null_count()


def _whole(values: pl.Series) -> pl.Series:
    """1.0 and 0.0 are 1 and 0: a column of whole numbers with gaps is often written as floats."""
    if values.dtype == pl.Float64:
        present = values.drop_nulls()
        if bool(present.is_finite().all()) and bool((present == present.round()).all()):
            whole = values.cast(pl.Int64, strict=False)
            return whole if whole.null_count() == values.null_count() else values
    return values


def _regression(series: pl.Series, values: pl.Series, reason: str, style: Style) -> Target:
    infinite = values.is_infinite() if values.dtype == pl.Float64 else None
    if infinite is not None and infinite.any():
        rows = [row + 1 for row in infinite.arg_true().to_list()]
        raise DataInvalid(
            f"The target {series.name!r} is infinite in row {capped(rows)}.",
            why="No model can learn from infinity.",
            next_step="mend those cells, or leave them empty",
        )
    lost = ty.failures(series, values)
    assert not lost.any()
    kind: ColumnKind = "integer" if values.dtype == pl.Int64 else "number"
    return Target("regression", values, kind, reason=reason, style=style)


def _one_spelling(series: pl.Series, read: ty.Read) -> tuple[pl.Series, pl.DataFrame | None]:
    """A boolean target in its own words, the most frequent spelling of each."""
    if read.counts is not None and set(read.counts.to_series(0)) == set(read.form.levels):
        return series, read.counts
    words = dict(zip((False, True), read.form.levels, strict=True))
    return read.values.replace_strict(words, default=None, return_dtype=pl.String), None


def _classes(
    texts: pl.Series, known: pl.DataFrame | None, task: Task, data: DataSection, reason: str
) -> Target:
    name = texts.name
    table = ty.text_counts(texts) if known is None else known
    counts = dict(table.iter_rows())
    rare = {label: rows for label, rows in sorted(counts.items()) if rows < MIN_CLASS_ROWS}
    small = capped(f"{label!r} ({rows})" for label, rows in rare.items())
    if small:
        mend = "merge rare classes, add rows of them, or leave their target cells empty"
        if _like_numbers(table.to_series(0)):
            mend += f", or {FOR_NUMBERS} in modelyard.yaml"
        raise DataInvalid(
            f"The target {name!r} has classes of fewer than {MIN_CLASS_ROWS} rows: {small}.",
            why="Each class must have a row to train on, one to validate and one to test.",
            next_step=mend,
        )
    classes = sorted(counts)
    positive = None
    if task == "binary":
        positive, why = _positive(counts, data)
        classes = [label for label in classes if label != positive] + [positive]
        reason = f"{reason}; {positive!r} is the class of interest: {why}"
    return Target(task, texts, "category", tuple(classes), positive, reason, table)


def _positive(counts: dict[str, int], data: DataSection) -> tuple[str, str]:
    if data.positive is not None:
        wanted = ty.text_of(data.positive)
        for label in counts:
            if label == wanted or label.lower() == wanted.lower():
                return label, "as data.positive says"
        raise DataInvalid(
            f"data.positive {wanted!r} is not a class of {data.target!r}"
            f"{nearest(wanted, counts) or '.'}",
            why=f"The classes are {capped(map(repr, sorted(counts)))}.",
            next_step="edit data.positive in modelyard.yaml",
        )
    telling = [label for label in counts if label.strip().lower() in _POSITIVE]
    if len(telling) == 1:
        return telling[0], "its name says so"
    rows = list(counts.values())
    if rows[0] != rows[1]:
        return min(counts, key=lambda label: counts[label]), "it is the rarer one"
    return max(counts), "both are as frequent; set data.positive for the other"
