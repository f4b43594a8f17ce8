"""A trial in flight, one that was told, and what a person sees of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from modelyard.forms import Floats
from modelyard.records import Trial
from modelyard.tools import optuna

SPARED_FOLDS = 2
"""No trial is dropped before it was seen on this many folds."""


@dataclass(frozen=True)
class Progress:
    """What a person sees while the study runs."""

    finished: int
    wanted: int | None
    family: str
    score: float | None
    best: float | None
    best_family: str
    metric: str
    elapsed: float
    budget: float | None


Notify = Callable[[Progress], None]


@dataclass
class Live:
    """A trial in flight."""

    asked: optuna.Asked
    spared: bool
    slot: int
    scores: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    outputs: dict[int, Floats] = field(default_factory=dict)
    seconds: float = 0.0


def trial_of(told: optuna.Told) -> Trial:
    """The record's form of a trial that the journal holds."""
    details = told.details
    return Trial(
        number=told.number,
        family=told.family,
        params=told.params,
        state=told.state,
        score=told.score,
        folds=tuple(details.get("folds", ())),
        seconds=details.get("seconds", 0.0),
        iterations=details.get("iterations"),
        origin=told.origin,
        message=details.get("message", ""),
    )


def hopeless(scores: Sequence[float], best: Sequence[float], *, maximize: bool) -> bool:
    """Worse than the best trial on every fold so far, by more than the folds' own noise.

    A paired comparison: the difference of means over its standard error, on the same folds.

    Args:
        scores: the trial's, of the first folds.
        best: the best trial's, of all folds; empty before there is one.
    """
    count = len(scores)
    if count < SPARED_FOLDS or not best:
        return False
    sign = 1.0 if maximize else -1.0
    gaps = np.array([sign * (top - score) for top, score in zip(best, scores, strict=False)])
    if bool((gaps <= 0).any()):
        return False
    error = float(gaps.std(ddof=1)) / np.sqrt(count)
    return bool(gaps.mean() > 1.5 * error)


def outputs_path(folder: Path, number: int) -> Path:
    """Where a complete trial's out-of-fold outputs lie, shape (rows, k)."""
    return folder / f"oof-{number}.npy"
