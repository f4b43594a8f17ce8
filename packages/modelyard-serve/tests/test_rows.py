"""Every quick way to the matrix gives what `encode` gives, and refuses what `encode` refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from kinds import (
    FEATURES,
    REQUIRED,
    ROWS,
    as_csv,
    as_json,
    columns_of,
    same,
    signatures,
    tables,
    wrong_values,
)

from modelyard_serve import csvtable
from modelyard_serve.contract import Feature
from modelyard_serve.encoding import PARTS, Matrix, encode, respelled
from modelyard_serve.errors import BodyError, InputError, ServeError
from modelyard_serve.rows import RowReader, decode_json

Rows = list[dict[str, Any]]
READER = RowReader(FEATURES)
NAMES = READER.names
PATIENT = settings(settings.default, deadline=None)  # the machine may have other work


@st.composite
def cases(draw: st.DrawFn) -> tuple[tuple[Feature, ...], Rows]:
    """A signature and rows that fit it."""
    features = draw(signatures())
    return features, draw(tables(features))


@st.composite
def plain_cases(draw: st.DrawFn) -> tuple[tuple[Feature, ...], Rows]:
    """A signature and rows that a table of text can carry."""
    # A name is cut where a line ends, and is one with the delimiter: see test_csvtable.
    letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=",;\t|\ufeff")
    features = draw(signatures(st.text(letters, min_size=1, max_size=6)))
    return features, draw(tables(features, numbers_as_flags=False))


def truth(features: tuple[Feature, ...], rows: Rows) -> Matrix:
    """What `encode` makes of the rows."""
    return encode(features, columns_of(rows, [feature.name for feature in features]))


@PATIENT
@given(cases())
def test_objects_give_what_encode_gives(case: tuple[tuple[Feature, ...], Rows]) -> None:
    features, rows = case
    reader, expected = RowReader(features), truth(features, rows)
    assert same(reader.body(as_json({"rows": rows})), expected)
    assert same(reader.lines([as_json(row) for row in rows]), expected)
    assert same(reader.records(as_json(rows)), expected)
    assert same(reader.careful(rows, strict=True), expected)


@PATIENT
@given(cases(), st.data())
def test_lists_and_columns_give_what_encode_gives(
    case: tuple[tuple[Feature, ...], Rows], data: st.DataObject
) -> None:
    features, rows = case
    reader, expected = RowReader(features), truth(features, rows)
    # A column that no row has may be absent; the others come in any order, among others' columns.
    there = [name for name in reader.names if name in reader.required or name in set().union(*rows)]
    unknown = st.text(max_size=3).filter(lambda name: name not in reader.names)
    strange = data.draw(st.lists(unknown, max_size=2, unique=True))
    order = data.draw(st.permutations(there + strange))
    assume(order)
    cells = [[row.get(name, "odd" if name in strange else None) for name in order] for row in rows]
    assert same(reader.arrays(order, as_json(cells)), expected)
    columns = {name: [row[at] for row in cells] for at, name in enumerate(order)}
    assert same(reader.columns(columns), expected)


def _in_a_table(cell: Any) -> Any:
    """A cell as a table of text can say it: "" is missing, and zero has no sign."""
    if cell == "":
        return None
    return 0.0 if isinstance(cell, float) and cell == 0 else cell


def _stands_for_a_number(feature: Feature, cell: Any) -> bool:
    """Whether a category's text is another spelling of a number or truth value that it knows."""
    if feature.kind != "category" or not isinstance(cell, str):
        return False
    return respelled(cell) not in (None, cell)


@PATIENT
@given(plain_cases(), st.sampled_from(csvtable.DELIMITERS), st.sampled_from(["\n", "\r\n"]))
def test_tables_of_text_give_what_encode_gives(
    case: tuple[tuple[Feature, ...], Rows], delimiter: str, ending: str
) -> None:
    features, rows = case
    names = [feature.name for feature in features]
    rows = [{name: _in_a_table(cell) for name, cell in row.items()} for row in rows]
    assume(not any(_stands_for_a_number(f, row.get(f.name)) for f in features for row in rows))
    body = as_csv(rows, names, delimiter=delimiter, ending=ending)
    columns = csvtable.values(features, csvtable.read(body, names=names))
    assert same(RowReader(features).columns(columns), truth(features, rows))


