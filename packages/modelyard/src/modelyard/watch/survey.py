"""What all rows of a table say of its columns: asked only where the first ones said too little."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from modelyard.tables import typing as ty
from modelyard.values import Style
from modelyard.watch.blocks import ReadWhole
from modelyard.watch.columns import Odd
from modelyard.watch.scoring import Dtype, as_type
from modelyard.watch.source import Table
from modelyard.watch.texts import TextTable

_SPELLINGS = 50_000
"""Distinct texts of a column of numbers that are looked at, of plain ones and of others each."""


def guess(table: TextTable) -> dict[str, Dtype]:
    """The columns' types by the file's first megabyte. Raises ReadWhole."""
    try:
        frame = pl.read_csv(
            table.head, has_header=False, separator=table.separator, infer_schema_length=None
        )
        cells = table.read(table.head)
    except pl.exceptions.PolarsError as error:
        raise ReadWhole from error
    return {
        name: "String" if _codes(cells[name]) else _named(dtype)
        for name, dtype in zip(table.names, frame.dtypes, strict=True)
    }


def survey(
    table: Table, numbers: Mapping[str, Style], missing: tuple[str, ...]
) -> tuple[dict[str, Dtype], dict[str, Style]]:
    """Read the whole table, block by block.

    Args:
        numbers: the columns of numbers, and how they were written in training.
        missing: a person's spellings of a missing value.

    Returns:
        the types of a text file's columns, and how each column of numbers that is text is read.

    Raises:
        ReadWhole: the table cannot be read in blocks.
    """
    types = _Types(table.names)
    styles = _Styles(missing)
    text = isinstance(table, TextTable)
    for block in table.blocks():
        if isinstance(block, bytes):
            assert isinstance(table, TextTable)
            frame = table.read(block)
            types.add(frame)
        else:
            frame = block
        for name in numbers:
            if name in frame.columns and frame[name].dtype == pl.String:
                styles.add(frame[name])
    separator = getattr(table, "separator", ",")
    return types.found if text else {}, styles.found(separator, numbers)


class _Types:
    """Narrows the type of each column of text, block by block."""

    def __init__(self, names: list[str]) -> None:
        self.found: dict[str, Dtype] = dict.fromkeys(names, "String")
        self._fixed: set[str] = set()

    def add(self, frame: pl.DataFrame) -> None:
        """Take one more block."""
        for cells in frame.iter_columns():
            if cells.null_count() < len(cells):
                self.found[cells.name] = self._next(cells)
                self._fixed.add(cells.name)

    def _next(self, cells: pl.Series) -> Dtype:
        known = self.found[cells.name] if cells.name in self._fixed else None
        orders: dict[Dtype | None, tuple[Dtype, ...]] = {
            None: ("Boolean", "Int64", "Float64"),
            "Int64": ("Int64", "Float64"),
            "Float64": ("Float64",),
            "Boolean": ("Boolean",),
        }
        for dtype in () if _codes(cells) else orders.get(known, ()):
            try:
                as_type(cells, dtype)
            except Odd:
                continue
            return dtype
        return "String"


class _Styles:
    """Gathers the spellings of columns of numbers; a style is judged on those of all rows."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self._missing = missing
        self._texts: dict[str, tuple[set[str], set[str]]] = {}

    def add(self, cells: pl.Series) -> None:
        """Take one more block of a column."""
        texts = ty.spellings(ty.without(cells, self._missing), self._missing)
        plain = ty.convert(texts, ty.Form("number", 1.0)).is_not_null()
        kept = self._texts.setdefault(cells.name, (set(), set()))
        for pool, more in zip(kept, (texts.filter(plain), texts.filter(~plain)), strict=True):
            pool.update(more.head(max(0, _SPELLINGS - len(pool))).to_list())

    def found(self, separator: str, recorded: Mapping[str, Style]) -> dict[str, Style]:
        """The style of each column."""
        return {
            name: ty.number_form(
                pl.Series(sorted(plain | other), dtype=pl.String),
                separator or ",",
                recorded[name],
            ).style
            for name, (plain, other) in self._texts.items()
        }


def _codes(cells: pl.Series) -> bool:
    """Whether cells look like 0042: codes that a number would spoil."""
    return bool(cells.str.contains(ty.CODE).any())


def _named(dtype: pl.DataType) -> Dtype:
    if dtype == pl.Int64:
        return "Int64"
    if dtype == pl.Float64:
        return "Float64"
    return "Boolean" if dtype == pl.Boolean else "String"
