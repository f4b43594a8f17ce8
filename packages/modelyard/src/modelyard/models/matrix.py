"""The typed table -> the signature, the matrix, the target: what every family is fitted on.

The encoding itself is the serve half's (`modelyard_serve.encoding`): one canonicaliser for training
and serving (docs/adr/0003-one-canonicaliser.md). This file only chooses what it is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataInvalid
from modelyard.forms import Floats, Shape
from modelyard.models.family import skewed
from modelyard.records import Column, Schema
from modelyard.settings import DataSection
from modelyard_serve.contract import Feature
from modelyard_serve.encoding import PARTS, Matrix, date_parts, encode_column, respelled

TIME_PARTS = ("month", "day", "weekday", "hour")
"""Parts of `data.time`: its running value is left out, since that moment never comes back."""

MAX_LEVELS = 1000
MIN_LEVEL_ROWS = 2
_CODE = re.compile(r"[+-]?(0[0-9]|[0-9]{19})")
"""What a number would spoil: 0042, or more digits than 64 bits hold."""


@dataclass(frozen=True)
class Sides:
    """The rows of each side, as row numbers of the table."""

    dev: NDArray[np.int64]
    test: NDArray[np.int64]


def sides(split: pl.DataFrame) -> Sides:
    """Read split's table: dev is train + valid."""
    held_out = (split["side"].cast(pl.String) == "test").to_numpy()
    return Sides(np.flatnonzero(~held_out), np.flatnonzero(held_out))


def clusters(data: DataSection, split: Path, rows: NDArray[np.int64]) -> NDArray[np.uint64] | None:
    """What rows of one group or id share, shape (rows,); None where each stands for itself.

    Args:
        data: names the group or the id.
        split: split's table.
        rows: row numbers of the table.
    """
    if not (data.group or data.id):
        return None
    keys: NDArray[np.uint64] = pl.read_parquet(split, columns=["key"])["key"].to_numpy()[rows]
    return keys


def as_text(schema: Schema) -> frozenset[str]:
    """Columns whose cells a reader of text must leave as they stand.

    Numbers that are written with marks (1.234,5), and categories with a level that a column of
    numbers or truth values would spell otherwise: 0042, 1.0, True.
    """
    return frozenset(
        column.name
        for column in schema.columns
        if column.style != "plain"
        or (column.kind == "category" and any(map(_spoiled, column.levels)))
    )


def _spoiled(level: str) -> bool:
    return _CODE.match(level) is not None or respelled(level) not in (None, level)


def signature(schema: Schema, dev: pl.DataFrame) -> tuple[Feature, ...]:
    """Derive the model's inputs from the schema and the train + valid rows.

    Levels, ranges and typical values come from these rows alone: what only the test rows hold is
    unseen, as it will be in production.

    Raises:
        DataInvalid: no column is left to learn from.
    """
    features = [_feature(column, dev[column.name]) for column in schema.features]
    kept = tuple(
        msgspec.structs.replace(feature, missing=schema.missing)
        for feature in features
        if feature is not None
    )
    if not kept:
        raise DataInvalid(
            "No column is left to learn from.",
            why="Every column is the target, an id, excluded, constant or empty.",
            next_step="edit data.exclude and data.types in modelyard.yaml",
        )
    return kept


def _feature(column: Column, values: pl.Series) -> Feature | None:
    missing = values.null_count() / max(1, len(values))
    if missing == 1.0:
        return None
    if column.kind == "category":
        # The column may be called count: its name and that of its rows must not meet.
        counts = values.alias("level").drop_nulls().value_counts(name="rows")
        counts = counts.sort(["rows", "level"], descending=[True, False])
        rows_needed = MIN_LEVEL_ROWS if len(counts) > 20 else 1
        levels = counts.filter(pl.col("rows") >= rows_needed)["level"].to_list()[:MAX_LEVELS]
        if not levels:
            return None
        return Feature(
            name=column.name,
            kind="category",
            levels=tuple(levels),
            typical=levels[0],
            missing_share=missing,
        )
    if column.kind == "boolean":
        share = values.mean()
        return Feature(
            name=column.name,
            kind="boolean",
            levels=column.levels,
            typical=bool(isinstance(share, float) and share >= 0.5),
            missing_share=missing,
        )
    if column.kind == "datetime":
        return _datetime(column, values, missing)
    numbers = values.cast(pl.Float64)
    low, high, middle = numbers.min(), numbers.max(), numbers.median()
    assert isinstance(low, float)
    assert isinstance(high, float)
    assert isinstance(middle, float)
    return Feature(
        name=column.name,
        kind="integer" if column.kind == "integer" else "number",
        minimum=low,
        maximum=high,
        typical=int(middle) if column.kind == "integer" else middle,
        style=column.style,
        missing_share=missing,
    )


