"""The schema: infer it from a table; type a later table by it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace

import polars as pl

from modelyard.errors import SHOWN, DataInvalid, capped, nearest
from modelyard.records import Column, ColumnKind, Role, Schema
from modelyard.settings import DataSection
from modelyard.tables import typing as ty
from modelyard.tables.applying import conform
from modelyard.tables.moments import compact_dates
from modelyard.tables.stats import Stats
from modelyard.tables.target import Target, read_target

MAX_LEVELS = 1000
ID_SHARE = 0.9
ID_DISTINCT = 50
_TEXT_SPACES = 3.0
_ID_NAME = re.compile(r"(?:^|[^a-z])(?:id|uuid|guid|key|index|nr|no|number|rownum|row)$")


def apply(
    frame: pl.DataFrame,
    schema: Schema,
    *,
    target_optional: bool = True,
    missing: Iterable[str] = (),
    delimiter: str = ",",
) -> pl.DataFrame:
    """Type a later table by a schema: the schema's columns in its order, further ones left out.

    What does not parse is null, and so is a column that is not there; `validation.validate` names
    both. Rows are never dropped. Give `data.missing` and the delimiter where they are known.

    Raises:
        DataInvalid: the target is absent and not optional.
    """
    if not target_optional and schema.target not in frame.columns:
        raise _absent("target", schema.target, frame.columns)
    return conform(frame, schema, missing=tuple(missing), delimiter=delimiter).frame


def infer(
    frame: pl.DataFrame, data: DataSection, *, delimiter: str = ","
) -> tuple[pl.DataFrame, Schema]:
    """Type every column and decide its role.

    Returns:
        the typed table (all source columns in order; rows without a target are dropped) and its
        schema. Numbers are Float64 or Int64, booleans Boolean, categories and texts String (in the
        spelling of `typing.canonical_text`), moments Datetime("us").

    Raises:
        DataInvalid: a named column is absent, the target cannot be learned (see `target`), a value
            is infinite or not of the type that data.types gives, or no feature is left.
    """
    _refuse_absent(frame, data)
    if frame.is_empty():
        raise DataInvalid(
            "The table has no rows.",
            why="There is nothing to learn from.",
            next_step="give a table with at least one row",
        )
    target = read_target(frame[data.target], data, delimiter)
    kept = target.values.is_not_null()
    whole = bool(kept.all())
    if not whole:
        frame = frame.filter(kept)
    reads: list[ty.Read] = []
    words = data.missing
    for series in frame.get_columns():
        if series.name == data.target:
            form = ty.Form(target.kind, 1.0, target.style, reason=target.reason)
            values = target.values if whole else target.values.filter(kept)
            reads.append(ty.Read(values, form, target.counts))
        else:
            found = _typed(series, data, delimiter)
            if words and found.values.dtype.is_numeric() and series.name not in data.exclude:
                found = replace(found, values=ty.without(found.values, words))  # such as -999,0
            reads.append(found)
    typed_frame = pl.DataFrame([read.values for read in reads])
    _refuse_infinite(typed_frame, data, None if whole else kept)
    counts = {r.values.name: r.counts for r in reads if r.values.dtype == pl.String}
    stats = Stats(typed_frame, counts)
    columns = tuple(_column(read, data, target, stats) for read in reads)
    schema = Schema(
        task=target.task,
        target=data.target,
        classes=target.classes,
        positive=target.positive,
        missing=data.missing,
        columns=columns,
    )
    if not schema.features:
        left_out = [f"{c.name} ({c.reason})" for c in columns if c.name != data.target]
        raise DataInvalid(
            "No column is left to learn from.",
            why=capped(left_out) or "The target is the only column.",
            next_step="check data.exclude and data.types in modelyard.yaml, or add columns",
        )
    return typed_frame, schema


def in_words(frame: pl.DataFrame, schema: Schema, names: Iterable[str]) -> pl.DataFrame:
    """Booleans of the frame as the texts that they were read from."""
    words = {column.name: column.levels for column in schema.columns if len(column.levels) == 2}
    spelled = []
    for name in names:
        if name in words and frame.schema.get(name) == pl.Boolean:
            no, yes = words[name]
            spelled.append(frame[name].replace_strict([False, True], [no, yes]).alias(name))
    return frame.with_columns(spelled) if spelled else frame


def _typed(series: pl.Series, data: DataSection, delimiter: str) -> ty.Read:
    """Type one column: by data.types, else by its values."""
    name = series.name
    if name not in data.exclude:
        series = ty.without(series, data.missing)
    wanted = data.types.get(name)
    if series.dtype == pl.String:
        if wanted is None:
            return ty.read(series, name, delimiter)
        form = ty.wanted_form(series, wanted, name, delimiter)
        if wanted == "number" and form.kind == "integer":
            form = ty.Form("number", form.share)
        values = ty.convert(series, form)
        _refuse_unread(series, values, wanted, data)
        return ty.Read(values, form)
    values_or_none = ty.native(series)
    if values_or_none is None:
        empty = pl.Series(name, [None], dtype=pl.String).new_from_index(0, len(series))
        return ty.Read(
            empty, ty.Form("text", 0.0, reason=f"values of type {series.dtype} cannot be read")
        )
    values = values_or_none
    if wanted is None:
        if values.dtype == pl.Int64 and compact_dates(name):
            found = ty.read(values.cast(pl.String), name, delimiter)
            if found.form.kind == "datetime":
                return found
        return ty.Read(values, _native_form(values))
    return _as_wanted(values, wanted, data, delimiter)


def _native_form(values: pl.Series) -> ty.Form:
    dtype = values.dtype
    kinds: dict[pl.DataType, ColumnKind] = {
        pl.Int64(): "integer",
        pl.Float64(): "number",
        pl.Boolean(): "boolean",
        pl.Datetime("us"): "datetime",
    }
    kind = kinds.get(dtype, "category")
    return ty.Form(kind, 1.0, levels=("false", "true") if kind == "boolean" else ())


def _as_wanted(values: pl.Series, wanted: ColumnKind, data: DataSection, delimiter: str) -> ty.Read:
    """Turn a column that is not text into the kind that a person named."""
    natural = _native_form(values)
    if wanted == natural.kind:
        return ty.Read(values, natural)
    if wanted in ("category", "text"):
        return ty.Read(ty.canonical_text(values), ty.Form(wanted, 1.0))
    if wanted == "number" and natural.kind in ("integer", "boolean"):
        return ty.Read(values.cast(pl.Float64), ty.Form("number", 1.0))
    if wanted == "integer" and natural.kind == "boolean":
        return ty.Read(values.cast(pl.Int64), ty.Form("integer", 1.0))
    texts = ty.canonical_text(values)
    form = ty.wanted_form(texts, wanted, values.name, delimiter)
    converted = ty.convert(texts, form)
    _refuse_unread(texts, converted, wanted, data)
    return ty.Read(converted, form)


def _column(read: ty.Read, data: DataSection, target: Target, stats: Stats) -> Column:
    """Describe one typed column and decide its role."""
    series, form = read.values, read.form
    name = series.name
    missing, distinct = series.null_count(), stats.distinct(series)
    kind, reason = form.kind, form.reason
    levels: tuple[str, ...] = form.levels
    role = _named_role(name, data)
    if kind == "integer" and series.dtype == pl.Float64:
        kind = "number"
    if role == "excluded":
        reason = "named in data.exclude"
    elif role == "target" and target.classes:
        levels = _levels(read)
        distinct = len(levels)
    elif role == "feature":
        role, kind, why = _feature_role(read, distinct, missing, data)
        reason = why or reason
        if kind == "category" and role == "feature":
            levels = _levels(read)
    elif role in ("id", "group") and kind == "category":
        kind = "text"
    elif role == "time" and kind not in ("datetime", "number", "integer"):
        _refuse_time(series, form)
    low, high, mean = stats.range(name)
    return Column(
        name=name,
        kind=kind,
        role=role,
        missing=missing,
        distinct=distinct,
        levels=levels,
        minimum=low,
        maximum=high,
        mean=mean,
        time_format=form.time_format,
        style=form.style if kind in ("number", "integer") else "plain",
        reason=reason,
    )


def _named_role(name: str, data: DataSection) -> Role:
    roles: dict[str | None, Role] = {data.group: "group", data.time: "time", data.id: "id"}
    roles |= {data.target: "target"}
    return "excluded" if name in data.exclude else roles.get(name, "feature")


def _feature_role(
    read: ty.Read, distinct: int, missing: int, data: DataSection
) -> tuple[Role, ColumnKind, str]:
    """Leave out what cannot help: empty, constant, id-like and free text columns."""
    series, kind, why = read.values, read.form.kind, read.form.reason
    rows = len(series)
    present = rows - missing
    by_hand = series.name in data.types
    if present == 0:
        return "excluded", "text" if kind == "category" else kind, why or "every value is missing"
    if distinct == 1 and missing == 0:
        return "excluded", kind, "constant: every row has the same value"
    if kind == "text":
        return "excluded", "text", "free text is not read by any family"
    many = distinct > ID_DISTINCT
    if kind == "category" and not by_hand and many:
        spaces = series.drop_nulls().head(1000).str.count_matches(" ").mean()
        wordy = isinstance(spaces, float) and spaces >= _TEXT_SPACES
        if distinct > (0.5 if wordy else ID_SHARE) * present:
            what = "free text" if wordy else "id-like"
            return "excluded", "text", f"{what}: {distinct} different texts in {present} rows"
    if kind == "category" and distinct > MAX_LEVELS:
        return "feature", kind, f"{distinct} categories: the {MAX_LEVELS} most frequent are kept"
    named = kind == "integer" and not by_hand and many and _id_name(series.name)
    # `distinct` may be an estimate; a column of that name is worth an exact count.
    if named and series.drop_nulls().n_unique() == present:
        return "excluded", kind, f"id-like: {present} different numbers in {present} rows"
    return "feature", kind, ""


def _id_name(name: str) -> bool:
    return bool(_ID_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def _levels(read: ty.Read) -> tuple[str, ...]:
    """The most frequent spellings, then by name."""
    counts = ty.text_counts(read.values) if read.counts is None else read.counts
    return tuple(counts.to_series(0).head(MAX_LEVELS).to_list())


def _refuse_absent(frame: pl.DataFrame, data: DataSection) -> None:
    single = (("target", data.target), ("id", data.id), ("time", data.time), ("group", data.group))
    several = [("exclude", name) for name in data.exclude] + [
        ("types", name) for name in data.types
    ]
    for key, name in (*single, *several):
        if name is not None and name not in frame.columns:
            raise _absent(key, name, frame.columns)


def _absent(key: str, name: str, columns: list[str]) -> DataInvalid:
    one = " The table has one column only: is data.delimiter right?" if len(columns) == 1 else ""
    return DataInvalid(
        f"The {key} column {name!r} is not in the table{nearest(name, columns) or '.'}",
        why=f"Its columns are {capped(columns)}.{one}",
        next_step=f"edit data.{key} in modelyard.yaml",
    )


def _refuse_infinite(frame: pl.DataFrame, data: DataSection, kept: pl.Series | None) -> None:
    floats = [n for n, t in frame.schema.items() if t == pl.Float64 and n not in data.exclude]
    if not floats:
        return
    found = frame.select(pl.col(floats).is_infinite().any()).row(0, named=True)
    bad = [name for name, infinite in found.items() if infinite]
    if not bad:
        return
    # Rows are counted as in the source: those without a target were dropped before.
    numbers = None if kept is None else kept.arg_true()
    places = []
    total = 0
    for name in bad:
        rows = frame[name].is_infinite().arg_true()
        total += len(rows)
        for row in rows.head(SHOWN).to_list():
            places.append(f"row {(row if numbers is None else numbers[row]) + 1}, column {name!r}")
    more = f" and {total - SHOWN} more" if total > SHOWN else ""
    raise DataInvalid(
        f"{total} value{'s are' if total > 1 else ' is'} infinite: "
        f"{'; '.join(places[:SHOWN])}{more}.",
        why="No model can learn from infinity.",
        next_step="mend those cells, leave them empty, or leave the column out: "
        f"data.exclude: {json.dumps([*data.exclude, *bad], ensure_ascii=False)} in modelyard.yaml",
    )


def _refuse_unread(
    series: pl.Series, values: pl.Series, wanted: ColumnKind, data: DataSection
) -> None:
    lost = ty.failures(series, values, data.missing)
    if not lost.any():
        return
    rows = lost.arg_true()
    shown = "; ".join(f"row {row + 1}: {series[row]!r}" for row in rows.head(SHOWN).to_list())
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    name = series.name
    raise DataInvalid(
        f"Column {name!r} is not all {wanted}: {len(rows)} value"
        f"{'s do' if len(rows) > 1 else ' does'} not parse.",
        why=f"{shown}{more}.",
        next_step=f"mend them, add their spelling to data.missing, or change data.types.{name}",
    )


def _refuse_time(series: pl.Series, form: ty.Form) -> None:
    texts = series.cast(pl.String)
    best = ty.wanted_form(texts, "datetime", series.name, ",")
    lost = ty.failures(texts, ty.convert(texts, best)).arg_true()
    shown = "; ".join(f"row {row + 1}: {texts[row]!r}" for row in lost.head(SHOWN).to_list())
    shown = shown or "every value is missing"
    raise DataInvalid(
        f"The time column {series.name!r} holds values that are no dates.",
        why=f"{shown}{f' and {len(lost) - SHOWN} more' if len(lost) > SHOWN else ''}.",
        next_step="mend them, or remove data.time from modelyard.yaml",
    )