@PATIENT
@given(cases(), st.data())
def test_a_wrong_cell_is_named_as_encode_names_it(
    case: tuple[tuple[Feature, ...], Rows], data: st.DataObject
) -> None:
    features, rows = case
    reader = RowReader(features)
    feature = data.draw(st.sampled_from(features))
    place = data.draw(st.integers(0, len(rows) - 1))
    rows[place][feature.name] = data.draw(wrong_values(feature))
    with pytest.raises(InputError) as told:
        truth(features, rows)
    expected = told.value.problems[0]
    assert (expected.row, expected.column) == (place, feature.name)
    order = reader.names
    cells = [[row.get(name) for name in order] for row in rows]
    ways: list[tuple[Any, int]] = [
        (lambda: reader.body(as_json({"rows": rows})), 0),
        (lambda: reader.records(as_json(rows)), 0),
        (lambda: reader.arrays(order, as_json(cells)), 0),
        (lambda: reader.columns(columns_of(rows, order)), 0),
        (lambda: reader.lines([as_json(row) for row in rows], 5000), 5000),
    ]
    for way, start in ways:
        with pytest.raises(InputError) as caught:
            way()
        problem = caught.value.problems[0]
        assert problem == expected._replace(row=place + start)
        assert f"row {place + start}: {feature.name} is {expected.got}" in str(caught.value)
        assert caught.value.total == 1


@PATIENT
@given(st.datetimes(), st.sampled_from(["", "Z", "+00:00", "-11:30", "+14:00"]))
def test_parts_of_a_date_are_equal_to_the_last_bit(moment: Any, zone: str) -> None:
    reader = RowReader([Feature(name="when", kind="datetime", parts=PARTS)])
    text = moment.isoformat() + zone
    try:
        expected = encode(reader.features, {"when": [text]})
    except InputError:  # moved to UTC it lies before the year 1 or after 9999
        with pytest.raises(InputError, match="row 0: when"):
            reader.body(as_json({"rows": [{"when": text}]}))
    else:
        assert same(reader.body(as_json({"rows": [{"when": text}]})), expected)


def test_the_fixed_rows_by_every_way() -> None:
    rows = list(ROWS)
    expected = truth(FEATURES, rows)
    assert np.isnan(expected[1]).all()
    assert expected[2, NAMES.index("carrier")] == 0  # not known
    utc = truth(FEATURES, [{**rows[3], "when": "2013-12-31T18:29:59"}])
    assert same(expected[3:], utc)
    assert same(READER.body(as_json({"rows": rows})), expected)
    assert same(READER.records(as_json(rows)), expected)
    table = csvtable.read(as_csv(rows, NAMES), names=NAMES)
    assert same(READER.columns(csvtable.values(FEATURES, table)), expected)


def _without(*names: str) -> Rows:
    return [{key: value for key, value in ROWS[0].items() if key not in names}]


def test_optional_columns_may_be_absent() -> None:
    optional = [name for name in NAMES if name not in REQUIRED]
    assert len(optional) == 4
    rows = _without(*optional)
    expected = truth(FEATURES, rows)
    assert same(READER.body(as_json({"rows": rows})), expected)
    assert same(READER.lines([as_json(rows[0])]), expected)
    assert same(READER.records(as_json(rows)), expected)
    assert same(READER.arrays(REQUIRED, as_json([list(rows[0].values())])), expected)
    assert same(READER.columns(columns_of(rows, REQUIRED)), expected)


@pytest.mark.parametrize("name", REQUIRED)
def test_required_columns_must_be_there(name: str) -> None:
    rows = _without(name)
    order = [n for n in NAMES if n != name]
    by_row: list[Any] = [
        lambda: READER.body(as_json({"rows": [ROWS[0], *rows]})),
        lambda: READER.lines([as_json(ROWS[0]), as_json(rows[0])]),
        lambda: READER.records(as_json([ROWS[0], *rows])),
    ]
    for way in by_row:
        with pytest.raises(InputError, match=f"row 1: {name} is missing") as caught:
            way()
        assert caught.value.problems[0][:2] == (1, name)
        assert caught.value.total == 1
    by_column: list[Any] = [
        lambda: READER.arrays(order, as_json([[rows[0][n] for n in order]])),
        lambda: READER.columns(columns_of(rows, order)),
    ]
    for way in by_column:
        with pytest.raises(InputError, match=f"missing columns: {name}") as caught:
            way()
        assert caught.value.problems[0][:2] == (None, name)


def test_unknown_columns_are_refused_by_the_own_dialect_alone() -> None:
    row = {**ROWS[0], "distances": 1, "x" * 500: 2}
    for way in (
        lambda: READER.body(as_json({"rows": [ROWS[1], row]})),
        lambda: READER.lines([as_json(ROWS[1]), as_json(row)]),
    ):
        with pytest.raises(InputError, match="row 1: distances is not a column") as caught:
            way()
        first, second = caught.value.problems
        assert (first.row, first.column, first.expected) == (1, "distances", "perhaps distance")
        assert len(second.column) == 80
    assert same(READER.records(as_json([row])), truth(FEATURES, [ROWS[0]]))


