"""How far a column's distribution moved: the population stability index (PSI) of its bins.

PSI = sum over bins of (actual - expected) x ln(actual / expected). Numbers are binned at the
expected rows' deciles, categories by level, missing values are a bin of their own, and a moment is
judged by its hour, weekday and month. By custom 0.1 is a moderate and 0.25 a strong shift; what
chance alone gives to few rows is `noise` (Yurdakul and Naranjo 2020, "Statistical properties of the
population stability index": PSI of two samples is near (1/n + 1/m) times a chi-square).

The records have the fields of the model package's reference, and no more: pack writes them as such.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.records import Column, Schema

Shares = NDArray[np.float64]

BINS = 10
TOP_LEVELS = 50
OTHER = "(other)"
MODERATE = 0.1
STRONG = 0.25
PARTS = {"hour": 24, "weekday": 7, "month": 12}
"""Parts of a moment and how many values each takes; weekday and month are counted from 1."""

_FLOOR = 1e-4
_SAMPLE = 200_000
_NEARLY_EMPTY = 1.25
"""PSI of bins with few rows runs above the chi-square: by up to 23 % in simulations of 2 to 50 bins
and 50 to 5,000 rows."""

_MOMENTS = ("hour", "weekday", "month")


@dataclass(frozen=True)
class ColumnReference:
    """One column's distribution, as `modelyard_serve.contract.ColumnReference` holds it.

    Numbers: `edges` has one entry more than `shares`; bin i holds edges[i] <= x < edges[i + 1], the
    outer bins are open. Categories: `shares` has one entry more than `levels`, the last being
    everything else. Shares are of the rows that are not missing. A moment has an entry for each
    part, named `column.part`, with the part's values as levels.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    missing_share: float = 0.0


@dataclass(frozen=True)
class Reference:
    """The distributions of some rows' columns, and of the model's scores on some rows."""

    rows: int
    columns: tuple[ColumnReference, ...]
    scores: tuple[ColumnReference, ...] = ()


@dataclass(frozen=True)
class ColumnShift:
    """How far one column moved, and from what to what; for moments, which `part` moved most."""

    column: str
    psi: float
    noise: float
    before: str
    after: str
    part: str | None = None
    missing_before: float = 0.0
    missing_after: float = 0.0

    @property
    def verdict(self) -> str:
        """none, moderate or strong; a shift that chance explains is none."""
        return verdict(self.psi, self.noise)


def psi(
    expected: Sequence[float] | Shares, actual: Sequence[float] | Shares, *, floor: float = _FLOOR
) -> float:
    """The population stability index of two distributions over the same bins.

    Args:
        expected, actual: shares that add up to 1, shape (bins,).
        floor: an empty bin counts as this share, so that the logarithm exists.
    """
    before = np.maximum(np.asarray(expected, dtype=np.float64), floor)
    after = np.maximum(np.asarray(actual, dtype=np.float64), floor)
    return float(((after - before) * np.log(after / before)).sum())


def noise(bins: int, rows_before: int, rows_after: int) -> float:
    """What PSI stays below, but for one case in a thousand, where nothing but chance is at work.

    The chi-square's quantile is Wilson and Hilferty's (1931), so that scipy is not needed.
    """
    degrees = max(1, bins - 1)
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + 3.0902 * math.sqrt(spread)) ** 3
    return _NEARLY_EMPTY * quantile * (1 / max(1, rows_before) + 1 / max(1, rows_after))


def verdict(value: float, chance: float = 0.0) -> str:
    """Name a PSI: none, moderate (above 0.1) or strong (above 0.25), if it is above chance."""
    if value <= max(MODERATE, chance):
        return "none"
    return "strong" if value > STRONG else "moderate"


def reference_of(
    frame: pl.DataFrame,
    schema: Schema,
    bins: int = BINS,
    *,
    scores: NDArray[np.float64] | None = None,
) -> Reference:
    """Describe the rows that a model was trained on, for drift.

    Args:
        frame: typed by `schema`.
        scores: the model's outputs on held-out rows, shape (rows, classes or 1).
    """
    columns: list[ColumnReference] = []
    for column in schema.features:
        columns += describe(frame[column.name], column, bins)
    names = schema.classes or (schema.target,)
    found = (
        []
        if scores is None
        else [
            _describe_numbers(pl.Series(name, scores[:, index]), bins)
            for index, name in enumerate(names)
        ]
    )
    return Reference(frame.height, tuple(columns), tuple(found))


