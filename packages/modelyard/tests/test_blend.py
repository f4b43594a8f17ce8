"""Greedy blending takes what helps, and nothing else."""

from __future__ import annotations

import numpy as np

from modelyard.models import blend, metrics

RANDOM = np.random.default_rng(0)
Y = RANDOM.integers(0, 2, 2000)


def outputs(noise: float, seed: int) -> np.ndarray:
    p = 1 / (1 + np.exp(-(2.0 * Y - 1 + np.random.default_rng(seed).normal(0, noise, len(Y)))))
    return np.column_stack([1 - p, p])


def test_two_independent_views_beat_either() -> None:
    pool = {1: outputs(2.0, 1), 2: outputs(2.0, 2), 3: np.full((len(Y), 2), 0.5)}
    weights = blend.greedy("roc_auc", Y, pool, largest=3)
    assert sum(weights.values()) == 1.0
    assert {1, 2} <= set(weights)
    mixed = sum(weight * pool[trial] for trial, weight in weights.items())
    alone = max(metrics.score("roc_auc", Y, pool[trial]) for trial in pool)
    assert metrics.score("roc_auc", Y, mixed) > alone + 0.01


def test_one_model_that_is_right_is_enough() -> None:
    right = np.column_stack([1 - Y, Y]).astype(float)
    assert blend.greedy("log_loss", Y, {4: right, 9: outputs(3.0, 3)}, largest=5) == {4: 1.0}


def test_the_largest_number_is_kept_and_the_order_does_not_matter() -> None:
    pool = {number: outputs(2.5, number) for number in range(8)}
    weights = blend.greedy("roc_auc", Y, pool, largest=3)
    assert len(weights) <= 3
    backwards = dict(reversed(pool.items()))
    assert blend.greedy("roc_auc", Y, backwards, largest=3) == weights
