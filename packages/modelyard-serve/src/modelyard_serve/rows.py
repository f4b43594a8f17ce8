"""Rows of JSON -> the matrix, by a decoder and a function made for one signature.

`encoding.encode` says what a value means; this file gives the same matrix for well-formed rows in a
tenth of the time. Whatever the quick way does not take (a number sent as `true`, a boolean sent as
"yes", a missing key) goes to the careful way, which accepts it or names the cell.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
import numpy as np

from modelyard_serve.contract import Feature
from modelyard_serve.encoding import (
    Matrix,
    boolean_words,
    category_codes,
    encode,
    encode_column,
    missing_numbers,
    text_of,
)
from modelyard_serve.errors import SHOWN, BodyError, InputError, Problem

Cell = str | int | float | bool | None
_NAN = math.nan


class _Careful(Exception):
    """The quick way does not take this value."""


class RowReader:
    """Reads rows of one signature.

    A row must carry every column that had no missing value in training (`required`); a column that
    it lacks otherwise is missing. Null is missing everywhere.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self.features = tuple(features)
        self.names = tuple(feature.name for feature in features)
        self.width = sum(feature.width for feature in features)
        self._places = {name: place for place, name in enumerate(self.names)}
        self.required = frozenset(f.name for f in features if f.missing_share == 0)
        # msgspec takes no names that JSON has to escape: such rows go the careful way.
        self._quick = all(json.dumps(name, ensure_ascii=False)[1:-1] == name for name in self.names)
        strict, lax = self._struct("Row", strict=True), self._struct("Record", strict=False)
        body = msgspec.defstruct("Body", [("rows", list[strict])], forbid_unknown_fields=True)  # type: ignore[valid-type]
        self._body = msgspec.json.Decoder(body)
        self._line = msgspec.json.Decoder(strict)
        self._records = msgspec.json.Decoder(list[lax])  # type: ignore[valid-type]
        self._flat = _compile(self.features)
        self._gone = _declared_numbers(self.features)
        self._arrays = lru_cache(maxsize=16)(self._array_decoder)
        self._arrays_of = lru_cache(maxsize=16)(self._array_struct)

    def body(self, body: bytes) -> Matrix:
        """Read {"rows": [{column: value}]}; unknown columns are refused.

        Raises:
            BodyError: not JSON, or not of this form.
            InputError: no rows, or a row that does not fit; names rows and columns.
        """
        try:
            if not self._quick:
                raise _Careful
            decoded: Any = self._body.decode(body)
            matrix = self._matrix(decoded.rows)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Careful):
            return self.careful(_rows_of(body), strict=True)
        if len(matrix) == 0:
            raise InputError("no rows were given: send at least one")
        return matrix

    def lines(self, lines: Sequence[bytes], start: int = 0) -> Matrix:
        """Read lines of JSON, a row each, the first being row `start`. Raises as `body` does."""
        try:
            if not self._quick:
                raise _Careful
            decode = self._line.decode
            return self._matrix([decode(line) for line in lines])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Careful):
            rows = []
            for number, line in enumerate(lines, start=start):
                row = decode_json(line, f"row {number}")
                if not isinstance(row, dict):
                    raise BodyError(f"row {number} is not an object of columns") from None
                rows.append(row)
            return self.careful(rows, strict=True, start=start)

    def records(self, text: bytes | msgspec.Raw) -> Matrix:
        """Read [{column: value}]; unknown columns are ignored. Raises as `body` does."""
        try:
            if not self._quick:
                raise _Careful
            return self._matrix(self._records.decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Careful):
            rows = decode_json(text)
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise BodyError("the rows are not a list of objects") from None
            return self.careful(rows, strict=False)

    def arrays(self, columns: Sequence[str], text: bytes | msgspec.Raw) -> Matrix:
        """Read [[value, …], …] whose values stand in the order of `columns`.

        Raises:
            BodyError: not a list of lists as long as `columns`.
            InputError: as `body` does.
        """
        order = tuple(columns)
        if len(set(order)) < len(order):
            raise InputError("a column is named twice")
        self._refuse_absent(order)
        try:
            return self._matrix(self._arrays(order).decode(text))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, _Careful):
            rows = decode_json(text)
            if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
                raise BodyError("the data are not a list of lists") from None
            for number, row in enumerate(rows):
                if len(row) != len(order):
                    raise BodyError(
                        f"row {number} has {len(row)} values for {len(order)} columns"
                    ) from None
            return self.columns({name: [row[i] for row in rows] for i, name in enumerate(order)})

    def columns(self, columns: Mapping[str, Sequence[Any]]) -> Matrix:
        """Encode columns of values; those that the signature lacks are ignored.

        Raises:
            InputError: a required column is absent, columns differ in length, or a cell is wrong.
        """
        self._refuse_absent(columns)
        rows = len(next(iter(columns.values()))) if columns else 0
        order = tuple(name for name in columns if name in self._places)
        try:
            cells = list(zip(*(columns[name] for name in order), strict=True))
            matrix = self._matrix(msgspec.convert(cells, list[self._arrays_of(order)]))  # type: ignore[misc]
            # Tensors and CSV can say infinity, which JSON cannot; no known column tells no length.
            if order and not np.isinf(matrix).any():
                return matrix
        except (msgspec.ValidationError, ValueError, _Careful):
            pass  # the careful way accepts it, or names the cell
        full = {name: columns[name] if name in columns else [None] * rows for name in self.names}
        return self._encode(full)

    def careful(self, rows: Sequence[Mapping[str, Any]], *, strict: bool, start: int = 0) -> Matrix:
        """Encode decoded rows one column at a time, and name what does not fit. Raises InputError.

        Args:
            strict: refuse columns that the signature does not have.
            start: the first row's number in what the client sent.
        """
        if not rows:
            raise InputError("no rows were given: send at least one")
        known = set(self.names)
        problems: list[Problem] = []
        total = 0
        for number, row in enumerate(rows, start=start):
            lost = [name for name in self.names if name in self.required and name not in row]
            extra = [name for name in row if name not in known] if strict else []
            total += len(lost) + len(extra)
            if len(problems) < SHOWN:
                problems += [Problem(number, n, "a value or null", "nothing") for n in lost]
                problems += [Problem(number, n, self._nearest(n), "a column") for n in extra]
        if problems:
            first = problems[0]
            what = "is missing" if first.got == "nothing" else "is not a column of the model"
            raise InputError(
                f"row {first.row}: {_short(first.column)} {what}"
                + (f" ({total} such cells)" if total > 1 else ""),
                [p._replace(column=_short(p.column)) for p in problems[:SHOWN]],
                total,
            )
        return self._encode({n: [row.get(n) for row in rows] for n in self.names}, start)

    def _matrix(self, rows: list[Any]) -> Matrix:
        matrix = np.array(self._flat(rows), dtype=np.float64).reshape(len(rows), self.width)
        for numbers, places in self._gone:
            part = matrix[:, places]
            for number in numbers:
                hit = part == number
                if hit.any():
                    part[hit] = _NAN
                    matrix[:, places] = part
        return matrix

    def _encode(self, columns: Mapping[str, Sequence[Any]], start: int = 0) -> Matrix:
        try:
            return encode(self.features, columns)
        except InputError as first:
            # Say what is wrong in every column, and count from the client's first row.
            problems: list[Problem] = []
            total = 0
            for feature in self.features:
                try:
                    encode_column(feature, columns[feature.name])
                except InputError as error:
                    problems += error.problems
                    total += error.total
            shifted = [p if p.row is None else p._replace(row=p.row + start) for p in problems]
            if not shifted:
                raise
            at = shifted[0]
            detail = f"row {at.row}: {at.column} is {at.got}, expected {at.expected}"
            more = f" ({total} such cells)" if total > 1 else ""
            raise InputError(detail + more, shifted, total) from first

    def _refuse_absent(self, columns: Iterable[str]) -> None:
        there = set(columns)
        absent = [name for name in self.names if name in self.required and name not in there]
        if absent:
            raise InputError(
                f"missing columns: {', '.join(absent[:SHOWN])}"
                + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""),
                [Problem(None, name, "a column of this name", "nothing") for name in absent],
            )

    def _nearest(self, name: str) -> str:
        near = difflib.get_close_matches(name[:200], self.names, n=1)
        return f"perhaps {near[0]}" if near else "a column of the model"

    def _struct(self, name: str, *, strict: bool) -> type[msgspec.Struct]:
        ordered = sorted(enumerate(self.features), key=lambda pair: pair[1].missing_share > 0)
        return msgspec.defstruct(
            name,
            [_field(place, feature) for place, feature in ordered],
            rename={f"f{place}": name for place, name in enumerate(self.names)}
            if self._quick
            else None,
            forbid_unknown_fields=strict,
            gc=False,
        )

    def _array_decoder(self, order: tuple[str, ...]) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(list[self._array_struct(order)])  # type: ignore[misc]

    def _array_struct(self, order: tuple[str, ...]) -> type[msgspec.Struct]:
        """A struct for rows as lists in this order; what is not in it is missing in every row."""
        places = self._places
        fields: list[Any] = []
        for at, name in enumerate(order):
            if name in places:
                fields.append(_field(places[name], self.features[places[name]], required=True))
            else:
                fields.append((f"other{at}", Any))
        # Constants of the class, not fields: a row that is too long must not fill them.
        given = set(order)
        absent = {f"f{place}": None for name, place in places.items() if name not in given}
        return msgspec.defstruct(
            "Array", fields, namespace=absent, array_like=True, forbid_unknown_fields=True, gc=False
        )


