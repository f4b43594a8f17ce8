"""linear: logistic regression, or ridge regression, over a design of our own.

The design (`forms.Linear` says what it holds) is ours and not a scikit-learn pipeline, so that the
graph can repeat it operation by operation; scikit-learn finds the weights.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.forms import Choice, Floats, Linear, Params, Real, Shape, Space
from modelyard.models import lean
from modelyard.models.family import (
    Target,
    log_shift,
    log_target,
    outputs_of,
    refuse_empty,
    shares,
)
from modelyard.records import write_bytes

LEVEL_ROWS = 5
"""A level seen in fewer rows gets no weight of its own: it would be learnt by heart."""
MOST_LEVELS = 400
"""Indicators of levels in the design, the most frequent first."""
LIMIT = 10.0
"""Standard deviations from the mean at which a number stops counting for more: outliers must not
steer the fit, nor a slip of the keyboard the answer."""
MOST_CELLS = 40_000_000
"""Cells of the design (320 MB); beyond it the weights are found on a sample of the rows."""


@dataclass(frozen=True)
class FittedLinear:
    """Weights over the design; `native` is scikit-learn's estimator, for people."""

    linear: Linear
    native: Any
    iterations: int | None = None
    stopped: bool = False

    def predict(self, X: Floats) -> Floats:
        """Probabilities or values, shape (rows, k)."""
        raw = design(self.linear, X) @ self.linear.weights + self.linear.bias
        return linked(raw, self.linear.link)

    def form(self) -> Linear:
        """The weights and the design."""
        return self.linear

    def save(self, path: Path) -> list[Path]:
        """Write `PATH.skops`: the estimator and its design (read with skops.io.load)."""
        import skops.io

        content = {
            "estimator": self.native,
            "design": {
                name: np.asarray(value)
                for name, value in vars(self.linear).items()
                if name not in ("link", "limit")
            },
            "link": self.linear.link,
            "limit": self.linear.limit,
        }
        file = path.with_name(path.name + ".skops")
        write_bytes(file, skops.io.dumps(content))
        return [file]


def design(form: Linear, X: Floats) -> Floats:
    """The design of a matrix, shape (rows, len(form.weights)); see `forms.Linear`."""
    numbers = X[:, form.numeric]
    # What overflows to infinity is brought back to the limit, as in the graph.
    with np.errstate(over="ignore"):
        numbers = (np.where(np.isnan(numbers), form.fill, numbers) - form.centre) / form.scale
    numbers = np.clip(numbers, -form.limit, form.limit)
    missing = np.isnan(X[:, form.indicators]).astype(np.float64)
    equal = (X[:, form.equals_column] == form.equals_code).astype(np.float64)
    return np.concatenate([numbers, missing, equal], axis=1)