def _datetime(column: Column, values: pl.Series, missing: float) -> Feature | None:
    moments = values.to_numpy().astype("datetime64[us]")
    wanted = TIME_PARTS if column.role == "time" else PARTS
    numbers = date_parts(moments, wanted)
    varied = [
        part
        for index, part in enumerate(wanted)
        if len(np.unique(numbers[~np.isnan(numbers[:, index]), index])) > 1
    ]
    if not varied:
        return None
    present = np.sort(moments[~np.isnat(moments)])
    days = present.astype(np.int64) / 86_400_000_000
    middle = present[len(present) // 2].astype("datetime64[s]")
    return Feature(
        name=column.name,
        kind="datetime",
        parts=tuple(varied),
        time_format=column.time_format,
        minimum=float(days[0]),
        maximum=float(days[-1]),
        typical=str(middle),
        missing_share=missing,
    )


def build(features: Sequence[Feature], frame: pl.DataFrame) -> Matrix:
    """Encode a typed frame; float64, shape (rows, width)."""
    matrix = np.empty((len(frame), sum(f.width for f in features)), dtype=np.float64)
    start = 0
    for feature in features:
        block = matrix[:, start : start + feature.width]
        series = frame[feature.name]
        if feature.kind == "category":
            block[:, 0] = _codes(feature, series)
        else:
            block[:] = encode_column(feature, raw_values(feature, series))
        start += feature.width
    return matrix


def raw_values(feature: Feature, series: pl.Series) -> Any:
    """A typed column as the encoding takes it: numpy for numbers and dates, a list for texts."""
    if feature.kind == "category":
        return series.to_list()
    if feature.kind == "datetime":
        return series.to_numpy().astype("datetime64[us]")
    return series.cast(pl.Float64).to_numpy()


def raw_columns(features: Sequence[Feature], frame: pl.DataFrame) -> dict[str, Any]:
    """Every feature's raw values, for `Scorer.score`."""
    return {feature.name: raw_values(feature, frame[feature.name]) for feature in features}


def _codes(feature: Feature, series: pl.Series) -> Floats:
    """Encode each distinct spelling once, then gather: large tables have few spellings."""
    spellings = series.drop_nulls().unique()
    if spellings.is_empty():
        return np.full(len(series), np.nan)
    codes = encode_column(feature, spellings.to_list())[:, 0]
    mapped = series.replace_strict(spellings, codes, default=None, return_dtype=pl.Float64)
    return mapped.to_numpy().astype(np.float64)


def target(schema: Schema, frame: pl.DataFrame) -> NDArray[Any]:
    """The target: int64 class indices in the order of `schema.classes`, or float64 values."""
    series = frame[schema.target]
    if schema.task == "regression":
        return series.cast(pl.Float64).to_numpy()
    index = {name: code for code, name in enumerate(schema.classes)}
    return series.replace_strict(index, return_dtype=pl.Int64).to_numpy()


def shape_of(features: Sequence[Feature], schema: Schema, y: NDArray[Any]) -> Shape:
    """What a family may know of the matrix before it is fitted; y is the rows' target."""
    categorical: list[int] = []
    levels: list[int] = []
    start = 0
    for feature in features:
        if feature.kind == "category":
            categorical.append(start)
            levels.append(len(feature.levels))
        start += feature.width
    return Shape(
        rows=len(y),
        width=start,
        task=schema.task,
        classes=len(schema.classes),
        categorical=tuple(categorical),
        levels=tuple(levels),
        skewed=schema.task == "regression" and skewed(y),
    )