def describe(
    series: pl.Series, column: Column | None = None, bins: int = BINS
) -> list[ColumnReference]:
    """A column's distribution: one entry, or one for each part of a moment.

    The running month of `data.time` is left out: later data has other months by nature.
    """
    series = plain(series)
    if series.dtype == pl.Datetime("us"):
        timely = column is not None and column.role == "time"
        parts = [part for part in _MOMENTS if not (timely and part == "month")]
        return [_describe_levels(_part(series, part), _part_levels(part)) for part in parts]
    if series.dtype == pl.Boolean:
        return [_describe_levels(series.cast(pl.String), ("false", "true"))]
    if series.dtype == pl.String:
        return [_describe_levels(series, _top_levels(series))]
    return [_describe_numbers(series, bins)]


def plain(series: pl.Series) -> pl.Series:
    """A column as Boolean, Float64, Datetime("us") or String; NaN and infinity are missing."""
    dtype = series.dtype
    if dtype in (pl.Boolean, pl.String):
        return series
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.cast(pl.Datetime("us"))
    if dtype == pl.Date:
        return series.cast(pl.Datetime("us"))
    if dtype in (pl.Duration, pl.Time):
        return series.to_physical().cast(pl.Float64)
    if dtype.is_numeric() or dtype == pl.Null:
        numbers = series.cast(pl.Float64)
        if bool(numbers.is_finite().all()):
            return numbers
        return numbers.set((~numbers.is_finite()).fill_null(False), None)
    if isinstance(dtype, pl.Categorical | pl.Enum):
        return series.cast(pl.String)
    return pl.Series(series.name, [None if v is None else repr(v) for v in series], dtype=pl.String)


def counts(reference: ColumnReference, series: pl.Series) -> NDArray[np.int64]:
    """How many values fall into each bin of a reference, missing ones last.

    Counts of several blocks of rows may be added up.

    Returns:
        int64, shape (len(reference.shares) + 1,).
    """
    series = plain(series)
    missing = series.null_count()
    if series.dtype == pl.Datetime("us"):
        series = _part(series, reference.name.rpartition(".")[2])
    if reference.edges:
        inner = np.array(reference.edges[1:-1], dtype=np.float64)
        numbers = series.cast(pl.Float64, strict=False).drop_nulls().to_numpy()
        missing = len(series) - len(numbers)
        found = np.bincount(
            np.searchsorted(inner, numbers, side="right"), minlength=len(reference.shares)
        )
        return np.append(found, missing)
    place = {level: index for index, level in enumerate(reference.levels)}
    found = np.zeros(len(reference.levels) + 2, dtype=np.int64)
    for level, rows in series.cast(pl.String).drop_nulls().value_counts(name="\0rows").iter_rows():
        found[place.get(level, -2)] += rows
    found[-1] = missing
    if not reference.shares:  # nothing but missing values was there before
        return np.array([found[:-1].sum(), missing])
    return found


def column_shift(reference: ColumnReference, rows: int, found: NDArray[np.int64]) -> ColumnShift:
    """The shift from a reference of `rows` rows to counted values (see `counts`)."""
    expected = _with_missing(reference)
    after = int(found.sum())
    actual = found / max(1, after)
    floor = max(_FLOOR, 0.5 / max(1, min(rows, after)))
    used = int(((expected > 0) | (actual > 0)).sum())
    terms = (actual - expected) * np.log(np.maximum(actual, floor) / np.maximum(expected, floor))
    bin_ = int(terms.argmax())
    name, dot, part = reference.name.rpartition(".")
    timely = bool(dot) and part in PARTS and reference.levels == _part_levels(part)
    return ColumnShift(
        column=name if timely else reference.name,
        psi=psi(expected, actual, floor=floor),
        noise=noise(used, rows, after),
        before=_say(reference, expected, bin_),
        after=_say(reference, actual, bin_),
        part=part if timely else None,
        missing_before=float(expected[-1]),
        missing_after=float(actual[-1]),
    )


def column_shifts(
    old: pl.DataFrame, new: pl.DataFrame, columns: Iterable[str] | None = None, bins: int = BINS
) -> tuple[ColumnShift, ...]:
    """The shift of every column that both frames have, the largest first."""
    names = [name for name in old.columns if name in new.columns] if columns is None else columns
    found = []
    for name in names:
        before, after = plain(old[name]), plain(new[name])
        if before.dtype != after.dtype:
            before, after = _text(before), _text(after)
        parts = [
            column_shift(entry, len(before), counts(entry, after))
            for entry in describe(before, None, bins)
        ]
        largest = max(parts, key=lambda shift: shift.psi)
        if largest.part:
            largest = replace(largest, before=_range(before), after=_range(after))
        found.append(largest)
    return in_order(found)


