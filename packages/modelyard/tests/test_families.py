"""The contract of every family, and parity of the native model with its graph."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelyard import models
from modelyard.errors import DataInvalid, UsageError
from modelyard.forms import (
    Choice,
    Floats,
    Linear,
    Member,
    Params,
    Shape,
    Space,
    Task,
    Trees,
    Whole,
)
from modelyard.models import grid
from modelyard.models.family import Fitted, Target, log_shift, skewed
from modelyard.tools import onnx as graphs

TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")
LEVELS = 70
NUMBERS, CODES = (0, 1, 2, 5), (3, 4)


def table(task: Task, rows: int = 400, seed: int = 0) -> tuple[Floats, Target, Shape]:
    """Decimals of a 0.1 grid, a skewed column and a boolean with gaps, many levels, few levels."""
    rng = np.random.default_rng(seed)
    X = np.empty((rows, 6))
    X[:, 0] = np.round(rng.normal(size=rows), 1)
    X[:, 1] = np.where(rng.random(rows) < 0.1, np.nan, rng.lognormal(size=rows))
    X[:, 2] = np.where(rng.random(rows) < 0.1, np.nan, rng.integers(0, 2, rows))
    X[:, 3] = np.where(rng.random(rows) < 0.05, np.nan, rng.integers(0, LEVELS // 5 + 1, rows) * 5)
    X[:, 4] = rng.integers(1, 4, rows)
    X[:, 5] = rng.normal(size=rows) * 1e5
    effect = rng.normal(size=LEVELS + 1)[np.nan_to_num(X[:, 3]).astype(int)]
    z = X[:, 0] + 0.5 * np.nan_to_num(X[:, 1]) + effect + (X[:, 4] == 2) + rng.normal(size=rows)
    classes = {"binary": 2, "multiclass": 4, "regression": 0}[task]
    shape = Shape(rows, 6, task, classes, CODES, (LEVELS, 3), skewed=task == "regression")
    if task == "regression":
        return X, np.exp(z / 2), shape
    y: Target = np.digitize(z, np.quantile(z, np.arange(1, classes) / classes))
    return X, y.astype(np.int64), shape


def probes(X: Floats, form: Linear | Trees, seed: int = 1) -> Floats:
    """The rows; more gaps, also in columns without any; unseen codes; values at thresholds."""
    rng = np.random.default_rng(seed)
    gaps, unseen = X.copy(), X.copy()
    gaps[rng.random(X.shape) < 0.4] = np.nan
    unseen[:, 3], unseen[:, 4] = rng.integers(0, 1200, len(X)), 0.0
    found = [X, gaps, unseen, np.full((1, X.shape[1]), np.nan), np.zeros((1, X.shape[1]))]
    if isinstance(form, Trees):
        for step in (0.0, 1e-9, -1e-9):
            at = X.copy()
            for column in NUMBERS:
                thresholds = form.threshold[(form.feature == column) & ~form.equals]
                if len(thresholds):
                    at[:, column] = rng.choice(thresholds, len(X)) + step
            found.append(at)
    decimals = X.copy()
    decimals[:, 0] = rng.integers(-30, 31, len(X)) * 0.1
    return np.concatenate([*found, decimals])


def fit(name: str, X: Floats, y: Target, params: Params, shape: Shape, **more: object) -> Fitted:
    metric = "rmse" if shape.task == "regression" else "log_loss"
    options = {"seed": 3, "threads": 1, "metric": metric, **more}
    return models.get(name).fit(X, y, params, shape, **options)  # type: ignore[arg-type]


def graph_of(members: list[Member], shape: Shape) -> bytes:
    return graphs.build(
        members, width=shape.width, task=shape.task, classes=shape.classes, name="m"
    )


def assert_parity(fitted: Fitted, X: Floats, shape: Shape) -> None:
    form = fitted.form()
    rows = probes(X, form) if shape.width == 6 else X
    native = fitted.predict(rows)
    found = graphs.run(graph_of([Member(form, 1.0)], shape), rows)
    assert found.shape == native.shape == (len(rows), max(1, shape.classes))
    scale = max(1.0, float(np.abs(native).max())) if shape.task == "regression" else 1.0
    assert np.isfinite(native).all()
    assert np.abs(found - native).max() <= 1e-12 * scale
    if shape.task != "regression":
        assert np.abs(native.sum(axis=1) - 1).max() < 1e-9


SMALL: dict[str, list[Params]] = {
    "baseline": [{}],
    "linear": [{"C": 0.01, "alpha": 5.0}, {"C": 100.0, "alpha": 0.1, "target": "log"}],
    "forest": [
        {"kind": "random", "n_estimators": 25, "min_samples_leaf": 1, "max_features": 0.5},
        {"kind": "extra", "n_estimators": 25, "min_samples_leaf": 1, "max_features": 1.0},
        {"kind": "extra", "n_estimators": 1, "min_samples_leaf": 500},
    ],
    "boosting": [
        {"learning_rate": 0.2, "min_data_in_leaf": 2, "cat_smooth": 1.0, "cat_l2": 0.1},
        {"extra_trees": True, "cat_levels": 0, "bagging_fraction": 0.5, "target": "log"},
        {"num_leaves": 255, "min_data_in_leaf": 1, "max_bin": 63, "lambda_l1": 0.5},
        {"max_depth": 3, "cat_levels": 10, "feature_fraction": 0.4, "lambda_l2": 50.0},
    ],
}
CASES = [(name, task, i) for name in SMALL for task in TASKS for i in range(len(SMALL[name]))]


@pytest.mark.parametrize(("name", "task", "index"), CASES)
def test_the_graph_equals_the_native_model(name: str, task: Task, index: int) -> None:
    X, y, shape = table(task)
    params = SMALL[name][index]
    if task != "regression":
        params = {key: value for key, value in params.items() if key != "target"}
    fitted = fit(name, X, y, params, shape, iterations=40 if name == "boosting" else None)
    assert_parity(fitted, X, shape)
    assert not fitted.stopped


def test_the_cases_use_what_they_are_meant_to_prove() -> None:
    X, y, shape = table("binary", rows=2000)
    form = fit("boosting", X, y, {"cat_smooth": 1.0}, shape, iterations=60).form()
    assert isinstance(form, Trees)
    used = form.threshold[form.equals]
    assert used.max() > 64
    assert (used == 0).any()
    # Column 0 has no gaps, so a missing value there is read as zero.
    plain = (form.feature == 0) & ~form.equals
    assert np.array_equal(form.missing_left[plain], form.threshold[plain] >= 0)
    assert 0 < form.missing_left[plain].sum() < plain.sum()
    gaps = form.missing_left[form.feature == 1]
    assert 0 < gaps.sum() < len(gaps)


def within(params: Params, space: Space) -> None:
    assert list(params) == list(space) or set(params) == set(space)
    for key, dimension in space.items():
        value = params[key]
        if isinstance(dimension, Choice):
            assert value in dimension.options
        else:
            assert isinstance(value, int | float)
            assert dimension.low <= value <= dimension.high
            if isinstance(dimension, Whole):
                assert isinstance(value, int)


@pytest.mark.parametrize("name", models.FAMILIES)
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rows", [50, 100_000])
@pytest.mark.parametrize("plain", [False, True])
def test_defaults_and_grid_lie_in_the_space(name: str, task: Task, rows: int, plain: bool) -> None:
    shape = replace(table(task)[2], rows=rows)
    if plain:
        shape = replace(shape, width=1, categorical=(), levels=(), skewed=False)
    family = models.get(name)
    space = family.space(shape)
    assert family.name == name
    points = grid.points(family, shape)
    for params in [*family.defaults(shape), *points]:
        within(params, space)
    assert len({str(point) for point in points}) == len(points)
    assert 1 <= len(points) <= 24


@pytest.mark.parametrize("task", TASKS)
def test_the_grids_are_modest(task: Task) -> None:
    shape = replace(table(task)[2], skewed=False)
    sizes = {name: len(grid.points(models.get(name), shape)) for name in models.FAMILIES}
    forest = 6 if task == "regression" else 8
    assert sizes == {"baseline": 1, "linear": 4, "forest": forest, "boosting": 12}


@pytest.mark.parametrize("name", models.FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_the_same_seed_gives_the_same_model(name: str, task: Task) -> None:
    X, y, shape = table(task)
    params = {**models.get(name).defaults(shape)[0], **SMALL[name][0]}
    params = {key: value for key, value in params.items() if key in models.get(name).space(shape)}
    twice = [
        graph_of([Member(fit(name, X, y, params, shape, iterations=20).form(), 1.0)], shape)
        for _ in range(2)
    ]
    assert twice[0] == twice[1]


@pytest.mark.parametrize("name", ["linear", "forest", "boosting"])
@pytest.mark.parametrize("task", TASKS)
def test_every_family_beats_the_baseline(name: str, task: Task) -> None:
    X, y, shape = table(task, rows=900)
    dev, held = slice(0, 600), slice(600, 900)

    def loss(fitted: Fitted) -> float:
        scores = fitted.predict(X[held])
        if task == "regression":
            return float(((scores[:, 0] - y[held]) ** 2).mean())
        return float(-np.log(scores[np.arange(300), y[held]]).mean())

    family = models.get(name)
    baseline = loss(fit("baseline", X[dev], y[dev], {}, shape))
    for params in family.defaults(shape)[:2]:
        fitted = fit(name, X[dev], y[dev], params, shape, valid=(X[held], y[held]))
        assert loss(fitted) < 0.95 * baseline


@pytest.mark.parametrize("name", models.FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_a_constant_target_is_learnt_and_stays_in_parity(name: str, task: Task) -> None:
    X, y, shape = table(task, rows=60)
    y = np.ones_like(y)
    fitted = fit(name, X, y, {}, shape, iterations=15)
    assert_parity(fitted, X, shape)
    scores = fitted.predict(X)
    assert np.abs((scores[:, 0] if task == "regression" else scores[:, 1]) - 1).max() < 0.05


@pytest.mark.parametrize("name", models.FAMILIES)
@pytest.mark.parametrize("seen", [(0, 2), (1, 2, 3)])
def test_a_fold_may_lack_classes(name: str, seen: tuple[int, ...]) -> None:
    X, y, shape = table("multiclass", rows=200)
    kept = np.isin(y, seen)
    fitted = fit(name, X[kept], y[kept], {}, shape, iterations=15)
    assert_parity(fitted, X, shape)
    absent = [place for place in range(4) if place not in seen]
    assert fitted.predict(X)[:, absent].max() < 0.05


@pytest.mark.parametrize("name", models.FAMILIES)
@pytest.mark.parametrize("kind", ["number", "code", "empty", "constant"])
def test_one_column_is_enough(name: str, kind: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(1, 5, size=(80, 1)).astype(np.float64)
    y = (X[:, 0] > 2).astype(np.int64)
    if kind in ("empty", "constant"):
        X[:] = np.nan if kind == "empty" else 7.0
    codes = {"categorical": (0,), "levels": (4,)} if kind == "code" else {}
    shape = Shape(80, 1, "binary", 2, **codes)  # type: ignore[arg-type]
    fitted = fit(name, X, y, {}, shape, iterations=10)
    assert_parity(fitted, np.concatenate([X, [[np.nan], [0.0], [99.0], [-1e300]]]), shape)


@pytest.mark.parametrize("name", models.FAMILIES)
def test_no_rows_are_refused(name: str) -> None:
    X, y, shape = table("binary")
    with pytest.raises(DataInvalid, match="0 rows"):
        fit(name, X[:0], y[:0], {}, shape)


@pytest.mark.parametrize("task", TASKS)
def test_one_graph_holds_all_families(task: Task) -> None:
    X, y, shape = table(task)
    fitted = [
        fit(name, X, y, {**SMALL[name][0]}, shape, iterations=25 if name != "linear" else None)
        for name in models.FAMILIES
    ]
    weights = [0.1, 0.2, 0.3, 0.4]
    pairs = list(zip(fitted, weights, strict=True))
    graph = graph_of([Member(model.form(), weight) for model, weight in pairs], shape)
    rows = probes(X, fitted[-1].form())
    native = np.sum([weight * model.predict(rows) for model, weight in pairs], axis=0)
    assert np.abs(graphs.run(graph, rows) - native).max() <= 1e-12 * max(1, np.abs(native).max())


def test_boosting_stops_early_and_its_size_repeats_it() -> None:
    X, y, shape = table("binary", rows=600)
    valid = (X[400:], y[400:])
    for metric in ("roc_auc", "log_loss", "average_precision", "accuracy"):
        early = fit("boosting", X[:400], y[:400], {}, shape, valid=valid, metric=metric)
        assert early.iterations is not None
        assert 1 <= early.iterations < 400
        again = fit("boosting", X[:400], y[:400], {}, shape, iterations=early.iterations)
        assert again.iterations == early.iterations
        assert np.array_equal(early.predict(X), again.predict(X))


@pytest.mark.parametrize(("name", "most"), [("boosting", 4000), ("forest", 400)])
def test_the_deadline_ends_the_growth_and_keeps_what_grew(name: str, most: int) -> None:
    X, y, shape = table("multiclass", rows=600)
    # A validation set of nothing new: the loss keeps falling, so only the clock can stop it.
    params: Params = {"learning_rate": 0.005, "n_estimators": most}
    late = fit(name, X, y, params, shape, valid=(X, y), deadline=time.monotonic())
    assert late.stopped
    assert late.iterations is not None
    assert 1 <= late.iterations < most
    assert_parity(late, X, shape)
    same = fit(name, X, y, params, shape, iterations=late.iterations)
    assert np.array_equal(late.predict(X), same.predict(X))
    unhurried = fit(name, X, y, params, shape, iterations=30, deadline=time.monotonic() + 600)
    assert (unhurried.iterations, unhurried.stopped) == (30, False)


def test_absolute_metrics_ask_for_the_median() -> None:
    X, y, shape = table("regression")
    assert fit("baseline", X, y, {}, shape, metric="mae").predict(X[:1])[0, 0] == np.median(y)
    assert fit("baseline", X, y, {}, shape).predict(X[:1])[0, 0] == y.mean()
    absolute = fit("boosting", X, y, {}, shape, iterations=60, metric="mae")
    squared = fit("boosting", X, y, {}, shape, iterations=60)

    def error(model: Fitted) -> float:
        return float(np.abs(model.predict(X)[:, 0] - y).mean())

    assert error(absolute) < error(squared)


@pytest.mark.parametrize("name", ["linear", "boosting"])
def test_a_log_target_is_refused_where_there_is_no_logarithm(name: str) -> None:
    X, y, shape = table("regression")
    with pytest.raises(DataInvalid, match="at or below -1"):
        fit(name, X, y - y.min() - 1, {"target": "log"}, shape)
    fitted = fit(name, X, y, {"target": "log"}, shape, iterations=50)
    found = fitted.predict(X)
    assert found.min() > -1
    assert abs(found.mean() / y.mean() - 1) < 0.1


def test_skewness_is_found_in_long_right_tails_only() -> None:
    rng = np.random.default_rng(0)
    prices = rng.lognormal(size=500)
    assert skewed(prices)
    assert not skewed(-prices)
    assert not skewed(prices - 1)
    assert not skewed(rng.uniform(size=500))
    assert not skewed(np.ones(500))
    assert not skewed(np.append(prices, np.nan))
    assert log_shift(np.array([1.0, 3.0]), np.log([2.0, 2.0])) == pytest.approx(np.log(1.5))


def test_native_files_can_be_read_back_without_pickle(tmp_path: Path) -> None:
    import lightgbm
    import skops.io

    X, y, shape = table("binary")
    booster = fit("boosting", X, y, {}, shape, iterations=20)
    (text,) = booster.save(tmp_path / "0001-boosting")
    assert text.name == "0001-boosting.lightgbm.txt"
    read = lightgbm.Booster(model_file=str(text)).predict(X)
    assert np.array_equal(read, booster.predict(X)[:, 1])
    for name in ("linear", "forest"):
        (file,) = fit(name, X, y, SMALL[name][0], shape).save(tmp_path / name)
        trusted = skops.io.get_untrusted_types(file=file)
        content = skops.io.load(file, trusted=trusted)
        assert content["estimator"].classes_.tolist() == [0, 1]
    (json,) = fit("baseline", X, y, {}, shape).save(tmp_path / "baseline")
    assert b'"scores"' in json.read_bytes()
    assert len(list(tmp_path.iterdir())) == 4


def test_an_unknown_family_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="did you mean 'boosting'"):
        models.get("bosting")


def test_spaces_are_read_without_the_estimators() -> None:
    code = """
import sys
from modelyard import models
from modelyard.forms import Shape
shape = Shape(100, 3, "binary", 2, (0,), (4,))
for name in models.FAMILIES:
    models.get(name).space(shape), models.get(name).defaults(shape)
print({"sklearn", "lightgbm", "pandas", "onnx", "mlflow", "scipy"} & set(sys.modules))
"""
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    assert found.strip() == "set()"


@pytest.mark.parametrize("name", models.FAMILIES)
@pytest.mark.parametrize("task", TASKS)
def test_values_of_any_size_give_finite_scores(name: str, task: Task) -> None:
    X, y, shape = table(task)
    params: Params = {"target": "log"} if task == "regression" else {}
    fitted = fit(name, X, y, params, shape, iterations=15)
    far = np.repeat(X[:1], 6, axis=0)
    far[:, 5] = far[:, 1] = [1e300, -1e300, 1.7e308, -1.7e308, 5e-324, 3.5e38]
    native = fitted.predict(far)
    assert np.isfinite(native).all()
    found = graphs.run(graph_of([Member(fitted.form(), 1.0)], shape), far)
    assert np.abs(found - native).max() <= 1e-12 * max(1.0, float(np.abs(native).max()))
