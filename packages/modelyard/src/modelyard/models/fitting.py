"""One fold of one trial, as a worker process does it. Reads the study's arrays from a folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard import models
from modelyard.forms import Floats, Params, Shape
from modelyard.models import metrics


@dataclass(frozen=True)
class FoldTask:
    """Fit `family` with `params` on all folds but `fold`, score on it. `seconds` caps the fit."""

    trial: int
    family: str
    params: Params
    fold: int
    seconds: float | None


@dataclass(frozen=True)
class FoldResult:
    """The fold's score, its rows' out-of-fold outputs (rows, k), and what the fit took."""

    score: float
    outputs: Floats
    iterations: int | None
    seconds: float
    stopped: bool


def fitter(folder: str, shape: Shape, metric: str, seed: int) -> Callable[[FoldTask], FoldResult]:
    """Open the study's arrays (X.npy, y.npy, fold.npy) and return the function that fits a fold."""
    base = Path(folder)
    X: Floats = np.load(base / "X.npy", mmap_mode="r")
    y = np.load(base / "y.npy")
    fold_of: NDArray[np.int8] = np.load(base / "fold.npy")

    def work(task: FoldTask) -> FoldResult:
        started = time.monotonic()
        held = fold_of == task.fold
        # Time-ordered folds learn from the past only; rows of fold -1 are always past.
        rest = ~held if fold_of.min() >= 0 else fold_of < task.fold
        X_valid, y_valid = np.ascontiguousarray(X[held]), y[held]
        fitted = models.get(task.family).fit(
            np.ascontiguousarray(X[rest]),
            y[rest],
            task.params,
            shape,
            seed=seed,
            threads=1,
            valid=(X_valid, y_valid),
            deadline=None if task.seconds is None else started + task.seconds,
            metric=metric,
        )
        outputs = fitted.predict(X_valid)
        return FoldResult(
            score=metrics.score(metric, y_valid, outputs),
            outputs=outputs,
            iterations=fitted.iterations,
            seconds=time.monotonic() - started,
            stopped=bool(getattr(fitted, "stopped", False)),
        )

    return work
