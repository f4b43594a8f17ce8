"""Confidence intervals by the percentile bootstrap, and the paired comparison of two models.

Resamples are counts of each row, shape (resamples, rows), made in blocks that fit a cache; metrics
take them as weights (metrics.py), so that nothing is sorted or indexed again for each resample.
Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.

Rows of one cluster, such as a customer's, are drawn together: as single rows they would pass for
more evidence than they are (Davison & Hinkley, Bootstrap Methods and their Application (1997),
section 3.8).

Above CAP rows a seeded sample of CAP rows is resampled, and the deviations are shrunk by
sqrt(CAP / rows), the rate at which a mean's spread falls; those of clusters are not, for a sample
of rows holds nearly as many clusters. The value itself is always of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from modelyard.forms import Floats, Ints
from modelyard.models import metrics
from modelyard.models.metrics import Target, Weigh
from modelyard.records import Interval

CAP = 50_000
BLOCK = 1 << 19
"""Counts of one block: 4 MB of float64."""


class Paired(NamedTuple):
    """How much better a is than b, with the interval; positive is better in either direction."""

    improvement: float
    low: float
    high: float


def counts(rows: int, resamples: int, seed: int, clusters: Ints | None = None) -> Iterator[Floats]:
    """Yield blocks of resamples as counts of each row, shape (some resamples, rows).

    Each line sums to `rows`; with clusters (their number for each row, from 0) each draws as many
    clusters as there are.
    """
    generator = np.random.default_rng(seed)
    units = rows if clusters is None else int(clusters.max()) + 1
    step = max(1, BLOCK // max(1, rows))
    for start in range(0, resamples, step):
        lines = min(step, resamples - start)
        drawn = generator.integers(0, units, size=(lines, units), dtype=np.int64)
        drawn += np.arange(lines)[:, None] * units
        flat = np.bincount(drawn.ravel(), minlength=lines * units)
        found = flat.reshape(lines, units).astype(np.float64)
        yield found if clusters is None else found[:, clusters]


class _Sample(NamedTuple):
    """What is resampled: which rows, their clusters, and how much further spread it shows."""

    rows: slice | Ints
    clusters: Ints | None
    shrink: float


def _sample(rows: int, clusters: NDArray[Any] | None, seed: int) -> _Sample:
    """At most CAP rows. One cluster alone tells nothing of others: then rows are drawn."""
    chosen: slice | Ints = slice(None)
    if rows > CAP:
        chosen = np.random.default_rng([seed, 1]).choice(rows, CAP, replace=False)
        chosen.sort()
    part = min(rows, CAP)
    if clusters is not None:
        places = np.unique(clusters[chosen], return_inverse=True)[1].astype(np.int64)
        if 1 < int(places.max()) + 1 < part:
            # How clusters differ is seen as well in a part of their rows: nothing is shrunk.
            return _Sample(chosen, places, 1.0)
    return _Sample(chosen, None, float(np.sqrt(part / rows)))


def _bounds(
    value: float, centre: float, drawn: Floats, shrink: float, confidence: float
) -> tuple[float, float]:
    """Percentiles of the resamples that gave a value, as deviations carried over to `value`."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return value, value
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    return value + float(low - centre) * shrink, value + float(high - centre) * shrink


def intervals(
    names: Sequence[str],
    y: Target,
    scores: Floats,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    threshold: float | None = None,
    clusters: NDArray[Any] | None = None,
) -> dict[str, Interval]:
    """Several metrics with their intervals, on the same resamples.

    Args:
        names: keys of metrics.METRICS.
        y: (rows,) class indices or values.
        scores: (rows, classes) or (rows, 1).
        confidence: of the interval, such as 0.95.
        resamples: how many.
        seed: the same seed gives the same interval.
        threshold: of class 1, for the metrics that decide.
        clusters: (rows,) anything that rows of one cluster share; None: every row is its own.

    Returns:
        name -> Interval; a metric that is not defined on these rows is left out.
    """
    values = {name: metrics.score(name, y, scores, threshold) for name in names}
    defined = [name for name in names if np.isfinite(values[name])]
    sample = _sample(len(y), clusters, seed)
    part_y, part_scores = y[sample.rows], scores[sample.rows]
    ready = [metrics.prepare(name, part_y, part_scores, threshold) for name in defined]
    drawn = _draw(ready, len(part_y), resamples, seed, sample.clusters)
    result = {}
    for name, weigh, line in zip(defined, ready, drawn, strict=True):
        part = len(part_y) < len(y)
        centre = float(weigh(np.ones((1, len(part_y))))[0]) if part else values[name]
        low, high = _bounds(values[name], centre, line, sample.shrink, confidence)
        result[name] = Interval(value=values[name], low=low, high=high)
    return result


def interval(
    metric: str,
    y: Target,
    scores: Floats,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    threshold: float | None = None,
) -> Interval:
    """One metric with its interval; see `intervals`. NaN in all three where it is not defined."""
    found = intervals(
        [metric],
        y,
        scores,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        threshold=threshold,
    )
    missing = float("nan")
    return found.get(metric, Interval(value=missing, low=missing, high=missing))


def paired(
    metric: str,
    y: Target,
    scores_a: Floats,
    scores_b: Floats,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    threshold_a: float | None = None,
    threshold_b: float | None = None,
    clusters: NDArray[Any] | None = None,
) -> Paired:
    """How much better a is than b on the same rows, each resample scoring both.

    The rows' shared luck cancels, which makes the test far sharper than two intervals beside each
    other. Models that give equal scores give exactly (0, 0, 0).

    Args:
        metric: a key of metrics.METRICS.
        y: (rows,) class indices or values.
        scores_a, scores_b: (rows, classes) or (rows, 1) of the two models.
        confidence, resamples, seed, clusters: as in `intervals`.
        threshold_a, threshold_b: of class 1, each model's own.
    """
    value = metrics.improvement(
        metric,
        metrics.score(metric, y, scores_a, threshold_a),
        metrics.score(metric, y, scores_b, threshold_b),
    )
    sample = _sample(len(y), clusters, seed)
    part_y = y[sample.rows]
    ready = [
        metrics.prepare(metric, part_y, scores_a[sample.rows], threshold_a),
        metrics.prepare(metric, part_y, scores_b[sample.rows], threshold_b),
    ]
    drawn = _draw(ready, len(part_y), resamples, seed, sample.clusters)
    sign = 1.0 if metrics.METRICS[metric].direction == "maximize" else -1.0
    once = np.ones((1, len(part_y)))
    centre = value
    if len(part_y) < len(y):
        centre = sign * float(ready[0](once)[0] - ready[1](once)[0])
    low, high = _bounds(value, centre, sign * (drawn[0] - drawn[1]), sample.shrink, confidence)
    return Paired(value, low, high)


def _draw(
    ready: Sequence[Weigh], rows: int, resamples: int, seed: int, clusters: Ints | None
) -> Floats:
    """Every prepared metric on every resample: shape (metrics, resamples)."""
    out = np.empty((len(ready), resamples))
    at = 0
    for block in counts(rows, resamples, seed, clusters):
        for line, weigh in enumerate(ready):
            out[line, at : at + len(block)] = weigh(block)
        at += len(block)
    return out