def linked(raw: Floats, link: str) -> Floats:
    """Turn raw scores, shape (rows, outputs), into what the graph gives, shape (rows, k)."""
    if link == "sigmoid":
        # exp of a large number overflows to infinity, and 1 / (1 + infinity) is the right answer.
        with np.errstate(over="ignore"):
            return np.concatenate([1 / (1 + np.exp(raw)), 1 / (1 + np.exp(-raw))], axis=1)
    if link == "softmax":
        powers = np.exp(raw - raw.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if link == "exp":
        return np.asarray(np.exp(raw) - 1.0)
    return raw


class LinearFamily:
    """Logistic regression (L2) or ridge regression."""

    name = "linear"

    def defaults(self, shape: Shape) -> list[Params]:
        """A mild and a strong penalty; for a skewed target its logarithm first."""
        if shape.task != "regression":
            return [{"C": 1.0}, {"C": 0.02}]
        if shape.skewed:
            return [{"alpha": 3.0, "target": "log"}, {"alpha": 30.0, "target": "plain"}]
        return [{"alpha": 3.0}, {"alpha": 100.0}]

    def space(self, shape: Shape) -> Space:
        """The strength of the penalty, and the target's scale where it is skewed."""
        if shape.task != "regression":
            return {"C": Real(1e-4, 1e3, log=True, grid=(0.01, 0.1, 1.0, 10.0))}
        space: Space = {"alpha": Real(1e-3, 1e5, log=True, grid=(0.1, 3.0, 100.0, 3000.0))}
        if shape.skewed:
            space["target"] = Choice(("plain", "log"))
        return space

    def fit(
        self,
        X: Floats,
        y: Target,
        params: Params,
        shape: Shape,
        *,
        seed: int,
        threads: int,
        valid: tuple[Floats, Target] | None = None,
        iterations: int | None = None,
        deadline: float | None = None,
        metric: str,
    ) -> FittedLinear:
        """See `family.Family.fit`; too large a design is fitted on a sample of its rows."""
        refuse_empty(X, y)
        empty = _prepare(X, shape, outputs_of(shape) if shape.task == "multiclass" else 1)
        most = max(1000, MOST_CELLS // max(1, len(empty.weights)))
        if len(X) > most:
            rows = np.sort(np.random.default_rng(seed).choice(len(X), most, replace=False))
            X, y = X[rows], y[rows]
        D = design(empty, X)
        if shape.task == "regression":
            return _ridge(empty, D, y, params)
        return _logistic(empty, D, y, params, shape, seed)


def _prepare(X: Floats, shape: Shape, outputs: int) -> Linear:
    """The design that these rows ask for, with weights of zero."""
    categorical = np.array(shape.categorical, dtype=np.int64)
    others = np.setdiff1d(np.arange(shape.width), categorical)
    missing = np.isnan(X)
    some = missing.any(axis=0) & ~missing.all(axis=0)
    fill = np.zeros(shape.width)
    present = others[~missing[:, others].all(axis=0)]
    if len(present):
        fill[present] = np.nanmedian(X[:, present], axis=0)
    numbers = np.where(missing[:, others], fill[others], X[:, others])
    centre, scale = numbers.mean(axis=0), numbers.std(axis=0)
    # A constant column says nothing in training, and anything in production.
    varied = scale > 1e-12 * np.maximum(1.0, np.abs(centre))
    columns, codes = _levels(X, categorical)
    numeric, indicators = others[varied], np.flatnonzero(some).astype(np.int64)
    return Linear(
        numeric=numeric,
        fill=fill[numeric],
        centre=centre[varied],
        scale=scale[varied],
        indicators=indicators,
        equals_column=columns,
        equals_code=codes,
        weights=np.zeros((len(numeric) + len(indicators) + len(columns), outputs)),
        bias=np.zeros(outputs),
        link={"binary": "sigmoid", "multiclass": "softmax", "regression": "identity"}[shape.task],  # type: ignore[arg-type]
        limit=LIMIT,
    )


def _levels(X: Floats, categorical: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """The (column, code) pairs with enough rows, in order of column and code."""
    found: list[tuple[int, int, float]] = []
    for column in categorical.tolist():
        codes, counts = np.unique(X[:, column], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            if code == code and LEVEL_ROWS <= count < len(X):
                found.append((-count, column, code))
    pairs = sorted((column, code) for _, column, code in sorted(found)[:MOST_LEVELS])
    columns = np.array([column for column, _ in pairs], dtype=np.int64)
    return columns, np.array([code for _, code in pairs], dtype=np.float64)


def _ridge(empty: Linear, D: Floats, y: Target, params: Params) -> FittedLinear:
    ridge = lean.load("sklearn.linear_model").Ridge
    values, logged = log_target(y, params)
    if D.shape[1] == 0:
        bias = np.array([float(values.mean())])
        return FittedLinear(_with(empty, empty.weights, bias, logged), None)
    native = ridge(alpha=float(params.get("alpha") or 3.0)).fit(D, values)
    weights, bias = native.coef_.reshape(-1, 1), np.array([float(native.intercept_)])
    if logged:
        bias = bias + log_shift(y, D @ weights + bias)
    return FittedLinear(_with(empty, weights, bias, logged), native)


def _logistic(
    empty: Linear, D: Floats, y: Target, params: Params, shape: Shape, seed: int
) -> FittedLinear:
    linear_model = lean.load("sklearn.linear_model")
    exceptions = lean.load("sklearn.exceptions")
    seen = np.unique(y)
    # Smoothed, so that the log-odds of a class that these rows lack stay finite.
    rates = np.log(shares(y, shape.classes, smallest=0.5 / len(y)))
    constant = rates[1:] - rates[:1] if shape.task == "binary" else rates
    if len(seen) < 2 or D.shape[1] == 0:
        return FittedLinear(_with(empty, empty.weights, constant, False), None)
    native = linear_model.LogisticRegression(
        C=float(params.get("C") or 1.0), max_iter=300, tol=1e-5, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
        native.fit(D, y)
    if shape.task == "binary":
        return FittedLinear(
            _with(empty, native.coef_.T.astype(np.float64), native.intercept_, False), native
        )
    weights = empty.weights.copy()
    bias = constant - constant[seen].mean()
    if len(seen) == 2:
        bias[seen] = (0.0, float(native.intercept_[0]))
        weights[:, seen[1]] = native.coef_[0]
    else:
        bias[seen] = native.intercept_
        weights[:, seen] = native.coef_.T
    return FittedLinear(_with(empty, weights, bias, False), native)


def _with(empty: Linear, weights: Floats, bias: Floats, logged: bool) -> Linear:
    parts = vars(empty) | {"weights": np.ascontiguousarray(weights), "bias": np.asarray(bias)}
    return Linear(**(parts | {"link": "exp"} if logged else parts))


FAMILY = LinearFamily()