def decode_json(text: bytes | msgspec.Raw, what: str = "the body") -> Any:
    """Decode JSON of any form. Raises BodyError."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"{what} is not JSON: {error}") from error


def _rows_of(body: bytes) -> list[dict[str, Any]]:
    found = decode_json(body)
    rows = found.get("rows") if isinstance(found, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BodyError('send {"rows": [{column: value}]}')
    if len(found) > 1:
        extra = next(name for name in found if name != "rows")
        raise BodyError(f'{_short(extra)} is unknown beside "rows"')
    return rows


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:79] + "…"


def _field(place: int, feature: Feature, *, required: bool = False) -> Any:
    kind: Any = float | None if feature.kind in ("number", "integer") else Cell
    if feature.kind == "datetime":
        kind = str | None
    if required or feature.missing_share == 0:
        return (f"f{place}", kind)
    return (f"f{place}", kind, None)


def _declared_numbers(
    features: Sequence[Feature],
) -> list[tuple[tuple[float, ...], list[int]]]:
    """Numbers that stand for a missing value, and the matrix' columns in which they do.

    Columns of the same numbers, as all of a package's are, are looked at together.
    """
    found: dict[tuple[float, ...], list[int]] = {}
    place = 0
    for feature in features:
        if feature.kind in ("number", "integer") and (numbers := missing_numbers(feature)):
            found.setdefault(tuple(numbers), []).append(place)
        place += feature.width
    return list(found.items())


def _compile(features: Sequence[Feature]) -> Callable[[list[Any]], list[float]]:
    """Make the function that takes structs to a flat list of numbers, row by row.

    The code is made of the features' places alone: no text of the package gets into it.
    """
    names: dict[str, Any] = {"nan": _NAN}
    parts = []
    for place, feature in enumerate(features):
        cell = f"r.f{place}"
        if feature.kind in ("number", "integer"):
            parts.append(f"nan if {cell} is None else {cell}")
        elif feature.kind == "datetime":
            names[f"k{place}"] = _moment_reader(feature)
            parts.append(f"*k{place}({cell})")
        else:
            names[f"k{place}"] = _Codes(feature) if feature.kind == "category" else _Words(feature)
            parts.append(f"k{place}[{cell}]")
    code = f"def flat(rows):\n    return [v for r in rows for v in ({', '.join(parts)},)]"
    exec(code, names)  # noqa: S102 - places only, see above
    return names["flat"]  # type: ignore[no-any-return]


class _Codes(dict[Any, float]):
    """A category's codes; what is not there is looked up by its canonical spelling."""

    def __init__(self, feature: Feature) -> None:
        super().__init__(category_codes(feature))
        self._declared = frozenset(feature.missing)

    def __missing__(self, value: Any) -> float:
        if type(value) is str:
            return _NAN if self._declared and value.strip() in self._declared else 0.0
        if value != value:
            return _NAN
        return self.get(text_of(value), 0.0)


