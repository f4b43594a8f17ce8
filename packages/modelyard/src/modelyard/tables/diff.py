"""What changed between two tables: rows, cells, columns, and how far every column moved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import SHOWN, DataInvalid, nearest
from modelyard.tables.rowhash import Keys, row_keys
from modelyard.tables.shift import column_shifts, plain

Cell = str | int | float | bool | None
Rows = NDArray[np.int64]

_CELLS = 30
_CLASSES = 100


class Shift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column moved (PSI), and the bin that moved most, before and after.

    `verdict` is none, moderate (PSI above 0.1) or strong (above 0.25), and none where chance alone
    explains it.
    """

    column: str
    psi: float
    verdict: str
    before: str
    after: str
    missing_before: float
    missing_after: float


class ChangedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row that both tables have, with its changed cells: column -> (before, after)."""

    id: Cell
    cells: dict[str, tuple[Cell, Cell]]


class TableDiff(msgspec.Struct, frozen=True, kw_only=True):
    """The difference of two tables. Examples are ten at the most, of 30 cells at the most.

    `changed_cells` counts the changed cells of each column. `balance_before` and `balance_after`
    are the shares of the target's classes, or {"mean": ...} where the target is a number.
    """

    rows_before: int
    rows_after: int
    added: int
    removed: int
    changed: int
    added_rows: tuple[dict[str, Cell], ...] = ()
    removed_rows: tuple[dict[str, Cell], ...] = ()
    changed_rows: tuple[ChangedRow, ...] = ()
    changed_cells: dict[str, int] = {}
    columns_added: tuple[str, ...] = ()
    columns_removed: tuple[str, ...] = ()
    columns_retyped: dict[str, tuple[str, str]] = {}
    shifts: tuple[Shift, ...] = ()
    balance_before: dict[str, float] = {}
    balance_after: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    @property
    def schema_changes(self) -> tuple[str, ...]:
        """The changes of the columns, one line of text each."""
        return (
            *(f"{name}: new column" for name in self.columns_added),
            *(f"{name}: column removed" for name in self.columns_removed),
            *(f"{n}: {old} became {new}" for n, (old, new) in self.columns_retyped.items()),
        )


def diff(
    old: pl.DataFrame,
    new: pl.DataFrame,
    *,
    id_column: str | None = None,
    target: str | None = None,
) -> TableDiff:
    """Compare two tables, best both typed (`schema.infer`).

    With an id, rows are matched by it: a row whose id is in both and whose other cells differ is
    changed. Without one, and for rows whose id is missing or comes twice, rows are compared by
    their content, each as often as it comes; a changed row is then one removed and one added.

    Raises:
        DataInvalid: `id_column` is in neither table.
    """
    notes: list[str] = []
    if id_column is not None and not {id_column} <= {*old.columns, *new.columns}:
        raise DataInvalid(
            f"The id column {id_column!r} is in neither table"
            f"{nearest(id_column, new.columns) or '.'}",
            why="Rows are told apart by it.",
            next_step="edit data.id in modelyard.yaml",
        )
    common = [name for name in new.columns if name in old.columns]
    before, after = _alike(old.select(common), new.select(common))
    if id_column is not None and id_column not in common:
        notes.append(f"only one of the tables has the id {id_column}: rows compared by content")
        id_column = None
    if not common:
        notes.append("the tables have no column in common: every row is removed and added")
        removed, added = np.arange(old.height), np.arange(new.height)
        pairs = _NONE, _NONE
    elif id_column is None:
        removed, added = _by_content(row_keys(before, common), row_keys(after, common))
        pairs = _NONE, _NONE
        notes.append("rows compared by content: a changed row counts as one removed, one added")
    else:
        removed, added, pairs = _by_id(before, after, id_column, notes)
    changed_old, changed_new = pairs
    columns = [name for name in common if name != id_column]
    cells = _changed_cells(before[changed_old], after[changed_new], columns)
    names = _few_columns(common, id_column, target)
    return TableDiff(
        rows_before=old.height,
        rows_after=new.height,
        added=len(added),
        removed=len(removed),
        changed=len(changed_old),
        added_rows=_rows(new, added, _few_columns(new.columns, id_column, target)),
        removed_rows=_rows(old, removed, _few_columns(old.columns, id_column, target)),
        changed_rows=_changed_rows(before, after, pairs, id_column, names),
        changed_cells=cells,
        columns_added=tuple(name for name in new.columns if name not in old.columns),
        columns_removed=tuple(name for name in old.columns if name not in new.columns),
        columns_retyped={
            name: (_type(old[name]), _type(new[name]))
            for name in common
            if _type(old[name]) != _type(new[name])
        },
        shifts=_shifts(before, after, columns),
        balance_before=_balance(old, target),
        balance_after=_balance(new, target),
        notes=tuple(notes),
    )


_NONE: Rows = np.empty(0, dtype=np.int64)


def _alike(old: pl.DataFrame, new: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A column that became text (or is no longer) is compared as text on both sides."""
    texts = [
        name
        for name in old.columns
        if (plain(old[name].head(0)).dtype == pl.String)
        != (plain(new[name].head(0)).dtype == pl.String)
    ]
    return _as_texts(old, texts), _as_texts(new, texts)


