"""Plain forms that travel between floors: search spaces, fitted models as numbers.

A family (models/) turns its fitted estimator into `Linear` or `Trees`; tools/onnx.py turns those
into a graph. Neither knows the other: both know this file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modelyard.values import Params as Params
from modelyard.values import Task as Task
from modelyard.values import Value as Value

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Real:
    """A real parameter between `low` and `high`, both included; searched in log scale if `log`."""

    low: float
    high: float
    log: bool = False
    grid: tuple[float, ...] = ()


@dataclass(frozen=True)
class Whole:
    """An integer parameter between `low` and `high`, both included."""

    low: int
    high: int
    log: bool = False
    grid: tuple[int, ...] = ()


@dataclass(frozen=True)
class Choice:
    """One of `options`; the grid is all of them."""

    options: tuple[Value, ...]

    @property
    def grid(self) -> tuple[Value, ...]:
        """Every option."""
        return self.options


Dimension = Real | Whole | Choice
Space = dict[str, Dimension]


@dataclass(frozen=True)
class Shape:
    """What a family may know of the training matrix before it is fitted.

    `categorical` are the matrix columns that hold category codes (0 unknown, 1..levels) and
    `levels` their number of levels, in the same order. `skewed` says that a regression's target has
    a long right tail and nothing below zero, so that a logarithm of it is worth trying
    (`models.family.skewed`).
    """

    rows: int
    width: int
    task: Task
    classes: int
    categorical: tuple[int, ...] = ()
    levels: tuple[int, ...] = ()
    skewed: bool = False


@dataclass(frozen=True)
class Linear:
    """Scores = link(design(X) @ weights + bias), all in float64.

    The design has, in this order: each column of `numeric`, missing replaced by `fill`, minus
    `centre`, divided by `scale`, held within ±`limit`; an indicator of missing for each column of
    `indicators`; an indicator X[:, column] == code for each pair of `equals_column`, `equals_code`.

    weights has shape (design width, outputs), bias (outputs,). Outputs are 1 for binary (the
    log-odds of class 1) and for regression, the number of classes for multiclass. The link "exp" is
    exp(raw) - 1, the inverse of log(1 + y).
    """

    numeric: Ints
    fill: Floats
    centre: Floats
    scale: Floats
    indicators: Ints
    equals_column: Ints
    equals_code: Floats
    weights: Floats
    bias: Floats
    link: Literal["identity", "sigmoid", "softmax", "exp"]
    limit: float = np.inf


@dataclass(frozen=True)
class Trees:
    """A sum (or mean) of binary trees over one matrix, in float64.

    Nodes of all trees stand in flat arrays; `roots` are the indices of the trees' roots. For
    node i: `feature[i]` < 0 is a leaf whose outputs are `value[i]` (shape (nodes, outputs)); else
    go to `left[i]` if X[:, feature] <= threshold (or == threshold where `equals[i]`), else to
    `right[i]`. NaN goes left where `missing_left[i]`, else right. `tree_output[t]` is the one
    output that tree t adds to, or -1 where a leaf carries all of them. `float32` says that the
    estimator casts its input to float32 first.
    """

    roots: Ints
    feature: Ints
    threshold: Floats
    equals: NDArray[np.bool_]
    left: Ints
    right: Ints
    missing_left: NDArray[np.bool_]
    value: Floats
    tree_output: Ints
    outputs: int
    aggregate: Literal["sum", "mean"]
    link: Literal["identity", "sigmoid", "softmax", "exp"]
    base: Floats = field(default_factory=lambda: np.zeros(1))
    float32: bool = False


@dataclass(frozen=True)
class Member:
    """One model of an ensemble and its weight; weights sum to 1."""

    form: Linear | Trees
    weight: float
