"""How far distributions moved: the population stability index (PSI) of every column.

PSI = sum over bins of (actual - expected) * ln(actual / expected). Bins are the expected side's
deciles for numbers and its levels for categories; missing is a bin of its own. By custom below 0.1 is
no change, above 0.25 a strong one (Siddiqi, "Credit Risk Scorecards", 2006).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from modelyard.forms import Floats
from modelyard.records import Schema

BINS = 10
MAX_LEVELS = 50
FLOOR = 1e-4
"""An empty bin's share counts as this, so that the logarithm stays finite."""


@dataclass(frozen=True)
class Distribution:
    """A column's shares: between `edges` for numbers (outer bins open), by `levels` for texts.

    The last share of a text column is everything that is no level. `missing_share` stands apart;
    the shares are of the present values and sum to 1.
    """

    name: str
    edges: tuple[float, ...] = ()
    levels: tuple[str, ...] = ()
    shares: tuple[float, ...] = ()
    missing_share: float = 0.0


@dataclass(frozen=True)
class ReferenceData:
    """The training rows' distributions; the fields are those of the package's reference."""

    rows: int
    columns: tuple[Distribution, ...]
    scores: tuple[Distribution, ...] = ()


@dataclass(frozen=True)
class ColumnShift:
    """One column's move; `before` and `after` say it in words."""

    column: str
    psi: float
    before: str
    after: str


def psi(expected: Sequence[float] | Floats, actual: Sequence[float] | Floats) -> float:
    """The index of two lists of shares of the same bins."""
    old = np.maximum(np.asarray(expected, dtype=np.float64), FLOOR)
    new = np.maximum(np.asarray(actual, dtype=np.float64), FLOOR)
    return float(np.sum((new - old) * np.log(new / old)))


def distribution_of(name: str, series: pl.Series, bins: int = BINS) -> Distribution:
    """Describe a typed column."""
    missing = series.null_count() / max(1, len(series))
    if series.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        texts = series.cast(pl.String).drop_nulls()
        counts = texts.value_counts().sort(["count", texts.name], descending=[True, False])
        levels = tuple(counts[texts.name].head(MAX_LEVELS).to_list())
        blank = Distribution(name, levels=levels)
    else:
        values = _numbers(series)
        present = values[~np.isnan(values)]
        inner = np.unique(np.quantile(present, np.linspace(0, 1, bins + 1)[1:-1])) if len(
            present
        ) else np.array([])
        blank = Distribution(name, edges=tuple(float(edge) for edge in inner))
    return Distribution(name, blank.edges, blank.levels, shares_of(blank, series), missing)


def shares_of(known: Distribution, series: pl.Series) -> tuple[float, ...]:
    """The shares of a column's present values in another distribution's bins."""
    if known.levels:
        texts = series.cast(pl.String).drop_nulls()
        counts = dict(texts.value_counts().iter_rows())
        tally = [float(counts.get(level, 0)) for level in known.levels]
        tally.append(len(texts) - sum(tally))
    else:
        values = _numbers(series)
        place = np.searchsorted(known.edges, values[~np.isnan(values)], side="left")
        tally = np.bincount(place, minlength=len(known.edges) + 1).astype(float).tolist()
    whole = sum(tally)
    return tuple(count / whole if whole else 0.0 for count in tally)


def shift_of(known: Distribution, series: pl.Series) -> float:
    """PSI of a typed column against a known distribution, missing being a bin of its own."""
    missing = series.null_count() / max(1, len(series))
    old = [share * (1 - known.missing_share) for share in known.shares]
    new = [share * (1 - missing) for share in shares_of(known, series)]
    return psi([*old, known.missing_share], [*new, missing])


def column_shifts(old: pl.DataFrame, new: pl.DataFrame) -> list[ColumnShift]:
    """Every column that both frames have, in like types, sorted by PSI, the largest first."""
    found = []
    for name in old.columns:
        if name not in new.columns or _family(old[name]) != _family(new[name]):
            continue
        known = distribution_of(name, old[name])
        found.append(
            ColumnShift(name, shift_of(known, new[name]), in_words(old[name]), in_words(new[name]))
        )
    return sorted(found, key=lambda shift: -shift.psi)


def reference_of(
    frame: pl.DataFrame, schema: Schema, scores: Floats | None = None
) -> ReferenceData:
    """The distributions that go into the package: of every feature, and of the scores.

    Args:
        scores: shape (rows, k), the model's outputs on held-out rows.
    """
    columns = tuple(distribution_of(c.name, frame[c.name]) for c in schema.features)
    labels = schema.classes or (schema.target,)
    found = []
    for index, label in enumerate(labels if scores is not None else ()):
        assert scores is not None
        found.append(distribution_of(str(label), pl.Series(scores[:, index])))
    return ReferenceData(len(frame), columns, tuple(found))


def in_words(series: pl.Series) -> str:
    """A column's centre and spread, or its commonest levels, for people."""
    present = series.drop_nulls()
    missing = f", {series.null_count() / len(series):.0%} missing" if series.null_count() else ""
    if present.is_empty():
        return "all missing"
    if series.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Boolean):
        counts = present.cast(pl.String).value_counts().sort("count", descending=True)
        top = [f"{value} {count / len(present):.0%}" for value, count in counts.head(2).iter_rows()]
        return ", ".join(top) + missing
    if series.dtype.is_temporal():
        return f"{str(present.min())[:10]} to {str(present.max())[:10]}{missing}"
    numbers = present.cast(pl.Float64)
    return f"median {numbers.median():.4g}, mean {numbers.mean():.4g}{missing}"


def _numbers(series: pl.Series) -> Floats:
    if series.dtype.is_temporal():
        series = series.cast(pl.Datetime("us")).cast(pl.Int64).cast(pl.Float64) / 86_400_000_000
    return series.cast(pl.Float64).to_numpy().astype(np.float64)


def _family(series: pl.Series) -> str:
    if series.dtype in (pl.String, pl.Categorical, pl.Enum):
        return "text"
    if series.dtype == pl.Boolean:
        return "boolean"
    return "moment" if series.dtype.is_temporal() else "number"
