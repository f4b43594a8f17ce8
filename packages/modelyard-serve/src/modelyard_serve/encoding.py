"""Raw columns -> the one float64 matrix that the graph takes. The only canonicaliser.

Training and serving both call `encode`, so a null, an unseen category or a date means the same
number on both sides. Numbers stay float64 (missing is NaN), booleans are 0/1/NaN, a category is its
code (1 for the first level, 0 for anything unknown, NaN for missing), a datetime is its parts.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard_serve.contract import Feature
from modelyard_serve.errors import SHOWN, InputError, Problem

Matrix = NDArray[np.float64]
Column = Sequence[Any] | NDArray[Any]

PARTS = ("days", "year", "month", "day", "weekday", "dayofyear", "hour")
_DAY_US = 86_400_000_000
_PLAIN = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(\.[0-9]*)?([eE][+-]?[0-9]+)?")
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "off"})


def encode(features: Sequence[Feature], columns: Mapping[str, Column]) -> Matrix:
    """Encode raw columns in the order of `features`.

    Args:
        features: the signature.
        columns: name -> values, all of one length; further names are ignored.

    Returns:
        float64, shape (rows, sum of the features' widths), C order.

    Raises:
        InputError: a column is missing, or a value is not of its column's kind.
    """
    absent = [feature.name for feature in features if feature.name not in columns]
    if absent:
        raise InputError(
            f"missing columns: {', '.join(absent[:SHOWN])}"
            + (f" and {len(absent) - SHOWN} more" if len(absent) > SHOWN else ""),
            [Problem(None, name, "a column of this name", "nothing") for name in absent],
        )
    rows = len(columns[features[0].name]) if features else 0
    matrix = np.empty((rows, sum(feature.width for feature in features)), dtype=np.float64)
    start = 0
    for feature in features:
        values = columns[feature.name]
        if len(values) != rows:
            raise InputError(f"column {feature.name} has {len(values)} values, others have {rows}")
        matrix[:, start : start + feature.width] = encode_column(feature, values)
        start += feature.width
    return matrix


def encode_column(feature: Feature, values: Column) -> Matrix:
    """Encode one column; returns shape (rows, width). Raises InputError as `encode` does."""
    if feature.kind == "category":
        return _categories(feature, values)[:, None]
    if feature.kind == "boolean":
        return _booleans(feature, values)[:, None]
    if feature.kind == "datetime":
        return date_parts(_datetimes(feature, values), feature.parts)
    return _numbers(feature, values)[:, None]


def text_of(value: Any) -> str:
    """Return a category's canonical spelling: 415, 415.0 and "415" are one level."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def respelled(cell: str) -> str | None:
    """The canonical spelling of the number or truth value that a table's cell may stand for.

    `415.0` is 415 and `True` is true, as a column of numbers or of truth values has them; 0042 is a
    code and stands for itself.
    """
    lowered = cell.lower()
    if lowered in ("true", "false"):
        return lowered
    match = _PLAIN.fullmatch(cell)
    if match is None:
        return None
    if match[1] is None and match[2] is None:
        plain = cell.removeprefix("+")
        return "0" if plain == "-0" else plain
    number = float(cell)
    return text_of(number) if math.isfinite(number) else None


def missing_numbers(feature: Feature) -> list[float]:
    """The numbers that stand for a missing value, such as -999."""
    found = []
    for word in feature.missing:
        try:
            found.append(float(word))
        except ValueError:
            continue
    return [number for number in found if not math.isnan(number)]


def category_codes(feature: Feature) -> dict[str | None, float]:
    """A category's code by its canonical spelling; any text that is not there is 0.

    None, the empty text and the person's own spellings of a missing value are missing.
    """
    codes: dict[str | None, float] = dict.fromkeys(map(text_of, missing_numbers(feature)), math.nan)
    codes |= {level: float(code) for code, level in enumerate(feature.levels, start=1)}
    return codes | dict.fromkeys((None, "", *feature.missing), math.nan)


def boolean_words(feature: Feature) -> dict[str, float]:
    """What counts as false and as true, in lower case; the column's own spellings come last."""
    words = dict.fromkeys(FALSE_WORDS, 0.0) | dict.fromkeys(TRUE_WORDS, 1.0)
    if len(feature.levels) == 2:
        words |= {feature.levels[0].lower(): 0.0, feature.levels[1].lower(): 1.0}
    return words


def date_parts(moments: NDArray[np.datetime64], parts: Sequence[str]) -> Matrix:
    """Take datetime64[us] apart; NaT gives NaN in every part. Shape (rows, parts)."""
    out = np.empty((len(moments), len(parts)), dtype=np.float64)
    missing = np.isnat(moments)
    safe = np.where(missing, np.datetime64(0, "us"), moments).astype("datetime64[us]")
    whole = safe.astype("datetime64[D]")
    micros = safe.astype(np.int64)
    months = safe.astype("datetime64[M]")
    years = safe.astype("datetime64[Y]")
    for index, part in enumerate(parts):
        if part == "days":
            out[:, index] = micros / _DAY_US
        elif part == "year":
            out[:, index] = years.astype(np.int64) + 1970
        elif part == "month":
            out[:, index] = months.astype(np.int64) % 12 + 1
        elif part == "day":
            out[:, index] = (whole - months.astype("datetime64[D]")).astype(np.int64) + 1
        elif part == "weekday":
            out[:, index] = (whole.astype(np.int64) + 3) % 7
        elif part == "dayofyear":
            out[:, index] = (whole - years.astype("datetime64[D]")).astype(np.int64) + 1
        elif part == "hour":
            out[:, index] = (micros % _DAY_US) / 3_600_000_000
        else:
            raise InputError(f"the signature names an unknown part of a date: {part!r}")
    out[missing] = np.nan
    return out


def _numbers(feature: Feature, values: Column) -> Matrix:
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiub":
        out = values.astype(np.float64)
    else:
        out = np.empty(len(values), dtype=np.float64)
        bad: list[Problem] = []
        total = 0
        for row, value in enumerate(values):
            if value is None:
                out[row] = np.nan
            elif isinstance(value, int | float | np.integer | np.floating):
                try:
                    out[row] = float(value)
                except OverflowError:
                    out[row] = np.inf
            elif _declared(feature, value):
                out[row] = np.nan
            else:
                out[row] = np.nan
                total += 1
                if len(bad) < SHOWN:
                    bad.append(Problem(row, feature.name, "a number or null", _shown(value)))
        _refuse(feature, bad, total)
    if gone := missing_numbers(feature):
        out[np.isin(out, gone)] = np.nan
    infinite = np.flatnonzero(np.isinf(out))
    if len(infinite):
        _refuse(
            feature,
            [
                Problem(int(r), feature.name, "a finite number", "infinity")
                for r in infinite[:SHOWN]
            ],
            len(infinite),
        )
    return out


def _booleans(feature: Feature, values: Column) -> Matrix:
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        return values.astype(np.float64)
    if isinstance(values, np.ndarray) and values.dtype.kind in "fiu":
        numbers = values.astype(np.float64)
        if bool(np.all((numbers == 0) | (numbers == 1) | np.isnan(numbers))):
            return numbers
    out = np.empty(len(values), dtype=np.float64)
    bad: list[Problem] = []
    total = 0
    words = boolean_words(feature)
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            out[row] = np.nan
            continue
        number: float | None
        if isinstance(value, bool | np.bool_):
            number = float(value)
        elif _declared(feature, value):
            number = math.nan
        elif isinstance(value, str):
            number = words.get(value.strip().lower())
        else:
            number = float(value) if value in (0, 1) else None
        if number is None:
            total += 1
            if len(bad) < SHOWN:
                bad.append(Problem(row, feature.name, "true, false or null", _shown(value)))
        else:
            out[row] = number
    _refuse(feature, bad, total)
    return out


def _categories(feature: Feature, values: Column) -> Matrix:
    codes = category_codes(feature)
    out = np.empty(len(values), dtype=np.float64)
    lookup = codes.get
    for row, value in enumerate(values):
        if type(value) is str or value is None:
            code = lookup(value)
            if code is None:
                code = math.nan if _declared(feature, value) else 0.0
            out[row] = code
        elif isinstance(value, float | np.floating) and math.isnan(value):
            out[row] = math.nan
        elif isinstance(value, str | int | float | bool | np.generic):
            out[row] = lookup(text_of(value), 0.0)
        else:
            _refuse(
                feature, [Problem(row, feature.name, "a text, number or null", _shown(value))], 1
            )
    return out


def _datetimes(feature: Feature, values: Column) -> NDArray[np.datetime64]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        moments = values.astype("datetime64[us]")
        for word in feature.missing:
            if (gone := _moment(word, feature.time_format)) is not None:
                moments[moments == np.datetime64(gone, "us")] = np.datetime64("NaT")
        return moments
    out = np.empty(len(values), dtype="datetime64[us]")
    bad: list[Problem] = []
    total = 0
    for row, value in enumerate(values):
        if value is None or (isinstance(value, float) and math.isnan(value)):
            out[row] = np.datetime64("NaT")
            continue
        if _declared(feature, value):
            out[row] = np.datetime64("NaT")
            continue
        moment = _moment(value, feature.time_format)
        if moment is None:
            total += 1
            if len(bad) < SHOWN:
                form = feature.time_format or "an ISO 8601 date"
                bad.append(Problem(row, feature.name, f"{form} or null", _shown(value)))
        else:
            out[row] = np.datetime64(moment, "us")
    _refuse(feature, bad, total)
    return out


def _declared(feature: Feature, value: Any) -> bool:
    """Whether a person said that this value stands for a missing one."""
    if not feature.missing:
        return False
    text = value if isinstance(value, str) else text_of(value)
    return text in feature.missing or text.strip() in feature.missing


def _moment(value: Any, time_format: str | None) -> datetime | None:
    """Read one moment; an aware one is moved to UTC, so that equal moments stay equal."""
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").astype(datetime)
    if isinstance(value, str):
        text = value.strip()
        parsed = None
        if time_format:
            parsed = _strptime(text, time_format)
        if parsed is None:
            try:
                parsed = datetime.fromisoformat(text)
            except ValueError:
                return None
        value = parsed
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value
        try:
            return value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # in the year 1 or 9999, moved out of the calendar
            return None
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    return None


def _strptime(text: str, time_format: str) -> datetime | None:
    """Read a text as training does: 69 is 2069, and a month's whole name may be its short one."""
    short = time_format.replace("%B", "%b")
    for form in dict.fromkeys((time_format, short)):
        try:
            found = datetime.strptime(text, form)
        except ValueError:
            continue
        return found.replace(year=2069) if "%y" in form and found.year == 1969 else found
    return None


def _refuse(feature: Feature, bad: list[Problem], total: int) -> None:
    if not bad:
        return
    first = bad[0]
    raise InputError(
        f"column {feature.name}, row {first.row}: expected {first.expected}, got {first.got}"
        + (f" ({total} such values)" if total > 1 else ""),
        bad,
        total,
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
