"""`forms.Trees` as the tables of `modelyard_serve.masks`: which leaves a value leaves possible.

Every node asks one column. Its thresholds and codes cut the column into bins within which all
nodes answer alike; a bin's row rules out, in each tree, what lies beyond its nodes' other branches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard.branches import cast_thresholds, chains, owners
from modelyard.forms import Floats, Ints, Member, Trees
from modelyard_serve.masks import Column, Forest, Masks

MOST_BYTES = 24 * 2**20
"""Larger tables than this stay out of any cache, and weigh on the package."""
WALK = 4.0
"""Nanoseconds that onnxruntime takes for one level of one tree, rows differing. ADR 0017."""
LOOKUP = 0.05
"""Nanoseconds for each byte of a row of the table, of every column."""
LEAF = 3.0
"""Nanoseconds from a word's last bit to its leaf's value."""


def compiled(members: Sequence[Member], task: str) -> bytes | None:
    """The file's bytes, or None where the graph is quicker or a member has no such tables."""
    forests = []
    for member in members:
        found = _forest(member, task) if isinstance(member.form, Trees) else None
        if found is None:
            return None
        forests.append(found)
    if sum(len(forest.masks) + len(forest.values) for forest in forests) > MOST_BYTES:
        return None
    return msgspec.msgpack.encode(Masks(tuple(forests)))


def _forest(member: Member, task: str) -> Forest | None:
    trees = member.form
    assert isinstance(trees, Trees)
    if bool((trees.tree_output < 0).any()) and trees.value.shape[1] > 1:
        return None  # leaves with vectors: a word says one number
    split = _Split(trees)
    columns = len(np.unique(trees.feature[split.inner]))
    size = split.bits // 8
    cost = split.words * (columns * size * LOOKUP + LEAF)
    if columns == 0 or not split.complete or cost > WALK * float(np.log2(split.counts).sum()):
        return None
    tables, breaks = _tables(trees, split)
    if tables is None:
        return None
    link = "share" if trees.link == "identity" and task == "binary" else trees.link
    return Forest(
        columns=breaks,
        bits=split.bits,
        words=split.words,
        whole=split.words == len(trees.roots),
        masks=tables.astype(f"<u{size}").tobytes(),
        values=split.values(trees).astype("<f8").tobytes(),
        starts=split.starts,
        base=tuple((np.zeros(trees.outputs) + trees.base).tolist()),
        link=link,
        weight=float(member.weight),
    )


