"""Greedy blending of out-of-fold predictions (Caruana et al., ICML 2004, "Ensemble selection")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.forms import Floats
from modelyard.models import metrics


def greedy(
    metric: str,
    y: NDArray[Any],
    outputs: Mapping[int, Floats],
    *,
    largest: int,
    rounds: int = 25,
) -> dict[int, float]:
    """Choose trials, with repetition, whose mean output scores best on the out-of-fold rows.

    Args:
        outputs: trial -> out-of-fold outputs, each of shape (rows, k).
        largest: at most this many different trials.

    Returns:
        trial -> weight; weights are positive and sum to 1.
    """
    sign = 1.0 if metrics.METRICS[metric].direction == "maximize" else -1.0
    counts: dict[int, int] = {}
    total: Floats = np.zeros_like(next(iter(outputs.values())))
    best_score, best_counts = -np.inf, {}
    for step in range(1, rounds + 1):
        pool = counts if len(counts) >= largest else outputs
        scored = [
            (sign * metrics.score(metric, y, (total + outputs[trial]) / step), -trial)
            for trial in pool
        ]
        score, negative = max(scored)
        counts[-negative] = counts.get(-negative, 0) + 1
        total = total + outputs[-negative]
        if score > best_score + 1e-9:
            best_score, best_counts = score, dict(counts)
        if len(counts) == 1 and step >= 3 and largest == 1:
            break
    size = sum(best_counts.values())
    return {trial: count / size for trial, count in sorted(best_counts.items())}
