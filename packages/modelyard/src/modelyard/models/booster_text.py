"""LightGBM's model text -> `forms.Trees`, with LightGBM's own rules for missing values.

The text holds every number with 17 digits, so nothing is rounded. Reading it whole, in arrays,
takes a fraction of the time of `Booster.dump_model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modelyard.errors import ToolFailed
from modelyard.forms import Floats, Ints, Trees

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_ZERO, _MISSING_NAN = 1, 2
_ZERO = float(np.float32(1e-35))
"""LightGBM reads values this near to zero as zero (kZeroThreshold)."""


def parse(
    text: str, *, link: Literal["identity", "sigmoid", "softmax", "exp"], base: float = 0.0
) -> Trees:
    """Read a model text.

    Args:
        base: added to the raw score of every output.

    Returns:
        trees whose categorical splits are chains of equality nodes that share their left child.

    Raises:
        ToolFailed: the text holds what this reader does not know.
    """
    header, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    outputs = int(_fields(header).get("num_tree_per_iteration", "1"))
    trees = [_fields(block) for block in blocks]
    if any(tree.get("is_linear", "0") != "0" for tree in trees):
        raise ToolFailed(
            "The model has linear trees.",
            why="The graph holds trees of constant leaves only.",
            next_step="take linear_tree out of the parameters",
        )
    parts = _read(trees)
    parts.expand_categories(trees)
    return Trees(
        roots=parts.roots,
        feature=parts.feature,
        threshold=parts.threshold,
        equals=parts.equals,
        left=parts.left,
        right=parts.right,
        missing_left=parts.missing_left,
        value=parts.value[:, None],
        tree_output=np.arange(len(trees), dtype=np.int64) % outputs,
        outputs=outputs,
        aggregate="sum",
        link=link,
        base=np.full(outputs, base),
    )


@dataclass
class _Parts:
    """The arrays of `forms.Trees` as they grow: all inner nodes, then leaves, then chains."""

    roots: Ints
    feature: Ints
    threshold: Floats
    equals: NDArray[np.bool_]
    left: Ints
    right: Ints
    missing_left: NDArray[np.bool_]
    value: Floats
    owner: Ints

    def expand_categories(self, trees: list[dict[str, str]]) -> None:
        """Turn each categorical split, which names a bit set, into a chain of equality nodes."""
        heads = np.flatnonzero(self.equals)
        if not len(heads):
            return
        which, codes = _codes(trees, self.owner[heads], self.threshold[heads].astype(np.int64))
        counts = np.bincount(which, minlength=len(heads))
        if not counts.all():
            raise ToolFailed(
                "A categorical split of the model names no codes.",
                why="The model's text is not as LightGBM writes it.",
                next_step="modelyard doctor",
            )
        first = np.cumsum(counts) - counts
        step = np.arange(len(which)) - first[which]
        extra = np.flatnonzero(step > 0)
        place = heads[which].copy()
        place[extra] = len(self.feature) + np.arange(len(extra))
        last = np.zeros(len(which), dtype=np.bool_)
        last[first + counts - 1] = True
        after = np.where(last, self.right[heads[which]], np.roll(place, -1))
        size = len(extra)
        self.feature = np.concatenate([self.feature, self.feature[heads[which[extra]]]])
        self.left = np.concatenate([self.left, self.left[heads[which[extra]]]])
        self.right = np.concatenate([self.right, np.zeros(size, dtype=np.int64)])
        self.threshold = np.concatenate([self.threshold, np.zeros(size)])
        self.equals = np.concatenate([self.equals, np.ones(size, dtype=np.bool_)])
        self.missing_left = np.concatenate([self.missing_left, np.zeros(size, dtype=np.bool_)])
        self.value = np.concatenate([self.value, np.zeros(size)])
        self.right[place] = after
        self.threshold[place] = codes


def _fields(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _join(trees: list[dict[str, str]], key: str, kind: type) -> NDArray[np.generic]:
    """One array of a key's numbers over all trees."""
    return _numbers(" ".join(tree.get(key, "") for tree in trees), kind)


