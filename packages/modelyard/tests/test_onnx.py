"""Forms against the graph: a slow, literal reading of `forms` is the judge."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.branches import cast_thresholds
from modelyard.errors import ToolFailed
from modelyard.forms import Floats, Linear, Member, Task, Trees
from modelyard.tools import onnx as graphs

WIDTH = 3
LEVELS = 90
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def raw_by_hand(trees: Trees, X: Floats) -> Floats:
    """What the docstring of forms.Trees says, one step at a time."""
    total = np.zeros((len(X), trees.outputs))
    for row in range(len(X)):
        for tree, root in enumerate(trees.roots.tolist()):
            node = root
            while trees.feature[node] >= 0:
                x = X[row, trees.feature[node]]
                if trees.float32:
                    x = float(np.float32(x))
                if np.isnan(x):
                    left = bool(trees.missing_left[node])
                elif trees.equals[node]:
                    left = x == trees.threshold[node]
                else:
                    left = x <= trees.threshold[node]
                node = int(trees.left[node] if left else trees.right[node])
            output = int(trees.tree_output[tree])
            if output < 0:
                total[row] += trees.value[node]
            else:
                total[row, output] += trees.value[node, 0]
    if trees.aggregate == "mean":
        total /= len(trees.roots)
    return total + trees.base


def random_trees(
    seed: int, *, outputs: int, vectors: bool, float32: bool = False, count: int = 7
) -> Trees:
    """Trees of up to 6 levels, some of one leaf, with splits on numbers and on sets of codes."""
    rng = np.random.default_rng(seed)
    columns: dict[str, list[float]] = {
        key: [] for key in ("feature", "threshold", "equals", "left", "right", "missing")
    }
    values: list[list[float]] = []
    entries = outputs if vectors else 1

    def node(feature: int, threshold: float, equals: bool, missing: bool) -> int:
        row = (feature, threshold, equals, -1, -1, missing)
        for key, entry in zip(columns, row, strict=True):
            columns[key].append(entry)
        values.append(rng.normal(size=entries).tolist() if feature < 0 else [0.0] * entries)
        return len(values) - 1

    def grow(depth: int) -> int:
        if depth == 0 or rng.random() < 0.2:
            return node(-1, 0.0, False, False)
        if rng.random() < 0.4:
            codes = rng.choice(LEVELS, size=int(rng.integers(1, 40)), replace=False)
            chain = [node(2, float(code), True, False) for code in codes]
            left, right = grow(depth - 1), grow(depth - 1)
            for place, entry in enumerate(chain):
                columns["left"][entry] = left
                columns["right"][entry] = chain[place + 1] if place + 1 < len(chain) else right
            return chain[0]
        threshold = float(rng.choice([0.0, 0.1, 0.3, -0.7, 1e6, rng.normal()]))
        entry = node(int(rng.integers(2)), threshold, False, bool(rng.integers(2)))
        columns["left"][entry], columns["right"][entry] = grow(depth - 1), grow(depth - 1)
        return entry

    roots = [grow(int(rng.integers(0, 7))) for _ in range(count)]
    output = np.full(count, -1) if vectors else np.arange(count) % outputs
    return Trees(
        roots=np.array(roots, dtype=np.int64),
        feature=np.array(columns["feature"], dtype=np.int64),
        threshold=np.array(columns["threshold"], dtype=np.float64),
        equals=np.array(columns["equals"], dtype=np.bool_),
        left=np.array(columns["left"], dtype=np.int64),
        right=np.array(columns["right"], dtype=np.int64),
        missing_left=np.array(columns["missing"], dtype=np.bool_),
        value=np.array(values, dtype=np.float64),
        tree_output=output.astype(np.int64),
        outputs=outputs,
        aggregate="mean" if vectors else "sum",
        link="identity",
        base=rng.normal(size=outputs) * (seed % 2),
        float32=float32,
    )


def probes(trees: Trees, seed: int, rows: int = 60) -> Floats:
    """Values at, just above and just below thresholds; codes; missing values."""
    rng = np.random.default_rng(seed + 1)
    numbers = trees.threshold[(trees.feature >= 0) & ~trees.equals]
    X = np.empty((rows, WIDTH))
    X[:, :2] = rng.choice(np.append(numbers, 0.2), size=(rows, 2))
    X[:, :2] += rng.choice([0.0, 1e-9, -1e-9, 1e-17, 3e-8, 1.0, -1.0], size=(rows, 2))
    X[:, 2] = rng.integers(0, LEVELS + 20, size=rows)
    X[rng.random(X.shape) < 0.15] = np.nan
    return X


def scores(form: Linear | Trees, task: Task, classes: int, X: Floats) -> Floats:
    graph = graphs.build([Member(form, 1.0)], width=WIDTH, task=task, classes=classes, name="t")
    return graphs.run(graph, X)


@QUICK
@given(seed=st.integers(0, 10_000), float32=st.booleans())
def test_a_regression_ensemble_gives_the_sum_of_its_trees(seed: int, float32: bool) -> None:
    trees = random_trees(seed, outputs=1, vectors=False, float32=float32)
    X = probes(trees, seed)
    assert np.abs(scores(trees, "regression", 0, X) - raw_by_hand(trees, X)).max() < 1e-12


@QUICK
@given(seed=st.integers(0, 10_000), vectors=st.booleans(), float32=st.booleans())
def test_a_multiclass_ensemble_gives_each_class_its_trees(
    seed: int, vectors: bool, float32: bool
) -> None:
    trees = random_trees(seed, outputs=4, vectors=vectors, float32=float32)
    X = probes(trees, seed)
    assert np.abs(scores(trees, "multiclass", 4, X) - raw_by_hand(trees, X)).max() < 1e-12


def test_links_turn_raw_scores_into_probabilities_and_values() -> None:
    trees = random_trees(3, outputs=1, vectors=False)
    X = probes(trees, 3)
    raw = raw_by_hand(trees, X)
    p = 1 / (1 + np.exp(-raw))
    both = scores(replace(trees, link="sigmoid"), "binary", 2, X)
    assert np.abs(both - np.hstack([1 - p, p])).max() < 1e-12
    values = scores(replace(trees, link="exp"), "regression", 0, X)
    assert np.abs(values - (np.exp(raw) - 1)).max() < 1e-12
    share = scores(trees, "binary", 2, X)
    assert np.abs(share - np.hstack([1 - raw, raw])).max() < 1e-12
    several = random_trees(4, outputs=3, vectors=False)
    raw = raw_by_hand(several, X)
    soft = scores(replace(several, link="softmax"), "multiclass", 3, X)
    assert np.abs(soft - np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)).max() < 1e-12


def test_a_large_vector_forest_is_looked_up_in_parts() -> None:
    trees = random_trees(11, outputs=300, vectors=True, count=20)
    X = probes(trees, 11, rows=20)
    assert np.abs(scores(trees, "multiclass", 300, X) - raw_by_hand(trees, X)).max() < 1e-12


def test_trees_of_one_leaf_only_give_constant_rows() -> None:
    one = random_trees(0, outputs=1, vectors=False)
    leaf = replace(
        one,
        roots=np.array([0, 1]),
        feature=np.array([-1, -1]),
        value=np.array([[2.0], [0.5]]),
        tree_output=np.array([0, 0]),
        base=np.array([0.25]),
    )
    found = scores(leaf, "regression", 0, np.full((5, WIDTH), np.nan))
    assert found.tolist() == [[2.75]] * 5


finite = st.floats(-1e30, 1e30, allow_subnormal=False)


@QUICK
@given(threshold=finite, value=finite, near=st.integers(-3, 3))
def test_folded_thresholds_split_as_the_cast_does(
    threshold: float, value: float, near: int
) -> None:
    folded = float(cast_thresholds(np.array([threshold]))[0])
    stepped = folded
    for _ in range(abs(near)):
        stepped = float(np.nextafter(stepped, np.inf if near > 0 else -np.inf))
    for x in (value, stepped, threshold, float(np.float32(threshold))):
        assert (x <= folded) == bool(np.float64(np.float32(x)) <= threshold)


def linear(seed: int, outputs: int, link: str, limit: float = np.inf) -> Linear:
    rng = np.random.default_rng(seed)
    return Linear(
        numeric=np.array([0, 1]),
        fill=rng.normal(size=2),
        centre=rng.normal(size=2),
        scale=np.array([2.0, 1e-3]),
        indicators=np.array([1, 2]),
        equals_column=np.array([2, 2, 2]),
        equals_code=np.array([0.0, 1.0, 7.0]),
        weights=rng.normal(size=(7, outputs)),
        bias=rng.normal(size=outputs),
        link=link,  # type: ignore[arg-type]
        limit=limit,
    )


@pytest.mark.parametrize("limit", [np.inf, 2.5])
def test_a_linear_form_gives_its_design_times_its_weights(limit: float) -> None:
    form = linear(5, 3, "softmax", limit)
    X = probes(random_trees(5, outputs=1, vectors=False), 5)
    expected = []
    for row in X:
        numbers = [
            (form.fill[i] if np.isnan(row[i]) else row[i]) - form.centre[i] for i in range(2)
        ]
        cells = [number / scale for number, scale in zip(numbers, form.scale, strict=True)]
        cells = [min(max(cell, -limit), limit) for cell in cells]
        cells += [float(np.isnan(row[1])), float(np.isnan(row[2]))]
        cells += [float(row[2] == code) for code in form.equals_code]
        raw = np.array(cells) @ form.weights + form.bias
        powers = np.exp(raw - raw.max())
        expected.append(powers / powers.sum())
    assert np.abs(scores(form, "multiclass", 3, X) - np.array(expected)).max() < 1e-12


def test_an_ensemble_is_the_weighted_mean_of_its_members() -> None:
    trees = replace(random_trees(8, outputs=1, vectors=False), link="sigmoid")
    forest = random_trees(9, outputs=1, vectors=True, float32=True)
    members: list[tuple[Linear | Trees, float]] = [
        (trees, 0.5),
        (forest, 0.3),
        (linear(1, 1, "sigmoid"), 0.2),
    ]
    X = probes(trees, 8)
    graph = graphs.build(
        [Member(form, weight) for form, weight in members],
        width=WIDTH,
        task="binary",
        classes=2,
        name="blend",
    )
    expected = np.sum([weight * scores(form, "binary", 2, X) for form, weight in members], axis=0)
    assert np.abs(graphs.run(graph, X) - expected).max() < 1e-12


def test_the_graph_takes_and_gives_doubles_of_the_promised_names() -> None:
    trees = random_trees(8, outputs=1, vectors=False)
    graph = graphs.build(
        [Member(trees, 1.0)], width=WIDTH, task="regression", classes=0, name="small"
    )
    model = onnx.load_from_string(graph)
    (given_,), (out,) = model.graph.input, model.graph.output
    assert (given_.name, out.name) == ("matrix", "scores")
    assert given_.type.tensor_type.elem_type == out.type.tensor_type.elem_type == 11
    assert {entry.domain: entry.version for entry in model.opset_import} == {
        "": 21,
        "ai.onnx.ml": 5,
    }
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("TreeEnsemble") == 1


BYTES = """
import hashlib, sys
sys.path.insert(0, {folder!r})
from test_onnx import Member, WIDTH, graphs, random_trees
form = random_trees(8, outputs=4, vectors=True)
graph = graphs.build([Member(form, 1.0)], width=WIDTH, task="multiclass", classes=4, name="x")
print(hashlib.sha256(graph).hexdigest())
"""


def test_the_same_model_gives_the_same_bytes_in_every_process() -> None:
    from pathlib import Path

    code = BYTES.format(folder=str(Path(__file__).parent))
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("weights", "task", "width", "words"),
    [
        ([], "regression", WIDTH, "0 members"),
        ([0.5, 0.4], "regression", WIDTH, "sum to 0.9"),
        ([float("nan")], "regression", WIDTH, "sum to nan"),
        ([1.0], "multiclass", WIDTH, "1 outputs with link identity"),
        ([1.0], "regression", 2, "column 2 of 2"),
    ],
)
def test_models_that_do_not_fit_are_refused(
    weights: list[float], task: Task, width: int, words: str
) -> None:
    form = linear(1, 1, "identity")
    with pytest.raises(ToolFailed, match=words):
        graphs.build(
            [Member(form, weight) for weight in weights],
            width=width,
            task=task,
            classes=3,
            name="no",
        )


def test_a_matrix_of_another_width_and_bytes_that_are_no_graph_are_refused() -> None:
    form = linear(1, 1, "identity")
    graph = graphs.build([Member(form, 1.0)], width=WIDTH, task="regression", classes=0, name="g")
    assert graphs.run(graph, np.empty((0, WIDTH))).shape == (0, 1)
    with pytest.raises(ToolFailed, match="takes 3 columns"):
        graphs.run(graph, np.zeros((2, 4)))
    with pytest.raises(ToolFailed, match="cannot open"):
        graphs.run(b"not a graph", np.zeros((2, 4)))
