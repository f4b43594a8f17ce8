"""The points of every plot, as tables for CSV: what `dvc plots` and the report draw from."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.forms import Floats, Ints, Task
from modelyard.models import curves
from modelyard.models.metrics import Target

MOST_POINTS = 500
MOST_CONFUSION_LINES = 10_000
MOST_CLASSES = 12
BINS = 30


@dataclass(frozen=True)
class Points:
    """One CSV: its header and its lines."""

    header: tuple[str, ...]
    lines: Sequence[Sequence[str | float | int]]

    def text(self) -> str:
        """The CSV, floats in six significant digits, so that diffs show what changed."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(self.header)
        for line in self.lines:
            writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in line])
        return out.getvalue()


def classification(
    y: Target, scores: Floats, decided: Ints, classes: Sequence[str], task: Task
) -> dict[str, Points]:
    """File name -> points: confusion, calibration, predictions, and ROC and PR curves.

    With more than two classes the curves are one class against the rest, for the most frequent
    MOST_CLASSES classes, and the calibration is that of the largest probability.
    """
    found = {
        "confusion.csv": _confusion(y, decided, classes),
        "roc.csv": _curves(y, scores, classes, task, "roc"),
        "pr.csv": _curves(y, scores, classes, task, "pr"),
    }
    said, hit = top_class(y, scores, task)
    bins = curves.calibration_curve(hit, said)
    found["calibration.csv"] = Points(
        ("predicted", "observed", "rows"),
        list(zip(bins.predicted.tolist(), bins.observed.tolist(), bins.rows.tolist(), strict=True)),
    )
    groups = (classes[0], classes[1]) if task == "binary" else ("wrong", "right")
    parts = {name: said[hit == code] for code, name in enumerate(groups)}
    found["predictions.csv"] = _histogram(parts, 0.0, 1.0)
    return found


def regression(y: Floats, predicted: Floats) -> dict[str, Points]:
    """File name -> points: residuals (at even steps of the sorted predictions) and predictions."""
    order = np.argsort(predicted, kind="stable")
    if len(order) > MOST_POINTS:
        order = order[np.linspace(0, len(order) - 1, MOST_POINTS).astype(np.int64)]
    residuals = (y - predicted)[order]
    # The few largest values must not push all others into one bin.
    low, high = np.quantile(np.concatenate([y, predicted]), [0.005, 0.995])
    return {
        "residuals.csv": Points(
            ("predicted", "actual", "residual"),
            list(
                zip(predicted[order].tolist(), y[order].tolist(), residuals.tolist(), strict=True)
            ),
        ),
        "predictions.csv": _histogram(
            {"actual": y, "predicted": predicted}, float(low), float(high)
        ),
    }


def importance(drops: Mapping[str, float]) -> Points:
    """The permutation importance, largest first."""
    return Points(("feature", "importance"), list(drops.items()))


def top_class(y: Target, scores: Floats, task: Task) -> tuple[Floats, Ints]:
    """What calibration compares: the probability of class 1 (or of the largest), and the truth."""
    if task == "binary":
        return scores[:, 1], (y == 1).astype(np.int64)
    return scores.max(axis=1), (scores.argmax(axis=1) == y).astype(np.int64)


def _curves(y: Target, scores: Floats, classes: Sequence[str], task: Task, kind: str) -> Points:
    make = curves.roc_curve if kind == "roc" else curves.pr_curve
    header = ("fpr", "tpr", "threshold") if kind == "roc" else ("recall", "precision", "threshold")
    if task == "binary":
        curve = make(y, scores[:, 1])
        return Points(header, np.stack(curve, axis=1).tolist())
    lines: list[list[str | float | int]] = []
    frequent = np.argsort(-np.bincount(y, minlength=len(classes)), kind="stable")[:MOST_CLASSES]
    for code in np.sort(frequent).tolist():
        hit = (y == code).astype(np.int64)
        if 0 < hit.sum() < len(y):
            curve = make(hit, scores[:, code], curves.POINTS // 4)
            lines += [[*point, classes[code]] for point in np.stack(curve, axis=1).tolist()]
    return Points((*header, "class"), lines)


def _confusion(y: Target, decided: Ints, classes: Sequence[str]) -> Points:
    """One line a row, as dvc's confusion template counts them; scaled down for large test sets."""
    cells = curves.confusion(y, decided, len(classes))
    if len(y) > MOST_CONFUSION_LINES:
        cells = np.round(cells * (MOST_CONFUSION_LINES / len(y))).astype(np.int64)
    return Points(
        ("actual", "predicted"),
        [
            (classes[actual], classes[predicted])
            for actual in range(len(classes))
            for predicted in range(len(classes))
            for _ in range(int(cells[actual, predicted]))
        ],
    )


def _histogram(groups: Mapping[str, Floats], low: float, high: float) -> Points:
    """Row counts in BINS equal bins; what lies outside counts in the outer bins."""
    if not high > low:
        low, high = low - 0.5, low + 0.5
    edges = np.linspace(low, high, BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    lines: list[tuple[float, str, int]] = []
    for name, values in groups.items():
        counts = np.histogram(np.clip(values, low, high), edges)[0]
        lines += [(float(m), name, int(n)) for m, n in zip(middles, counts.tolist(), strict=True)]
    return Points(("value", "group", "rows"), lines)
