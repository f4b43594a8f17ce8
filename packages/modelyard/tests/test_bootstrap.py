"""Intervals cover the truth; the paired test refuses noise and finds what is truly worse."""

from __future__ import annotations

import time

import numpy as np
import pytest

from modelyard.models import bootstrap, metrics
from modelyard.records import Interval


def make(rows: int, seed: int, skill: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Binary rows and scores; AUC is that of two normals `skill` apart."""
    random = np.random.default_rng(seed)
    y = (random.random(rows) < 0.3).astype(np.int64)
    p = 1 / (1 + np.exp(-(random.normal(size=rows) + skill * y)))
    return y, np.stack([1 - p, p], axis=1)


def noisy(scores: np.ndarray, size: float, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    p = np.clip(scores[:, 1] + random.normal(0, size, len(scores)), 0, 1)
    return np.stack([1 - p, p], axis=1)


def test_counts_are_resamples_of_all_rows() -> None:
    blocks = list(bootstrap.counts(700, 1000, 3))
    assert sum(len(block) for block in blocks) == 1000
    assert len(blocks) > 1
    assert all((block.sum(axis=1) == 700).all() for block in blocks)
    assert blocks[0][0].max() > 1


def test_the_same_seed_gives_the_same_interval_and_another_gives_another() -> None:
    y, scores = make(400, 0)
    first = bootstrap.interval("roc_auc", y, scores, seed=1)
    assert first == bootstrap.interval("roc_auc", y, scores, seed=1)
    assert first != bootstrap.interval("roc_auc", y, scores, seed=2)
    assert first.low < first.value < first.high
    assert first.value == metrics.score("roc_auc", y, scores)


def test_an_interval_is_that_of_resampling_by_hand() -> None:
    y, scores = make(150, 1)
    random = np.random.default_rng(9)
    drawn = []
    for _ in range(2000):
        rows = random.integers(0, len(y), len(y))
        drawn.append(metrics.score("roc_auc", y[rows], scores[rows]))
    low, high = np.quantile(drawn, [0.05, 0.95])
    found = bootstrap.interval("roc_auc", y, scores, confidence=0.9, resamples=2000)
    assert found.low == pytest.approx(low, abs=0.006)
    assert found.high == pytest.approx(high, abs=0.006)


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    y, scores = make(200_000, 99)
    truth = metrics.score("roc_auc", y, scores)
    hits = 0
    for seed in range(100):
        found = bootstrap.interval(
            "roc_auc", *make(400, seed), confidence=0.9, resamples=300, seed=seed
        )
        hits += found.low <= truth <= found.high
    assert 82 <= hits <= 98


def test_a_challenger_that_differs_by_noise_alone_is_refused() -> None:
    refused = 0
    for seed in range(60):
        y, champion = make(1000, seed)
        challenger = noisy(champion, 0.01, seed + 1000)
        refused += bootstrap.paired("roc_auc", y, challenger, champion, seed=seed).low <= 0
    assert refused >= 57


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "f1"])
def test_a_truly_worse_challenger_is_found_out(metric: str) -> None:
    y, champion = make(2000, 5, skill=2.0)
    found = bootstrap.paired(metric, y, noisy(champion, 0.3, 6), champion)
    assert found.improvement < 0
    assert found.high < 0
    swapped = bootstrap.paired(metric, y, champion, noisy(champion, 0.3, 6))
    assert swapped.low > 0
    assert swapped.improvement == pytest.approx(-found.improvement)


def test_each_model_is_decided_by_its_own_threshold() -> None:
    y, scores = make(500, 2)
    best = metrics.best_threshold(y, scores[:, 1])
    found = bootstrap.paired("f1", y, scores, scores, threshold_a=best, threshold_b=0.99)
    assert found.low > 0


def test_equal_models_differ_by_nothing() -> None:
    y, scores = make(300, 3)
    assert bootstrap.paired("log_loss", y, scores, scores) == (0.0, 0.0, 0.0)


def test_an_undefined_metric_is_left_out_and_said_to_be_nan() -> None:
    y = np.zeros(50, dtype=np.int64)
    scores = np.full((50, 2), 0.5)
    assert set(bootstrap.intervals(["roc_auc", "log_loss"], y, scores)) == {"log_loss"}
    assert np.isnan(bootstrap.interval("roc_auc", y, scores).value)


def test_a_huge_test_set_is_capped_and_its_interval_is_as_narrow_as_it_should_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    y = random.normal(size=20_000)
    scores = (y + random.normal(size=20_000))[:, None]
    whole = bootstrap.interval("mae", y, scores, resamples=400)
    monkeypatch.setattr(bootstrap, "CAP", 2_000)
    capped = bootstrap.interval("mae", y, scores, resamples=400)
    assert capped.value == whole.value
    assert capped.high - capped.low == pytest.approx(whole.high - whole.low, rel=0.25)
    pair = bootstrap.paired("mae", y, scores, scores + 0.5, resamples=400)
    assert pair.low > 0


def test_a_thousand_resamples_cost_few_sorts() -> None:
    y, scores = make(5000, 4)
    started = time.perf_counter()
    for _ in range(50):
        metrics.score("roc_auc", y, scores)
    fifty_plain = time.perf_counter() - started
    started = time.perf_counter()
    bootstrap.interval("roc_auc", y, scores, resamples=1000)
    # Re-sorting in each resample would cost 20 times the fifty plain scores.
    assert time.perf_counter() - started < 12 * fifty_plain + 0.3


def _clustered(clusters: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values whose errors are shared within a cluster, and each row's cluster."""
    random = np.random.default_rng(seed)
    owner = np.repeat(np.arange(clusters), size)
    y = random.normal(size=clusters * size)
    scores = y + np.repeat(random.normal(size=clusters), size)
    return y, scores[:, None], owner


def mae(
    y: np.ndarray,
    scores: np.ndarray,
    clusters: np.ndarray | None,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    return bootstrap.intervals(
        ["mae"], y, scores, resamples=resamples, seed=seed, clusters=clusters
    )["mae"]


def test_rows_of_a_cluster_are_drawn_together() -> None:
    owner = np.array([0, 0, 1, 2, 2, 2])
    (block,) = bootstrap.counts(6, 200, 1, owner)
    for rows in ([0, 1], [3, 4, 5]):
        assert (block[:, rows] == block[:, rows[:1]]).all()
    assert (block[:, [0, 2, 3]].sum(axis=1) == 3).all()


def test_clustered_rows_do_not_pass_for_more_than_they_are() -> None:
    hits = {"clusters": 0, "rows": 0}
    for seed in range(200):
        y, scores, owner = _clustered(40, 25, seed)
        for name, clusters in (("clusters", owner), ("rows", None)):
            found = mae(y, scores, clusters, resamples=300, seed=seed)
            hits[name] += found.low <= np.sqrt(2 / np.pi) <= found.high
    assert hits["clusters"] >= 175  # of 200 at 95 %; few clusters cover a little less
    assert hits["rows"] < 100


def test_clusters_of_one_row_are_rows() -> None:
    y, scores = make(300, 4)
    plain = bootstrap.paired("roc_auc", y, scores, noisy(scores, 0.2, 1))
    alone = bootstrap.paired(
        "roc_auc", y, scores, noisy(scores, 0.2, 1), clusters=np.arange(300)[::-1]
    )
    assert plain == alone


@pytest.mark.parametrize(("clusters", "size"), [(400, 25), (30, 333)])
def test_of_many_clustered_rows_a_part_tells_as_much(
    monkeypatch: pytest.MonkeyPatch, clusters: int, size: int
) -> None:
    """Few large clusters too: were whole ones taken, two would have to speak for thirty."""
    y, scores, owner = _clustered(clusters, size, 3)
    whole = mae(y, scores, owner)
    monkeypatch.setattr(bootstrap, "CAP", 1000)
    part = mae(y, scores, owner)
    assert part.value == whole.value
    assert part.high - part.low == pytest.approx(whole.high - whole.low, rel=0.3)


def test_one_cluster_alone_is_no_evidence_of_none() -> None:
    """Drawn as one it would give an interval of no width: rows are drawn instead."""
    y, scores = make(500, 2)
    other = noisy(scores, 0.2, 1)
    alone = bootstrap.paired("roc_auc", y, scores, other, clusters=np.zeros(500))
    assert alone == bootstrap.paired("roc_auc", y, scores, other)
    assert alone.low < alone.high
