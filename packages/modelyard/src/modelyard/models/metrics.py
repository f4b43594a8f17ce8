"""Every metric, in one table; numpy only, since importing scikit-learn costs seconds.

A metric is given in two steps. `prepare(y, scores, threshold)` does what does not depend on the
weights of the rows (sorting, losses), and returns a function from weights, shape (resamples, rows),
to values, shape (resamples,). A plain score is one resample of ones; the bootstrap (bootstrap.py)
hands in counts. So the figure and its interval cannot be two definitions.

`y` is int64 class indices, or float64 values (regression). `scores` is float64: (rows, classes)
probabilities in class order, or (rows, 1) values. Where a value is not defined (one class only, a
zero under a percentage) it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import UsageError, capped, nearest
from modelyard.forms import Floats, Ints, Task

Target = NDArray[Any]
Weigh = Callable[[Floats], Floats]
Prepare = Callable[[Target, Floats, float | None], Weigh]
Direction = Literal["maximize", "minimize"]

CLASSIFICATION: tuple[Task, ...] = ("binary", "multiclass")


@dataclass(frozen=True)
class Metric:
    """One metric. `bounded` says that its values lie in 0..1; `title` is its name for people."""

    name: str
    title: str
    tasks: tuple[Task, ...]
    direction: Direction
    function: Prepare
    bounded: bool


# --- metrics that are sums over rows -------------------------------------------------------------


def _ratio(top: Floats, bottom: Floats, empty: float = np.nan) -> Floats:
    """top / bottom, and `empty` where bottom is 0."""
    full: Floats = np.full(np.broadcast_shapes(top.shape, bottom.shape), empty)
    np.divide(top, bottom, out=full, where=bottom != 0)
    return full


def _mean_of(loss: Callable[[Target, Floats], Floats], root: bool = False) -> Prepare:
    """A metric that is the mean of a loss of each row (or the root of that mean)."""

    def prepare(y: Target, scores: Floats, threshold: float | None) -> Weigh:
        losses = loss(y, scores)

        def weigh(weights: Floats) -> Floats:
            mean = _ratio(weights @ losses, weights.sum(axis=1))
            return np.sqrt(mean) if root else mean

        return weigh

    return prepare


def _log_losses(y: Target, scores: Floats) -> Floats:
    chosen = scores[np.arange(len(y)), y]
    tiny = np.finfo(np.float64).eps
    return -np.log(np.clip(chosen, tiny, 1 - tiny))


def _brier_losses(y: Target, scores: Floats) -> Floats:
    return np.square(scores[:, 1] - y)


def _squares(y: Target, scores: Floats) -> Floats:
    return np.square(scores[:, 0] - y)


def _distances(y: Target, scores: Floats) -> Floats:
    return np.abs(scores[:, 0] - y)


def _shares(y: Target, scores: Floats) -> Floats:
    size = np.abs(y)
    # A target at or near zero makes a percentage meaningless: the whole metric becomes NaN.
    if not len(y) or size.min() <= 1e-9 * max(1e-300, float(size.max())):
        return np.full(len(y), np.nan)
    return np.abs(scores[:, 0] - y) / size


def _r2(y: Target, scores: Floats, threshold: float | None) -> Weigh:
    # Centred first, so that the variance of large values does not drown in rounding.
    centred = y - y.mean() if len(y) else y
    parts = np.stack([np.square(scores[:, 0] - y), centred, np.square(centred)], axis=1)

    def weigh(weights: Floats) -> Floats:
        residual, first, second = (weights @ parts).T
        spread = second - np.square(first) / weights.sum(axis=1)
        flat = spread <= 1e-12 * np.maximum(second, 1e-300)
        return 1 - _ratio(residual, np.where(flat, 0.0, spread))

    return weigh


def _median_distance(y: Target, scores: Floats, threshold: float | None) -> Weigh:
    distances = _distances(y, scores)
    order = np.argsort(distances, kind="stable")
    ascending = distances[order]

    def weigh(weights: Floats) -> Floats:
        upto = np.cumsum(weights[:, order], axis=1)
        total = upto[:, -1]
        # The middle row, or the two middle rows, of the sample that the counts stand for.
        low = (upto <= np.floor((total - 1) / 2)[:, None]).sum(axis=1)
        high = (upto <= np.floor(total / 2)[:, None]).sum(axis=1)
        middle: Floats = (ascending[low] + ascending[high]) / 2
        return middle

    return weigh


# --- metrics of the decided class ----------------------------------------------------------------


def decide(scores: Floats, threshold: float | None = None) -> Ints:
    """The class index of each row: by the threshold (binary, 0.5 where None), else the largest."""
    if scores.shape[1] == 2:
        cut = 0.5 if threshold is None else threshold
        decided: Ints = (scores[:, 1] >= cut).astype(np.int64)
        return decided
    return np.asarray(scores.argmax(axis=1), dtype=np.int64)


def _of_counts(formula: Callable[[Floats, Floats, Floats], Floats]) -> Prepare:
    """A metric of the weights of hits, actual and predicted rows, each (resamples, classes)."""

    def prepare(y: Target, scores: Floats, threshold: float | None) -> Weigh:
        classes = np.arange(scores.shape[1])
        actual = (y[:, None] == classes).astype(np.float64)
        predicted = (decide(scores, threshold)[:, None] == classes).astype(np.float64)
        parts = np.hstack([actual * predicted, actual, predicted])
        width = len(classes)

        def weigh(weights: Floats) -> Floats:
            sums = weights @ parts
            return formula(sums[:, :width], sums[:, width : 2 * width], sums[:, 2 * width :])

        return weigh

    return prepare


def _accuracy(hits: Floats, actual: Floats, predicted: Floats) -> Floats:
    return _ratio(hits.sum(axis=1), actual.sum(axis=1))


def _balanced(hits: Floats, actual: Floats, predicted: Floats) -> Floats:
    return _mean_present(_ratio(hits, actual), actual > 0)


def _macro_f1(hits: Floats, actual: Floats, predicted: Floats) -> Floats:
    both = actual + predicted
    return _mean_present(_ratio(2 * hits, both), both > 0)


def _f1(hits: Floats, actual: Floats, predicted: Floats) -> Floats:
    return _ratio(2 * hits[:, 1], actual[:, 1] + predicted[:, 1], 0.0)


def _precision(hits: Floats, actual: Floats, predicted: Floats) -> Floats:
    return _ratio(hits[:, 1], predicted[:, 1], 0.0)


def _recall(hits: Floats, actual: Floats, predicted: Floats) -> Floats:
    return _ratio(hits[:, 1], actual[:, 1], 0.0)


def _mean_present(values: Floats, present: NDArray[np.bool_]) -> Floats:
    """The mean over the classes that are present, in each resample."""
    return _ratio(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1).astype(float))


# --- metrics of the order of the scores ----------------------------------------------------------


def _auc_of(positive: NDArray[np.bool_], column: Floats) -> Weigh:
    """Area under the ROC: the share of pairs in the right order, a tie counting half."""
    order = np.argsort(column, kind="stable")
    ranked, hit = column[order], positive[order]
    rows = np.flatnonzero(hit)
    before = np.searchsorted(ranked, ranked[rows], side="left")
    upto = np.searchsorted(ranked, ranked[rows], side="right")

    def weigh(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        below = np.zeros((len(weights), len(order) + 1))
        np.cumsum(sorted_weights * ~hit, axis=1, out=below[:, 1:])
        pos = sorted_weights[:, rows]
        pairs = np.einsum("ij,ij->i", pos, below[:, before] + below[:, upto]) / 2
        return _ratio(pairs, pos.sum(axis=1) * below[:, -1])

    return weigh


def _roc_auc(y: Target, scores: Floats, threshold: float | None) -> Weigh:
    return _auc_of(y == 1, scores[:, 1])


def _roc_auc_ovr(y: Target, scores: Floats, threshold: float | None) -> Weigh:
    each = [_auc_of(y == code, scores[:, code]) for code in range(scores.shape[1])]

    def weigh(weights: Floats) -> Floats:
        values = np.stack([one(weights) for one in each], axis=1)
        return _mean_present(values, ~np.isnan(values))

    return weigh


def _average_precision(y: Target, scores: Floats, threshold: float | None) -> Weigh:
    """The mean of the precision at each positive row's score (no interpolation)."""
    order = np.argsort(-scores[:, 1], kind="stable")
    ranked, hit = -scores[order, 1], y[order] == 1
    rows = np.flatnonzero(hit)
    last = np.searchsorted(ranked, ranked[rows], side="right") - 1

    def weigh(weights: Floats) -> Floats:
        sorted_weights = weights[:, order]
        pos = sorted_weights[:, rows]
        found = np.cumsum(sorted_weights * hit, axis=1)[:, last]
        taken = np.cumsum(sorted_weights, axis=1)[:, last]
        return _ratio((pos * _ratio(found, taken, 0.0)).sum(axis=1), pos.sum(axis=1))

    return weigh


