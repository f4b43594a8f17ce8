"""A file -> a table: CSV, TSV or Parquet, plain or gzip, in any encoding that can be told."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from modelyard.errors import DataInvalid, UsageError, capped
from modelyard.tables import lines, sniffing
from modelyard.tables.typing import CODE

_GZIP = b"\x1f\x8b"
_PARQUET = b"PAR1"
_INFER_ROWS = 10_000
_BIG = 2.0**63
_ODD_DIGITS = re.compile(r"could not parse .* at column 'c(\d+)'", re.DOTALL)
_WIDE = (pl.UInt64, pl.Int128, pl.UInt128)
_UTF8 = ("utf-8", "utf-8-sig", "ascii")


@dataclass(frozen=True)
class Raw:
    """A table as it lies in the file: polars' own types, no cell interpreted further.

    `encoding` and `delimiter` are those found ("parquet" and "" for Parquet).
    """

    frame: pl.DataFrame
    encoding: str
    delimiter: str


def read_table(
    path: Path, *, encoding: str = "auto", delimiter: str = "auto", as_text: Collection[str] = ()
) -> Raw:
    """Read a table of at least one row.

    Args:
        path: CSV, TSV or Parquet, plain or gzip.
        encoding, delimiter: as in the data section of modelyard.yaml.
        as_text: columns of a text file whose cells are left as they stand, such as 1.234 where a
            point parts thousands.

    Raises:
        UsageError: there is no such file, or the encoding or delimiter asked for is none.
        DataInvalid: the file is empty, holds a header only, has duplicate column names or such as
            mean several columns, ragged rows, an unreadable encoding, or is no table at all. Names
            at most ten lines.
    """
    path = Path(path)
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise UsageError(
            f"The table {path} {kind}.",
            why="A CSV, TSV or Parquet file was expected there.",
            next_step=f"ls {path.parent}",
        )
    try:
        with path.open("rb") as file:
            head = file.read(sniffing.SAMPLE)
        source: Path | bytes = path
        if head.startswith(_GZIP):
            source = gzip.decompress(path.read_bytes())
            head = source[: sniffing.SAMPLE]
    except (OSError, EOFError, zlib.error) as error:
        raise DataInvalid(
            f"{path.name} cannot be read.", why=str(error), next_step=f"ls -l {path}"
        ) from error
    if not head.strip():
        raise DataInvalid(
            f"{path.name} is empty.",
            why="It holds no header and no row.",
            next_step="give a table with a header and at least one row",
        )
    if head.startswith(_PARQUET) or ".parquet" in path.name.lower():
        return _parquet(source, path.name)
    sniffing.refuse_binary(head, path.name)
    return _text(source, head, path.name, encoding, delimiter, as_text)


def _parquet(source: Path | bytes, name: str) -> Raw:
    try:
        if isinstance(source, Path):
            frame = pl.read_parquet(source, glob=False, hive_partitioning=False)
        else:
            frame = pl.read_parquet(io.BytesIO(source))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise DataInvalid(
            f"{name} is not a whole Parquet file.",
            why=str(error).splitlines()[0],
            next_step="write or copy the file again",
        ) from error
    frame.columns = whole_names(frame.columns)
    _refuse_patterns(frame.columns, name)
    if frame.is_empty():
        raise _no_rows(name, frame.columns)
    return Raw(frame, "parquet", "")


def _text(
    source: Path | bytes,
    head: bytes,
    name: str,
    encoding: str,
    delimiter: str,
    as_text: Collection[str],
) -> Raw:
    """Read delimited text; anything but UTF-8 is turned into UTF-8 first."""
    found = sniffing.encoding_of(head, encoding, name)
    if found not in _UTF8 or encoding != "auto":
        source = _recode(source, found, name)
    if b"\r" in head and b"\n" not in head:  # line ends of old Macs
        source = _bytes(source).replace(b"\r", b"\n")
    text = _sample(source)
    separator = sniffing.delimiter_of(text, delimiter)
    names = _header(text, separator, name)
    _refuse_patterns(names, name)
    kept = [place for place, column in enumerate(names) if column in as_text]
    try:
        frame = _polars(source, separator, names, name, kept)
    except UnicodeDecodeError:  # the sample was ASCII, a later line is not UTF-8
        if encoding != "auto":
            raise
        found = sniffing.likeliest(_bytes(source), name)
        source = _recode(source, found, name)
        frame = _polars(source, separator, names, name, kept)
    frame = _without_blank_lines(frame, source, separator, name)
    if frame.is_empty():
        raise _no_rows(name, names)
    return Raw(frame, "utf-8" if found in _UTF8 else found, separator)


def _recode(source: Path | bytes, encoding: str, name: str) -> bytes:
    content = _bytes(source)
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataInvalid(
            f"{name}, line {line}: byte 0x{content[error.start]:02x} is not {encoding} text.",
            why=error.reason,
            next_step="set data.encoding in modelyard.yaml, or save the file as UTF-8",
        ) from error
    return text.removeprefix("\ufeff").encode("utf-8", errors="surrogatepass")


def _bytes(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _sample(source: Path | bytes) -> str:
    if isinstance(source, bytes):
        head = source[: sniffing.SAMPLE]
    else:
        with source.open("rb") as file:
            head = file.read(sniffing.SAMPLE)
    return head.decode("utf-8", errors="replace").removeprefix("\ufeff")


def _header(text: str, separator: str, name: str) -> list[str]:
    """The column names; an empty one is called by its place, a repeated one is refused."""
    names = next(iter(csv.reader(io.StringIO(text, newline=""), delimiter=separator)), [])
    if not any(entry.strip() for entry in names):
        raise DataInvalid(
            f"{name} begins with an empty line instead of the column names.",
            why="The first line must name the columns.",
            next_step="remove the lines above the header",
        )
    twice = sorted({entry for entry in names if entry.strip() and names.count(entry) > 1})
    if twice:
        raise DataInvalid(
            f"{name} has several columns of one name: {capped(map(repr, twice))}.",
            why="Which of them is meant could not be told.",
            next_step="rename them in the header",
        )
    return whole_names(names)


def whole_names(names: Sequence[str]) -> list[str]:
    """The names of a table's columns, an empty one called by its place."""
    whole = []
    for place, entry in enumerate(names, start=1):
        filled = entry
        while not filled.strip() or (filled != entry and filled in names):
            filled = f"column_{place}" if not filled.strip() else filled + "_"
        whole.append(filled)
    return whole


