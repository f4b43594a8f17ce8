"""How rows are dealt: to train, valid and test by their key, and to the folds of a study.

A row's side depends on its own key and the salt alone. So a new row never moves an old one, rows of
one key are never parted, and the order of the rows does not matter.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataInvalid
from modelyard.records import Schema
from modelyard.tables.rowhash import Keys, row_keys, side_fraction
from modelyard.tables.schema import in_words

SIDES = ("train", "valid", "test")
"""The sides in the order of their codes."""

_TRAIN, _VALID, _TEST = range(3)
_CHOICE_ROWS = 200_000

Codes = NDArray[Any]


def split_keys(
    frame: pl.DataFrame,
    *,
    target: str,
    id_column: str | None = None,
    group: str | None = None,
    excluded: Collection[str] = (),
    schema: Schema | None = None,
) -> Keys:
    """The key of every row: its group's, else its id's, else that of its content.

    The content is every column but the target, the id and `excluded`: a row that comes twice, even
    with two different labels, has one key. The roles that a schema guesses play no part: a column
    that was constant until now must not deal all rows anew. A row whose group or id is missing is
    known by its content.

    Args:
        schema: of the frame. A column of two words (Yes, No) is one of texts the day that a third
            one comes, so booleans are known by the words that the schema has for them.

    Returns:
        uint64, shape (rows,).
    """
    left_out = {target, id_column, group, *excluded}
    content = [name for name in frame.columns if name not in left_out]
    named = group or id_column
    if schema is not None:
        frame = in_words(frame, schema, content)
    if named is None:
        return row_keys(frame, content)
    keys = row_keys(frame, [named])
    unnamed = np.flatnonzero(frame[named].is_null().to_numpy())
    if len(unnamed):
        keys[unnamed] = row_keys(frame[unnamed], content)
    return keys


def deal(keys: Keys, seed: int, valid: float, test: float) -> NDArray[np.uint8]:
    """The side of every key, as an index into SIDES; `valid` and `test` are the wanted shares."""
    fraction = side_fraction(keys, seed)
    sides = np.full(len(keys), _TRAIN, dtype=np.uint8)
    sides[fraction < test + valid] = _VALID
    sides[fraction < test] = _TEST
    return sides


def choose_seed(keys: Keys, target: Codes, valid: float, test: float, *, tries: int = 64) -> int:
    """The salt, of 0 to `tries` - 1, whose sides are most alike.

    Args:
        keys: of all rows (see `split_keys`).
        target: class codes from 0 (an integer array), or values (a float array).

    Returns:
        the salt with the smallest worst deviation of a side's size from its wanted share and of its
        class shares (or its target's mean, in standard deviations) from the whole table's.
    """
    if len(keys) > _CHOICE_ROWS:  # so many are even by themselves, and the choice must stay quick
        keys, target = keys[:_CHOICE_ROWS], target[:_CHOICE_ROWS]
    wanted = np.array([1 - valid - test, valid, test])
    found = [_unevenness(deal(keys, seed, valid, test), target, wanted) for seed in range(tries)]
    return int(np.argmin(found))


def _unevenness(sides: NDArray[np.uint8], target: Codes, wanted: NDArray[np.float64]) -> float:
    sizes = np.bincount(sides, minlength=3)
    if not sizes.all():
        return np.inf
    size_off = np.abs(sizes / len(sides) / wanted - 1).max()
    if target.dtype.kind == "f":
        means = np.bincount(sides, weights=target, minlength=3) / sizes
        # A mean of n rows strays by 1/sqrt(n) standard deviations, which the sizes do not show.
        scale = float(target.std()) or 1.0
        return float(max(size_off, np.abs(means - target.mean()).max() / scale))
    shares = class_shares(sides, target)
    whole = np.bincount(target) / len(target)
    present = whole > 0
    return float(max(size_off, np.abs(shares[:, present] / whole[present] - 1).max()))


def class_shares(sides: NDArray[np.uint8], codes: Codes) -> NDArray[np.float64]:
    """Each class's share of each side; shape (sides, classes)."""
    counts = class_counts(sides, codes, int(codes.max()) + 1)
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares


def class_counts(sides: NDArray[np.uint8], codes: Codes, classes: int) -> NDArray[np.int64]:
    """How many rows of each class stand on each side; shape (sides, classes)."""
    flat = np.bincount(sides.astype(np.int64) * classes + codes, minlength=3 * classes)
    return flat.reshape(3, classes)


def fold_of(
    keys: Keys, y: Codes | None, folds: int, seed: int, order: NDArray[Any] | None = None
) -> NDArray[np.int8]:
    """Deal the rows of train + valid to the folds of a cross-validation.

    Rows of one key share a fold. With class codes every class is dealt out evenly, and a class of
    two that has fewer keys than folds lowers the number of folds, so that each holds both. With
    `order` (moments or numbers, missing first) the folds follow one another in time: fold k is
    judged by a model of the rows before it, and the earliest rows, -1, are only learned from.

    Returns:
        int8, shape (rows,): 0 to folds - 1, or -1.

    Raises:
        DataInvalid: fewer than two keys.
    """
    if order is not None:
        dealt = _forward(order, y, folds)
        if dealt is not None:
            return dealt
    first, owner, sizes = _unique(keys)
    if len(first) < 2:
        raise DataInvalid(
            "Cross-validation needs at least two different rows or groups.",
            why=f"All {len(keys)} rows for training have one key.",
            next_step="add rows, or check data.id and data.group in modelyard.yaml",
        )
    code = np.zeros(len(first), dtype=np.int64) if y is None else _majority(owner, sizes, y)
    counts = np.bincount(code)
    counts = counts[counts > 0]
    if len(counts) == 2:
        folds = min(folds, max(2, int(counts.min())))
    folds = min(folds, len(first))
    # Round robin over keys sorted by class, then size: folds are even in both.
    ranked = np.lexsort((side_fraction(keys[first], seed), -sizes, code))
    fold = np.empty(len(first), dtype=np.int8)
    fold[ranked] = np.arange(len(first)) % folds
    return fold[owner]


def _unique(keys: Keys) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The first row of each distinct key, each row's distinct key, and its number of rows."""
    _, first, owner, sizes = np.unique(
        keys, return_index=True, return_inverse=True, return_counts=True
    )
    return first, owner.reshape(-1), sizes


def _majority(owner: NDArray[np.int64], sizes: NDArray[np.int64], y: Codes) -> NDArray[np.int64]:
    """Each key's most frequent class; of equally frequent ones the rarer in the table.

    Decided by counts alone, so that it does not depend on the order of the rows.
    """
    codes = y.astype(np.int64)
    classes = int(codes.max()) + 1
    pair, count = np.unique(owner * classes + codes, return_counts=True)
    rarity = np.bincount(codes, minlength=classes)
    ordered = np.lexsort((pair % classes, rarity[pair % classes], -count, pair // classes))
    pair = pair[ordered]
    starts = np.concatenate(([True], np.diff(pair // classes) != 0))
    found: NDArray[np.int64] = (pair % classes)[starts]
    return found


def _forward(order: NDArray[Any], y: Codes | None, folds: int) -> NDArray[np.int8] | None:
    """Blocks that follow one another; None where the rows have too few different moments."""
    missing = np.isnat(order) if order.dtype.kind in "mM" else np.isnan(order)
    moments, rank = np.unique(order[~missing], return_inverse=True)
    if len(moments) < 2:
        return None
    rank = rank.reshape(-1)
    before = np.cumsum(np.bincount(rank))  # rows up to and with each moment
    for count in range(min(folds, len(moments) - 1), 0, -1):
        last = count == 1
        cuts = _cuts(before, count, _all_seen(rank, y, missing))
        if len(cuts) < count and not last:
            continue
        fold = np.full(len(order), -1, dtype=np.int8)
        fold[~missing] = np.searchsorted(cuts, rank, side="right") - 1
        if last or y is None or _whole(fold, y, count):
            return fold
    return None


def _all_seen(rank: NDArray[np.int64], y: Codes | None, missing: NDArray[np.bool_]) -> int:
    """The first moment by which every class was seen: the earliest model must know them all."""
    if y is None:
        return 0
    codes = y[~missing]
    first = [int(rank[codes == code].min()) for code in np.unique(codes)]
    return max(first)


def _cuts(before: NDArray[np.int64], folds: int, seen: int) -> NDArray[np.int64]:
    """The moments (as ranks) at which each fold begins: blocks of about equally many rows."""
    rows = int(before[-1])
    first = max(int(np.searchsorted(before, rows / (folds + 1))), seen)
    first = min(first, len(before) - 2)
    start = int(before[first])
    wanted = start + (rows - start) * np.arange(1, folds) / folds
    inner = np.searchsorted(before, wanted)
    return np.unique(np.concatenate(([first], inner)).clip(max=len(before) - 2)) + 1


def _whole(fold: NDArray[np.int8], y: Codes, count: int) -> bool:
    """Every fold holds both classes of two (more classes are judged without)."""
    classes = np.unique(y)
    if len(classes) != 2:
        return True
    return all(len(np.unique(y[fold == index])) == 2 for index in range(count))
