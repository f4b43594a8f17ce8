"""A table in blocks of rows: a large one is never whole in memory.

A block holds what `reading.read_table` would have read. Where that cannot be promised (another
encoding, gzip, blank lines, a number column that holds words) the table is read whole instead.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelyard.tables import reading, sniffing
from modelyard.tables.typing import CODE

ROWS = 65_536
LARGE = 64 * 1024 * 1024
"""Bytes from which a file is worth reading in blocks."""

_INFER_ROWS = 10_000


class ReadWhole(Exception):
    """Blocks would not hold what the whole table holds: start again with `whole=True`."""


@dataclass(frozen=True)
class Block:
    """Some rows as they lie in the file; `start` is the first one's number, from 0."""

    frame: pl.DataFrame
    start: int
    delimiter: str


def each(
    source: Path,
    *,
    encoding: str = "auto",
    delimiter: str = "auto",
    numbers: Collection[str] = (),
    as_text: Collection[str] = (),
    whole: bool = False,
    large: int = LARGE,
) -> Iterator[Block]:
    """Yield the rows of a table in order.

    Args:
        numbers: columns that must not come as text: how it is read is decided on all rows.
        as_text: columns of a text file whose cells are left as they stand.

    Raises:
        ReadWhole: start again with `whole=True`. Rows that were yielded must be forgotten.
        DataInvalid, UsageError: as `reading.read_table`.
    """
    if whole or not source.is_file() or source.stat().st_size < large:
        raw = reading.read_table(source, encoding=encoding, delimiter=delimiter, as_text=as_text)
        for start in range(0, raw.frame.height, ROWS):
            yield Block(raw.frame[start : start + ROWS], start, raw.delimiter)
        return
    lazy, separator = _lazy(source, encoding, delimiter, as_text)
    start = 0
    try:
        for frame in lazy.collect_batches(chunk_size=ROWS, maintain_order=True):
            if frame.height:
                _refuse_odd(frame, numbers, bool(separator))
                yield Block(frame, start, separator)
                start += frame.height
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ReadWhole from error
    if not start:
        raise ReadWhole


def _lazy(
    source: Path, encoding: str, delimiter: str, as_text: Collection[str]
) -> tuple[pl.LazyFrame, str]:
    with source.open("rb") as file:
        head = file.read(sniffing.SAMPLE)
    if head.startswith(b"PAR1"):
        lazy = pl.scan_parquet(source, glob=False, hive_partitioning=False)
        try:
            named = all(name.strip() for name in lazy.collect_schema())
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise ReadWhole from error
        if not named:
            raise ReadWhole  # such columns are called by their place
        return lazy, ""
    if head.startswith(b"\x1f\x8b") or ".parquet" in source.name.lower():
        raise ReadWhole
    sniffing.refuse_binary(head, source.name)
    if sniffing.encoding_of(head, encoding, source.name) not in ("utf-8", "ascii"):
        raise ReadWhole
    text = head.decode("utf-8", errors="replace")
    separator = sniffing.delimiter_of(text, delimiter)
    names = next(iter(csv.reader(io.StringIO(text, newline=""), delimiter=separator)), [])
    if len(set(names)) < len(names) or not all(name.strip() for name in names) or b"\n" not in head:
        raise ReadWhole
    try:
        some = pl.read_csv(
            io.BytesIO(head[: head.rindex(b"\n") + 1]), separator=separator, infer_schema=False
        )
    except pl.exceptions.PolarsError as error:
        raise ReadWhole from error
    # Cells like 0042 are codes that a number would spoil, as read_table has it.
    coded = some.head(_INFER_ROWS).select(pl.all().str.contains(CODE).any()).row(0)
    texts = {
        name: pl.String
        for name, code in zip(some.columns, coded, strict=True)
        if code or name in as_text
    }
    lazy = pl.scan_csv(
        source,
        separator=separator,
        infer_schema_length=_INFER_ROWS,
        schema_overrides=texts,
        glob=False,
    )
    return lazy, separator


def _refuse_odd(frame: pl.DataFrame, numbers: Collection[str], text: bool) -> None:
    if not text:
        return
    dtypes = frame.schema
    if any(dtypes.get(name) == pl.String for name in numbers):
        raise ReadWhole
    if frame.width > 1 and frame.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        raise ReadWhole  # a blank line is no row, a row of empty cells is one
