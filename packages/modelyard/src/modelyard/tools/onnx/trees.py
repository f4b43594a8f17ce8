"""`forms.Trees` as ONE `TreeEnsemble` node (ai.onnx.ml 5) with float64 thresholds and leaves.

Three things are folded into it. A chain of equality nodes becomes one BRANCH_MEMBER node
(onnxruntime copies what shared nodes lead to, once for each that shares it). An estimator's cast to
float32 becomes thresholds that the float64 value can be compared with. And where leaves carry a
vector, the ensemble gives each tree's leaf number, which a table turns into vectors: the standard
allows one output a leaf, and copying every tree for every class would cost a traversal each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from modelyard.branches import cast_thresholds, chains, owners
from modelyard.forms import Floats, Ints, Trees
from modelyard.tools.onnx.linear import constant_rows
from modelyard.tools.onnx.nodes import ML, Nodes

LEQ, EQ, MEMBER = 0, 4, 6
SUM, NO_TRANSFORM = 1, 0
VECTORS = 2048
"""Numbers a row that a table's vectors may take at a time, which bounds the memory of a batch."""


def raw_trees(nodes: Nodes, matrix: str, trees: Trees) -> str:
    """Add the trees; returns the raw scores, shape (N, outputs)."""
    base, grown = _constant_part(trees)
    if not grown.any():
        return constant_rows(nodes, matrix, base)
    flat = _flatten(trees, grown)
    factor = 1 / len(trees.roots) if trees.aggregate == "mean" else 1.0
    value = trees.value[flat.leaves] * factor
    if value.shape[1] == 1:
        raw = _ensemble(nodes, matrix, flat, value[:, 0], flat.output, trees.outputs)
    else:
        raw = _vectors(nodes, matrix, flat, value)
    return nodes.op("Add", raw, nodes.constant(base[None, :])) if base.any() else raw


@dataclass(frozen=True)
class _Flat:
    """The node's attributes; `leaves` are the leaves' places in the form, `tree` their trees."""

    roots: Ints
    feature: Ints
    mode: NDArray[np.uint8]
    split: Floats
    members: Floats
    true_id: Ints
    true_leaf: Ints
    false_id: Ints
    false_leaf: Ints
    missing_true: Ints
    leaves: Ints
    tree: Ints
    output: Ints


def _constant_part(trees: Trees) -> tuple[Floats, NDArray[np.bool_]]:
    """The base plus all trees of a single leaf, shape (outputs,); and which trees have splits."""
    base = np.zeros(trees.outputs) + trees.base
    grown = trees.feature[trees.roots] >= 0
    factor = 1 / len(trees.roots) if trees.aggregate == "mean" else 1.0
    for tree in np.flatnonzero(~grown).tolist():
        value = trees.value[trees.roots[tree]] * factor
        output = int(trees.tree_output[tree])
        if output < 0:
            base = base + value
        else:
            base[output] += value[0]
    return base, grown


def _flatten(trees: Trees, grown: NDArray[np.bool_]) -> _Flat:
    inner = trees.feature >= 0
    tree_of = owners(trees)
    head, last, which, codes = chains(trees)
    # Nodes of a chain after its first are gone, and so is what no grown tree reaches.
    reached = (tree_of >= 0) & grown[np.maximum(tree_of, 0)]
    kept = np.flatnonzero(inner & reached & ~(trees.equals & ~head))
    leaves = np.flatnonzero(~inner & reached)
    place = np.full(len(inner), -1, dtype=np.int64)
    place[kept], place[leaves] = np.arange(len(kept)), np.arange(len(leaves))
    left, right = trees.left[kept], trees.right[last[kept]]
    sizes = np.bincount(which, minlength=len(inner))[kept]
    mode = np.where(trees.equals[kept], np.where(sizes > 1, MEMBER, EQ), LEQ).astype(np.uint8)
    threshold = trees.threshold[kept]
    if trees.float32:
        threshold = np.where(trees.equals[kept], threshold, cast_thresholds(threshold))
    owner = tree_of[leaves]
    return _Flat(
        roots=place[trees.roots[grown]],
        feature=trees.feature[kept],
        mode=mode,
        split=np.where(mode == MEMBER, 0.0, threshold),
        members=_members(place, which, codes, mode),
        true_id=place[left],
        true_leaf=(~inner[left]).astype(np.int64),
        false_id=place[right],
        false_leaf=(~inner[right]).astype(np.int64),
        missing_true=trees.missing_left[kept].astype(np.int64),
        leaves=leaves,
        tree=(np.cumsum(grown) - 1)[owner],
        output=np.maximum(trees.tree_output, 0)[owner],
    )


def _members(place: Ints, which: Ints, codes: Floats, mode: NDArray[np.uint8]) -> Floats:
    """The sets of the BRANCH_MEMBER nodes in the nodes' order, NaN after each."""
    at = place[which]
    wanted = (at >= 0) & (mode[at] == MEMBER)
    at, codes = at[wanted], codes[wanted]
    ends = np.unique(at)
    order = np.lexsort((np.append(codes, np.full(len(ends), np.nan)), np.append(at, ends)))
    return np.append(codes, np.full(len(ends), np.nan))[order]


def _ensemble(
    nodes: Nodes, matrix: str, flat: _Flat, weights: Floats, targets: Ints, outputs: int
) -> str:
    """Add the node; returns shape (N, outputs)."""
    optional = {"membership_values": flat.members} if len(flat.members) else {}
    return nodes.op(
        "TreeEnsemble",
        matrix,
        domain=ML,
        aggregate_function=SUM,
        post_transform=NO_TRANSFORM,
        n_targets=outputs,
        tree_roots=flat.roots,
        nodes_featureids=flat.feature,
        nodes_modes=flat.mode,
        nodes_splits=flat.split,
        nodes_truenodeids=flat.true_id,
        nodes_trueleafs=flat.true_leaf,
        nodes_falsenodeids=flat.false_id,
        nodes_falseleafs=flat.false_leaf,
        nodes_missing_value_tracks_true=flat.missing_true,
        leaf_weights=weights,
        leaf_targetids=targets,
        **optional,
    )


def _vectors(nodes: Nodes, matrix: str, flat: _Flat, value: Floats) -> str:
    """Leaves that carry vectors: the leaf that each tree ends in, looked up in a table, summed."""
    count = len(flat.roots)
    number = np.arange(len(flat.leaves), dtype=np.float64)
    found = _ensemble(nodes, matrix, flat, number, flat.tree, count)
    leaf = nodes.op("Cast", found, to=TensorProto.INT64)
    table = nodes.constant(value)
    axis = nodes.constant(np.array([1], dtype=np.int64))
    size = max(1, VECTORS // value.shape[1])
    sums = []
    for start in range(0, count, size):
        part = leaf
        if count > size:
            bounds = [nodes.constant(np.array([place])) for place in (start, start + size)]
            part = nodes.op("Slice", leaf, *bounds, axis)
        vectors = nodes.op("Gather", table, part, axis=0)
        sums.append(nodes.op("ReduceSum", vectors, axis, keepdims=0))
    return nodes.add(sums)