# --- the table -----------------------------------------------------------------------------------

_ALL = (
    Metric("roc_auc", "ROC AUC", ("binary",), "maximize", _roc_auc, True),
    Metric("roc_auc_ovr", "ROC AUC (one v. rest)", ("multiclass",), "maximize", _roc_auc_ovr, True),
    Metric(
        "average_precision", "Average precision", ("binary",), "maximize", _average_precision, True
    ),
    Metric("log_loss", "Log loss", CLASSIFICATION, "minimize", _mean_of(_log_losses), False),
    Metric("brier", "Brier score", ("binary",), "minimize", _mean_of(_brier_losses), True),
    Metric("accuracy", "Accuracy", CLASSIFICATION, "maximize", _of_counts(_accuracy), True),
    Metric(
        "balanced_accuracy",
        "Balanced accuracy",
        CLASSIFICATION,
        "maximize",
        _of_counts(_balanced),
        True,
    ),
    Metric("macro_f1", "Macro F1", ("multiclass",), "maximize", _of_counts(_macro_f1), True),
    Metric("f1", "F1", ("binary",), "maximize", _of_counts(_f1), True),
    Metric("precision", "Precision", ("binary",), "maximize", _of_counts(_precision), True),
    Metric("recall", "Recall", ("binary",), "maximize", _of_counts(_recall), True),
    Metric("rmse", "RMSE", ("regression",), "minimize", _mean_of(_squares, root=True), False),
    Metric("mae", "Mean abs. error", ("regression",), "minimize", _mean_of(_distances), False),
    Metric("r2", "R²", ("regression",), "maximize", _r2, False),
    Metric(
        "median_absolute_error",
        "Median abs. error",
        ("regression",),
        "minimize",
        _median_distance,
        False,
    ),
    Metric("mape", "Mean abs. share", ("regression",), "minimize", _mean_of(_shares), False),
)
METRICS: Mapping[str, Metric] = {metric.name: metric for metric in _ALL}


