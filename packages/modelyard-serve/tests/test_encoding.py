"""Raw values mean the same number everywhere, or are refused with row and column."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard_serve.contract import Feature
from modelyard_serve.encoding import PARTS, date_parts, encode, encode_column, text_of
from modelyard_serve.errors import InputError

NUMBER = Feature(name="n", kind="number")
CARRIER = Feature(name="carrier", kind="category", levels=("MQ", "415", "true"))
NIGHT = Feature(name="night", kind="boolean", levels=("nein", "ja"))
WHEN = Feature(name="when", kind="datetime", parts=PARTS)


def one(feature: Feature, value: Any) -> float:
    return float(encode_column(feature, [value])[0, 0])


@pytest.mark.parametrize(
    ("value", "code"),
    [("MQ", 1), ("415", 2), (415, 2), (415.0, 2), (np.int64(415), 2), (True, 3), ("x", 0)],
)
def test_categories_have_one_spelling(value: Any, code: int) -> None:
    assert one(CARRIER, value) == code


@pytest.mark.parametrize("value", [None, math.nan, ""])
def test_an_empty_text_is_no_category(value: Any) -> None:
    assert math.isnan(one(CARRIER, value))


@pytest.mark.parametrize("value", [None, float("nan"), np.float64("nan")])
@pytest.mark.parametrize("feature", [NUMBER, CARRIER, NIGHT, WHEN])
def test_every_kind_of_missing_is_nan(feature: Feature, value: Any) -> None:
    assert np.isnan(encode_column(feature, [value])).all()


@pytest.mark.parametrize(
    ("value", "number"),
    [(True, 1), (False, 0), (1, 1), (0.0, 0), ("ja", 1), ("NEIN", 0), ("Yes", 1), ("f", 0)],
)
def test_booleans_in_many_spellings(value: Any, number: int) -> None:
    assert one(NIGHT, value) == number


@pytest.mark.parametrize(
    ("feature", "value", "expected"),
    [
        (NUMBER, "12", "a number"),
        (NUMBER, [1], "a number"),
        (NUMBER, float("inf"), "finite"),
        (NUMBER, 10**400, "finite"),
        (NIGHT, "perhaps", "true, false"),
        (NIGHT, 2, "true, false"),
        (CARRIER, {"a": 1}, "a text"),
        (WHEN, "yesterday", "ISO 8601"),
        (WHEN, 12, "ISO 8601"),
    ],
)
def test_a_wrong_value_is_refused_with_row_and_column(
    feature: Feature, value: Any, expected: str
) -> None:
    with pytest.raises(InputError) as caught:
        encode_column(feature, [None, value])
    problem = caught.value.problems[0]
    assert (problem.row, problem.column) == (1, feature.name)
    assert expected in problem.expected


def test_at_most_ten_problems_are_shown_and_all_are_counted() -> None:
    with pytest.raises(InputError) as caught:
        encode_column(NUMBER, ["x"] * 37)
    assert len(caught.value.problems) == 10
    assert caught.value.total == 37
    assert caught.value.as_problem()["problems_total"] == 37


def test_missing_columns_are_named_together() -> None:
    with pytest.raises(InputError, match="n, night"):
        encode([NUMBER, CARRIER, NIGHT], {"carrier": ["MQ"]})


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="has 1 values, others have 2"):
        encode([NUMBER, CARRIER], {"n": [1, 2], "carrier": ["MQ"]})


@given(
    st.datetimes(min_value=datetime(1900, 1, 1), max_value=datetime(2200, 1, 1)),
)
def test_parts_agree_with_the_calendar(moment: datetime) -> None:
    days, year, month, day, weekday, dayofyear, hour = encode_column(WHEN, [moment])[0]
    assert (year, month, day) == (moment.year, moment.month, moment.day)
    assert weekday == moment.weekday()
    assert dayofyear == moment.timetuple().tm_yday
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    assert math.isclose(hour, seconds / 3600, abs_tol=1e-9)
    assert math.isclose(days, (moment - datetime(1970, 1, 1)) / timedelta(days=1), abs_tol=1e-6)


def test_equal_moments_are_equal_in_every_form() -> None:
    forms: list[Any] = [
        "2013-01-07T12:30:00",
        "2013-01-07 12:30",
        datetime(2013, 1, 7, 12, 30),
        datetime(2013, 1, 7, 13, 30, tzinfo=timezone(timedelta(hours=1))),
        "2013-01-07T13:30:00+01:00",
        np.datetime64("2013-01-07T12:30"),
    ]
    rows = encode_column(WHEN, forms)
    assert (rows == rows[0]).all()
    german = Feature(name="w", kind="datetime", parts=("day",), time_format="%d.%m.%Y")
    assert one(german, "07.01.2013") == one(german, date(2013, 1, 7)) == 7


def test_an_unknown_part_is_refused() -> None:
    with pytest.raises(InputError, match="moon"):
        date_parts(np.array(["2013-01-01"], dtype="datetime64[us]"), ["moon"])


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans()))
def test_a_numbers_text_is_the_same_however_it_is_typed(value: Any) -> None:
    text = text_of(value)
    assert text_of(text) == text
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53:
        assert text_of(float(value)) == text


@given(st.lists(st.one_of(st.none(), st.sampled_from(["MQ", "415", "true", "x", ""]))))
def test_a_column_is_its_rows(values: list[str | None]) -> None:
    whole = encode_column(CARRIER, values)[:, 0]
    parts = np.array([one(CARRIER, value) for value in values])
    assert np.array_equal(whole, parts, equal_nan=True)
