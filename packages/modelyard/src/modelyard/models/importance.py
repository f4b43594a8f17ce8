"""Permutation importance: how much the metric drops when one feature's values are shuffled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from modelyard.forms import Floats
from modelyard.models import metrics
from modelyard.models.metrics import Target

REPEATS = 3
MOST_ROWS = 5_000
FEWEST_ROWS = 250
WORK = 100_000
"""About so many rows are scored in all (1 to 2 s on a large graph); wide tables exceed it."""
BATCH_BYTES = 32_000_000


@dataclass(frozen=True)
class Block:
    """The matrix columns `start` .. `start + width` that one raw feature takes."""

    name: str
    start: int
    width: int


def permutation(
    predict: Callable[[Floats], Floats],
    X: Floats,
    y: Target,
    blocks: Sequence[Block],
    metric: str,
    *,
    seed: int,
    threshold: float | None = None,
) -> dict[str, float]:
    """Shuffle each feature's columns together and measure the loss in the metric.

    Breiman, Random Forests (2001), section 10, on held-out rows.

    Args:
        predict: (rows, width) -> scores.
        X: the held-out rows' matrix; a seeded sample of it is used where it is large.
        y: (rows,) class indices or values.
        blocks: which columns belong to which feature.
        metric: a key of metrics.METRICS.
        seed: of the sample and the shuffles.
        threshold: of class 1, for the metrics that decide.

    Returns:
        feature -> mean drop in the metric's unit, positive where the feature helps, largest first;
        empty where the metric is not defined on these rows.
    """
    repeats = REPEATS if len(blocks) * FEWEST_ROWS * REPEATS <= WORK else 1
    share = WORK // max(1, len(blocks) * repeats)
    rows = min(len(X), MOST_ROWS, max(FEWEST_ROWS, share))
    if rows < len(X):
        kept = np.sort(np.random.default_rng([seed, 0]).choice(len(X), rows, replace=False))
        X, y = X[kept], y[kept]
    before = metrics.score(metric, y, predict(X), threshold)
    if not np.isfinite(before):
        return {}
    jobs = [(index, repeat) for index in range(len(blocks)) for repeat in range(repeats)]
    batch = max(1, BATCH_BYTES // max(1, X.nbytes))
    drops = np.zeros(len(blocks))
    # Many shuffled copies are scored at once: opening a large graph costs more than its rows.
    for first in range(0, len(jobs), batch):
        part = jobs[first : first + batch]
        copies = np.broadcast_to(X, (len(part), *X.shape)).copy()
        for copy, (index, repeat) in zip(copies, part, strict=True):
            block = blocks[index]
            columns = slice(block.start, block.start + block.width)
            order = np.random.default_rng([seed, 1, index, repeat]).permutation(rows)
            copy[:, columns] = X[order, columns]
        scores = predict(copies.reshape(-1, X.shape[1])).reshape(len(part), rows, -1)
        for shuffled, (index, _) in zip(scores, part, strict=True):
            after = metrics.score(metric, y, shuffled, threshold)
            drops[index] += metrics.improvement(metric, before, after) / repeats
    ranked = sorted(zip(blocks, drops.tolist(), strict=True), key=lambda pair: -pair[1])
    return {block.name: drop for block, drop in ranked}
