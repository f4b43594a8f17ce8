"""What a column's text means: numbers, booleans, dates, categories. Decided on its unique values.

A form says how to read a column's text; `convert` reads a whole column by it, in polars, without a
loop over rows. Words for a missing value count as such only where the rest of the column parses:
NA is Namibia in a column of countries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from modelyard.records import ColumnKind
from modelyard.tables.moments import Unit, compact_dates, moment_form, parse_moments
from modelyard.values import Style

MISSING_WORDS = frozenset(
    {"", "na", "n/a", "#n/a", "<na>", "nan", "null", "(null)", "none", "nil", "?", "-", "--", "."}
    | {"\\n"}
)
TRUE_WORDS = frozenset({"true", "t", "yes", "y", "1", "on"})
FALSE_WORDS = frozenset({"false", "f", "no", "n", "0", "off"})
_PAIRS = frozenset(
    {("nein", "ja"), ("nee", "ja"), ("nej", "ja"), ("non", "oui"), ("no", "sí"), ("no", "si")}
    | {("no", "sì"), ("não", "sim"), ("nao", "sim"), ("нет", "да"), ("ne", "ano"), ("nie", "tak")}
    | {("falsch", "wahr"), ("faux", "vrai"), ("falso", "verdadero"), ("falso", "vero")}
)
CODE = r"^\s*[+-]?0[0-9]"
"""Cells like 0042, which a number would spoil."""
_SAMPLE = 5_000
_NEAR = 0.9
_PLAIN = r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$|^[+-]?(?i:inf(?:inity)?)$"
_THOUSANDS = r"^[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?$"
_DECIMAL_COMMA = r"^[+-]?(?:\d{1,3}(?:[. '’\u00a0\u202f]\d{3})+|\d+)(?:,\d+)?$"


_STYLES: dict[Style, str] = {
    "plain": _PLAIN,
    "thousands": _THOUSANDS,
    "comma": _DECIMAL_COMMA,
}


@dataclass(frozen=True)
class Form:
    """How a column's text is read. `share` is the part of the unique values that it reads."""

    kind: ColumnKind
    share: float
    style: Style = "plain"
    time_format: str | None = None
    levels: tuple[str, str] | tuple[()] = ()
    reason: str = ""


def spellings(series: pl.Series, extra: tuple[str, ...] = ()) -> pl.Series:
    """The unique texts, stripped, without the words for a missing value."""
    found = series.drop_nulls().unique().str.strip_chars().unique()
    words = [*MISSING_WORDS, *(word.lower() for word in extra)]
    return found.filter(~found.str.to_lowercase().is_in(words)).sort()


@dataclass(frozen=True)
class Read:
    """A column of text, read.

    `counts` are the source's texts and their rows, the most frequent first, for categories and
    booleans; None where there are too many, or for any other kind.
    """

    values: pl.Series
    form: Form
    counts: pl.DataFrame | None = None