@dataclass(init=False)
class _Split:
    """The trees' leaves as bits of words; trees in the order of their outputs.

    `inner` are the nodes that ask (one for each chain), `under` the leaves below each node, shape
    (nodes, words of the largest tree), `word` each node's tree's first word.
    """

    def __init__(self, trees: Trees) -> None:
        owner = owners(trees)
        head, last, self.which, self.codes = chains(trees)
        asks = trees.feature >= 0
        there = owner >= 0
        self.inner = np.flatnonzero(asks & there & ~(trees.equals & ~head))
        self.left, self.right = trees.left, trees.right[last]
        leaves = np.flatnonzero(~asks & there)
        order = np.argsort(owner[leaves], kind="stable")
        leaves = leaves[order]
        tree = owner[leaves]
        self.counts = counts = np.bincount(tree, minlength=len(trees.roots))
        self.bits = 32 if int(counts.max()) <= 32 else 64
        place = np.arange(len(leaves)) - (np.cumsum(counts) - counts)[tree]
        sizes = -(-counts // self.bits)
        output = np.maximum(trees.tree_output, 0)
        ranks = np.argsort(output, kind="stable")
        first = np.empty(len(counts), dtype=np.int64)
        first[ranks] = np.cumsum(sizes[ranks]) - sizes[ranks]
        self.words = int(sizes.sum())
        words_of = np.bincount(output, weights=sizes, minlength=trees.outputs).astype(np.int64)
        self.complete = bool(words_of.all())
        self.starts = tuple((np.cumsum(words_of) - words_of).tolist())
        self.leaves, self.place, self.at = leaves, place, first[tree]
        self.word = np.where(there, first[np.maximum(owner, 0)], 0)
        self.first, self.sizes = first, sizes
        self.under = self._under(trees, int(sizes.max()))

    def _under(self, trees: Trees, most: int) -> NDArray[np.uint64]:
        under = np.zeros((len(trees.feature), most), dtype=np.uint64)
        bit = np.uint64(1) << (self.place % self.bits).astype(np.uint64)
        under[self.leaves, self.place // self.bits] = bit
        kept = np.zeros(len(trees.feature), dtype=np.bool_)
        kept[self.inner] = True
        levels = [trees.roots[kept[trees.roots]]]
        while len(levels[-1]):
            below = np.concatenate([self.left[levels[-1]], self.right[levels[-1]]])
            levels.append(below[kept[below]])
        for level in reversed(levels):
            under[level] = under[self.left[level]] | under[self.right[level]]
        return under

    def values(self, trees: Trees) -> Floats:
        """What each bit's leaf adds, shape (words, bits)."""
        found = np.zeros((self.words, self.bits))
        factor = 1 / len(trees.roots) if trees.aggregate == "mean" else 1.0
        at = self.at + self.place // self.bits
        found[at, self.place % self.bits] = trees.value[self.leaves, 0] * factor
        return found

    def full(self, trees: Trees) -> NDArray[np.uint64]:
        """Every leaf of every word."""
        found = np.zeros(self.words, dtype=np.uint64)
        for local in range(self.under.shape[1]):
            long = self.sizes > local
            found[self.first[long] + local] = self.under[trees.roots[long], local]
        return found


def _tables(trees: Trees, split: _Split) -> tuple[NDArray[np.uint64] | None, tuple[Column, ...]]:
    """All columns' rows one below another, None where they would be too many."""
    inner = split.inner
    threshold = trees.threshold
    if trees.float32:
        threshold = np.where(trees.equals, threshold, cast_thresholds(threshold))
    # A node whose children share leaves would rule out what it must not: chains are joined, and
    # nothing else in the forms shares a child.
    columns, parts, found = np.unique(trees.feature[inner]), [], []
    full = split.full(trees)
    total = 0
    for column in columns.tolist():
        nodes = inner[trees.feature[inner] == column]
        equal = trees.equals[nodes]
        asked = np.isin(split.which, nodes[equal])
        which, codes = split.which[asked], split.codes[asked]
        # x == code is (x <= code) and not (x <= the number before it).
        ends = [threshold[nodes[~equal]], codes, np.nextafter(codes, -np.inf)]
        breaks = np.unique(np.concatenate(ends))
        total += len(breaks) + 2
        if total * split.words * (split.bits // 8) > MOST_BYTES:
            return None, ()
        table = np.tile(full, (len(breaks) + 2, 1))
        _rule_by_order(table, breaks, nodes[~equal], threshold, trees, split)
        if equal.any():
            _rule_by_sets(table, breaks, nodes[equal], (which, codes), trees, split)
        parts.append(table)
        found.append(Column(column, breaks.astype("<f8").tobytes()))
    return np.concatenate(parts), tuple(found)


def _rule_by_order(
    table: NDArray[np.uint64],
    breaks: Floats,
    nodes: Ints,
    threshold: Floats,
    trees: Trees,
    split: _Split,
) -> None:
    """x <= threshold: the rows up to the threshold's lose the right branch, the others the left."""
    bins = len(breaks) + 1
    place = np.searchsorted(breaks, threshold[nodes])
    missing = trees.missing_left[nodes]
    for local in range(split.under.shape[1]):
        word = split.word[nodes] + local
        left = ~split.under[split.left[nodes], local]
        right = ~split.under[split.right[nodes], local]
        some = (left != _ALL) | (right != _ALL)
        at, low, high = word[some], place[some], place[some] + 1
        lower = np.full((bins, table.shape[1]), _ALL)
        upper = lower.copy()
        np.bitwise_and.at(lower, (low, at), right[some])
        np.bitwise_and.at(upper, (high, at), left[some])
        table[:bins] &= np.bitwise_and.accumulate(lower[::-1], axis=0)[::-1]
        table[:bins] &= np.bitwise_and.accumulate(upper, axis=0)
        lost = np.where(missing, right, left)[some]
        np.bitwise_and.at(table[bins], at, lost)


def _rule_by_sets(
    table: NDArray[np.uint64],
    breaks: Floats,
    nodes: Ints,
    sets: tuple[Ints, Floats],
    trees: Trees,
    split: _Split,
) -> None:
    """x in a set: the rows of its codes lose the right branch, all others the left."""
    which, codes = sets
    number = np.full(len(trees.feature), -1, dtype=np.int64)
    number[nodes] = np.arange(len(nodes))
    member = np.zeros((len(nodes), len(table)), dtype=np.bool_)
    member[number[which], np.searchsorted(breaks, codes)] = True
    member[:, -1] = trees.missing_left[nodes]
    for local in range(split.under.shape[1]):
        left = ~split.under[split.left[nodes], local]
        right = ~split.under[split.right[nodes], local]
        # A tree of fewer words than the largest has no bit here: the next word is another tree's.
        some = (left != _ALL) | (right != _ALL)
        lost = np.where(member[some], right[some, None], left[some, None])
        np.bitwise_and.at(table.T, split.word[nodes[some]] + local, lost)


_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
