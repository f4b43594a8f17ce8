"""Texts of moments -> the parts of a date, as the endpoint reads them, but a column at a time.

Texts of one strict form are read by polars, which reads those as Python does; any other text goes
to `encode_column` itself, each spelling once.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

import numpy as np
import polars as pl

from modelyard.tables.moments import parse_moments
from modelyard_serve.contract import Feature
from modelyard_serve.encoding import Matrix, encode_column
from modelyard_serve.errors import InputError

_MONTH, _DAY = "(?:0[1-9]|1[0-2])", "(?:0[1-9]|[12][0-9]|3[01])"
_HOUR, _SIXTY = "(?:[01][0-9]|2[0-3])", "[0-5][0-9]"
_ISO = (
    rf"^[0-9]{{4}}-{_MONTH}-{_DAY}"
    rf"(?:[T ]{_HOUR}:{_SIXTY}(?::{_SIXTY}(?:\.[0-9]{{3}}|\.[0-9]{{6}})?)?)?$"
)
_FIELDS = {
    "%Y": "[0-9]{4}", "%m": _MONTH, "%d": _DAY, "%H": _HOUR, "%M": _SIXTY, "%S": _SIXTY,
}  # fmt: skip


def read(feature: Feature, texts: pl.Series) -> tuple[Matrix, list[str]]:
    """Read a column of text.

    Returns:
        float64, shape (rows, parts), NaN for null and for what is no moment; and those texts,
        spellings of a missing value among them.
    """
    moments = _quick(feature, texts)
    out = encode_column(feature, moments.to_numpy().astype("datetime64[us]"))
    rest = texts.filter(moments.is_null() & texts.is_not_null()).unique().to_list()
    if not rest:
        return out, []
    parts, bad = _careful(feature, rest)
    places = texts.replace_strict(
        pl.Series(rest), pl.Series(range(len(rest))), default=None, return_dtype=pl.Int64
    )
    rows = places.is_not_null().arg_true().to_numpy()
    out[rows] = parts[places.drop_nulls().to_numpy()]
    return out, bad


def shown(feature: Feature, bound: float) -> str:
    """A bound of the training range as people read it: a number, or a date's ISO form."""
    if feature.kind != "datetime":
        return str(bound)
    moment = datetime.fromtimestamp(round(bound * 86_400), tz=UTC)
    return moment.replace(tzinfo=None).isoformat()


def strict_form(time_format: str | None) -> str | None:
    """A pattern for texts that every reader reads alike; None where the form is not so plain."""
    if time_format is None:
        return _ISO
    pieces = re.split(r"(%.)", time_format)
    known = [_FIELDS.get(p) if p.startswith("%") else re.escape(p) for p in pieces]
    plain = all(re.fullmatch(r"[-/.: ,T]*", p) for p in pieces[::2])
    used = pieces[1::2]
    if not plain or None in known or len(set(used)) < len(used) or "%Y" not in used:
        return None
    return "^" + "".join(piece or "" for piece in known) + "$"


def _quick(feature: Feature, texts: pl.Series) -> pl.Series:
    """The moments of the texts in the strict form; null elsewhere."""
    pattern = strict_form(feature.time_format)
    if pattern is None:
        return pl.Series(texts.name, [None], dtype=pl.Datetime("us")).new_from_index(0, len(texts))
    strict = texts.str.contains(pattern) & ~texts.str.contains("0000", literal=True)
    plain = texts.set(~strict.fill_null(False), None)
    if feature.time_format is None:
        return parse_moments(plain, None)
    # A form without a day or a month is completed by Python, not by polars.
    if not {"%m", "%d"} <= set(re.findall(r"%.", feature.time_format)):
        return plain.set(plain.is_not_null(), None).cast(pl.Datetime("us"))
    return plain.str.to_datetime(feature.time_format, strict=False, time_unit="us")


def _careful(feature: Feature, texts: list[str]) -> tuple[Matrix, list[str]]:
    """Read distinct texts as the endpoint does, or else as training did."""
    try:
        return encode_column(feature, texts), []
    except InputError:
        if len(texts) > 1:  # those at fault are found by halves
            middle = len(texts) // 2
            (first, bad), (second, worse) = (
                _careful(feature, part) for part in (texts[:middle], texts[middle:])
            )
            return np.concatenate([first, second]), bad + worse
    moment = parse_moments(pl.Series(texts), feature.time_format)
    array = moment.to_numpy().astype("datetime64[us]")
    return encode_column(feature, array), texts if moment.null_count() else []
