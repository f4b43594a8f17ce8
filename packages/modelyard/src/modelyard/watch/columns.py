"""Columns of a table -> the one matrix, as `modelyard_serve.encoding` has it, but quickly.

Every value that the endpoint takes gets the number that `encode` gives it: distinct spellings go to
`encode_column` once and are gathered, numbers go through numpy, dates through datetime64. What the
endpoint refuses but training reads (numbers in text, `n/a`, durations) is read as in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.tables import typing as ty
from modelyard.tables.schema import MAX_LEVELS
from modelyard.values import Style
from modelyard.watch import instants
from modelyard.watch.misfits import Misfit, misfit
from modelyard_serve.contract import Feature
from modelyard_serve.encoding import Matrix, encode_column, missing_numbers, respelled
from modelyard_serve.errors import InputError

_REMEMBERED = 50_000
"""Spellings of one column whose codes are kept from block to block."""
_UNKNOWN = -1.0


class Odd(Exception):
    """A column of numbers holds other text: how it is read is decided on all rows first."""


class Encoder:
    """Encodes block after block of one table.

    Args:
        cells: the values are a text file's cells, so that an empty one is missing, and `415.0` may
            be the number that a category knows as 415.
        missing: a person's spellings of a missing value.
        styles: how the text of a column of numbers is read, where that was found out; None: it
            was not looked into, and text that is no plain number raises `Odd`.
    """

    def __init__(
        self,
        features: Sequence[Feature],
        *,
        cells: bool = False,
        missing: tuple[str, ...] = (),
        styles: Mapping[str, Style] | None = None,
    ) -> None:
        self.features = tuple(features)
        self.width = sum(feature.width for feature in features)
        self._cells = cells
        self._missing = missing
        self._words = [*ty.MISSING_WORDS, *(word.lower() for word in missing)]
        self._styles = styles
        self._known: dict[str, _Spellings] = {}

    def encode(self, frame: pl.DataFrame) -> tuple[Matrix, list[Misfit]]:
        """Encode the features; further columns are ignored. A cell that is no such value is NaN.

        Returns:
            float64, shape (rows, width), and what does not fit.

        Raises:
            Odd: see the class.
        """
        # Column after column: they are written one at a time, and masks read them so.
        matrix = np.full((frame.height, self.width), math.nan, order="F")
        found: list[Misfit] = []
        start = 0
        for feature in self.features:
            if feature.name not in frame.columns:
                found.append(Misfit(kind="lost-column", column=feature.name))
            else:
                series = ty.without(frame[feature.name], self._missing)
                if isinstance(series.dtype, pl.Categorical | pl.Enum):
                    series = series.cast(pl.String)
                if series.dtype.is_float():
                    series = series.fill_nan(None)
                found += self._column(feature, series, matrix[:, start : start + feature.width])
            start += feature.width
        return matrix, found

    def _column(self, feature: Feature, series: pl.Series, out: Matrix) -> list[Misfit]:
        if series.dtype == pl.Null:
            return []
        if feature.kind == "category":
            return self._category(feature, series, out[:, 0])
        if feature.kind == "boolean":
            return self._boolean(feature, series, out[:, 0])
        if feature.kind == "datetime":
            return self._datetime(feature, series, out)
        return self._number(feature, series, out[:, 0])

    # Categories

    def _category(
        self, feature: Feature, series: pl.Series, out: NDArray[np.float64]
    ) -> list[Misfit]:
        dtype = series.dtype
        if dtype == pl.String:
            out[:] = self._text_codes(feature, series)
        elif dtype == pl.Boolean or dtype.is_integer() or dtype.is_float():
            out[:] = _gathered(series, lambda distinct: encode_column(feature, distinct)[:, 0])
        else:  # the endpoint has no such values; training spells them
            known = ty.native(series)
            if known is None:
                return misfit("type", series, series.is_not_null(), "category")
            out[:] = self._text_codes(feature, ty.canonical_text(known))
        # A schema that kept only the most frequent levels cannot tell a new one from a rare one.
        if len(feature.levels) >= MAX_LEVELS or not (out == 0).any():
            return []
        hit = pl.Series(out == 0)
        new = series.filter(hit).n_unique()
        return misfit("unseen-category", series, hit, str(new))

    def _text_codes(self, feature: Feature, series: pl.Series) -> NDArray[np.float64]:
        """A text column's codes; spellings met before are not asked about again."""
        known = self._known.get(feature.name)
        if known is None:
            known = _Spellings(self._spelled(feature, list(feature.levels) or [""]))
            self._known[feature.name] = known
        codes = known.of(series)
        new = codes == _UNKNOWN
        if new.any():
            more = self._spelled(feature, series.filter(pl.Series(new)).unique().to_list())
            wider = _Spellings(known.codes | more)
            codes = wider.of(series)
            if len(wider.codes) <= _REMEMBERED:
                self._known[feature.name] = wider
        return codes

    def _spelled(self, feature: Feature, texts: list[str]) -> dict[str, float]:
        if not self._cells:
            return dict(zip(texts, encode_column(feature, texts)[:, 0].tolist(), strict=True))
        values = [text if text != "" else None for text in texts]
        codes = encode_column(feature, values)[:, 0]
        for place in np.flatnonzero(codes == 0):
            number = respelled(texts[place])
            if number is not None:
                codes[place] = encode_column(feature, [number])[0, 0]
        return dict(zip(texts, codes.tolist(), strict=True))

    # Booleans

    def _boolean(
        self, feature: Feature, series: pl.Series, out: NDArray[np.float64]
    ) -> list[Misfit]:
        dtype = series.dtype
        if dtype == pl.Boolean:
            out[:] = series.cast(pl.Float64).to_numpy()
            return []
        if dtype == pl.String:
            bad: set[str] = set()
            out[:] = _gathered(series, lambda distinct: self._truths(feature, distinct, bad))
            return misfit("type", series, series.is_in(list(bad)), "boolean") if bad else []
        if not dtype.is_numeric():
            return misfit("type", series, series.is_not_null(), "boolean")
        out[:] = series.cast(pl.Float64).to_numpy()
        odd = ~((out == 0) | (out == 1) | np.isnan(out))
        out[odd] = math.nan
        return misfit("type", series, pl.Series(odd), "boolean")

    def _truths(self, feature: Feature, texts: Sequence[str], bad: set[str]) -> NDArray[np.float64]:
        out = np.full(len(texts), math.nan)
        for place, text in enumerate(texts):
            number = respelled(text) if self._cells else None
            for value in (text, number):
                try:
                    out[place] = encode_column(feature, [value])[0, 0]
                    break
                except InputError:
                    continue
            if math.isnan(out[place]) and not self._is_missing(text):
                bad.add(text)
        return out

    # Numbers

    def _number(
        self, feature: Feature, series: pl.Series, out: NDArray[np.float64]
    ) -> list[Misfit]:
        dtype = series.dtype
        found: list[Misfit] = []
        if dtype == pl.String:
            values = self._number_texts(feature, series)
            lost = ty.failures(series, values, self._missing)
            found = misfit("type", series, lost, feature.kind)
        elif dtype.is_numeric() or dtype == pl.Boolean:
            values = series.cast(pl.Float64)
        elif isinstance(dtype, pl.Duration):
            values = series.dt.total_microseconds() / 1e6
        else:
            return misfit("type", series, series.is_not_null(), feature.kind)
        out[:] = values.to_numpy()
        for number in self._gone(feature):
            out[out == number] = math.nan
        infinite = np.isinf(out)
        if infinite.any():
            found += misfit("infinite", series, pl.Series(infinite))
            out[infinite] = math.nan
        if feature.kind == "integer" and not dtype.is_integer():
            whole = (out == np.rint(out)) | np.isnan(out)
            found += misfit("fraction", series, pl.Series(~whole))
        return found + self._range(feature, series, out)

    def _number_texts(self, feature: Feature, series: pl.Series) -> pl.Series:
        style = feature.style
        if style == "plain":
            style = (self._styles or {}).get(feature.name, "plain")
        values = ty.convert(series, ty.Form("number", 1.0, style))
        if values.null_count() == series.null_count():
            return values
        words = series.str.strip_chars().str.to_lowercase()
        truths = words.replace_strict(
            {"true": 1.0, "false": 0.0}, default=None, return_dtype=pl.Float64
        )
        values = values.fill_null(truths)
        if self._styles is None and ty.failures(series, values, self._missing).any():
            raise Odd(feature.name)
        return values

    def _gone(self, feature: Feature) -> list[float]:
        """The numbers that stand for a missing value, however they are spelled."""
        return missing_numbers(
            msgspec.structs.replace(feature, missing=(*feature.missing, *self._missing))
        )

    def _range(
        self, feature: Feature, series: pl.Series, values: NDArray[np.float64]
    ) -> list[Misfit]:
        if feature.minimum is None or feature.maximum is None:
            return []
        outside = (values < feature.minimum) | (values > feature.maximum)
        if not outside.any():
            return []
        low, high = (instants.shown(feature, end) for end in (feature.minimum, feature.maximum))
        return misfit("out-of-range", series, pl.Series(outside), f"{low} to {high}")

    # Datetimes

    def _datetime(self, feature: Feature, series: pl.Series, out: Matrix) -> list[Misfit]:
        # With one part more, the running day, that the range is compared with.
        wide = msgspec.structs.replace(feature, parts=(*feature.parts, "days"))
        dtype = series.dtype
        texts = series.cast(pl.String) if dtype.is_integer() else series
        found: list[Misfit] = []
        if isinstance(dtype, pl.Datetime) or dtype == pl.Date:
            moments = ty.native(series)
            assert moments is not None
            parts = encode_column(wide, moments.to_numpy().astype("datetime64[us]"))
        elif texts.dtype == pl.String:
            parts, bad = instants.read(wide, texts)
            lost = texts.is_in(bad) & ~texts.str.strip_chars().str.to_lowercase().is_in(self._words)
            found = misfit("type", series, lost, "datetime") if bad else []
        else:
            return misfit("type", series, series.is_not_null(), "datetime")
        out[:] = parts[:, :-1]
        return found + self._range(feature, series, parts[:, -1])

    def _is_missing(self, text: str) -> bool:
        return text.strip().lower() in self._words


def _gathered(
    series: pl.Series, encode: Callable[[list[Any]], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Encode each distinct value once; null is NaN."""
    distinct = series.drop_nulls().unique()
    if distinct.is_empty():
        return np.full(len(series), math.nan)
    codes = pl.Series(encode(distinct.to_list()), dtype=pl.Float64)
    mapped = series.replace_strict(distinct, codes, default=None, return_dtype=pl.Float64)
    return mapped.to_numpy()


class _Spellings:
    """Texts and their codes. As an Enum, a column is read in half the time of `replace_strict`."""

    def __init__(self, codes: dict[str, float]) -> None:
        self.codes = codes
        self._enum = pl.Enum(list(codes))
        self._table = np.array([*codes.values(), _UNKNOWN])

    def of(self, series: pl.Series) -> NDArray[np.float64]:
        """The codes of a column of text: NaN for null, `_UNKNOWN` for another text."""
        places = series.cast(self._enum, strict=False).to_physical().cast(pl.UInt32)
        codes: NDArray[np.float64] = self._table.take(places.fill_null(len(self.codes)).to_numpy())
        if series.null_count():
            codes[series.is_null().to_numpy()] = math.nan
        return codes
