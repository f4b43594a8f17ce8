"""Columns that alone predict the target nearly perfectly, as a column filled in afterwards does.

Each column is cut into bins (quantiles, or categories; missing is a bin). The target's mean in each
bin of one half of the rows predicts the other half, and the reverse: an id, unique in each row,
shares no bin with the other half and so predicts nothing. Judged by the area under the ROC curve
(binary), by accuracy (multiclass), by R2 (regression; also by the squared rank correlation, since
bins blur a copy in another unit).
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.forms import Floats, Ints
from modelyard.records import Column, Schema

LIMIT = 0.99
_ROWS = 20_000
_CELLS = 4_000_000
_BINS = 64
_MIN_ROWS = 40
_MIN_CLASS = 10


def suspects(frame: pl.DataFrame, schema: Schema) -> list[tuple[str, float]]:
    """Name the features that predict the target by at least `LIMIT`, with their figure.

    Looks at 20,000 evenly spaced rows at most (fewer where the table is very wide).
    """
    features = [column for column in schema.features if column.kind != "text"]
    rows = min(_ROWS, max(2_000, _CELLS // max(1, len(features))))
    names = [schema.target, *(column.name for column in features)]
    step = max(1, -(-frame.height // rows))
    # Column by column: the frame's own gather_every copies every chunk of a large table first.
    sample = pl.DataFrame([frame[name].gather_every(step) for name in names])
    if sample.height < _MIN_ROWS or not features:
        return []
    # Neighbouring rows are often alike: halves are dealt at random, always the same way.
    half = np.random.default_rng(0).permutation(sample.height) % 2 == 0
    y = _target(sample[schema.target], schema)
    if schema.classes and np.bincount(y.argmax(axis=1), minlength=y.shape[1]).min() < _MIN_CLASS:
        return []
    found = []
    for column in features:
        figure = _figure(sample[column.name], column, y, half)
        if figure >= LIMIT:
            found.append((column.name, figure))
    return found


def _target(values: pl.Series, schema: Schema) -> Floats:
    """Shape (rows, classes) of zeros and ones, or (rows, 1)."""
    if not schema.classes:
        return np.asarray(values.cast(pl.Float64).to_numpy(), dtype=np.float64)[:, None]
    codes = values.replace_strict(
        {label: code for code, label in enumerate(schema.classes)}, return_dtype=pl.Int64
    )
    return np.asarray(np.eye(len(schema.classes))[codes.to_numpy()], dtype=np.float64)


def _figure(values: pl.Series, column: Column, y: Floats, half: NDArray[np.bool_]) -> float:
    bins, ranks = _bins(values, column)
    predicted = np.empty_like(y)
    for side in (half, ~half):
        predicted[~side] = _means(bins[side], y[side], int(bins.max()) + 1)[bins[~side]]
    if y.shape[1] == 2:
        return _auc(y[:, 1], predicted[:, 1])
    if y.shape[1] > 2:
        return float((predicted.argmax(axis=1) == y.argmax(axis=1)).mean())
    return max(_r2(y[:, 0], predicted[:, 0]), _rank_r2(y[:, 0], ranks))


def _bins(values: pl.Series, column: Column) -> tuple[Ints, Floats | None]:
    """Bin numbers from 0 (missing), and the values themselves where they have an order."""
    if column.kind in ("category", "text"):
        codes = values.rank("dense").fill_null(0)
        return codes.cast(pl.Int64).to_numpy(), None
    numbers = values.cast(pl.Int64) if values.dtype == pl.Datetime("us") else values
    floats = numbers.cast(pl.Float64).to_numpy()
    present = floats[~np.isnan(floats)]
    unique = np.unique(present)
    if len(unique) > _BINS:
        # The commonest values are bins of their own: a leak is often one value, such as 0.
        unique = np.unique(np.quantile(present, np.linspace(0, 1, _BINS + 1)))
        edges = np.unique(np.concatenate([unique, np.nextafter(unique, np.inf)]))
    else:
        edges = unique
    bins = np.searchsorted(edges, floats, side="right") + 1
    bins[np.isnan(floats)] = 0
    return bins.astype(np.int64), floats


def _means(bins: Ints, y: Floats, size: int) -> Floats:
    """The target's mean in each bin, drawn a little to the overall mean, which empty ones get."""
    overall = y.mean(axis=0)
    counts = np.bincount(bins, minlength=size)[:, None]
    sums = np.stack([np.bincount(bins, weights=c, minlength=size) for c in y.T], axis=1)
    return np.asarray((sums + overall) / (counts + 1.0), dtype=np.float64)


def _auc(y: Floats, score: Floats) -> float:
    ranks = pl.Series(score).rank("average").to_numpy()
    positive = y.sum()
    negative = len(y) - positive
    return float((ranks[y > 0].sum() - positive * (positive + 1) / 2) / (positive * negative))


def _r2(y: Floats, predicted: Floats) -> float:
    spread = ((y - y.mean()) ** 2).sum()
    return float(1.0 - ((y - predicted) ** 2).sum() / spread) if spread > 0 else 0.0


def _rank_r2(y: Floats, values: Floats | None) -> float:
    if values is None:
        return 0.0
    present = ~np.isnan(values)
    if present.sum() < 0.9 * len(values):
        return 0.0
    a = pl.Series(y[present]).rank("average").to_numpy()
    b = pl.Series(values[present]).rank("average").to_numpy()
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1] ** 2)