def _text(series: pl.Series) -> pl.Series:
    """Any column as text; 3.0 is "3"."""
    texts = series.cast(pl.String)
    return texts.str.replace(r"\.0$", "") if series.dtype.is_float() else texts


def _range(moments: pl.Series) -> str:
    if moments.null_count() == len(moments):
        return "missing 100.0%"
    low, high = moments.sort(nulls_last=True).drop_nulls()[[0, -1]].dt.to_string("%Y-%m-%d")
    return f"{low} to {high}"


def in_order(shifts: Iterable[ColumnShift]) -> tuple[ColumnShift, ...]:
    """The largest first, equal ones by name."""
    return tuple(sorted(shifts, key=lambda shift: (-shift.psi, shift.column)))


def _describe_numbers(series: pl.Series, bins: int) -> ColumnReference:
    present = plain(series).drop_nulls().to_numpy()
    missing = 1 - len(present) / max(1, len(series))
    if not len(present):
        return ColumnReference(series.name, missing_share=missing)
    inner = _inner_edges(present, bins)
    found = np.bincount(np.searchsorted(inner, present, side="right"), minlength=len(inner) + 1)
    low, high = float(present.min()), float(present.max())
    edges = (min(low, float(inner[0])), *inner.tolist(), max(high, float(inner[-1])))
    return ColumnReference(series.name, edges=edges, shares=_shares(found), missing_share=missing)


def _inner_edges(present: Shares, bins: int) -> Shares:
    """Deciles; a value that alone fills a bin gets one of its own, closed on both sides."""
    some = np.sort(present[:: max(1, len(present) // _SAMPLE)])
    places = (np.arange(1, bins) * len(some)) // bins
    edges = np.unique(some[places])
    heavy = [
        value
        for value in edges
        if np.searchsorted(some, value, "right") - np.searchsorted(some, value) > len(some) / bins
    ]
    after = [some[place] for v in heavy if (place := np.searchsorted(some, v, "right")) < len(some)]
    top = []
    if heavy and heavy[-1] == some[-1] and some[-1] < np.finfo(np.float64).max:
        top = [np.nextafter(some[-1], np.inf)]
    middles = [value / 2 + following / 2 for value, following in zip(heavy, after, strict=False)]
    return np.unique(np.concatenate([edges, middles, top]))


def _top_levels(series: pl.Series) -> tuple[str, ...]:
    found = series.drop_nulls().value_counts(name="\0rows")
    ordered = found.sort(["\0rows", series.name], descending=[True, False])
    return tuple(ordered[series.name].head(TOP_LEVELS).to_list())


def _describe_levels(series: pl.Series, levels: tuple[str, ...]) -> ColumnReference:
    missing = series.null_count() / max(1, len(series))
    if missing == 1.0:
        return ColumnReference(series.name, levels=levels, missing_share=missing)
    empty = ColumnReference(series.name, levels=levels, shares=(0.0,) * (len(levels) + 1))
    return ColumnReference(
        series.name,
        levels=levels,
        shares=_shares(counts(empty, series)[:-1]),
        missing_share=missing,
    )


def _shares(found: NDArray[np.int64]) -> tuple[float, ...]:
    return tuple((found / found.sum()).tolist())


def _part(series: pl.Series, part: str) -> pl.Series:
    taken = {"hour": series.dt.hour, "weekday": series.dt.weekday, "month": series.dt.month}
    return taken[part]().cast(pl.String).alias(f"{series.name}.{part}")


def _part_levels(part: str) -> tuple[str, ...]:
    start = 0 if part == "hour" else 1
    return tuple(str(value) for value in range(start, start + PARTS[part]))


def _with_missing(reference: ColumnReference) -> Shares:
    present = np.array(reference.shares or (0.0,), dtype=np.float64)
    return np.append(present * (1 - reference.missing_share), reference.missing_share)


def _say(reference: ColumnReference, shares: Shares, index: int) -> str:
    """The bin that moved most, in words: "UA 24 %", "below 39.9 12 %", "missing 3 %"."""
    size = len(shares)
    if index == size - 1:
        what = "missing"
    elif reference.edges:
        low, high = reference.edges[index], reference.edges[index + 1]
        if size == 2:
            what = "present"
        elif index == 0:
            what = f"below {high:.4g}"
        elif index == size - 2:
            what = f"from {low:.4g}"
        else:
            what = f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"
    else:
        what = reference.levels[index] if index < len(reference.levels) else OTHER
        part = reference.name.rpartition(".")[2]
        if part in PARTS and reference.levels == _part_levels(part):
            what = f"{part} {what}"
    return f"{what} {shares[index]:.1%}"
