"""Columns at a time give what the endpoint's canonicaliser gives value by value."""

from __future__ import annotations

import csv
import math
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from handmade import FEATURES, write_package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.watch.columns import Encoder, Odd, respelled
from modelyard.watch.instants import strict_form
from modelyard.watch.predict import predict
from modelyard_serve.contract import Feature
from modelyard_serve.encoding import PARTS, encode, encode_column
from modelyard_serve.errors import InputError
from modelyard_serve.scorer import Scorer

LEVELS = ("MQ", "B6", "415", "1.5", "true", "18446744073709551615", "é", "0042")
KINDS = {
    "number": Feature(name="x", kind="number", minimum=-5.0, maximum=5.0),
    "integer": Feature(name="x", kind="integer"),
    "category": Feature(name="x", kind="category", levels=LEVELS),
    "boolean": Feature(name="x", kind="boolean", levels=("nein", "ja")),
    "datetime": Feature(name="x", kind="datetime", parts=PARTS),
    "dated": Feature(name="x", kind="datetime", parts=PARTS, time_format="%d/%m/%Y %H:%M"),
    "compact": Feature(name="x", kind="datetime", parts=("days",), time_format="%Y%m%d"),
    "named": Feature(name="x", kind="datetime", parts=("days",), time_format="%d %b %Y"),
    "short": Feature(name="x", kind="datetime", parts=("days",), time_format="%d.%m.%y"),
    "monthly": Feature(name="x", kind="datetime", parts=("days",), time_format="%Y-%m"),
}
MOMENTS = st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31))
FORMS = (
    "%Y-%m-%d", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S.%f", "%Y%m%d",
    "%d/%m/%Y %H:%M", "%d %b %Y", "%d.%m.%y", "%Y-%m", "%Y-%m-%dT%H:%M:%SZ", "%G-W%V-%u",
    "%Y-%m-%d %H:%M:%S+05:30",
)  # fmt: skip
ODD_TEXTS = [
    "", " ", "415", "415.0", "1.50", "yes", " No ", "JA", "nein", "T", "0", "1", "n/a", "true",
    "True", "2013-02-30", "2013-01-01T24:00", "2013-01-01 23:59:60", "0000-01-01", "2013-1-5",
    "5/1/2013 6:05", "05/01/2013  06:05", "٢٠١٣-٠١-٠١", "2013-01-01\n", "29/02/2013 10:00",
]  # fmt: skip
TEXTS = st.one_of(
    st.sampled_from([*LEVELS, *ODD_TEXTS]),
    st.builds(lambda moment, form: moment.strftime(form), MOMENTS, st.sampled_from(FORMS)),
    st.text(max_size=6),
)
WHOLE = st.integers(-(2**63), 2**63 - 1)
COLUMNS = st.one_of(
    st.tuples(st.just(pl.String()), st.lists(st.none() | TEXTS, max_size=12)),
    st.tuples(st.just(pl.Categorical()), st.lists(st.none() | TEXTS, max_size=12)),
    st.tuples(
        st.just(pl.Int64()),
        st.lists(st.none() | st.sampled_from([0, 1, 415, 2**53 + 1]) | WHOLE),
    ),
    st.tuples(
        st.just(pl.UInt64()),
        st.lists(st.none() | st.sampled_from([0, 1, 2**64 - 1]) | st.integers(0, 2**64 - 1)),
    ),
    st.tuples(st.just(pl.Int128()), st.lists(st.none() | st.integers(-(2**100), 2**100))),
    st.tuples(
        st.just(pl.Float64()),
        st.lists(st.none() | st.sampled_from([0.0, -0.0, 1.0, 1.5, 415.0, 1e22]) | st.floats()),
    ),
    st.tuples(st.just(pl.Float32()), st.lists(st.none() | st.floats(width=32))),
    st.tuples(st.just(pl.Boolean()), st.lists(st.none() | st.booleans())),
    st.tuples(st.just(pl.Null()), st.lists(st.none())),
    st.tuples(st.just(pl.Date()), st.lists(st.none() | st.dates(date(1, 1, 1)))),
    st.tuples(st.just(pl.Datetime("us")), st.lists(st.none() | MOMENTS)),
    st.tuples(
        st.just(pl.Datetime("ms", "Asia/Tokyo")),
        st.lists(st.none() | MOMENTS.filter(lambda m: 1000 < m.year < 9000)),
    ),
)  # fmt: skip