def usual(task: Task) -> tuple[Metric, ...]:
    """Every metric of a task, in the order of the table."""
    return tuple(metric for metric in _ALL if task in metric.tasks)


def default_metric(task: Task) -> str:
    """What `tune.metric: auto` means."""
    return {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]


def resolve(setting: str, task: Task) -> str:
    """The metric that `tune.metric` names for this task.

    Raises:
        UsageError: no such metric, or not one of this task.
    """
    if setting == "auto":
        return default_metric(task)
    names = [metric.name for metric in usual(task)]
    if setting in names:
        return setting
    known = (
        f"{setting!r} is a metric of {METRICS[setting].tasks[0]} tasks"
        if (setting in METRICS)
        else f"there is no metric {setting!r}"
    )
    raise UsageError(
        f"tune.metric: {known}{nearest(setting, names) or '.'}",
        why=f"Metrics of a {task} task: auto, {capped(names, 20)}.",
        next_step="edit tune.metric in modelyard.yaml",
    )


def check_limits(names: Iterable[str], task: Task) -> None:
    """Refuse a limit on what is no metric of this task.

    Raises:
        UsageError: names the nearest one.
    """
    known = [metric.name for metric in usual(task)]
    for name in names:
        if name in known:
            continue
        what = f"not one of a {task} task" if name in METRICS else "not a metric"
        raise UsageError(
            f"gate.limits: {name!r} is {what}{nearest(name, known) or '.'}",
            why=f"Metrics of a {task} task: {capped(known, 20)}.",
            next_step="edit gate.limits in modelyard.yaml",
        )


def prepare(name: str, y: Target, scores: Floats, threshold: float | None = None) -> Weigh:
    """The metric on these rows as a function of the rows' weights. See the module's words."""
    scores = np.asarray(scores, dtype=np.float64)
    wanted = np.int64 if "regression" not in METRICS[name].tasks else np.float64
    return METRICS[name].function(np.asarray(y, dtype=wanted), scores, threshold)


def score(name: str, y: Target, scores: Floats, threshold: float | None = None) -> float:
    """The metric's value; NaN where it is not defined.

    Args:
        name: a key of METRICS.
        y: (rows,) class indices or values.
        scores: (rows, classes) probabilities or (rows, 1) values.
        threshold: of class 1, for the metrics that decide; 0.5 where None.
    """
    if not len(y):
        return float("nan")
    return float(prepare(name, y, scores, threshold)(np.ones((1, len(y))))[0])


def improvement(name: str, a: float, b: float) -> float:
    """How much better a is than b, whichever way the metric goes."""
    return a - b if METRICS[name].direction == "maximize" else b - a


def steps(y: Target, p: Floats) -> tuple[Floats, Floats, Floats]:
    """Distinct scores, descending; positives and negatives at or above each."""
    order = np.argsort(-p, kind="stable")
    ranked, hit = p[order], (y[order] == 1).astype(np.float64)
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found: Floats = np.cumsum(hit)[last]
    missed: Floats = (last + 1).astype(np.float64) - found
    return ranked[last], found, missed


def best_threshold(y: Target, p: Floats, rule: str = "f1") -> float:
    """The threshold of class 1 with the largest F1 or balanced accuracy; exact.

    It stands half-way to the next lower score, so that a difference in the last digit between two
    implementations of one model does not turn a decision. Ties go to the one nearest 0.5. Without
    both classes the answer is 0.5.

    Args:
        y: (rows,) 0 or 1.
        p: (rows,) probabilities of class 1.
        rule: what to maximise, f1 or balanced.
    """
    positives = float((y == 1).sum())
    negatives = len(y) - positives
    if not positives or not negatives:
        return 0.5
    cuts, found, wrong = steps(y, p)
    if rule == "f1":
        goal = 2 * found / (found + wrong + positives)
    else:
        goal = (found / positives + 1 - wrong / negatives) / 2
    lower = np.append(cuts[1:], 0.0)
    middle = (cuts + lower) / 2
    # Between two neighbouring floats there is no middle: the upper one still splits them.
    thresholds = np.where(middle > lower, middle, cuts)
    best = np.flatnonzero(goal >= goal.max() - 1e-15)
    return float(thresholds[best[np.argmin(np.abs(thresholds[best] - 0.5))]])
