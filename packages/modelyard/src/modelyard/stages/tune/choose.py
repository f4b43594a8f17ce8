"""After the search: which trials train refits, with which weights, and the decision's threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.errors import ModelyardError
from modelyard.forms import Floats
from modelyard.models import blend, metrics
from modelyard.records import Chosen, Trial
from modelyard.settings import TuneSection
from modelyard.stages.tune.prepare import Prepared
from modelyard.stages.tune.trials import outputs_path
from modelyard.values import Task

BLENDABLE = 25
"""Of the best trials so many may be blended: more would only cost time."""


@dataclass(frozen=True)
class Choice:
    """What train refits; `score` is out of fold, of the blend where there is one."""

    chosen: tuple[Chosen, ...]
    score: float
    threshold: float | None


def choose(
    trials: Sequence[Trial],
    prepared: Prepared,
    folder: Path,
    settings: TuneSection,
    *,
    metric: str,
    task: Task,
) -> Choice:
    """Pick the best trial, or a blend of the best.

    Raises:
        ModelyardError: no trial is complete.
    """
    complete = [trial for trial in trials if trial.score is not None]
    if not complete:
        why = next((t.message for t in trials if t.message), "The budget was too short.")
        raise ModelyardError(
            "No trial could be completed.",
            why=why.strip().splitlines()[-1],
            next_step="modelyard run -S tune.budget=5m",
        )
    maximize = metrics.METRICS[metric].direction == "maximize"
    ranked = sorted(complete, key=lambda t: t.score or 0.0, reverse=maximize)
    weights = {ranked[0].number: 1.0}
    outputs = {
        trial.number: np.load(path)
        for trial in ranked[:BLENDABLE]
        if (path := outputs_path(folder, trial.number)).is_file()
    }
    covered = prepared.fold >= 0
    y = prepared.y[covered]
    pool = {number: whole[covered] for number, whole in outputs.items()}
    if settings.ensemble > 1 and len(pool) > 1:
        weights = blend.greedy(metric, y, pool, largest=settings.ensemble)
    by_number = {trial.number: trial for trial in complete}
    chosen = tuple(
        Chosen(
            trial=number,
            family=by_number[number].family,
            params=by_number[number].params,
            weight=weight,
            iterations=by_number[number].iterations,
        )
        for number, weight in weights.items()
    )
    threshold, score = None, float(ranked[0].score or 0.0)
    if set(weights) <= set(pool):
        mixed = np.sum([weight * pool[number] for number, weight in weights.items()], axis=0)
        if len(weights) > 1:
            score = metrics.score(metric, y, mixed)
        if task == "binary":
            threshold = _threshold(settings.threshold, y, mixed[:, 1])
    return Choice(chosen, score, threshold)


def _threshold(rule: str, y: Floats, probabilities: Floats) -> float:
    if rule in ("f1", "balanced"):
        return metrics.best_threshold(y, probabilities, rule)
    return float(rule)
