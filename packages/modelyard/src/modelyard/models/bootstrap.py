"""Confidence intervals by the percentile bootstrap, and the paired comparison of two models.

Resamples are counts of each row, shape (resamples, rows), made in blocks that fit a cache; metrics
take them as weights (metrics.py), so that nothing is sorted or indexed again for each resample.
Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.

Above CAP rows a seeded sample of CAP rows is resampled, and the deviations are shrunk by
sqrt(CAP / rows), the rate at which a mean's spread falls; the value itself is always of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from modelyard.forms import Floats
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


def counts(rows: int, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield blocks of resamples as counts: each line sums to `rows`."""
    generator = np.random.default_rng(seed)
    step = max(1, BLOCK // max(1, rows))
    for start in range(0, resamples, step):
        lines = min(step, resamples - start)
        drawn = generator.integers(0, rows, size=(lines, rows), dtype=np.int64)
        drawn += np.arange(lines)[:, None] * rows
        flat = np.bincount(drawn.ravel(), minlength=lines * rows)
        yield flat.reshape(lines, rows).astype(np.float64)


def _kept(rows: int, seed: int) -> slice | np.ndarray[tuple[int], np.dtype[np.int64]]:
    if rows <= CAP:
        return slice(None)
    chosen = np.random.default_rng([seed, 1]).choice(rows, CAP, replace=False)
    chosen.sort()
    return chosen


def _bounds(
    value: float, centre: float, drawn: Floats, rows: int, confidence: float
) -> tuple[float, float]:
    """Percentiles of the resamples that gave a value, as deviations carried over to `value`."""
    drawn = drawn[np.isfinite(drawn)]
    if not len(drawn):
        return value, value
    tail = (1 - confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail])
    if rows <= CAP:
        return float(low), float(high)
    shrink = float(np.sqrt(CAP / rows))
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

    Returns:
        name -> Interval; a metric that is not defined on these rows is left out.
    """
    values = {name: metrics.score(name, y, scores, threshold) for name in names}
    defined = [name for name in names if np.isfinite(values[name])]
    kept = _kept(len(y), seed)
    part_y, part_scores = y[kept], scores[kept]
    ready = [metrics.prepare(name, part_y, part_scores, threshold) for name in defined]
    drawn = _draw(ready, len(part_y), resamples, seed)
    result = {}
    for name, weigh, line in zip(defined, ready, drawn, strict=True):
        centre = float(weigh(np.ones((1, len(part_y))))[0]) if len(y) > CAP else values[name]
        low, high = _bounds(values[name], centre, line, len(y), confidence)
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
) -> Paired:
    """How much better a is than b on the same rows, each resample scoring both.

    The rows' shared luck cancels, which makes the test far sharper than two intervals beside each
    other. Models that give equal scores give exactly (0, 0, 0).

    Args:
        metric: a key of metrics.METRICS.
        y: (rows,) class indices or values.
        scores_a, scores_b: (rows, classes) or (rows, 1) of the two models.
        confidence, resamples, seed: as in `intervals`.
        threshold_a, threshold_b: of class 1, each model's own.
    """
    value = metrics.improvement(
        metric,
        metrics.score(metric, y, scores_a, threshold_a),
        metrics.score(metric, y, scores_b, threshold_b),
    )
    kept = _kept(len(y), seed)
    part_y = y[kept]
    ready = [
        metrics.prepare(metric, part_y, scores_a[kept], threshold_a),
        metrics.prepare(metric, part_y, scores_b[kept], threshold_b),
    ]
    drawn = _draw(ready, len(part_y), resamples, seed)
    sign = 1.0 if metrics.METRICS[metric].direction == "maximize" else -1.0
    once = np.ones((1, len(part_y)))
    centre = value
    if len(y) > CAP:
        centre = sign * float(ready[0](once)[0] - ready[1](once)[0])
    low, high = _bounds(value, centre, sign * (drawn[0] - drawn[1]), len(y), confidence)
    return Paired(value, low, high)


def _draw(ready: Sequence[Weigh], rows: int, resamples: int, seed: int) -> Floats:
    """Every prepared metric on every resample: shape (metrics, resamples)."""
    out = np.empty((len(ready), resamples))
    at = 0
    for block in counts(rows, resamples, seed):
        for line, weigh in enumerate(ready):
            out[line, at : at + len(block)] = weigh(block)
        at += len(block)
    return out
