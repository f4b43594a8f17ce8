"""The baseline: the dumbest model to beat. It answers every row with the same scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.forms import Floats, Linear, Params, Shape, Space
from modelyard.models.family import Target, no_columns, outputs_of, refuse_empty, shares
from modelyard.records import write_json

MEDIAN_METRICS = frozenset({"mae", "median_absolute_error", "mape"})
"""Metrics that a median minimises (mape roughly), where the others want a mean."""


@dataclass(frozen=True)
class Constant:
    """The shares of the classes, or one value; `scores` has shape (k,)."""

    scores: Floats
    shape: Shape
    iterations: int | None = None
    stopped: bool = False

    def predict(self, X: Floats) -> Floats:
        """The same scores for each row; shape (rows, k)."""
        return np.tile(self.scores, (len(X), 1))

    def form(self) -> Linear:
        """A linear form without a design."""
        task = self.shape.task
        bias = self.scores
        if task == "binary":
            bias = np.array([np.log(self.scores[1]) - np.log(self.scores[0])])
        elif task == "multiclass":
            bias = np.log(self.scores)
        empty = np.empty(0, dtype=np.float64)
        return Linear(
            numeric=no_columns(),
            fill=empty,
            centre=empty,
            scale=empty,
            indicators=no_columns(),
            equals_column=no_columns(),
            equals_code=empty,
            weights=np.empty((0, len(bias)), dtype=np.float64),
            bias=bias,
            link={"binary": "sigmoid", "multiclass": "softmax", "regression": "identity"}[task],  # type: ignore[arg-type]
        )

    def save(self, path: Path) -> list[Path]:
        """Write `PATH.json`."""
        file = path.with_name(path.name + ".json")
        write_json(file, {"family": "baseline", "scores": self.scores.tolist()})
        return [file]


class Baseline:
    """Class shares, the mean, or the median where the metric wants it."""

    name = "baseline"

    def defaults(self, shape: Shape) -> list[Params]:
        """The one configuration."""
        return [{}]

    def space(self, shape: Shape) -> Space:
        """Nothing to search."""
        return {}

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
    ) -> Constant:
        """See `family.Family.fit`."""
        refuse_empty(X, y)
        if shape.task != "regression":
            return Constant(shares(y, outputs_of(shape)), shape)
        middle = np.median if metric in MEDIAN_METRICS else np.mean
        return Constant(np.array([float(middle(y))]), shape)


FAMILY = Baseline()