def test_every_wrong_cell_is_counted_and_ten_are_shown() -> None:
    rows = [{**ROWS[0], "distance": "far", "night": "perhaps"} for _ in range(8)]
    with pytest.raises(InputError, match="16 such cells") as caught:
        READER.body(as_json({"rows": rows}))
    assert caught.value.total == 16
    assert len(caught.value.problems) == 10
    assert {problem.column for problem in caught.value.problems} == {"distance", "night"}


@pytest.mark.parametrize(
    ("body", "error", "told"),
    [
        (b"", BodyError, "not JSON"),
        (b"[", BodyError, "not JSON"),
        (b"[" * 100_000, BodyError, "not JSON"),
        (b"null", BodyError, "rows"),
        (b'{"rows": {}}', BodyError, "rows"),
        (b'{"rows": [1]}', BodyError, "rows"),
        (b'{"rows": [], "more": 1}', BodyError, "more is unknown"),
        (b'{"rows": []}', InputError, "no rows"),
        (b'{"rows": [{"distance": 1e999}]}', BodyError, "out of range"),
    ],
)
def test_bodies_that_cannot_be_read(body: bytes, error: type[ServeError], told: str) -> None:
    with pytest.raises(error, match=told):
        READER.body(body)


def test_lists_must_be_as_long_as_their_columns() -> None:
    reader = RowReader(
        [Feature(name="a", kind="number"), Feature(name="b", kind="number", missing_share=0.5)]
    )
    # A cell too many must not become the value of a column that is absent.
    for cells in ([1.0, 2.0], []):
        with pytest.raises(BodyError, match=f"row 1 has {len(cells)} values for 1 columns"):
            reader.arrays(["a"], as_json([[1.0], cells]))
    with pytest.raises(InputError, match="named twice"):
        reader.arrays(["a", "a"], b"[[1, 2]]")
    with pytest.raises(BodyError, match="not a list of lists"):
        reader.arrays(["a"], b'[{"a": 1}]')
    assert reader.arrays(["a"], b"[]").shape == (0, 2)


def test_infinity_is_refused_however_it_comes() -> None:
    reader = RowReader([Feature(name="n", kind="number")])
    for value in (math.inf, -math.inf):
        with pytest.raises(InputError, match="row 1: n is infinity, expected a finite number"):
            reader.columns({"n": [0.0, value]})
    with pytest.raises(InputError, match="infinity"):
        reader.body(b'{"rows": [{"n": ' + b"9" * 400 + b"}]}")
    table = csvtable.read(b"n\n1\ninf\n", names=["n"])
    with pytest.raises(InputError, match="row 1: n is infinity"):
        reader.columns(csvtable.values(reader.features, table))


def test_nan_is_missing_in_every_kind_of_column() -> None:
    columns = {name: [math.nan] for name in NAMES}
    assert np.isnan(READER.columns(columns)).all()


def test_columns_of_others_tell_the_number_of_rows() -> None:
    reader = RowReader([Feature(name="n", kind="number", missing_share=0.5)])
    assert np.isnan(reader.columns({"other": [1, 2, 3]})).sum() == 3
    with pytest.raises(InputError, match="has 1 values, others have 2"):
        READER.columns({**columns_of(ROWS[:2], NAMES), "gate": ["A1"]})


def test_the_last_of_two_equal_keys_counts() -> None:
    reader = RowReader([Feature(name="n", kind="number")])
    quick = reader.body(b'{"rows": [{"n": 1, "n": 2}]}')
    careful = reader.body(b'{"rows": [{"n": 1, "n": true}]}')
    assert (quick[0, 0], careful[0, 0]) == (2.0, 1.0)


def test_decode_json_names_what_it_could_not_read() -> None:
    assert decode_json(b"[1]") == json.loads("[1]")
    with pytest.raises(BodyError, match="row 7 is not JSON"):
        decode_json(b"{", "row 7")
    with pytest.raises(BodyError, match="row 3 is not an object"):
        READER.lines([b"[1]"], 3)


DECLARED = (
    Feature(name="number", kind="number", missing=("-999", "unknown"), missing_share=0.1),
    Feature(name="code", kind="category", levels=("415", "-999.5"), missing=("-999", "unknown")),
    Feature(name="flag", kind="boolean", levels=("no", "yes"), missing=("-999", "unknown")),
    Feature(name="when", kind="datetime", parts=("year",), missing=("1900-01-01", "-999")),
)
"""A person said what stands for a missing value; training never saw these words."""