class _Words(dict[Any, float]):
    """A boolean's two values; anything but true, false and null is for the careful way."""

    def __init__(self, feature: Feature) -> None:
        super().__init__(boolean_words(feature) | {None: _NAN})
        if not {0.0, 1.0} & set(missing_numbers(feature)):  # else 0 is not what false is
            self.update({True: 1.0, False: 0.0})
        self.update(dict.fromkeys(feature.missing, _NAN))

    def __missing__(self, value: Any) -> float:
        raise _Careful


def _moment_reader(feature: Feature) -> Callable[[str | None], tuple[float, ...]]:
    """Make the reader of one datetime column: ISO 8601 text -> its parts, as `encoding` gives."""
    gone = (_NAN,) * len(feature.parts)
    parts = tuple(_PARTS[part] for part in feature.parts)
    if feature.time_format:
        # Rare, and strptime costs more than the rest: the careful way does the same.
        def by_column(text: str | None) -> tuple[float, ...]:
            return tuple(encode_column(feature, [text])[0].tolist())

        return _refusing(by_column)

    missing = frozenset((None, *feature.missing))

    def read(text: str | None) -> tuple[float, ...]:
        if text in missing:
            return gone
        assert text is not None
        try:
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is not None:
                moment = moment.astimezone(UTC).replace(tzinfo=None)
        except (ValueError, OverflowError):
            raise _Careful from None
        return tuple(part(moment) for part in parts)

    return read


def _refusing(
    read: Callable[[str | None], tuple[float, ...]],
) -> Callable[[str | None], tuple[float, ...]]:
    def careful(text: str | None) -> tuple[float, ...]:
        try:
            return read(text)
        except InputError:
            raise _Careful from None

    return careful


_EPOCH = datetime(1970, 1, 1)


def _micros(moment: datetime) -> int:
    gap = moment - _EPOCH
    return (gap.days * 86_400 + gap.seconds) * 1_000_000 + gap.microseconds


_PARTS: dict[str, Callable[[datetime], float]] = {
    "days": lambda moment: float(_micros(moment)) / 86_400_000_000.0,
    "year": lambda moment: float(moment.year),
    "month": lambda moment: float(moment.month),
    "day": lambda moment: float(moment.day),
    "weekday": lambda moment: float(moment.weekday()),
    "dayofyear": lambda moment: float(moment.timetuple().tm_yday),
    "hour": lambda moment: (
        float(
            (moment.hour * 3600 + moment.minute * 60 + moment.second) * 1_000_000
            + moment.microsecond
        )
        / 3_600_000_000.0
    ),
}