def read(feature: Feature, series: pl.Series) -> tuple[np.ndarray, list[Any]]:
    """In two blocks by one encoder, as a table is read; errors that name cells are kept."""
    encoder = Encoder([feature], styles={})
    half = len(series) // 2
    parts = [encoder.encode(block.to_frame()) for block in (series[:half], series[half:])]
    errors = [m for _, found in parts for m in found if m.violation(0).severity == "error"]
    return np.concatenate([matrix for matrix, _ in parts]), errors


def endpoint(feature: Feature, values: list[Any]) -> tuple[np.ndarray | None, int]:
    """The endpoint's matrix; or None, and how many values it refuses."""
    try:
        return encode_column(feature, values), 0
    except InputError as error:
        return None, error.total


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=250, deadline=None)
@given(column=COLUMNS)
def test_columns_equal_encode(kind: str, column: tuple[pl.DataType, list[Any]]) -> None:
    """To the bit wherever the endpoint takes the values; what it refuses is told or is text."""
    feature = KINDS[kind]
    dtype, values = column
    series = pl.Series("x", values, dtype=dtype)
    matrix, errors = read(feature, series)
    expected, refused = endpoint(feature, series.to_list())
    if expected is None:
        told = sum(error.count for error in errors)
        # Training reads text in place of a number or a moment, and words for missing.
        assert told or not (series.dtype.is_float() or series.dtype == pl.Boolean)
        assert told <= refused or kind == "category"
        return
    assert not errors
    assert matrix.tobytes() == expected.tobytes() or np.array_equal(
        matrix, expected, equal_nan=True
    )


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(*[st.none() | TEXTS] * 2), max_size=20))
def test_known_spellings_are_remembered_rightly(rows: list[tuple[str | None, ...]]) -> None:
    """Several blocks, several columns, one encoder."""
    features = [msgspec.structs.replace(KINDS["category"], name=name) for name in "ab"]
    frame = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    encoder = Encoder(features)
    found = [encoder.encode(frame[start : start + 3])[0] for start in range(0, frame.height, 3)]
    expected = encode(features, {name: frame[name].to_list() for name in "ab"})
    matrix = np.concatenate(found) if found else np.empty((0, 2))
    assert np.array_equal(matrix, expected, equal_nan=True)


def test_what_training_reads_is_read() -> None:
    """Text in columns of numbers, decimals, durations, words for missing: not at the endpoint."""
    number, moment = KINDS["number"], KINDS["compact"]
    for series, expected in (
        (pl.Series("x", ["1", " 2.5 ", "n/a", "+3"]), [1.0, 2.5, math.nan, 3.0]),
        (pl.Series("x", ["1.5"]).cast(pl.Decimal(10, 2)), [1.5]),
        (pl.Series("x", [timedelta(seconds=90)]), [90.0]),
    ):
        matrix, errors = read(number, series)
        assert not errors
        assert np.array_equal(matrix[:, 0], expected, equal_nan=True)
    matrix, errors = read(moment, pl.Series("x", [20130101, None]))
    assert not errors
    assert matrix[0, 0] == 15706.0


def test_other_styles_of_numbers_ask_for_a_survey() -> None:
    frame = pl.DataFrame({"x": ["1.234,5", "7"]})
    with pytest.raises(Odd):
        Encoder([KINDS["number"]]).encode(frame)
    matrix, found = Encoder([KINDS["number"]], styles={"x": "comma"}).encode(frame)
    assert matrix[:, 0].tolist() == [1234.5, 7.0]
    assert [one.kind for one in found] == ["out-of-range"]


