"""A CSV body -> columns of values, and predictions -> CSV. The standard library's reader, no more.

An empty cell is missing, and so is what a person declared to be. In a column of numbers, truth
values or dates so are the usual words for it; a category keeps any text that it is given, but that
`415.0` may be the number that it knows as 415.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from modelyard_serve.contract import Feature
from modelyard_serve.encoding import category_codes, respelled
from modelyard_serve.errors import SHOWN, BodyError, InputError, Problem

MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "(null)", "none", "nil", "?", "-", "--", "."}
    | {"\\n"}
)
DELIMITERS = ",;\t|"
_STYLED = {
    "thousands": (re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"), ",", "."),
    "comma": (
        re.compile(r"[+-]?(?:\d{1,3}(?:[. '’\u00a0\u202f]\d{3})+|\d+)(?:,\d+)?"),
        ". '’\u00a0\u202f",
        ",",
    ),
}
"""How a number is written, what stands between its thousands, and its decimal mark."""

csv.field_size_limit(1024 * 1024)


def read(body: bytes, *, names: Sequence[str], header: bool = True) -> dict[str, list[str]]:
    """Read a table; the delimiter is the one whose header names most of the `names`.

    Args:
        header: whether the first line names the columns; else they are `names`, in this order.

    Raises:
        BodyError: not UTF-8, no rows' header, a column named twice, or a line of another length.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BodyError(f"the table is not UTF-8: byte {error.start}") from error
    source = io.StringIO(text, newline="")
    first = source.readline().rstrip("\r\n")
    source.seek(0)
    known = set(names)
    delimiter = max(DELIMITERS, key=lambda mark: _score(first, mark, known, header))
    lines = csv.reader(source, delimiter=delimiter, strict=True)
    columns = list(names)
    rows: list[list[str]] = []
    try:
        if header:
            columns = next(lines, [])
        width = len(columns)
        for line in lines:
            if not line:
                continue
            if len(line) != width:
                raise BodyError(f"row {len(rows)} has {len(line)} cells for {width} columns")
            rows.append(line)
    except csv.Error as error:
        raise BodyError(f"line {lines.line_num} is not CSV: {error}") from error
    if not columns:
        raise BodyError("the table is empty: send a line of column names, then rows")
    twice = [name for name, times in Counter(columns).items() if times > 1]
    if twice:
        raise BodyError(f"the column {min(twice)[:80]!r} is named twice")
    return (
        dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True))
        if rows
        else {name: [] for name in columns}
    )


def values(features: Sequence[Feature], texts: dict[str, list[str]]) -> dict[str, list[Any]]:
    """Give the cells of the signature's columns the types that the encoder takes.

    Raises:
        InputError: a cell of a column of numbers is no number.
    """
    found: dict[str, list[Any]] = {}
    problems: list[Problem] = []
    total = 0
    for feature in features:
        cells = texts.get(feature.name)
        if cells is None:
            continue
        if feature.kind == "category":
            found[feature.name] = _categories(feature, cells)
            continue
        if feature.kind not in ("number", "integer"):
            found[feature.name] = [_word(cell) for cell in cells]
            continue
        numbers = [_number(cell, feature) for cell in cells]
        wrong = [row for row, number in enumerate(numbers) if number is _WRONG]
        total += len(wrong)
        problems += [
            Problem(row, feature.name, "a number or nothing", repr(cells[row][:40]))
            for row in wrong[: SHOWN - len(problems)]
        ]
        found[feature.name] = numbers
    if problems:
        first = problems[0]
        raise InputError(
            f"row {first.row}: {first.column} is {first.got}, expected {first.expected}"
            + (f" ({total} such cells)" if total > 1 else ""),
            problems,
            total,
        )
    return found


def write(columns: Iterable[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Write a table as CSV with a header and newlines."""
    out = _Lines(newline="")
    # The writer quotes what its line's end is made of: with "\n" alone a cell's "\r" would be bare.
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode()


def rows_with(
    texts: dict[str, list[str]], labels: Sequence[Any], outputs: Sequence[Sequence[float]]
) -> Iterator[tuple[Any, ...]]:
    """The sent rows, each with its label and, where `outputs` has them, its probabilities."""
    for number, label in enumerate(labels):
        yield (*(cells[number] for cells in texts.values()), label, *outputs[number])


class _Lines(io.StringIO):
    """Takes lines that end in CRLF and keeps them with a newline."""

    def write(self, line: str) -> int:
        """Keep one line."""
        return super().write(line[:-2] + "\n")


_WRONG = object()


def _categories(feature: Feature, cells: list[str]) -> list[Any]:
    """Cells as they stand, but for other spellings of a number or truth value that is known."""
    other = {cell: number for cell in set(cells) if (number := respelled(cell)) not in (None, cell)}
    if other:  # rare, and a category may have a thousand levels: they are not gone through else
        known = category_codes(feature)
        other = {c: n for c, n in other.items() if c not in known and n in known}
    return [other.get(cell, cell) for cell in cells] if other else list(cells)


def _word(cell: str) -> str | None:
    return None if cell.strip().lower() in MISSING_WORDS else cell


def _number(cell: str, feature: Feature) -> Any:
    text = cell.strip()
    if text in feature.missing:
        return None
    if feature.style != "plain":
        form, between, point = _STYLED[feature.style]
        if form.fullmatch(text):
            text = "".join(mark for mark in text if mark not in between).replace(point, ".")
    try:
        number = float(text)
    except ValueError:
        return None if text.lower() in MISSING_WORDS else _WRONG
    if "_" in text or not text.isascii():  # float() reads the digits of every script
        return _WRONG
    return None if math.isnan(number) else number


def _score(first: str, mark: str, known: set[str], header: bool) -> tuple[int, int]:
    try:
        cells = next(csv.reader([first], delimiter=mark), [])
    except csv.Error:
        return -len(known), 0  # the reader of the whole table says what is wrong
    hits = sum(cell in known for cell in cells) if header else -abs(len(cells) - len(known))
    return hits, len(cells)
