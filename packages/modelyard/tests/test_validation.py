"""tables/validation, tables/applying: every kind of misfit is found, with its row and column."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from modelyard.errors import DataInvalid
from modelyard.records import Schema
from modelyard.settings import DataSection
from modelyard.tables.reading import read_table
from modelyard.tables.schema import apply, infer
from modelyard.tables.validation import Report, validate

FLIGHTS = Path(__file__).parents[3] / "examples/flights"
BASE = pl.DataFrame(
    {
        "id": range(100, 160),
        "n": [i * 0.5 for i in range(60)],
        "whole": [i % 9 for i in range(60)],
        "colour": [("red", "blue", "green")[i % 3] for i in range(60)],
        "code": [("01", "2", "x")[i % 3] for i in range(60)],
        "member": [("Yes", "No")[i % 2] for i in range(60)],
        "when": [f"2020-01-{i % 28 + 1:02d}" for i in range(60)],
        "empty": pl.Series([None] * 60, dtype=pl.String),
        "y": [("good", "bad", "good")[i % 3] for i in range(60)],
    }
)
DATA = DataSection(path="t.csv", target="y", id="id")


@pytest.fixture(scope="module")
def schema() -> Schema:
    return infer(BASE, DATA)[1]


def put(column: str, row: int, value: object) -> pl.DataFrame:
    """BASE with one cell replaced; the column becomes text if need be, as reading would have it."""
    cells = BASE[column].to_list()
    cells[row] = value
    try:
        series = pl.Series(column, cells, dtype=BASE.schema[column], strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        series = pl.Series(column, [None if cell is None else str(cell) for cell in cells])
    return BASE.with_columns(series)


def only(report: Report) -> tuple[str, str, int | None, str, int]:
    assert len(report.violations) == 1, report.violations
    found = report.violations[0]
    return found.kind, found.column, found.row, found.severity, found.count


def test_the_table_fits_its_own_schema(schema: Schema) -> None:
    report = validate(BASE, schema)
    assert report.violations == ()
    report.raise_if_errors()
    assert report.frame.equals(infer(BASE, DATA)[0])


@pytest.mark.parametrize(
    ("column", "value", "kind", "severity"),
    [
        ("n", "abc", "type", "error"),
        ("n", float("inf"), "infinite", "error"),
        ("n", 1e6, "out-of-range", "warning"),
        ("whole", "many", "type", "error"),
        ("whole", 2.5, "type", "warning"),
        ("whole", -3, "out-of-range", "warning"),
        ("member", "perhaps", "type", "error"),
        ("when", "2020-02-31", "type", "error"),
        ("when", "2021-05-01", "out-of-range", "warning"),
        ("colour", "mauve", "unseen-category", "warning"),
        ("y", "ugly", "unseen-category", "error"),
        ("y", None, "missing-target", "warning"),
    ],
)
def test_one_changed_cell(
    schema: Schema, column: str, value: object, kind: str, severity: str
) -> None:
    report = validate(put(column, 41, value), schema)
    assert only(report) == (kind, column, 42, severity, 1)
    assert f"row 42: '{value}" in report.violations[0].message or value is None
    if severity == "error":
        with pytest.raises(DataInvalid, match="does not fit the schema: 1 problem") as caught:
            report.raise_if_errors()
        assert caught.value.exit_code == 4
        assert column in caught.value.why
    else:
        report.raise_if_errors()
    if kind in ("type", "infinite") and severity == "error":
        assert report.frame[column][41] is None


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("n", None), ("n", "NA"), ("n", "7.25"), ("whole", None), ("member", "?"),
        ("member", "TRUE"), ("member", "no"), ("when", "2020-01-05T06:00:00"),
        ("when", ""), ("colour", None),
        ("y", "good"), ("id", 5),
    ],
)  # fmt: skip
def test_what_still_fits(schema: Schema, column: str, value: object) -> None:
    assert validate(put(column, 3, value), schema).violations == ()


def test_new_and_lost_columns(schema: Schema) -> None:
    assert only(validate(BASE.with_columns(new=pl.lit(1)), schema))[:2] == ("new-column", "new")
    for column in ("n", "id", "y"):
        assert only(validate(BASE.drop(column), schema)) == (
            "lost-column",
            column,
            None,
            "error",
            1,
        )
    assert only(validate(BASE.drop("empty"), schema))[3] == "warning"


def test_a_table_to_be_scored_needs_neither_target_nor_id(schema: Schema) -> None:
    report = validate(
        BASE.drop("y", "id").with_columns(new=pl.lit(1)), schema, target_optional=True
    )
    found = {(v.column, v.severity) for v in report.violations}
    assert found == {
        ("id", "warning"),
        ("new", "warning"),
    }
    with pytest.raises(DataInvalid, match="1 problem"):
        validate(BASE.drop("n"), schema, target_optional=True).raise_if_errors()


def test_examples_are_capped(schema: Schema) -> None:
    report = validate(BASE.with_columns(n=pl.lit("bad")), schema)
    message = report.violations[0].message
    assert message.count("row ") == 10
    assert "and 50 more" in message
    assert report.violations[0].count == 60
    assert (
        validate(BASE.with_columns(n=pl.lit("bad")), schema, limit=2)
        .violations[0]
        .message.count("row ")
        == 2
    )


def test_errors_stand_before_warnings_and_are_capped(schema: Schema) -> None:
    wide = BASE.with_columns(**{f"new{i}": pl.lit(i) for i in range(15)}, colour=pl.lit("mauve"))
    report = validate(wide, schema)
    assert [v.severity for v in report.violations] == ["error"] * 15 + ["warning"]
    with pytest.raises(DataInvalid, match="15 problems") as caught:
        report.raise_if_errors("november.csv", next_step="modelyard data add --allow-schema-change")
    assert caught.value.why.endswith("and 5 more")
    assert caught.value.what.startswith("november.csv")


def test_apply_types_what_other_types_carry(schema: Schema) -> None:
    typed = infer(BASE, DATA)[0]
    later = typed.with_columns(
        pl.col("whole").cast(pl.Float64),
        pl.col("n").cast(pl.String),
        pl.col("member").cast(pl.Int64),
    )
    assert apply(later, schema).equals(typed)
    without = apply(BASE.drop("y", "n"), schema)
    assert without.columns == BASE.columns
    assert without["n"].null_count() == 60
    with pytest.raises(DataInvalid, match="target column 'y'"):
        apply(BASE.drop("y"), schema, target_optional=False)
    assert apply(put("n", 0, "-999"), schema, missing=("-999",))["n"][0] is None


def test_categories_keep_one_spelling(schema: Schema) -> None:
    numbers = pl.DataFrame({"k": [1, 2, 3] * 20, "y": BASE["y"]})
    typed = DataSection(path="t", target="y", types={"k": "category"})
    _, by_hand = infer(numbers, typed)
    floats = numbers.with_columns(pl.col("k").cast(pl.Float64))
    assert apply(floats, by_hand)["k"].to_list() == ["1", "2", "3"] * 20
    assert validate(floats, by_hand).violations == ()


def test_boolean_targets_in_other_words() -> None:
    _, schema = infer(BASE.with_columns(y=BASE["member"]), DATA)
    assert schema.classes == ("No", "Yes")
    later = BASE.with_columns(y=pl.Series([True, False] * 30))
    assert apply(later, schema)["y"].to_list() == ["Yes", "No"] * 30
    assert validate(later, schema).violations == ()


@pytest.mark.parametrize(
    ("cells", "classes"),
    [
        (["Yes", "No", "Yes", "NA", "none"], ("No", "Yes")),
        (["ja", "nein", "nein", "-"], ("nein", "ja")),
        (["1", "2", "2", "?", " "], ("2", "1")),
        (["1.0", "2.0", "2.0"], ("2", "1")),
        (["1.0", "2.0", " +2.0", "NA"], ("2", "1")),
        (["1,0", "2,0", "2,0", "NA"], ("2", "1")),
        (["x", "y", "NA", "NA"], ("NA", "x", "y")),
        (["01", "02", "02"], ("02", "01")),
    ],
)
def test_what_ingest_reads_fits_its_own_schema(cells: list[str], classes: tuple[str, ...]) -> None:
    """Ingest drops the rows whose target is a word for nothing; they are no other class."""
    frame = BASE.with_columns(y=pl.Series([cells[i % len(cells)] for i in range(60)]))
    typed, schema = infer(frame, DATA)
    assert schema.classes == classes
    report = validate(frame, schema)
    assert report.errors == ()
    found = [v.kind for v in report.warnings if v.column == "y"]
    assert found == ["missing-target"] * (typed.height < 60)
    assert report.frame["y"].drop_nulls().to_list() == typed["y"].to_list()


@pytest.mark.parametrize(
    ("known", "cells"), [(["a", "b", "c"], ["a", "NA"]), (["1", "2", "x"], ["x", "1.0"])]
)
def test_among_texts_such_words_are_other_classes(known: list[str], cells: list[str]) -> None:
    _, schema = infer(BASE.with_columns(y=pl.Series(known * 20)), DATA)
    report = validate(BASE.with_columns(y=pl.Series(cells * 30)), schema)
    assert [(v.kind, v.value) for v in report.errors] == [("unseen-category", cells[1])]


def test_the_autumn_flights_fit_but_are_colder() -> None:
    old = read_table(FLIGHTS / "flights_v1_jan_apr.csv").frame
    new = read_table(FLIGHTS / "flights_new_sep_dec.csv").frame
    _, schema = infer(old, DataSection(path="f", target="late", time="scheduled"))
    report = validate(new, schema)
    assert report.errors == ()
    kinds = {(v.kind, v.column) for v in report.warnings}
    assert ("out-of-range", "scheduled") in kinds
    assert ("out-of-range", "temp") in kinds