def _as_texts(frame: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    return frame.with_columns(_text(frame[name]) for name in names)


def _text(series: pl.Series) -> pl.Series:
    """A number's text without a trailing .0, so that 3.0 and "3" are equal."""
    if series.dtype.is_float():
        texts = series.cast(pl.String)
        return texts.str.replace(r"\.0$", "")
    return (
        plain(series).cast(pl.String) if not series.dtype.is_integer() else series.cast(pl.String)
    )


def _by_content(old: Keys, new: Keys) -> tuple[Rows, Rows]:
    """The rows of a multiset difference: removed from `old`, added in `new`."""
    return _surplus(old, new), _surplus(new, old)


def _surplus(mine: Keys, others: Keys) -> Rows:
    """The rows of `mine` that come more often than in `others`: the last ones of each kind."""
    order = np.argsort(mine, kind="stable")
    kinds, start, times = np.unique(mine[order], return_index=True, return_counts=True)
    nth = np.arange(len(mine)) - np.repeat(start, times)
    other_kinds, other_times = np.unique(others, return_counts=True)
    there = np.zeros(len(kinds), dtype=np.int64)
    if len(other_kinds):
        place = np.minimum(np.searchsorted(other_kinds, kinds), len(other_kinds) - 1)
        there = np.where(other_kinds[place] == kinds, other_times[place], 0)
    return np.sort(order[nth >= np.repeat(there, times)])


def _by_id(
    old: pl.DataFrame, new: pl.DataFrame, id_column: str, notes: list[str]
) -> tuple[Rows, Rows, tuple[Rows, Rows]]:
    """Match by id; returns removed, added and (old, new) rows of the changed."""
    ids_old, ids_new = row_keys(old, [id_column]), row_keys(new, [id_column])
    loose_old, loose_new = _loose(ids_old, ids_new, old[id_column], new[id_column])
    rest = [name for name in old.columns if name != id_column]
    content_old, content_new = row_keys(old, rest), row_keys(new, rest)
    fast_old, fast_new = np.flatnonzero(~loose_old), np.flatnonzero(~loose_new)
    _, at_old, at_new = np.intersect1d(
        ids_old[fast_old], ids_new[fast_new], assume_unique=True, return_indices=True
    )
    kept_old, kept_new = fast_old[at_old], fast_new[at_new]
    differ = content_old[kept_old] != content_new[kept_new]
    in_order = np.argsort(kept_new[differ])
    changed = kept_old[differ][in_order], kept_new[differ][in_order]
    removed = np.setdiff1d(fast_old, kept_old, assume_unique=True)
    added = np.setdiff1d(fast_new, kept_new, assume_unique=True)
    if loose_old.any() or loose_new.any():
        notes.append(
            f"{int(loose_old.sum()):,} rows before and {int(loose_new.sum()):,} after have no "
            f"{id_column}, or one that comes twice: those were compared by content"
        )
        whole = [*rest, id_column]
        some_old, some_new = np.flatnonzero(loose_old), np.flatnonzero(loose_new)
        gone, come = _by_content(row_keys(old[some_old], whole), row_keys(new[some_new], whole))
        removed = np.sort(np.concatenate([removed, some_old[gone]]))
        added = np.sort(np.concatenate([added, some_new[come]]))
    return removed, added, changed


def _loose(
    ids_old: Keys, ids_new: Keys, old: pl.Series, new: pl.Series
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which rows cannot be matched by id: it is missing, or comes twice in either table."""
    twice = []
    for ids in (ids_old, ids_new):
        kinds, times = np.unique(ids, return_counts=True)
        twice.append(kinds[times > 1])
    repeated = np.concatenate(twice)
    return (
        np.isin(ids_old, repeated) | old.is_null().to_numpy(),
        np.isin(ids_new, repeated) | new.is_null().to_numpy(),
    )


def _changed_cells(old: pl.DataFrame, new: pl.DataFrame, columns: Sequence[str]) -> dict[str, int]:
    """Count the differing cells of matched rows, the most changed column first."""
    if not old.height:
        return {}
    found = {n: int((row_keys(old, [n]) != row_keys(new, [n])).sum()) for n in columns}
    ordered = sorted(found.items(), key=lambda entry: (-entry[1], entry[0]))
    return {name: count for name, count in ordered if count}


def _changed_rows(
    old: pl.DataFrame,
    new: pl.DataFrame,
    pairs: tuple[Rows, Rows],
    id_column: str | None,
    columns: Sequence[str],
) -> tuple[ChangedRow, ...]:
    if id_column is None or not len(pairs[0]):
        return ()
    before, after = old[pairs[0][:SHOWN]], new[pairs[1][:SHOWN]]
    found: list[dict[str, tuple[Cell, Cell]]] = [{} for _ in range(before.height)]
    for name in (n for n in old.columns if n != id_column):
        for row in np.flatnonzero(row_keys(before, [name]) != row_keys(after, [name])).tolist():
            if len(found[row]) < _CELLS:
                found[row][name] = (_cell(before[name][row]), _cell(after[name][row]))
    ids = after[id_column].to_list()
    return tuple(
        ChangedRow(id=_cell(key), cells=cells) for key, cells in zip(ids, found, strict=True)
    )


def _few_columns(names: Sequence[str], id_column: str | None, target: str | None) -> list[str]:
    """At most 30 columns of a wide table: the id and the target always."""
    first = [name for name in (id_column, target) if name in names]
    kept = {*first, *[name for name in names if name not in first][: _CELLS - len(first)]}
    return [name for name in names if name in kept]


def _rows(frame: pl.DataFrame, rows: Rows, columns: list[str]) -> tuple[dict[str, Cell], ...]:
    some = frame.select(columns)[rows[:SHOWN]]
    return tuple({name: _cell(value) for name, value in row.items()} for row in some.to_dicts())


def _cell(value: Any) -> Cell:
    """A cell as JSON holds it."""
    if isinstance(value, float) and value != value:
        return None
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, date | datetime):
        return value.isoformat()
    return str(value)


def _type(series: pl.Series) -> str:
    """A column's type in a person's words."""
    dtype = series.dtype
    if dtype.is_integer():
        return "integer"
    if dtype.is_float() or dtype.is_decimal():
        return "number"
    if dtype == pl.Boolean:
        return "boolean"
    if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
        return "datetime"
    if dtype == pl.String or isinstance(dtype, pl.Categorical | pl.Enum):
        return "text"
    return str(dtype)


def _shifts(old: pl.DataFrame, new: pl.DataFrame, columns: Sequence[str]) -> tuple[Shift, ...]:
    if not old.height or not new.height:
        return ()
    return tuple(
        Shift(
            column=shift.column,
            psi=shift.psi,
            verdict=shift.verdict,
            before=shift.before,
            after=shift.after,
            missing_before=shift.missing_before,
            missing_after=shift.missing_after,
        )
        for shift in column_shifts(old, new, columns)
    )


def _balance(frame: pl.DataFrame, target: str | None) -> dict[str, float]:
    """Shares of the target's classes, the largest first; the mean of a number of many values."""
    if target is None or target not in frame.columns:
        return {}
    values = frame[target].drop_nulls()
    if values.is_empty():
        return {}
    if values.dtype.is_numeric() and values.n_unique() > 20:
        return {"mean": float(values.cast(pl.Float64).mean() or 0.0)}  # type: ignore[arg-type]
    counts = values.cast(pl.String).alias("class").value_counts(name="rows")
    ordered = counts.sort(["rows", "class"], descending=[True, False]).head(_CLASSES)
    return {name: rows / len(values) for name, rows in ordered.iter_rows()}
