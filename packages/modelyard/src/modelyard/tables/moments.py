"""Dates and moments in text: which form they have, and how to read a whole column of them."""

from __future__ import annotations

import re
from typing import Literal

import polars as pl

Unit = Literal["us"]
_US: Unit = "us"
_ISO = r"^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$"
_CLOCK = r"(?:(?P<gap>,? |T)(?P<clock>\d{1,2}:\d{2}(?P<second>:\d{2})?(?P<half> ?[AaPp][Mm])?))?"
_NUMERIC = re.compile(
    r"(?P<a>\d{1,4})(?P<sep>[-/. ])(?P<b>\d{1,2})(?P=sep)(?P<c>\d{4}|\d{1,2})" + _CLOCK
)
_NAMED = re.compile(
    r"(?:(?P<day>\d{1,2})(?P<s1>[-/. ]|\. )(?P<month>[A-Za-z]{3,9})(?P<s2>[-/. ]|, )(?P<year>\d{4})"
    r"|(?P<month2>[A-Za-z]{3,9}) (?P<day2>\d{1,2})(?P<s3>,? )(?P<year2>\d{4}))" + _CLOCK
)
_DATE_WORD = re.compile(
    r"(?:^|[^a-z])(?:date|day|dt|datum|time|timestamp|fecha|data|jour)(?:$|[^a-z])"
)
_ISO_FORMS = ("%Y-%m-%d", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M")
_LOOK = 200


def compact_dates(name: str) -> bool:
    """Whether a column's name allows 20130131 to be a date rather than a number."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return bool(_DATE_WORD.search(spaced)) or spaced.endswith(("date", "datum", "_dt"))


def moment_form(texts: pl.Series, *, compact: bool) -> tuple[float, str | None, str]:
    """Find the form of unique, stripped texts.

    Returns:
        the share of them that it reads, its strptime form (None for ISO 8601), and why where two
        forms were possible.
    """
    if texts.is_empty():
        return 1.0, None, ""
    iso = float(texts.str.contains(_ISO).sum()) / len(texts)
    if iso >= 0.5:
        return _read_share(texts, None), None, ""
    if compact and texts.str.contains(r"^(?:19|20)\d{6}$").all():
        return _read_share(texts, "%Y%m%d"), "%Y%m%d", "eight digits, named like a date"
    looked = texts.gather_every(max(1, len(texts) // _LOOK)).to_list()
    for pattern, build in ((_NUMERIC, _numeric), (_NAMED, _named)):
        found = next((match for text in looked if (match := pattern.fullmatch(text))), None)
        if found is not None:
            time_format, reason = build(texts, found)
            return _read_share(texts, time_format), time_format, reason
    return 0.0, None, ""


def parse_moments(texts: pl.Series, time_format: str | None) -> pl.Series:
    """Read texts as Datetime("us"), moments with a zone moved to UTC; null where they do not fit.

    ISO 8601 is read besides `time_format`, as the serve half does.
    """
    for form in (time_format,) if time_format else _ISO_FORMS:  # most columns hold one form only
        values = _to_moment(texts, form)
        if values.null_count() == texts.null_count():
            return values
    stripped = texts.str.strip_chars()
    values = pl.Series(texts.name, [None], dtype=pl.Datetime(_US)).new_from_index(0, len(texts))
    if time_format:
        values = _to_moment(stripped, time_format)
    iso = stripped.str.replace(r"^(\d{4}-\d{2}-\d{2})T", "${1} ")
    iso = iso.set(~iso.str.contains(_ISO).fill_null(True), None)
    for form in _ISO_FORMS:
        values = values.zip_with(values.is_not_null(), _to_moment(iso, form))
        if values.null_count() == iso.null_count():
            return values
    zoned = iso.str.replace(r"Z$", "+00:00")
    for form in ("%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%d %H:%M%#z"):
        moved = zoned.str.to_datetime(form, strict=False, time_unit=_US)
        if moved.dtype == pl.Datetime(_US, "UTC"):
            moved = moved.dt.replace_time_zone(None)
        values = values.zip_with(values.is_not_null(), moved)
    return values


def _to_moment(texts: pl.Series, time_format: str) -> pl.Series:
    return texts.str.to_datetime(time_format, strict=False, time_unit=_US)


def _read_share(texts: pl.Series, time_format: str | None) -> float:
    return 1.0 - parse_moments(texts, time_format).null_count() / len(texts)


def _numeric(texts: pl.Series, found: re.Match[str]) -> tuple[str, str]:
    """Three numbers: year first, or day and month told apart by values above 12."""
    sep, clock = found["sep"], _clock(found)
    if len(found["a"]) == 4:
        return sep.join(("%Y", "%m", "%d")) + clock, ""
    if len(found["c"]) != 4 and (sep != "/" or len(found["c"]) == 1):
        return "%d%m%Y", ""  # 1.2.3 is a version; reads nothing
    year = "%Y" if len(found["c"]) == 4 else "%y"
    fields = texts.str.extract_groups(r"^(\d{1,2})[-/. ](\d{1,2})[-/. ]").struct.unnest()
    first, second = (fields.to_series(i).cast(pl.Int64, strict=False).drop_nulls() for i in (0, 1))
    day_first = sep.join(("%d", "%m", year)) + clock, ""
    month_first = sep.join(("%m", "%d", year)) + clock, ""
    over_first, over_second = int((first > 12).sum()), int((second > 12).sum())
    if over_first or over_second:
        return day_first if over_first >= over_second else month_first
    # The first of each month tells the two apart as well: the field that never changes is the day.
    if second.n_unique() == 1 < first.n_unique() and sep == "/":
        return month_first[0], "month before day: the second number never changes"
    return day_first[0], "day before month was assumed: no value is above 12"


def _named(texts: pl.Series, found: re.Match[str]) -> tuple[str, str]:
    """A month by its English name, short or whole."""
    words = texts.str.extract(r"([A-Za-z]{3,9})", 1).drop_nulls()
    month = "%b" if bool((words.str.len_chars() == 3).all()) else "%B"
    if found["day"]:
        return f"%d{found['s1']}{month}{found['s2']}%Y{_clock(found)}", ""
    return f"{month} %d{found['s3']}%Y{_clock(found)}", ""


def _clock(found: re.Match[str]) -> str:
    if not found["clock"]:
        return ""
    half = found["half"]
    hour = "%I" if half else "%H"
    second = ":%S" if found["second"] else ""
    suffix = "" if not half else (" %p" if half.startswith(" ") else "%p")
    return f"{found['gap']}{hour}:%M{second}{suffix}"
