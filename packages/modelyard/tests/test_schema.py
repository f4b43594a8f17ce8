"""tables/typing, moments, target, schema: what a column is, and why."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import DataInvalid
from modelyard.records import Schema
from modelyard.settings import DataSection
from modelyard.tables import quality
from modelyard.tables import typing as ty
from modelyard.tables.reading import read_table
from modelyard.tables.schema import apply, infer
from modelyard_serve import encoding

EXAMPLES = Path(__file__).parents[3] / "examples"


def read(values: list[str | None], name: str = "x", delimiter: str = ",") -> ty.Read:
    return ty.read(pl.Series(name, values, dtype=pl.String), name, delimiter)


def schema_of(columns: dict[str, Any], **data: Any) -> tuple[pl.DataFrame, Schema]:
    frame = pl.DataFrame(columns)
    if "y" not in frame.columns:
        frame = frame.with_columns(
            pl.Series("y", [("no", "yes", "no")[i % 3] for i in range(frame.height)])
        )
    return infer(frame, DataSection(path="t.csv", **{"target": "y", **data}))


@pytest.mark.parametrize(
    ("values", "delimiter", "kind", "expected"),
    [
        (["1", "2", "NA", ""], ",", "integer", [1, 2, None, None]),
        (["1.5", "+2", "-", "1e5"], ",", "number", [1.5, 2.0, None, 1e5]),
        (["1,234", "5,678.5"], ",", "number", [1234.0, 5678.5]),
        (["1,5", "2,25"], ",", "number", [1.5, 2.25]),
        (["1,234", "5,678"], ",", "number", [1234.0, 5678.0]),
        (["1,234", "5,678"], ";", "number", [1.234, 5.678]),
        (["1.234,5", "7"], ";", "number", [1234.5, 7.0]),
        (["1 234,5", "-7"], ";", "number", [1234.5, -7.0]),
        ([" 12.5 ", " "], ",", "number", [12.5, None]),
        (["007", "12"], ",", "category", ["007", "12"]),
        (["12345678901234567890", "5"], ",", "category", ["12345678901234567890", "5"]),
        (["NA", "US", ""], ",", "category", ["NA", "US", None]),
        (["?", "a"], ",", "category", ["?", "a"]),
        (["1.2.3", "1.2.4"], ",", "category", ["1.2.3", "1.2.4"]),
    ],
)
def test_numbers_and_codes(values, delimiter: str, kind: str, expected) -> None:
    found = read(values, delimiter=delimiter)
    assert (found.form.kind, found.values.to_list()) == (kind, expected)


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (["yes", "no"], ("no", "yes")),
        (["TRUE", "False", "true", "true"], ("False", "true")),
        (["T", "F"], ("F", "T")),
        (["y", "N", "Y", "Y"], ("N", "Y")),
        (["on", "off"], ("off", "on")),
        (["ja", "Nein"], ("Nein", "ja")),
        (["oui", "non"], ("non", "oui")),
    ],
)
def test_booleans_in_many_spellings(values: list[str], levels: tuple[str, str]) -> None:
    found = read([*values, None, "?"])
    assert found.form.kind == "boolean"
    assert found.form.levels == levels
    true = {"yes", "true", "t", "y", "on", "ja", "oui"}
    assert found.values.to_list() == [v.lower() in true for v in values] + [None, None]


@pytest.mark.parametrize("values", [["yes"], ["m", "f"], ["yes", "no", "maybe"], ["ja", "no"]])
def test_what_is_no_boolean(values: list[str]) -> None:
    assert read(values).form.kind == "category"


@pytest.mark.parametrize(
    ("values", "time_format", "first"),
    [
        (["2013-01-31", "2013-02-01"], None, datetime(2013, 1, 31)),
        (["2013-01-31 06:05", "2013-02-01 00:00"], None, datetime(2013, 1, 31, 6, 5)),
        (["2013-01-31T06:05:07.25"], None, datetime(2013, 1, 31, 6, 5, 7, 250_000)),
        (
            ["2013-01-31T06:05:07", "2013-02-01", "2013-02-01 05:00"],
            None,
            datetime(2013, 1, 31, 6, 5, 7),
        ),
        (["2013-01-31T06:00:00Z", "2013-01-31 06:00:00+02:00"], None, datetime(2013, 1, 31, 6)),
        (["2013-01-31T06:00:00+0200"], None, datetime(2013, 1, 31, 4)),
        (["31/01/2013", "01/02/2013"], "%d/%m/%Y", datetime(2013, 1, 31)),
        (["01/31/2013", "01/02/2013"], "%m/%d/%Y", datetime(2013, 1, 31)),
        (["31.01.2013", "1.2.2013"], "%d.%m.%Y", datetime(2013, 1, 31)),
        (["31/01/13", "01/02/13"], "%d/%m/%y", datetime(2013, 1, 31)),
        (["2013/01/31 6:05"], "%Y/%m/%d %H:%M", datetime(2013, 1, 31, 6, 5)),
        (
            ["1/31/2013 3:04 PM", "1/2/2013 1:00 AM"],
            "%m/%d/%Y %I:%M %p",
            datetime(2013, 1, 31, 15, 4),
        ),
        (["31 January 2013", "1 March 2013"], "%d %B %Y", datetime(2013, 1, 31)),
        (["31-Jan-2013"], "%d-%b-%Y", datetime(2013, 1, 31)),
        (["Jan 31, 2013"], "%b %d, %Y", datetime(2013, 1, 31)),
        (["01/01/2020", "02/01/2020", "03/01/2020"], "%m/%d/%Y", datetime(2020, 1, 1)),
    ],
)
def test_dates(values: list[str], time_format: str | None, first: datetime) -> None:
    found = read([*values, "NA", None])
    assert found.form.kind == "datetime"
    assert found.form.time_format == time_format
    assert found.values[0] == first
    assert found.values.dtype == pl.Datetime("us")
    assert found.values.null_count() == 2
    # The serve half must read the same text as the same moment.
    for text, moment in zip(values, found.values, strict=False):
        assert encoding._moment(text, time_format) == moment


def test_an_assumed_order_of_day_and_month_is_said() -> None:
    assert "assumed" in read(["01/02/2020", "03/04/2020"]).form.reason


@pytest.mark.parametrize("values", [["2013-13-45", "2013-01-01"], ["32/13/2013", "31/12/2013"]])
def test_dates_that_do_not_parse_stay_text(values: list[str]) -> None:
    assert read(values).form.kind == "category"


def test_one_bad_date_among_many_is_named() -> None:
    good = [f"2013-01-{day:02d}" for day in range(1, 31)]
    assert "'2013-13-45'" in read([*good, "2013-13-45"]).form.reason


def test_eight_digits_are_a_date_only_by_name() -> None:
    frame, schema = schema_of(
        {"order_date": [20130131, 20130201] * 6, "n": [20130131, 20130201] * 6}
    )
    assert frame["order_date"][0] == datetime(2013, 1, 31)
    assert schema.column("order_date").time_format == "%Y%m%d"
    assert schema.column("n").kind == "integer"


def test_a_large_column_is_judged_like_a_small_one() -> None:
    rows = 30_000
    clean = [str(i % 97) for i in range(rows)]
    assert read(clean).form.kind == "integer"
    assert read([*clean[:-1], "x"]).form.kind == "category"
    assert read([*clean[:-1], "NA"]).values.null_count() == 1
    assert read([*clean[:-1], "0042"]).form.kind == "category"
    dates = [f"0{i % 9 + 1}/0{i % 7 + 1}/2020" for i in range(rows)]
    assert read([*dates[:-1], "01/31/2020"]).form.time_format == "%m/%d/%Y"
    ids = [f"customer {i}" for i in range(rows)]
    assert read(ids).counts is None


@settings(max_examples=300, deadline=None)
@given(st.integers(-(10**15), 10**15) | st.floats(allow_nan=False) | st.booleans() | st.text())
def test_canonical_text_is_the_serve_halfs(value: object) -> None:
    assert ty.text_of(value) == encoding.text_of(value)
    expected = encoding.text_of(value) or None
    assert ty.canonical_text(pl.Series([value])).to_list() == [expected]


def test_canonical_text_is_stable_under_reading_again() -> None:
    for series in (pl.Series([415, 7]), pl.Series([415.0, 7.0]), pl.Series(["415", "7"])):
        assert ty.canonical_text(series).to_list() == ["415", "7"]
    once = ty.canonical_text(pl.Series([True, 0.5, None], strict=False))
    assert ty.canonical_text(once).to_list() == once.to_list()


def test_words_of_truth_are_the_serve_halfs() -> None:
    assert ty.TRUE_WORDS == encoding.TRUE_WORDS
    assert ty.FALSE_WORDS == encoding.FALSE_WORDS


def test_flights() -> None:
    raw = read_table(EXAMPLES / "flights/flights_v1_jan_apr.csv")
    frame, schema = infer(raw.frame, DataSection(path="f.csv", target="late", time="scheduled"))
    assert frame.columns == raw.frame.columns
    assert schema.task == "binary"
    assert schema.classes == ("no", "yes")
    assert schema.positive == "yes"
    assert schema.column("scheduled").kind == "datetime"
    assert schema.column("scheduled").role == "time"
    assert schema.column("scheduled").minimum == "2013-01-01T06:00:00"
    assert schema.column("wind_gust").missing == frame["wind_gust"].null_count() > 0
    assert schema.column("carrier").levels[0] in ("UA", "EV", "B6")
    assert frame.schema["carrier"] == pl.String
    assert apply(raw.frame, schema).equals(frame)


def test_churn() -> None:
    raw = read_table(EXAMPLES / "churn/wa_churn.csv")
    frame, schema = infer(raw.frame, DataSection(path="c.csv", target="churn"))
    assert schema.classes == ("No", "Yes")
    assert schema.column("total_charges").missing == 11
    assert schema.column("female").kind == "integer"
    assert schema.column("multiple_lines").levels[0] == "No"
    assert frame.height == 7043


def test_rows_without_target_are_dropped() -> None:
    frame, schema = schema_of(
        {"a": [1, 2, 3, 4, 5, 6, 7], "y": ["p", "p", None, "q", "q", "q", "p"]}
    )
    assert frame["a"].to_list() == [1, 2, 4, 5, 6, 7]
    assert schema.column("a").maximum == 7.0


def test_columns_that_cannot_help_are_left_out_with_a_reason() -> None:
    rows = 120
    _, schema = schema_of(
        {
            "good": [i % 7 for i in range(rows)],
            "constant": ["x"] * rows,
            "empty": pl.Series([None] * rows, dtype=pl.String),
            "name": [f"person {i}" for i in range(rows)],
            "customer_id": list(range(1000, 1000 + rows)),
            "note": [f"this is a long remark number {i}" for i in range(rows)],
            "unwanted": [float(i) for i in range(rows)],
            "some": [None if i % 2 else "only" for i in range(rows)],
            "nested": [[1, 2]] * rows,
        },
        exclude=("unwanted",),
    )
    said = {c.name: (c.role, c.reason) for c in schema.columns}
    assert [c.name for c in schema.features] == ["good", "some"]
    assert said["constant"][1].startswith("constant")
    assert said["empty"][1] == "every value is missing"
    assert said["name"][1].startswith("id-like")
    assert said["customer_id"][1].startswith("id-like")
    assert said["note"][1].startswith("free text")
    assert said["unwanted"] == ("excluded", "named in data.exclude")
    assert "cannot be read" in said["nested"][1]


def test_ten_thousand_texts() -> None:
    rows = 10_000
    names = [f"n{i}" for i in range(rows)]
    frame, schema = schema_of({"name": names, "a": [i % 5 for i in range(rows)]})
    assert schema.column("name").role == "excluded"
    assert frame["name"].to_list() == names
    twice = [f"n{i // 2}" for i in range(rows)]
    _, schema = schema_of({"name": twice, "a": [i % 5 for i in range(rows)]})
    column = schema.column("name")
    assert (column.role, column.kind, column.distinct) == ("feature", "category", 5000)
    assert len(column.levels) == 1000


def test_types_are_obeyed() -> None:
    frame, schema = schema_of(
        {
            "zip": [2134, 2134, 999] * 4,
            "flag": [0, 1, 1] * 4,
            "when": ["31/01/2013", "01/02/2013", "NA"] * 4,
            "size": ["1", "2", "3"] * 4,
            "level": [1.0, 2.0, 2.5] * 4,
        },
        types={
            "zip": "category",
            "flag": "boolean",
            "when": "datetime",
            "size": "number",
            "level": "category",
        },
    )
    assert frame["zip"].to_list()[:3] == ["2134", "2134", "999"]
    assert frame["flag"].to_list()[:3] == [False, True, True]
    assert frame["when"][0] == datetime(2013, 1, 31)
    assert frame["size"].dtype == pl.Float64
    assert frame["level"].to_list()[:3] == ["1", "2", "2.5"]
    assert [schema.column(n).kind for n in ("zip", "flag", "when", "size", "level")] == [
        "category", "boolean", "datetime", "number", "category"
    ]  # fmt: skip


def test_a_value_not_of_its_declared_type_is_named() -> None:
    with pytest.raises(DataInvalid, match=r"'when' is not all datetime") as caught:
        schema_of(
            {"when": ["2013-01-01", "2013-02-31", "soon"] * 4, "a": range(12)},
            types={"when": "datetime"},
        )
    assert "row 2: '2013-02-31'" in caught.value.why
    assert caught.value.exit_code == 4
    with pytest.raises(DataInvalid, match="'a' is not all boolean"):
        schema_of({"a": [0, 1, 2] * 4, "b": range(12)}, types={"a": "boolean"})


def test_a_time_column_that_is_no_date_is_refused() -> None:
    with pytest.raises(DataInvalid, match=r"time column 'when'") as caught:
        schema_of({"when": ["2013-01-01", "2013-01-02", "soon"] * 4, "a": range(12)}, time="when")
    assert "row 3: 'soon'" in caught.value.why


def test_further_spellings_of_missing() -> None:
    frame, _ = schema_of(
        {"a": [1, -999, 3] * 4, "b": ["x", "unknown", "z"] * 4}, missing=("-999", "unknown")
    )
    assert frame["a"].to_list()[:3] == [1, None, 3]
    assert frame["b"].to_list()[:3] == ["x", None, "z"]


def test_parquet_types() -> None:
    frame, schema = schema_of(
        {
            "small": pl.Series([1, 2, 3] * 4, dtype=pl.Int8),
            "huge": pl.Series([2**63, 1, 2] * 4, dtype=pl.UInt64),
            "nan": [1.5, float("nan"), None] * 4,
            "cat": pl.Series(["a", "b", "a"] * 4, dtype=pl.Categorical),
            "day": pl.Series(["2020-01-01", "2020-01-02", None] * 4).str.to_date(),
            "zoned": pl.Series(
                ["2020-01-01T00:00:00+02:00", "2020-01-02T00:00:00+02:00", None] * 4
            ).str.to_datetime(),
            "flag": [True, False, None] * 4,
        }
    )
    assert frame.dtypes[:7] == [
        pl.Int64, pl.String, pl.Float64, pl.String, *[pl.Datetime("us")] * 2, pl.Boolean
    ]  # fmt: skip
    assert frame["huge"][0] == str(2**63)  # a float64 would make it equal to its neighbours
    assert frame["nan"].null_count() == 8
    assert frame["zoned"][0] == datetime(2019, 12, 31, 22)
    assert schema.column("flag").levels == ("false", "true")


@pytest.mark.parametrize(
    ("values", "task", "classes", "positive"),
    [
        (["good", "bad", "good"] * 4, "binary", ("good", "bad"), "bad"),
        (["a", "b", "b"] * 4, "binary", ("b", "a"), "a"),
        (["Yes", "no", "YES", "No", "No", "No"] * 3, "binary", ("No", "YES"), "YES"),
        ([0, 1, 0] * 4, "binary", ("0", "1"), "1"),
        ([0.0, 1.0, None] * 4, "binary", ("0", "1"), "1"),
        ([True, False, False] * 4, "binary", ("false", "true"), "true"),
        (["c", "a", "b"] * 4, "multiclass", ("a", "b", "c"), None),
        ([3, 1, 2] * 4, "multiclass", ("1", "2", "3"), None),
        ([i * 0.5 for i in range(12)], "regression", (), None),
        (list(range(30)), "regression", (), None),
    ],
)
def test_task(values, task: str, classes: tuple[str, ...], positive: str | None) -> None:
    frame, schema = schema_of({"a": range(len(values)), "y": values})
    assert (schema.task, schema.classes, schema.positive) == (task, classes, positive)
    if classes:
        assert frame["y"].dtype == pl.String
        assert set(frame["y"]) == set(classes)


def test_task_and_positive_by_hand() -> None:
    counts = {"a": range(12), "y": [1, 2, 3] * 4}
    assert schema_of(counts, task="regression")[1].task == "regression"
    binary = {"a": range(12), "y": ["good", "bad", "bad"] * 4}
    assert schema_of(binary, positive="good")[1].classes == ("bad", "good")
    with pytest.raises(DataInvalid, match=r"'goood' is not a class of 'y', did you mean 'good'"):
        schema_of(binary, positive="goood")
    with pytest.raises(DataInvalid, match=r"3 classes, and data.task is binary"):
        schema_of(counts, task="binary")
    with pytest.raises(DataInvalid, match=r"not numeric, and data.task is regression"):
        schema_of(binary, task="regression")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["x"] * 12, "is constant"),
        ([1.5] * 12, "is constant"),
        (pl.Series([None] * 12, dtype=pl.String), "has no value in any row"),
        (["a"] * 10 + ["b"] * 2, r"classes of fewer than 3 rows: 'b' \(2\)"),
        (["a"] * 11 + ["b"], r"'b' \(1\)"),
        ([f"c{i // 3}" for i in range(330)], "110 classes; at most 100"),
        ([1.5, float("inf")] * 6, "infinite in row 2, 4"),
        (["2020-01-01", "2020-01-02"] * 6, "holds dates"),
    ],
)
def test_targets_that_cannot_be_learned(values, message: str) -> None:
    with pytest.raises(DataInvalid, match=message) as caught:
        schema_of({"a": range(len(values)), "y": values})
    assert caught.value.next_step


def test_absent_columns_offer_the_nearest() -> None:
    frame = {"churn": ["a", "b", "b"] * 4, "tenure": range(12)}
    with pytest.raises(DataInvalid, match=r"target column 'chrun' .* did you mean 'churn'"):
        schema_of(frame, target="chrun")
    with pytest.raises(DataInvalid, match=r"id column 'tenur' .* did you mean 'tenure'"):
        schema_of(frame, target="churn", id="tenur")
    with pytest.raises(DataInvalid, match="exclude column"):
        schema_of(frame, target="churn", exclude=("nope",))


def test_no_features() -> None:
    with pytest.raises(DataInvalid, match="No column is left to learn from") as caught:
        schema_of({"a": pl.Series([None] * 12, dtype=pl.String), "b": [1] * 12})
    assert "a (every value is missing)" in caught.value.why


def test_infinity_names_row_and_column() -> None:
    with pytest.raises(DataInvalid, match=r"row 5, column 'a'"):
        schema_of({"a": [1.0, 2, 3, 4, float("inf"), 6, 7], "y": ["p", None, "p", "p", *"qqq"]})


def test_a_target_called_rows() -> None:
    frame, schema = schema_of(
        {"rows": ["a", "b", "c", "d", "e"] * 4, "n": range(20)}, target="rows"
    )
    assert schema.classes == ("a", "b", "c", "d", "e")
    assert quality.class_counts(frame, schema) == dict.fromkeys("abcde", 4)


@pytest.mark.parametrize("more", [{"task": "regression"}, {"types": {"y": "number"}}])
@pytest.mark.parametrize("dtype", [pl.String, pl.UInt64])
def test_a_target_of_many_digits_can_be_a_number(more: dict[str, Any], dtype: Any) -> None:
    amounts = [(2**63 + 7919 * row) for row in range(200)]
    values = pl.Series([str(n) for n in amounts]).cast(dtype)
    frame, schema = schema_of({"a": list(range(200)), "y": values}, **more)
    assert schema.task == "regression"
    assert frame["y"][1] == float(amounts[1])


def test_what_is_declared_missing_is_so_in_every_spelling() -> None:
    cells = ["1,5", "-999,0", "-999", "2.345,5"] * 10
    frame, _ = schema_of({"a": cells}, missing=("-999",))
    assert frame["a"].to_list()[:4] == [1.5, None, None, 2345.5]
