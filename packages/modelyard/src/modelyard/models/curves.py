"""Curves and tables of a classifier's scores: ROC, precision-recall, calibration, confusion."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from modelyard.forms import Floats, Ints
from modelyard.models.metrics import Target, steps

POINTS = 200
"""A curve is thinned to at most this many points."""


class Curve(NamedTuple):
    """Points of a curve and the thresholds that give them, from the highest to the lowest."""

    x: Floats
    y: Floats
    threshold: Floats


def roc_curve(y: Target, p: Floats, points: int = POINTS) -> Curve:
    """False positive rate (x) and true positive rate (y), from (0, 0) to (1, 1), thinned."""
    cuts, found, wrong = steps(y, p)
    fpr = np.append(0.0, wrong / max(1.0, wrong[-1]))
    tpr = np.append(0.0, found / max(1.0, found[-1]))
    return _thin(Curve(fpr, tpr, np.append(max(1.0, cuts[0]), cuts)), points)


def pr_curve(y: Target, p: Floats, points: int = POINTS) -> Curve:
    """Recall (x) and precision (y), thinned."""
    cuts, found, wrong = steps(y, p)
    recall = found / max(1.0, found[-1])
    return _thin(Curve(recall, found / (found + wrong), cuts), points)


def _thin(curve: Curve, points: int) -> Curve:
    """Keep both ends and points at even steps along the curve's length."""
    if len(curve.x) <= points:
        return curve
    steps = np.abs(np.diff(curve.x)) + np.abs(np.diff(curve.y))
    along = np.append(0.0, np.cumsum(steps))
    wanted = np.linspace(0.0, along[-1], points)
    kept = np.unique(np.minimum(np.searchsorted(along, wanted), len(along) - 1))
    kept[0], kept[-1] = 0, len(along) - 1
    return Curve(curve.x[kept], curve.y[kept], curve.threshold[kept])


class Calibration(NamedTuple):
    """Bins of equal row counts: the mean probability said, the share found, the rows."""

    predicted: Floats
    observed: Floats
    rows: Ints


def calibration_curve(hit: Target, p: Floats, bins: int = 10) -> Calibration:
    """Compare said probabilities with what came true.

    Equal probabilities stay in one bin. For more than two classes hand in the top class's
    probability and whether it was right.

    Args:
        hit: (rows,) 0 or 1.
        p: (rows,) probabilities.
        bins: at most so many.
    """
    order = np.argsort(p, kind="stable")
    ranked = p[order]
    edges = np.unique(np.linspace(0, len(p), bins + 1).astype(np.int64)[1:-1])
    # An edge inside a run of equal probabilities moves to the nearer end of the run.
    left = np.searchsorted(ranked, ranked[edges], side="left")
    right = np.searchsorted(ranked, ranked[edges], side="right")
    moved = np.where(edges - left <= right - edges, left, right)
    starts = np.unique(np.append(0, moved[moved < len(p)]))
    rows = np.diff(np.append(starts, len(p)))
    predicted = np.add.reduceat(ranked, starts) / rows
    observed = np.add.reduceat((hit[order] == 1).astype(np.float64), starts) / rows
    return Calibration(predicted, observed, rows.astype(np.int64))


def calibration_error(hit: Target, p: Floats, bins: int = 10) -> float:
    """Expected calibration error over bins of equal row counts (Nixon et al. 2019)."""
    curve = calibration_curve(hit, p, bins)
    return float((curve.rows * np.abs(curve.predicted - curve.observed)).sum() / curve.rows.sum())


def confusion(y: Target, decided: Ints, classes: int) -> Ints:
    """Row counts, shape (classes, classes): actual class down, decided class across."""
    cells = np.bincount(y * classes + decided, minlength=classes * classes)
    return cells.reshape(classes, classes).astype(np.int64)
