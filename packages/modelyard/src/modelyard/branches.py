"""How the nodes of `forms.Trees` hang together: owners, chains, thresholds before a cast."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from modelyard.forms import Floats, Ints, Trees


def cast_thresholds(threshold: Floats) -> Floats:
    """Thresholds for float64 values that split as float32(value) <= threshold does.

    The values that round to a float32 at or below the threshold are those up to the middle between
    the last such float32 and the next one; the middle itself rounds to the even one of the two.
    """
    low = threshold.astype(np.float32)
    low = np.where(low > threshold, np.nextafter(low, np.float32(-np.inf)), low)
    high = np.nextafter(low, np.float32(np.inf)).astype(np.float64)
    # Above the largest float32 rounding goes on as if the next power of two were there.
    high = np.where(np.isinf(high), 2.0**128, high)
    middle = low.astype(np.float64) + (high - low.astype(np.float64)) / 2
    even = (low.view(np.uint32) & 1) == 0
    return np.where(even, middle, np.nextafter(middle, -np.inf))


def owners(trees: Trees) -> Ints:
    """Which tree each node belongs to, -1 for none; level by level from the roots."""
    owner = np.full(len(trees.feature), -1, dtype=np.int64)
    level = trees.roots
    owner[level] = np.arange(len(level))
    while len(level):
        level = level[trees.feature[level] >= 0]
        below = np.concatenate([trees.left[level], trees.right[level]])
        above = np.tile(owner[level], 2)
        # A child that many nodes share is entered once.
        fresh = owner[below] < 0
        owner[below[fresh]] = above[fresh]
        level = np.unique(below[fresh])
    return owner


def chains(trees: Trees) -> tuple[NDArray[np.bool_], Ints, Ints, Floats]:
    """Find chains of equality nodes that ask one column and share their left child.

    Returns:
        head: which nodes begin a chain (of one node too);
        last: the last node of each head's chain, and any other node itself;
        which, codes: the heads, and the codes that their chains ask for.
    """
    size = len(trees.feature)
    last = np.arange(size, dtype=np.int64)
    equals = trees.equals & (trees.feature >= 0)
    none = np.empty(0, dtype=np.int64)
    if not equals.any():
        return equals, last, none, none.astype(np.float64)
    at = np.flatnonzero(equals)
    after = trees.right[at]
    inner = trees.feature >= 0
    parents = np.bincount(
        np.concatenate([trees.left[inner], trees.right[inner], trees.roots]), minlength=size
    )
    goes_on = (
        equals[after]
        & (trees.feature[after] == trees.feature[at])
        & (trees.left[after] == trees.left[at])
        & (parents[after] == 1)
        & ~trees.missing_left[after]
        & ~trees.missing_left[at]
    )
    follows = np.full(size, -1, dtype=np.int64)
    follows[at[goes_on]] = after[goes_on]
    head = equals.copy()
    head[after[goes_on]] = False
    heads = np.flatnonzero(head)
    which, codes, current, origin = [], [], heads, heads
    while len(current):
        which.append(origin)
        codes.append(trees.threshold[current])
        last[origin] = current
        onward = follows[current] >= 0
        origin, current = origin[onward], follows[current[onward]]
    return head, last, np.concatenate(which), np.concatenate(codes)
