"""Tables of leaf masks against a slow, literal reading of `forms.Trees`, and against the graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_onnx import LEVELS, QUICK, WIDTH, linear, probes, random_trees, raw_by_hand, scores

from modelyard.forms import Floats, Member, Trees
from modelyard.models.masks import compiled
from modelyard_serve.masks import FEW, JOINT, Masks, Scores

CODES = {2: LEVELS + 40}
"""The third column of the random trees holds codes."""


def opened(form: Trees, task: str, monkeypatch: pytest.MonkeyPatch) -> Scores:
    """The masks of a form, however small its trees are."""
    monkeypatch.setattr("modelyard.models.masks.WALK", 1e9)
    return reopened([Member(form, 1.0)], task)


def reopened(members: list[Member], task: str) -> Scores:
    written = compiled(members, task)
    assert written is not None
    outputs = 3 if task == "multiclass" else 1
    return Scores(msgspec.msgpack.decode(written, type=Masks), CODES, WIDTH, outputs)


def both_ways(run: Scores, X: Floats) -> Floats:
    """Many rows at once, after the same rows in fews and alone gave the same."""
    found = run(X)
    assert len(X) > FEW
    few = np.concatenate([run(X[start : start + 5]) for start in range(0, len(X), 5)])
    one = np.concatenate([run(X[start : start + 1]) for start in range(len(X))])
    assert np.abs(few - found).max() < 1e-13
    assert np.abs(one - found).max() < 1e-13
    return found


@QUICK
@given(seed=st.integers(0, 10_000), float32=st.booleans())
def test_a_sum_of_trees(seed: int, float32: bool) -> None:
    trees = random_trees(seed, outputs=1, vectors=False, float32=float32)
    X = probes(trees, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("modelyard.models.masks.WALK", 1e9)
        if compiled([Member(trees, 1.0)], "regression") is None:
            assert not (trees.feature >= 0).any()
            return
        run = opened(trees, "regression", patch)
    assert np.abs(both_ways(run, X) - raw_by_hand(trees, X)).max() < 1e-12


@QUICK
@given(seed=st.integers(0, 10_000))
def test_each_class_gets_its_trees(seed: int) -> None:
    trees = random_trees(seed, outputs=3, vectors=False, count=9)
    X = probes(trees, seed)
    with pytest.MonkeyPatch.context() as patch:
        run = opened(replace(trees, link="softmax"), "multiclass", patch)
    expected = scores(replace(trees, link="softmax"), "multiclass", 3, X)
    assert np.abs(both_ways(run, X) - expected).max() < 1e-12


@pytest.mark.parametrize(
    ("link", "task", "classes"), [("sigmoid", "binary", 2), ("exp", "regression", 0)]
)
def test_links(link: str, task: str, classes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = replace(random_trees(3, outputs=1, vectors=False), link=link)  # type: ignore[arg-type]
    X = probes(trees, 3)
    expected = scores(trees, task, classes, X)  # type: ignore[arg-type]
    assert np.abs(both_ways(opened(trees, task, monkeypatch), X) - expected).max() < 1e-12


def test_large_raw_scores_do_not_overflow(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = replace(random_trees(3, outputs=1, vectors=False), link="sigmoid")
    trees = replace(trees, base=np.array([-2000.0]))
    X = probes(trees, 3)
    found = both_ways(opened(trees, "binary", monkeypatch), X)
    assert found[:, 1].max() < 1e-300
    assert (found[:, 0] == 1.0).all()


def test_a_mean_of_shares_and_a_blend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelyard.models.masks.WALK", 1e9)
    trees = replace(random_trees(8, outputs=1, vectors=False), link="sigmoid")
    forest = random_trees(9, outputs=1, vectors=True, float32=True)
    X = probes(trees, 8)
    run = reopened([Member(trees, 0.7), Member(forest, 0.3)], "binary")
    expected = 0.7 * scores(trees, "binary", 2, X) + 0.3 * scores(forest, "binary", 2, X)
    assert np.abs(both_ways(run, X) - expected).max() < 1e-12


def big_tree(leaves: int, seed: int) -> Trees:
    """One lopsided tree of many leaves on two columns, repeated for two columns of codes."""
    rng = np.random.default_rng(seed)
    inner = leaves - 1
    at = np.arange(inner)
    leaf = rng.normal(size=leaves)
    right = np.where(at + 1 < inner, at + 1, 2 * inner)
    return Trees(
        roots=np.array([0]),
        feature=np.concatenate([rng.integers(0, 2, inner), np.full(leaves, -1)]),
        threshold=np.concatenate([np.sort(rng.normal(size=inner)), np.zeros(leaves)]),
        equals=np.zeros(inner + leaves, dtype=np.bool_),
        left=np.concatenate([inner + at, np.full(leaves, -1)]),
        right=np.concatenate([right, np.full(leaves, -1)]),
        missing_left=rng.random(inner + leaves) < 0.2,
        value=np.concatenate([np.zeros(inner), leaf])[:, None],
        tree_output=np.array([0]),
        outputs=1,
        aggregate="sum",
        link="identity",
    )


@pytest.mark.parametrize("leaves", [2, 31, 32, 33, 63, 64, 65, 130, 255])
def test_trees_of_many_leaves_take_many_words(leaves: int, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = big_tree(leaves, leaves)
    X = probes(trees, leaves, rows=80)
    run = opened(trees, "regression", monkeypatch)
    assert np.abs(both_ways(run, X) - raw_by_hand(trees, X)).max() < 1e-12


def with_a_stump(trees: Trees, *, before: bool) -> Trees:
    """One more tree, which asks whether the third column's code is 3."""
    count = len(trees.feature)
    at, shift = (0, 3) if before else (count, 0)

    def both(old: NDArray[Any], new: list[Any]) -> NDArray[Any]:
        return np.concatenate([np.array(new), old] if before else [old, np.array(new)])

    def moved(old: NDArray[Any]) -> NDArray[Any]:
        return np.where(old >= 0, old + shift, -1)

    return replace(
        trees,
        roots=both(trees.roots + shift, [at]),
        feature=both(trees.feature, [2, -1, -1]),
        threshold=both(trees.threshold, [3.0, 0.0, 0.0]),
        equals=both(trees.equals, [True, False, False]),
        left=both(moved(trees.left), [at + 1, -1, -1]),
        right=both(moved(trees.right), [at + 2, -1, -1]),
        missing_left=both(trees.missing_left, [False, False, False]),
        value=both(trees.value, [[0.0], [1.5], [-2.5]]),
        tree_output=np.zeros(len(trees.roots) + 1, dtype=np.int64),
    )


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("leaves", [65, 130, 255])
def test_a_small_tree_of_codes_beside_a_large_one(
    leaves: int, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The large one takes more words: the small one must reach neither a neighbour's nor past."""
    trees = with_a_stump(big_tree(leaves, leaves), before=before)
    X = probes(trees, leaves, rows=80)
    run = opened(trees, "regression", monkeypatch)
    assert np.abs(both_ways(run, X) - raw_by_hand(trees, X)).max() < 1e-12


def test_tables_of_few_codes_are_joined_and_of_many_are_not() -> None:
    rng = np.random.default_rng(1)
    sizes = {0: 4, 1: 9, 2: 300}
    parts = []
    for column, size in sizes.items():
        codes = rng.choice(size + 1, size=max(1, size // 3), replace=False)
        parts.append((column, np.sort(codes).astype(np.float64)))
    nodes = [(column, float(code)) for column, codes in parts for code in codes]
    count = len(nodes)
    trees = Trees(  # one stump for each code
        roots=np.arange(count) * 3,
        feature=np.array([entry for column, _ in nodes for entry in (column, -1, -1)]),
        threshold=np.array([entry for _, code in nodes for entry in (code, 0.0, 0.0)]),
        equals=np.array([entry for _ in nodes for entry in (True, False, False)]),
        left=np.array([entry for n in range(count) for entry in (3 * n + 1, -1, -1)]),
        right=np.array([entry for n in range(count) for entry in (3 * n + 2, -1, -1)]),
        missing_left=np.zeros(3 * count, dtype=np.bool_),
        value=rng.normal(size=(3 * count, 1)),
        tree_output=np.zeros(count, dtype=np.int64),
        outputs=1,
        aggregate="sum",
        link="identity",
    )
    written = compiled([Member(trees, 1.0)], "regression")
    assert written is not None
    run = Scores(msgspec.msgpack.decode(written, type=Masks), sizes, WIDTH, 1)
    assert [len(members) for _, members in run._forests[0]._groups] == [2, 1]
    assert JOINT < 6 * 11 * 302
    X = np.stack([rng.integers(0, size + 1, 200) for size in sizes.values()], axis=1) * 1.0
    X[rng.random(X.shape) < 0.2] = np.nan
    assert np.abs(both_ways(run, X) - raw_by_hand(trees, X)).max() < 1e-12


def test_what_has_no_tables_is_left_to_the_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = random_trees(8, outputs=4, vectors=True)
    assert compiled([Member(vectors, 1.0)], "multiclass") is None
    trees = random_trees(8, outputs=1, vectors=False)
    mixed = [Member(trees, 0.5), Member(linear(1, 1, "identity"), 0.5)]
    assert compiled(mixed, "regression") is None
    leaf = np.full_like(trees.feature, -1)
    constant = replace(trees, roots=np.array([0]), tree_output=np.array([0]), feature=leaf)
    assert compiled([Member(constant, 1.0)], "regression") is None
    monkeypatch.setattr("modelyard.models.masks.MOST_BYTES", 1000)
    assert compiled([Member(trees, 1.0)], "regression") is None


def test_the_same_trees_give_the_same_bytes() -> None:
    trees = random_trees(8, outputs=1, vectors=False)
    assert compiled([Member(trees, 1.0)], "regression") == compiled(
        [Member(trees, 1.0)], "regression"
    )
