"""Every metric and curve against scikit-learn's, ties included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as theirs

from modelyard.errors import UsageError
from modelyard.models import curves, metrics

BINARY = {
    "roc_auc": lambda y, s, c: theirs.roc_auc_score(y, s[:, 1]),
    "average_precision": lambda y, s, c: theirs.average_precision_score(y, s[:, 1]),
    "log_loss": lambda y, s, c: theirs.log_loss(y, s, labels=[0, 1]),
    "brier": lambda y, s, c: theirs.brier_score_loss(y, s[:, 1]),
    "accuracy": lambda y, s, c: theirs.accuracy_score(y, s[:, 1] >= c),
    "balanced_accuracy": lambda y, s, c: theirs.balanced_accuracy_score(y, s[:, 1] >= c),
    "f1": lambda y, s, c: theirs.f1_score(y, s[:, 1] >= c, zero_division=0),
    "precision": lambda y, s, c: theirs.precision_score(y, s[:, 1] >= c, zero_division=0),
    "recall": lambda y, s, c: theirs.recall_score(y, s[:, 1] >= c, zero_division=0),
}
MULTICLASS = {
    "roc_auc_ovr": lambda y, s: theirs.roc_auc_score(y, s, multi_class="ovr"),
    "log_loss": lambda y, s: theirs.log_loss(y, s),
    "accuracy": lambda y, s: theirs.accuracy_score(y, s.argmax(axis=1)),
    "balanced_accuracy": lambda y, s: theirs.balanced_accuracy_score(y, s.argmax(axis=1)),
    "macro_f1": lambda y, s: theirs.f1_score(y, s.argmax(axis=1), average="macro"),
}
REGRESSION = {
    "rmse": theirs.root_mean_squared_error,
    "mae": theirs.mean_absolute_error,
    "r2": theirs.r2_score,
    "median_absolute_error": theirs.median_absolute_error,
    "mape": theirs.mean_absolute_percentage_error,
}


def test_every_metric_of_the_table_is_compared_here() -> None:
    compared = BINARY.keys() | MULTICLASS.keys() | REGRESSION.keys()
    assert compared == metrics.METRICS.keys()


@st.composite
def binary_case(draw):
    size = draw(st.integers(2, 60))
    y = np.array([0, 1, *draw(st.lists(st.integers(0, 1), min_size=size, max_size=size))])
    # A coarse grid makes ties the rule and not the exception.
    p = draw(st.lists(st.integers(0, 8), min_size=len(y), max_size=len(y)))
    p = np.array(p) / 8
    return y, np.stack([1 - p, p], axis=1), draw(st.sampled_from([0.25, 0.5, 0.6]))


@given(binary_case())
@settings(max_examples=80, deadline=None)
def test_binary_metrics_equal_scikit_learn(case) -> None:
    y, scores, cut = case
    for name, function in BINARY.items():
        mine = metrics.score(name, y, scores, cut)
        assert mine == pytest.approx(function(y, scores, cut), abs=1e-12), name


@given(st.integers(0, 10_000), st.integers(3, 5), st.booleans())
@settings(max_examples=40, deadline=None)
def test_multiclass_metrics_equal_scikit_learn(seed, classes, coarse) -> None:
    random = np.random.default_rng(seed)
    y = np.concatenate([np.arange(classes), random.integers(0, classes, 40)])
    scores = random.random((len(y), classes)) + 0.05
    if coarse:
        scores = np.ceil(scores * 3)
    scores /= scores.sum(axis=1, keepdims=True)
    for name, function in MULTICLASS.items():
        mine = metrics.score(name, y, scores)
        assert mine == pytest.approx(function(y, scores), abs=1e-12), name


@given(st.integers(0, 10_000), st.integers(2, 50), st.sampled_from([0.0, 5.0, 1e6]))
@settings(max_examples=60, deadline=None)
def test_regression_metrics_equal_scikit_learn(seed, rows, shift) -> None:
    random = np.random.default_rng(seed)
    y = random.normal(shift, 2, rows)
    scores = (y + np.round(random.normal(0, 1, rows), 1))[:, None]
    for name, function in REGRESSION.items():
        expected = function(y, scores[:, 0])
        assert metrics.score(name, y, scores) == pytest.approx(expected, rel=1e-7), name


@given(st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_counts_as_weights_mean_the_same_as_repeated_rows(seed) -> None:
    random = np.random.default_rng(seed)
    rows = 30
    counts = random.integers(0, 4, rows)
    counts[:3] = 1
    for task, classes in (("binary", 2), ("multiclass", 3), ("regression", 1)):
        y = random.normal(3, 1, rows) if classes == 1 else np.arange(rows) % classes
        scores = np.round(random.random((rows, classes)), 1) + 0.01
        scores = scores if classes == 1 else scores / scores.sum(axis=1, keepdims=True)
        again = np.repeat(np.arange(rows), counts)
        for metric in metrics.usual(task):
            weighted = metrics.prepare(metric.name, y, scores)(counts[None, :].astype(float))[0]
            repeated = metrics.score(metric.name, y[again], scores[again])
            assert weighted == pytest.approx(repeated, abs=1e-9), metric.name


def test_what_is_not_defined_is_nan() -> None:
    one_class = np.zeros(5, dtype=np.int64)
    scores = np.full((5, 2), 0.5)
    assert np.isnan(metrics.score("roc_auc", one_class, scores))
    assert np.isnan(metrics.score("average_precision", one_class, scores))
    assert np.isnan(metrics.score("rmse", np.empty(0), np.empty((0, 1))))
    assert np.isnan(metrics.score("mape", np.array([0.0, 1.0]), np.ones((2, 1))))
    assert np.isnan(metrics.score("r2", np.ones(4), np.arange(4.0)[:, None]))


def test_direction_decides_what_is_an_improvement() -> None:
    assert metrics.improvement("roc_auc", 0.8, 0.7) == pytest.approx(0.1)
    assert metrics.improvement("rmse", 0.8, 0.7) == pytest.approx(-0.1)


def test_resolve_names_the_nearest_metric_and_the_other_task() -> None:
    assert metrics.resolve("auto", "multiclass") == "log_loss"
    assert metrics.resolve("f1", "binary") == "f1"
    with pytest.raises(UsageError, match="did you mean 'roc_auc'"):
        metrics.resolve("roc_acu", "binary")
    with pytest.raises(UsageError, match="metric of binary tasks"):
        metrics.resolve("roc_auc", "regression")


@given(binary_case(), st.sampled_from(["f1", "balanced"]))
@settings(max_examples=80, deadline=None)
def test_best_threshold_is_exact(case, rule) -> None:
    y, scores, _ = case
    p = scores[:, 1]
    name = "f1" if rule == "f1" else "balanced_accuracy"
    found = metrics.best_threshold(y, p, rule)
    tried = [metrics.score(name, y, scores, cut) for cut in (*np.unique(p), 2.0)]
    assert metrics.score(name, y, scores, found) == pytest.approx(max(tried), abs=1e-12)
    # Half-way between two scores: rounding of the last digit decides nothing.
    assert (p >= found).tolist() == (p + 1e-12 >= found).tolist() or found == 0.0


def test_best_threshold_without_both_classes_is_a_half() -> None:
    assert metrics.best_threshold(np.ones(3), np.array([0.1, 0.2, 0.3])) == 0.5


def test_roc_and_pr_curves_lie_on_scikit_learn_s() -> None:
    random = np.random.default_rng(0)
    y = random.integers(0, 2, 5000)
    p = np.round(np.clip(random.normal(0.4 + 0.2 * y, 0.2), 0, 1), 3)
    roc = curves.roc_curve(y, p)
    assert len(roc.x) <= curves.POINTS
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(theirs.roc_auc_score(y, p), abs=2e-3)
    fpr, tpr, _ = theirs.roc_curve(y, p, drop_intermediate=False)
    known = {(round(a, 9), round(b, 9)) for a, b in zip(fpr, tpr, strict=True)}
    assert all((round(a, 9), round(b, 9)) in known for a, b in zip(roc.x, roc.y, strict=True))
    pr = curves.pr_curve(y, p)
    assert len(pr.x) <= curves.POINTS
    assert pr.x[-1] == 1.0
    middle = len(pr.x) // 2
    taken = p >= pr.threshold[middle]
    assert pr.y[middle] == pytest.approx(theirs.precision_score(y, taken))
    assert pr.x[middle] == pytest.approx(theirs.recall_score(y, taken))


def test_calibration_bins_hold_equal_rows_and_find_a_planted_error() -> None:
    random = np.random.default_rng(1)
    p = random.random(20_000)
    honest = (random.random(20_000) < p).astype(int)
    curve = curves.calibration_curve(honest, p)
    assert curve.rows.tolist() == [2000] * 10
    assert np.abs(curve.predicted - curve.observed).max() < 0.04
    assert curves.calibration_error(honest, p) < 0.02
    boastful = (random.random(20_000) < p / 2).astype(int)
    assert curves.calibration_error(boastful, p) == pytest.approx(0.25, abs=0.02)


def test_calibration_keeps_ties_together() -> None:
    p = np.array([0.2] * 95 + [0.9] * 5)
    curve = curves.calibration_curve(np.zeros(100), p)
    assert curve.predicted.tolist() == pytest.approx([0.2, 0.9])
    assert curve.rows.tolist() == [95, 5]


def test_confusion_equals_scikit_learn() -> None:
    random = np.random.default_rng(2)
    y, decided = random.integers(0, 4, 300), random.integers(0, 4, 300)
    expected = theirs.confusion_matrix(y, decided)
    assert curves.confusion(y, decided, 4).tolist() == expected.tolist()
