"""The table to score, opened: Parquet in slices of rows, text in blocks of records, or whole.

A block is what one worker scores at a time: a frame, or the bytes of some records. Which kind of
table it is changes nothing in the scores; it decides how much of it is in memory.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import polars as pl

from modelyard.tables import reading
from modelyard.watch.blocks import ReadWhole
from modelyard.watch.texts import TextTable

ROWS = 32_768
"""Rows of a frame that are scored at a time."""

READ_ROWS = 4 * ROWS
"""Rows that are read from Parquet at a time: each reading decodes the pages around it."""

CELLS = 8_000_000
"""Cells that are read from Parquet at a time at the most: a wide table is read in fewer rows."""

Block = bytes | pl.DataFrame


class ParquetTable:
    """A Parquet file, read in slices: `scan_parquet(...).collect_batches` was measured to hold
    twice as much."""

    cells = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lazy = pl.scan_parquet(path, glob=False, hive_partitioning=False)
        try:
            schema = self._lazy.collect_schema()
            names = dict(zip(schema, reading.whole_names(list(schema)), strict=True))
            if any(old != new for old, new in names.items()):
                self._lazy = self._lazy.rename(names)
            self.schema = self._lazy.collect_schema()
            self.height = int(self._lazy.select(pl.len()).collect().item())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise ReadWhole from error
        if not self.height:
            raise ReadWhole
        self.names = list(self.schema)
        self._rows = max(1, min(READ_ROWS, CELLS // len(self.names)))

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in order. Raises ReadWhole; what was yielded must be forgotten."""
        for start in range(0, self.height, self._rows):
            try:
                frame = self._lazy.slice(start, self._rows).collect()
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
                raise ReadWhole from error
            yield from _sliced(frame)


class WholeTable:
    """A table that was read whole, for what cannot be read in blocks."""

    def __init__(
        self, path: Path, encoding: str, delimiter: str, as_text: Collection[str] = ()
    ) -> None:
        raw = reading.read_table(path, encoding=encoding, delimiter=delimiter, as_text=as_text)
        self.path = path
        self.cells = raw.encoding != "parquet"
        self.names = raw.frame.columns
        self.schema = raw.frame.schema
        self._frame = raw.frame

    def blocks(self) -> Iterator[pl.DataFrame]:
        """Yield the rows in order."""
        yield from _sliced(self._frame)


Table = ParquetTable | TextTable | WholeTable


def open_table(path: Path, encoding: str, delimiter: str) -> Table:
    """Open a table for reading in blocks, or whole where that cannot be.

    Raises:
        UsageError, DataInvalid: as `reading.read_table`.
    """
    try:
        if not path.is_file():
            raise ReadWhole
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == b"PAR1":
            return ParquetTable(path)
        return TextTable(path, encoding, delimiter)
    except (ReadWhole, OSError):
        return WholeTable(path, encoding, delimiter)


def _sliced(frame: pl.DataFrame) -> Iterator[pl.DataFrame]:
    for start in range(0, frame.height, ROWS):
        yield frame[start : start + ROWS]