def test_misfits_name_ten_rows_at_the_most() -> None:
    frame = pl.DataFrame({"x": ["far"] * 25 + ["1"]})
    _, found = Encoder([KINDS["number"]], styles={}).encode(frame)
    violation = found[0].violation(1000)
    assert violation.severity == "error"
    assert violation.message.startswith(
        "x: 25 of 26 values are no number (row 1001: 'far'; row 1002"
    )
    assert violation.message.endswith("row 1010: 'far' and 15 more)")


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("415.0", "415"), ("1.50", "1.5"), ("1e3", "1000"), ("True", "true"), ("+5", "5"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("0042", None), ("MQ", None), ("", None), (" 5", None), ("inf", None), ("1_0", None),
    ],
)  # fmt: skip
def test_respelled(cell: str, meant: str | None) -> None:
    assert respelled(cell) == meant


def test_strict_forms() -> None:
    assert strict_form("%d/%m/%Y") is not None
    for careful in ("%d %b %Y", "%y-%m-%d", "%I:%M %p", "%Y year", "%Y-%Y", "%H:%M"):
        assert strict_form(careful) is None


# A CSV of the rows against the rows as JSON

CELLS = {
    "distance": st.none() | st.integers(-(10**6), 10**6) | st.sampled_from([2**53 + 1, 10**25]),
    "Größe (€)": st.none()
    | st.floats(-1e6, 1e6)
    | st.sampled_from([1e-300, 0.1 + 0.2, 5, True, float("nan")]),
    "carrier": st.none()
    | st.sampled_from([*LEVELS[:2], "é", "0042", "XX", "a,b", 'say "x"', "line\nbreak", "\n\n"])
    | st.sampled_from([415, 415.0, 1.5, 1e3, True, False, 2**64 - 1, 7, "415", "n/a"]),
    "night": st.none() | st.sampled_from([True, False, 0, 1, 1.0, "yes", "No", "t"]),
    "when": st.none() | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(str),
    "then": st.none()
    | st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)).map(
        lambda moment: moment.strftime("%d/%m/%Y %H:%M")
    ),
}


@pytest.fixture(scope="module")
def wide_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The handmade package with our levels, and its last part taken from a date with a form."""
    changed = {"carrier": {"levels": LEVELS}, "when": {"parts": ("hour",)}}
    features = [
        msgspec.structs.replace(feature, **changed.get(feature.name, {})) for feature in FEATURES
    ]
    features.append(
        Feature(name="then", kind="datetime", parts=("weekday",), time_format="%d/%m/%Y %H:%M")
    )
    folder = tmp_path_factory.mktemp("wide") / "package"
    return write_package(folder, features=tuple(features))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.fixed_dictionaries(CELLS), min_size=1, max_size=25))
def test_a_csv_of_the_rows_equals_the_rows(
    rows: list[dict[str, Any]], wide_package: Path, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(CELLS))
        writer.writeheader()
        writer.writerows(rows)
    expected = Scorer(wide_package).score_rows(rows)
    for name in ("out.parquet", "out.csv"):
        predict(wide_package, path, tmp_path / name, delimiter=",")
        read_back = pl.read_parquet if name.endswith("parquet") else pl.read_csv
        made = read_back(tmp_path / name)
        outputs = made.select("p_no", "p_yes").to_numpy()
        assert np.array_equal(outputs, expected.outputs)
        assert made["prediction"].to_list() == expected.labels.tolist()


def test_zones_are_moved_to_utc() -> None:
    tokyo = timezone(timedelta(hours=9))
    moment = datetime(2013, 1, 1, 3, tzinfo=tokyo)
    series = pl.Series("x", [moment]).dt.convert_time_zone("Asia/Tokyo")
    matrix, errors = read(KINDS["datetime"], series)
    assert not errors
    assert np.array_equal(matrix, encode_column(KINDS["datetime"], [moment.astimezone(UTC)]))
