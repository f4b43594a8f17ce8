"""Rows that are shorter or longer than the header: found by counting first, by reading if need be.

Polars pads a short row with nulls without a word. Reading 5 million rows again to find that out
would cost more than the rest of ingest, so bytes are counted: delimiters outside quotes must be
(width - 1) a row. Only where they are not is the file read record by record.
"""

from __future__ import annotations

import csv
import io
import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from modelyard.errors import SHOWN, DataInvalid

_CHUNK = 1 << 22
_END = "\x1eend"


@dataclass(frozen=True)
class Scan:
    """Records of a text table as the csv module reads them; `blank` are data-row numbers from 0."""

    rows: list[list[str]]
    blank: list[int]


def delimiters(source: Path | bytes, delimiter: str) -> int:
    """Count the delimiters outside quoted fields."""
    with _buffer(source) as whole:
        wanted = ord(delimiter)
        quoted = whole.find(b'"') >= 0
        total = parity = 0
        for start in range(0, len(whole), _CHUNK):
            part = np.frombuffer(whole[start : start + _CHUNK], dtype=np.uint8)
            hits = part == wanted
            if quoted:
                inside = (np.cumsum(part == 34, dtype=np.int32) + parity) & 1
                parity = int(inside[-1])
                hits &= inside == 0
            total += int(np.count_nonzero(hits))
    return total


def leading_zeros(source: Path | bytes, delimiter: str) -> bool:
    """Whether any field begins with a zero and another digit, as the code 0042 does.

    Bytes are compared block by block: a cell within quotes may look so too, and the header.
    """
    with _stream(source) as stream:
        rest = b"\n"
        while block := stream.read(_CHUNK >> 2):
            whole = rest + block
            rest = whole[-2:]
            content = np.frombuffer(whole, dtype=np.uint8)
            first = content[:-2]
            begins = first == ord(delimiter)
            for mark in b'\n"' if b'"' in whole else b"\n":
                begins |= first == mark
            begins &= content[1:-1] == ord("0")
            # A digit is looked for where a zero begins a field alone: decimals are many, these few.
            if (content[np.flatnonzero(begins) + 2] - ord("0") < 10).any():
                return True
    return False


def trailing_blank(source: Path | bytes) -> int:
    """How many empty lines stand at the end."""
    with _buffer(source) as whole:
        tail = whole[max(0, len(whole) - 65_536) :].replace(b"\r", b"")
    return max(0, len(tail) - len(tail.rstrip(b"\n")) - 1)


def scan(source: Path | bytes, delimiter: str, width: int, name: str, *, keep: bool) -> Scan:
    """Read record by record; refuse ragged rows and a quote that never closes.

    Args:
        keep: return the rows' cells too (without the header); else only the blank rows' numbers.

    Raises:
        DataInvalid: names the first ten lines at fault.
    """
    rows: list[list[str]] = []
    blank: list[int] = []
    bad: list[str] = []
    total = 0
    csv.field_size_limit(1 << 30)
    with _text(source) as text:
        reader = csv.reader(_ended(text), delimiter=delimiter)
        line = start = 1
        number = -1
        last: list[str] = []
        try:
            for record in reader:
                last, start = record, line
                if record == [_END]:
                    break
                if not record:
                    blank.append(number)
                elif len(record) != width and number >= 0:
                    total += 1
                    if len(bad) < SHOWN:
                        bad.append(f"line {line} has {len(record)}")
                elif keep and number >= 0:
                    rows.append(record)
                number += 1
                line = reader.line_num + 1
        except csv.Error as error:
            raise DataInvalid(
                f"{name}, line {line} cannot be read.",
                why=str(error),
                next_step="mend that line, or set data.delimiter in modelyard.yaml",
            ) from error
    if last != [_END]:
        raise DataInvalid(
            f"{name}: a quoted field that opens in or after line {start} never closes.",
            why="Everything behind it would be read as one cell.",
            next_step="close the quote in that line, or double quotes that belong to the text",
        )
    if total:
        more = f" and {total - SHOWN} more lines" if total > SHOWN else ""
        raise DataInvalid(
            f"{name} is ragged: {total} row{'s do' if total > 1 else ' does'} not have the "
            f"header's {width} fields.",
            why=f"{'; '.join(bad)}{more}.",
            next_step="mend those lines, or quote fields that hold the delimiter",
        )
    return Scan(rows, [row for row in blank if row >= 0])


def _ended(text: Iterable[str]) -> Iterator[str]:
    """The lines, then a record of our own: where a quote stays open, it is swallowed."""
    line = "\n"
    for line in text:
        yield line
    if not line.endswith(("\n", "\r")):
        yield "\n"
    yield f"{_END}\n"


@contextmanager
def _stream(source: Path | bytes) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
    else:
        with source.open("rb") as file:
            yield file


@contextmanager
def _buffer(source: Path | bytes) -> Iterator[bytes | mmap.mmap]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        yield whole


@contextmanager
def _text(source: Path | bytes) -> Iterator[io.TextIOBase]:
    if isinstance(source, bytes):
        yield io.StringIO(source.decode("utf-8-sig"), newline="")
        return
    with source.open(encoding="utf-8-sig", newline="") as file:
        yield file