@pytest.mark.parametrize(
    "row",
    [
        {"number": -999, "code": -999, "flag": -999, "when": -999},
        {"number": -999.0, "code": -999.0, "flag": "unknown", "when": "1900-01-01"},
        {"number": "unknown", "code": " unknown ", "flag": "-999", "when": " 1900-01-01 "},
        {"number": " -999", "code": "", "flag": None, "when": None},
    ],
)
def test_what_was_declared_missing_is_missing_by_every_way(row: dict[str, Any]) -> None:
    reader = RowReader(DECLARED)
    kept = {"number": -998.5, "code": "415", "flag": "no", "when": "1901-01-01"}
    rows = [kept, row]
    found = truth(DECLARED, rows)
    assert found.tolist()[0] == [-998.5, 1.0, 0.0, 1901.0]
    assert np.isnan(found[1]).all()
    assert same(reader.body(as_json({"rows": rows})), found)
    assert same(reader.lines([as_json(one) for one in rows]), found)
    assert same(reader.arrays(reader.names, as_json([list(one.values()) for one in rows])), found)
    assert same(reader.columns(columns_of(rows, reader.names)), found)
    table = csvtable.read(as_csv(rows, reader.names), names=reader.names)
    assert same(reader.columns(csvtable.values(DECLARED, table)), found)


def test_an_array_of_numbers_has_declared_ones_too() -> None:
    numbers = np.array([1.0, -999.0, np.nan])
    found = encode(DECLARED[:1], {"number": numbers})[:, 0]
    assert found[0] == 1.0
    assert np.isnan(found[1:]).all()
    assert numbers[1] == -999.0  # the caller's array is not written to


@pytest.mark.parametrize(
    ("cell", "code"),
    [("415", 1.0), ("415.0", 1.0), ("+415", 1.0), ("0415", 0.0), ("True", 2.0), ("TRUE", 2.0)],
)
def test_a_cell_may_be_the_number_that_a_category_knows(cell: str, code: float) -> None:
    features = [Feature(name="code", kind="category", levels=("415", "true"))]
    columns = csvtable.values(features, {"code": [cell]})
    assert encode(features, columns)[0, 0] == code


@pytest.mark.parametrize(
    ("style", "cells", "numbers"),
    [
        (
            "comma",
            ["1.234,5", "1.234", "12,5", "7", "-1 234,25"],
            [1234.5, 1234, 12.5, 7, -1234.25],
        ),
        ("comma", ["12.5", "1.2345", "1e3"], [12.5, 1.2345, 1000]),
        ("thousands", ["1,234.5", "1,234", "12.5", "7"], [1234.5, 1234, 12.5, 7]),
        ("plain", ["1234.5", "1.234"], [1234.5, 1.234]),
    ],
)
def test_a_table_s_numbers_are_read_as_in_training(
    style: Any, cells: list[str], numbers: list[float]
) -> None:
    features = [Feature(name="amount", kind="number", style=style)]
    assert csvtable.values(features, {"amount": cells})["amount"] == numbers


@pytest.mark.parametrize("cell", ["-999", "-999.0", "-9.99e2", " -999 ", "gone"])
def test_a_category_s_cell_may_be_a_number_that_stands_for_nothing(cell: str) -> None:
    features = [Feature(name="code", kind="category", levels=("415",), missing=("-999", "gone"))]
    assert np.isnan(encode(features, csvtable.values(features, {"code": [cell]}))).all()


@pytest.mark.parametrize("cell", ["9" * 5000, "-" + "9" * 5000, "-0", "+7"])
def test_a_cell_of_many_digits_is_a_text(cell: str) -> None:
    features = [Feature(name="code", kind="category", levels=("0", "7"))]
    code = encode(features, csvtable.values(features, {"code": [cell]}))[0, 0]
    assert code == {"-0": 1.0, "+7": 2.0}.get(cell, 0.0)


@pytest.mark.parametrize("kind", ["boolean", "datetime"])
def test_words_for_nothing_are_missing_in_a_table(kind: Any) -> None:
    features = [Feature(name="x", kind=kind, parts=("year",) if kind == "datetime" else ())]
    assert csvtable.values(features, {"x": ["n/a", " NULL ", ""]})["x"] == [None] * 3


@pytest.mark.parametrize("cell", ["\u0663", "1\u0660.5", "\uff11"])
def test_digits_of_other_scripts_are_no_number_in_csv(cell: str) -> None:
    feature = Feature(name="n", kind="number")
    with pytest.raises(InputError, match="expected a number or nothing"):
        csvtable.values((feature,), csvtable.read(f"n\n{cell}\n".encode(), names=["n"]))
