"""What every family promises, so that tune, train and pack need to know none of them.

All families take the same float64 matrix (see `modelyard_serve.encoding`): numbers, booleans as
0/1, category codes (0 unknown, 1..levels), NaN for missing. All give the same output: probabilities
in class order, shape (rows, classes), or values in the target's unit, shape (rows, 1).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import DataInvalid
from modelyard.forms import Floats, Ints, Linear, Params, Shape, Space, Trees

Target = NDArray[Any]
"""int64 class indices, or float64 values."""

LEAVES = 400_000
"""The most leaves of one fitted model: about 12 MB of graph, and a few milliseconds a row."""


class Fitted(Protocol):
    """A fitted model, native."""

    @property
    def iterations(self) -> int | None:
        """How many trees a class or target were kept; None where the family does not count."""

    @property
    def stopped(self) -> bool:
        """Whether the deadline cut the fit short."""

    def predict(self, X: Floats) -> Floats:
        """Score a matrix of shape (rows, width) with the native library; shape (rows, k)."""

    def form(self) -> Linear | Trees:
        """The model as plain numbers, for the graph."""

    def save(self, path: Path) -> list[Path]:
        """Write native files for people, without pickle; `path` has no suffix yet."""


class Family(Protocol):
    """An estimator with its search space. `fit` is a pure function of its arguments and `seed`."""

    @property
    def name(self) -> str:
        """The key in `models.FAMILIES`."""

    def defaults(self, shape: Shape) -> list[Params]:
        """Sensible configurations, best first; each lies in `space` and names all its keys."""

    def space(self, shape: Shape) -> Space:
        """The parameters that are searched."""

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
    ) -> Fitted:
        """Fit on X, shape (rows, width).

        Args:
            params: as `defaults` or the study gives them; a key that is absent has its default.
            valid: rows to stop early on, where the family can.
            iterations: fit exactly so many (of trees a class) and do not stop early.
            deadline: a `time.monotonic()` moment after which a family that grows stops growing and
                keeps what it has.
            metric: the study's metric; decides the loss where there is a choice.

        Raises:
            DataInvalid: no rows, or a target that the parameters do not allow.
        """


def outputs_of(shape: Shape) -> int:
    """Columns of the output: the classes, or 1 for regression."""
    return 1 if shape.task == "regression" else shape.classes


def shares(y: Target, classes: int, *, smallest: float = 1e-12) -> Floats:
    """Share of each class, none below `smallest`; shape (classes,), sums to 1."""
    counts = np.bincount(y.astype(np.int64), minlength=classes).astype(np.float64)
    found = np.maximum(counts / counts.sum(), smallest)
    return np.asarray(found / found.sum(), dtype=np.float64)


def skewed(y: Target) -> bool:
    """Whether a target is worth a logarithm: nothing below zero, skewness above 1.

    Args:
        y: float64 values of a regression's target.
    """
    values = y.astype(np.float64)
    spread = float(values.std()) if len(values) else 0.0
    if len(values) < 20 or spread == 0 or not float(values.min()) >= 0:
        return False
    return float((((values - values.mean()) / spread) ** 3).mean()) > 1.0


def log_target(y: Target, params: Params) -> tuple[Floats, bool]:
    """Return the values to fit and whether they are log(1 + y), as params["target"] says.

    The inverse, exp(raw) - 1, is the link "exp" of `forms`.

    Raises:
        DataInvalid: "log" for a target with values at or below -1.
    """
    values = y.astype(np.float64)
    if params.get("target", "plain") != "log":
        return values, False
    if not float(values.min()) > -1:
        raise DataInvalid(
            "The target has values at or below -1: it has no log(1 + y).",
            why="A configuration asks for target: log.",
            next_step="take the log target out of the configuration",
        )
    return np.log1p(values), True


def log_shift(y: Target, raw: Floats) -> float:
    """The constant to add to log predictions so that their mean in the target's unit is right.

    exp of a mean of logarithms estimates a median (Duan, JASA 1983, "Smearing estimate"); the ratio
    of the means is the smearing factor that is least at the mercy of one large residual.
    """
    ratio = float((y.astype(np.float64) + 1).mean() / np.exp(raw).mean())
    return float(np.log(min(max(ratio, 0.5), 2.0)))


def refuse_empty(X: Floats, y: Target) -> None:
    """Refuse to learn from nothing.

    Raises:
        DataInvalid: no rows.
    """
    if len(X) == 0 or len(X) != len(y):
        raise DataInvalid(
            f"There are {len(X)} rows and {len(y)} targets to learn from.",
            why="A model needs rows, and one target for each.",
            next_step="modelyard doctor",
        )


def no_columns() -> Ints:
    """An empty list of columns."""
    return np.empty(0, dtype=np.int64)