def _refuse_patterns(names: Sequence[str], name: str) -> None:
    """polars takes such a name for all columns, or for those that a pattern fits."""
    found = [entry for entry in names if entry == "*" or re.fullmatch(r"(?s)\^.*\$", entry)]
    if found:
        raise DataInvalid(
            f"{name} has columns whose names cannot be used: {capped(map(repr, found))}.",
            why="* would mean every column, and ^...$ every column that a pattern fits.",
            next_step="rename them in the table, such as * to star, then run this again",
        )


def _polars(
    source: Path | bytes, separator: str, names: list[str], name: str, kept: list[int]
) -> pl.DataFrame:
    """Read with polars' inference; where that stumbles, infer from every row, then read leniently.

    Raises:
        UnicodeDecodeError: some text is not UTF-8.
        DataInvalid: see `read_table`.
    """
    for rows in (_INFER_ROWS, None):
        try:
            return _with_codes(source, separator, names, kept, rows)
        except pl.exceptions.PolarsError as error:
            message = str(error).splitlines()[0]
            if "utf-8" in message or "utf8" in message:
                raise UnicodeDecodeError("utf-8", b"?", 0, 1, message) from error
            if not message.startswith("could not parse"):
                break
    # Ragged rows and open quotes end here with their lines; stray quotes are read as they stand.
    scanned = lines.scan(source, separator, len(names), name, keep=True)
    if not scanned.rows:
        raise _no_rows(name, names)
    again = io.StringIO()
    writer = csv.writer(again, delimiter=separator, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(scanned.rows)
    try:
        return _with_codes(again.getvalue().encode(), separator, names, kept, None)
    except pl.exceptions.PolarsError as error:
        raise DataInvalid(
            f"{name} cannot be read as a table.",
            why=str(error).splitlines()[0],
            next_step="check data.delimiter and data.encoding in modelyard.yaml",
        ) from error


def _with_codes(
    source: Path | bytes, separator: str, names: list[str], kept: list[int], rows: int | None
) -> pl.DataFrame:
    """Read, with codes as the texts that they are. Raises PolarsError."""
    codes = [*kept, *_codes(source, separator, names)]
    frame = _read_csv(source, separator, names, codes, rows)
    if late := _late_codes(source, separator, frame):
        frame = _read_csv(source, separator, names, [*codes, *late], rows)
    return frame


def _read_csv(
    source: Path | bytes, separator: str, names: list[str], codes: list[int], rows: int | None
) -> pl.DataFrame:
    texts = list(codes)
    while True:
        try:
            frame = pl.read_csv(
                source,
                separator=separator,
                infer_schema_length=rows,
                schema_overrides={f"c{place}": pl.String for place in texts},
                new_columns=[f"c{place}" for place in range(len(names))],
                glob=False,
            )
        except pl.exceptions.PolarsError as error:
            # Digits of another script: polars takes them for a number that it then cannot read.
            odd = _ODD_DIGITS.search(str(error)) if rows is None else None
            if odd is None or int(odd[1]) in texts:
                raise
            texts.append(int(odd[1]))
        else:
            frame.columns = names
            return frame


def _late_codes(source: Path | bytes, separator: str, frame: pl.DataFrame) -> list[int]:
    """Columns (by place) that were read as numbers and hold codes below the rows looked at first.

    A whole number that 64 bits do not hold would, as a float64, be equal to others.
    """
    if frame.height <= _INFER_ROWS:
        return []
    columns = list(enumerate(frame.iter_columns()))
    large = [place for place, series in columns if series.dtype in _WIDE or _beyond(series)]
    # A column with negative numbers holds no codes.
    whole = [place for place, s in columns if s.dtype == pl.Int64 and not _least(s) < 0]
    if whole and not lines.leading_zeros(source, separator):
        whole = []  # the bytes say so sooner than a second reading
    looked = [*large, *whole]
    if not looked:
        return []
    cells = pl.scan_csv(
        source,
        separator=separator,
        has_header=True,
        new_columns=[f"c{place}" for place in range(frame.width)],
        infer_schema=False,
        glob=False,
    )
    names = [pl.col(f"c{place}") for place in looked]
    asked = [_is_long(cell).any() for cell in names[: len(large)]]
    # Cells of whole numbers: one that begins with a zero and is longer is a code.
    for cell in names[len(large) :]:
        asked.append((cell.str.starts_with("0") & (cell.str.len_bytes() > 1)).any())
    found = cells.select(asked).collect(engine="streaming").row(0)
    return [place for place, code in zip(looked, found, strict=True) if code]


def _beyond(series: pl.Series) -> bool:
    """Whether decimals are as large as whole numbers that 64 bits do not hold."""
    if series.dtype != pl.Float64:
        return False
    ends = [end for end in (series.max(), series.min()) if isinstance(end, float)]
    if not any(abs(end) >= _BIG for end in ends):
        return False
    return bool(((series.abs() >= _BIG) & series.is_finite()).any())


def _least(series: pl.Series) -> int:
    found = series.min()
    return found if isinstance(found, int) else 0


def _is_long(cells: pl.Expr) -> pl.Expr:
    """Cells of whole numbers that 64 bits do not hold."""
    long = cells.str.contains(r"^\s*[+-]?[0-9]{19,}\s*$")
    return long & cells.str.strip_chars().cast(pl.Int64, strict=False).is_null()


def _codes(source: Path | bytes, separator: str, names: list[str]) -> list[int]:
    """Columns (by place) whose first cells are codes that a number would spoil."""
    try:
        head = pl.read_csv(
            source,
            separator=separator,
            infer_schema=False,
            n_rows=_INFER_ROWS,
            glob=False,
            truncate_ragged_lines=True,
        )
    except pl.exceptions.PolarsError:
        return []
    found = head.select((pl.all().str.contains(CODE) | _is_long(pl.all())).any()).row(0)
    return [place for place, code in enumerate(found) if code and place < len(names)]


def _without_blank_lines(
    frame: pl.DataFrame, source: Path | bytes, separator: str, name: str
) -> pl.DataFrame:
    """Drop the rows that polars makes of empty lines; refuse rows that it padded."""
    width = frame.width
    last = frame.to_series(width - 1)
    if width == 1:
        return frame
    if not last.null_count():
        return frame
    tail = 0
    for row in range(min(lines.trailing_blank(source), frame.height)):
        if any(value is not None for value in frame.row(frame.height - 1 - row)):
            break
        tail += 1
    frame = frame.head(frame.height - tail)
    if lines.delimiters(source, separator) == (width - 1) * (frame.height + 1):
        return frame
    blank = lines.scan(source, separator, width, name, keep=False).blank
    inner = [row for row in blank if row < frame.height]
    if not inner:
        return frame
    rows = pl.int_range(frame.height, eager=True)
    return frame.filter(~rows.is_in(inner))


def _no_rows(name: str, names: list[str]) -> DataInvalid:
    if not names:
        return DataInvalid(
            f"{name} has no columns.",
            why="There is nothing in it to read.",
            next_step="give a table with at least one column and one row",
        )
    return DataInvalid(
        f"{name} holds a header only.",
        why=f"Its columns are {capped(names)}; there is no row below them.",
        next_step="give a table with at least one row",
    )