def _numbers(text: str, kind: type) -> NDArray[np.generic]:
    # numpy reads a zero from a text of spaces.
    return np.fromstring(text, dtype=kind, sep=" ") if text.strip() else np.empty(0, dtype=kind)


def _read(trees: list[dict[str, str]]) -> _Parts:
    leaves = np.array([int(tree["num_leaves"]) for tree in trees], dtype=np.int64)
    # A tree of one leaf lists no splits, or none that mean anything.
    for tree, count in zip(trees, leaves.tolist(), strict=True):
        if count == 1:
            for key in ("split_feature", "threshold", "decision_type", "left_child", "right_child"):
                tree[key] = ""
    inner = leaves - 1
    nodes, total = int(inner.sum()), int(leaves.sum())
    inner_start, leaf_start = np.cumsum(inner) - inner, nodes + np.cumsum(leaves) - leaves
    owner = np.repeat(np.arange(len(trees)), inner)
    decision = _join(trees, "decision_type", np.int64).astype(np.int64)
    threshold = _join(trees, "threshold", np.float64).astype(np.float64)
    categorical = (decision & _CATEGORICAL) > 0
    missing = (decision >> 2) & 3
    if bool(np.any(missing[~categorical] == _MISSING_ZERO)):
        raise ToolFailed(
            "The model treats zeros as missing.",
            why="zero_as_missing was set.",
            next_step="take zero_as_missing out of the parameters",
        )
    # Without NaN in training LightGBM reads NaN as 0.0.
    goes_left = np.where(missing == _MISSING_NAN, (decision & _DEFAULT_LEFT) > 0, threshold >= 0)
    tiny = np.abs(threshold) <= _ZERO
    snapped = np.where(threshold < 0, np.nextafter(-_ZERO, -np.inf), _ZERO)
    threshold = np.where(tiny & ~categorical, snapped, threshold)

    def child(key: str) -> Ints:
        found = _join(trees, key, np.int64).astype(np.int64)
        return np.where(found >= 0, inner_start[owner] + found, leaf_start[owner] + ~found)

    def padded(values: NDArray[np.generic], fill: float) -> NDArray[np.generic]:
        return np.concatenate([values, np.full(total, fill, dtype=values.dtype)])

    values = _join(trees, "leaf_value", np.float64).astype(np.float64)
    return _Parts(
        roots=np.where(leaves > 1, inner_start, leaf_start),
        feature=padded(_join(trees, "split_feature", np.int64), -1).astype(np.int64),
        threshold=padded(threshold, 0.0).astype(np.float64),
        equals=padded(categorical, False).astype(np.bool_),
        left=padded(child("left_child"), -1).astype(np.int64),
        right=padded(child("right_child"), -1).astype(np.int64),
        missing_left=padded(goes_left & ~categorical, False).astype(np.bool_),
        value=np.concatenate([np.zeros(nodes), values]),
        owner=owner,
    )


def _codes(trees: list[dict[str, str]], owner: Ints, index: Ints) -> tuple[Ints, Floats]:
    """The codes of categorical splits: (which split, code), sorted by both.

    Args:
        owner: the splits' trees.
        index: the splits' places in their trees' lists of bit sets.
    """
    bounds = [_numbers(t.get("cat_boundaries", ""), np.int64) for t in trees]
    words = [_numbers(t.get("cat_threshold", ""), np.int64) for t in trees]
    start = np.cumsum([0, *(len(entry) for entry in words)])[:-1]
    shift = np.cumsum([0, *(len(entry) for entry in bounds)])[:-1]
    flat = np.concatenate(bounds)
    low, high = flat[shift[owner] + index], flat[shift[owner] + index + 1]
    counts = high - low
    split = np.repeat(np.arange(len(owner)), counts)
    word = np.arange(len(split)) - (np.cumsum(counts) - counts)[split]
    bits = np.concatenate(words)[(start[owner] + low)[split] + word].astype("<u4")
    spread = np.unpackbits(bits.view(np.uint8).reshape(-1, 4), axis=1, bitorder="little")
    at, bit = np.nonzero(spread)
    return split[at].astype(np.int64), (word[at] * 32 + bit).astype(np.float64)