def read(series: pl.Series, name: str, delimiter: str) -> Read:
    """Decide what a column of text is, and read it. Category: nothing else reads all of it.

    A large column is judged by a sample first: what that rules out need not be asked of millions of
    texts, and what that finds is only confirmed.
    """
    if len(series) > 4 * _SAMPLE:
        part = series.drop_nulls().gather_every(len(series) // _SAMPLE)
        some = spellings(part)
        first = _decide(some, part, name, delimiter)
        if first.kind in ("number", "integer", "datetime") and not first.reason:
            values = convert(series, first)
            if values.null_count() == series.null_count() and not _codes(series, first):
                return Read(values, first)
        elif first.kind == "category" and len(some) > 0.5 * len(part):
            return Read(canonical_text(series), first)
    counts = text_counts(series)
    form = _decide(spellings(counts.to_series(0)), counts, name, delimiter)
    if form.kind == "category":
        return Read(canonical_text(series), form, counts.filter(pl.col("text") != ""))
    if form.kind == "boolean":
        return Read(_by_spelling(series, counts.to_series(0), form), form, counts)
    return Read(convert(series, form), form)


def text_counts(series: pl.Series) -> pl.DataFrame:
    """Texts (first column) and their rows (second), the most frequent first, then by name."""
    counts = series.alias("text").to_frame().group_by("text").agg(pl.len().alias("rows"))
    return counts.drop_nulls("text").sort(["rows", "text"], descending=[True, False])


def _codes(series: pl.Series, form: Form) -> bool:
    return form.kind != "datetime" and bool(series.str.contains(CODE).any())


def _by_spelling(series: pl.Series, texts: pl.Series, form: Form) -> pl.Series:
    """Read a column of booleans by reading each of its few spellings once."""
    once = convert(texts, form)
    if not once.null_count():
        return series.is_in(texts.filter(once).to_list())
    return series.replace_strict(texts, once, default=None, return_dtype=pl.Boolean)


def wanted_form(
    series: pl.Series, kind: ColumnKind, name: str, delimiter: str, recorded: Style = "plain"
) -> Form:
    """The best form of a kind that a person named, even where it does not read every value.

    `recorded` is how the column's numbers were written before.
    """
    texts = spellings(series)
    if kind in ("number", "integer"):
        return number_form(texts, delimiter, recorded)
    if kind == "boolean":
        return boolean_form(texts, series)
    if kind == "datetime":
        return _moment(texts, name, compact=True)
    return Form(kind, 1.0)


def _decide(texts: pl.Series, present: pl.Series | pl.DataFrame, name: str, delimiter: str) -> Form:
    if texts.is_empty():
        return Form("category", 1.0)
    dated = _moment(texts, name, compact=compact_dates(name))
    if dated.share == 1.0:
        return dated
    numbers = number_form(texts, delimiter)
    if numbers.share == 1.0:
        return numbers
    yes_no = boolean_form(texts, present)
    if yes_no.share == 1.0:
        return yes_no
    reason = numbers.reason
    for form, word in ((numbers, "number"), (dated, "date")):
        if len(texts) > 20 and _NEAR <= form.share < 1.0:
            odd = texts.filter(convert(texts, form).is_null())
            if len(odd):
                reason = f"not every value is a {word}, such as {odd[0]!r}"
    return Form("category", 1.0, reason=reason)


def number_form(texts: pl.Series, delimiter: str, recorded: Style = "plain") -> Form:
    """Plain numbers, thousands commas, or decimal commas.

    Where several forms read them the delimiter decides; a recorded form stays.
    """
    if texts.is_empty():
        return Form("number", 1.0)
    if recorded != "plain":  # a column keeps its style; each cell is of it, or plain
        share = _share(texts, f"{_STYLES[recorded]}|{_PLAIN}")
        return Form("number", share, recorded)
    if texts.str.contains(r"^[+-]?0\d+$").any():
        return Form("number", 0.0, reason="codes: some begin with a zero")
    size = len(texts)
    plain = _share(texts, _PLAIN)
    style: Style = "plain"
    share = plain
    if plain < 1.0:
        thousands, comma = _share(texts, _THOUSANDS), _share(texts, _DECIMAL_COMMA)
        if max(thousands, comma) > plain:
            prefer = comma > thousands or (comma == thousands and delimiter == ";")
            style, share = ("comma", comma) if prefer else ("thousands", thousands)
    whole = texts.str.contains(r"^[+-]?\d+$")
    if style == "plain" and whole.all():
        if (texts.str.len_chars() > 18).any():
            return Form("number", 0.0, reason="codes: too many digits for a number")
        return Form("integer", share)
    reason = {"plain": "", "thousands": "commas between thousands", "comma": "decimal commas"}
    return Form("number", share if size else 1.0, style, reason=reason[style])


def boolean_form(texts: pl.Series, source: pl.Series | pl.DataFrame) -> Form:
    """Two spellings, one of them true; several cases and words of one meaning are one spelling.

    Args:
        texts: the unique texts, stripped.
        source: the column, or its `text_counts`; the most frequent spellings are the levels.
    """
    lowered = set(texts.str.to_lowercase().to_list()) if len(texts) <= 24 else set()
    none = Form("boolean", 0.0)
    pair = tuple(sorted(lowered))
    false = lowered & FALSE_WORDS
    true = lowered & TRUE_WORDS
    if not (false and true and lowered == false | true):
        found = next((p for p in _PAIRS if tuple(sorted(p)) == pair), None)
        if found is None:
            return none
        false, true = {found[0]}, {found[1]}
    counts = source if isinstance(source, pl.DataFrame) else text_counts(source)
    ordered = counts.to_series(0).str.strip_chars().to_list()
    first = [next(text for text in ordered if text.lower() in words) for words in (false, true)]
    return Form("boolean", 1.0, levels=(first[0], first[1]))


def _moment(texts: pl.Series, name: str, *, compact: bool) -> Form:
    share, time_format, reason = moment_form(texts, compact=compact)
    return Form("datetime", share, time_format=time_format, reason=reason)


def _share(texts: pl.Series, pattern: str) -> float:
    return float(texts.str.contains(pattern).sum()) / len(texts)


def convert(series: pl.Series, form: Form) -> pl.Series:
    """Read a column of text by a form; what it does not read is null.

    Returns Int64, Float64, Boolean, Datetime("us") or String.
    """
    texts = series
    if form.kind in ("number", "integer"):
        texts = texts.str.strip_chars().str.strip_prefix("+")
        if form.style != "plain":
            texts = _unstyled(texts, form.style)
        if form.kind == "integer":
            return texts.cast(pl.Int64, strict=False)
        return texts.cast(pl.Float64, strict=False).fill_nan(None)
    if form.kind == "boolean":
        lowered = texts.str.strip_chars().str.to_lowercase()
        words: dict[str, bool] = dict.fromkeys(FALSE_WORDS, False) | dict.fromkeys(TRUE_WORDS, True)
        if len(form.levels) == 2:
            words |= {form.levels[0].lower(): False, form.levels[1].lower(): True}
        return lowered.replace_strict(words, default=None, return_dtype=pl.Boolean)
    if form.kind == "datetime":
        return parse_moments(texts, form.time_format)
    return canonical_text(texts)


def _unstyled(texts: pl.Series, style: Style) -> pl.Series:
    """Numbers of a style in plain spelling; what is not of it stays as it is."""
    of_it = texts.str.contains(_STYLES[style]).fill_null(False)
    if style == "thousands":
        plain = texts.str.replace_all(",", "", literal=True)
    else:
        plain = texts.str.replace_all(r"[. '’\x{a0}\x{202f}]", "")
        plain = plain.str.replace(",", ".", literal=True)
    return plain.zip_with(of_it, texts)


def failures(series: pl.Series, values: pl.Series, extra: tuple[str, ...] = ()) -> pl.Series:
    """True where `series` holds something and `values`, read from it, holds nothing."""
    lost = series.is_not_null() & values.is_null()
    if series.dtype == pl.String and lost.any():
        words = [*MISSING_WORDS, *(word.lower() for word in extra)]
        lost &= ~series.str.strip_chars().str.to_lowercase().is_in(words)
    elif series.dtype.is_float() and lost.any():
        lost &= series.is_not_nan()
    return lost


def without(series: pl.Series, tokens: tuple[str, ...]) -> pl.Series:
    """Null where a person's spellings of a missing value stand; of numbers and moments by value."""
    if series.dtype == pl.String:
        if tokens:
            hit = series.is_in(list(tokens)) | series.str.strip_chars().is_in(list(tokens))
            series = _nulled(series, hit)
        return series
    if series.dtype.is_numeric() and tokens:
        numbers = [number for token in tokens if (number := _number(token)) is not None]
        if numbers:
            series = _nulled(series, series.cast(pl.Float64).is_in(numbers))
    elif tokens and (series.dtype == pl.Date or isinstance(series.dtype, pl.Datetime)):
        moments = parse_moments(pl.Series(tokens, dtype=pl.String), None).drop_nulls()
        known = native(series)
        if len(moments) and known is not None:
            series = _nulled(series, known.is_in(moments.to_list()))
    return series


def _nulled(series: pl.Series, hit: pl.Series) -> pl.Series:
    if not hit.any():
        return series
    return series.set(hit.fill_null(False), None)


def _number(token: str) -> float | None:
    try:
        return float(token)
    except ValueError:
        return None


def canonical_text(series: pl.Series) -> pl.Series:
    """The spelling under which a category is known: 415, 415.0 and "415" are one; "" is missing."""
    if series.dtype == pl.String:
        empty = series == ""
        return _nulled(series, empty) if empty.any() else series
    if series.dtype == pl.Boolean or series.dtype.is_integer():
        return series.cast(pl.String)
    if isinstance(series.dtype, pl.Categorical | pl.Enum):
        return canonical_text(series.cast(pl.String))
    if series.dtype == pl.Null:
        return series.cast(pl.String)
    values = series.fill_nan(None) if series.dtype.is_float() else series
    unique = values.drop_nulls().unique()
    spelled = pl.Series([text_of(value) for value in unique.to_list()], dtype=pl.String)
    return values.replace_strict(unique, spelled, default=None, return_dtype=pl.String)


def text_of(value: Any) -> str:
    """One value's canonical spelling; a test keeps it equal to the serve half's `text_of`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def native(series: pl.Series) -> pl.Series | None:
    """A column that is not text, in the five types of the house; None for what has no such type.

    Whole numbers become Int64 (texts where they do not fit: Float64 would make different codes
    equal), decimals and durations (in seconds) Float64, moments Datetime("us") in UTC without a
    zone.
    """
    dtype = series.dtype
    if dtype == pl.Boolean or dtype == pl.Int64:
        return series
    if dtype == pl.Float64:
        return series.fill_nan(None) if series.is_nan().any() else series
    if dtype.is_integer():
        whole = series.cast(pl.Int64, strict=False)
        fits = whole.null_count() == series.null_count()
        return whole if fits else series.cast(pl.String)
    if dtype.is_float() or dtype.is_decimal():
        return series.cast(pl.Float64).fill_nan(None)
    if isinstance(dtype, pl.Datetime):
        if dtype.time_zone:
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return series.cast(pl.Datetime(_US))
    if dtype == pl.Date:
        return series.cast(pl.Datetime(_US))
    if isinstance(dtype, pl.Duration):
        return series.dt.total_microseconds() / 1e6
    if isinstance(dtype, pl.Categorical | pl.Enum) or dtype in (pl.Null, pl.Time):
        return canonical_text(series.cast(pl.String))
    return None


_US: Unit = "us"
