"""A delimited text file in blocks of whole records, as bytes: no cell is read here.

Plain or gzip, in any encoding that can be told; a block is UTF-8 without the header and without
blank lines. What blocks cannot promise raises `ReadWhole`; `reading.read_table` then judges.
"""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import polars as pl

from modelyard.tables import lines, reading, sniffing
from modelyard.watch.blocks import ReadWhole

BYTES = 3 << 20
"""About as much text as one block holds."""

_GZIP = b"\x1f\x8b"
_UTF8 = ("utf-8", "utf-8-sig", "ascii")
_BLANK = re.compile(rb"(?:(?<=\n)|\A)\r?\n")


class TextTable:
    """A CSV or TSV file; `names` are its columns, `separator` what stands between its cells.

    Raises:
        ReadWhole: it is no such file, or one whose header says that it needs a closer look.
        DataInvalid, UsageError: as `reading.read_table`.
    """

    cells = True

    def __init__(self, path: Path, encoding: str = "auto", delimiter: str = "auto") -> None:
        self.path = path
        try:
            with self._open() as file:
                head = file.read(sniffing.SAMPLE)
        except (OSError, EOFError, zlib.error) as error:
            raise ReadWhole from error
        if not head.strip() or head.startswith(b"PAR1") or ".parquet" in path.name.lower():
            raise ReadWhole
        sniffing.refuse_binary(head, path.name)
        self.encoding = sniffing.encoding_of(head, encoding, path.name)
        self._recoded = self.encoding not in _UTF8
        try:
            decoder = codecs.getincrementaldecoder(self.encoding)()
            text = decoder.decode(head).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            raise ReadWhole from error
        if "\n" not in text:  # one line, or line ends of old Macs
            raise ReadWhole
        self.separator = sniffing.delimiter_of(text, delimiter)
        self.names = reading._header(text, self.separator, path.name)
        first = text[: text.rindex("\n") + 1].encode(errors="surrogatepass")
        self._header_bytes = _end_of_record(first)
        self.head = without_blank_lines(first[self._header_bytes :], len(self.names))
        if not self.head:
            raise ReadWhole

    def blocks(self) -> Iterator[bytes]:
        """Yield the records in order. Raises ReadWhole; what was yielded must be forgotten."""
        rest = b""
        skip = self._header_bytes
        for part in self._parts():
            rest += part
            if skip and len(rest) > skip:
                rest, skip = rest[skip:], 0
            cut = 0 if skip else _end_of_records(rest)
            if cut:
                yield without_blank_lines(rest[:cut], len(self.names))
                rest = rest[cut:]
        if skip:
            return
        if rest.count(b'"') % 2:
            raise ReadWhole  # a quote that never closes
        last = without_blank_lines(rest, len(self.names))
        if last:
            yield last

    def read(self, block: bytes) -> pl.DataFrame:
        """Read a block's cells as text; an empty one is null. Raises ReadWhole."""
        return read_cells(block, self.names, self.separator)

    def _parts(self) -> Iterator[bytes]:
        decoder = codecs.getincrementaldecoder(self.encoding)()
        try:
            with self._open() as file:
                size, first = len(codecs.BOM_UTF8), True
                while part := file.read(size):
                    if self._recoded:
                        part = decoder.decode(part).encode(errors="surrogatepass")
                    if first and part:
                        part = part.removeprefix(codecs.BOM_UTF8)
                        size, first = BYTES, False
                    yield part
            if self._recoded:
                decoder.decode(b"", final=True)
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            raise ReadWhole from error

    def _open(self) -> IO[bytes]:
        with self.path.open("rb") as file:
            packed = file.read(2) == _GZIP
        return cast(IO[bytes], gzip.open(self.path)) if packed else self.path.open("rb")


def read_cells(block: bytes, names: list[str], separator: str) -> pl.DataFrame:
    """Read records without a header; every column is text.

    Raises:
        ReadWhole: a record has too many or too few cells, a stray quote, or is not UTF-8.
    """
    schema = {f"c{place}": pl.String for place in range(len(names))}
    try:
        frame = pl.read_csv(block, has_header=False, separator=separator, schema=schema)
    except pl.exceptions.PolarsError as error:
        raise ReadWhole from error
    width = frame.width
    # polars pads a short record with nulls without a word.
    doubtful = width > 1 and frame.to_series(width - 1).null_count()
    if doubtful and lines.delimiters(block, separator) != (width - 1) * frame.height:
        raise ReadWhole
    frame.columns = names
    return frame


def without_blank_lines(block: bytes, width: int) -> bytes:
    """Drop empty lines, which are no records, but not those inside quotes.

    In a table of one column an empty line is an empty cell, as `reading.read_table` has it.
    """
    if width == 1 or not _BLANK.search(block):
        return block
    kept = []
    start = counted = quotes = 0
    for match in _BLANK.finditer(block):
        quotes += block.count(b'"', counted, match.start())
        counted = match.start()
        if quotes % 2 == 0:
            kept.append(block[start : match.start()])
            start = match.end()
    kept.append(block[start:])
    return b"".join(kept)


def _end_of_records(text: bytes) -> int:
    """Where the last whole record ends: at a newline behind an even number of quotes; 0: none."""
    end = text.rfind(b"\n") + 1
    quotes = text.count(b'"', 0, end)
    while end and quotes % 2:
        before = text.rfind(b"\n", 0, end - 1) + 1
        quotes -= text.count(b'"', before, end)
        end = before
    return end


def _end_of_record(text: bytes) -> int:
    """Where the first record ends, blank lines before it included."""
    end = quotes = 0
    while (found := text.find(b"\n", end) + 1) > 0:
        quotes += text.count(b'"', end, found)
        end = found
        if quotes % 2 == 0 and text[:end].strip():
            return end
    raise ReadWhole
