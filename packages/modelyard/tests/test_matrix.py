"""The signature comes from train + valid alone; the fast encoding equals the serve half's."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.errors import DataInvalid
from modelyard.models.matrix import build, raw_columns, shape_of, sides, signature, target
from modelyard.records import Column, Schema
from modelyard_serve.encoding import encode

SCHEMA = Schema(
    task="binary",
    target="late",
    classes=("no", "yes"),
    columns=(
        Column(name="late", kind="category", role="target"),
        Column(name="carrier", kind="category"),
        Column(name="distance", kind="integer"),
        Column(name="night", kind="boolean", levels=("no", "yes")),
        Column(name="when", kind="datetime", role="time"),
        Column(name="made", kind="datetime"),
        Column(name="tail", kind="category", role="id"),
        Column(name="empty", kind="number"),
    ),
)
FRAME = pl.DataFrame(
    {
        "late": ["no", "yes", "no", "yes"],
        "carrier": ["B6", "MQ", "B6", None],
        "distance": [1, None, 3, 40],
        "night": [True, None, False, True],
        "when": [datetime(2013, 1, d, 6 + d) for d in (1, 2, 3, 4)],
        "made": [None, datetime(2001, 5, 6), datetime(2002, 5, 6), None],
        "tail": ["a", "b", "c", "d"],
        "empty": pl.Series([None] * 4, dtype=pl.Float64),
    }
)


def test_the_signature_has_what_can_be_learned_from() -> None:
    features = signature(SCHEMA, FRAME)
    assert [feature.name for feature in features] == [
        "carrier",
        "distance",
        "night",
        "when",
        "made",
    ]
    carrier, distance, _, when, made = features
    assert carrier.levels == ("B6", "MQ")
    assert (distance.minimum, distance.maximum, distance.typical) == (1, 40, 3)
    assert "days" not in when.parts, "the running value of data.time never comes back"
    assert "days" in made.parts
    assert "month" not in made.parts, "a part that never varies says nothing"


def test_the_fast_matrix_is_the_serve_halfs() -> None:
    features = signature(SCHEMA, FRAME)
    fast = build(features, FRAME)
    slow = encode(features, raw_columns(features, FRAME))
    assert np.array_equal(fast, slow, equal_nan=True)
    assert fast.shape == (4, sum(feature.width for feature in features))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["no", "yes"]),
            st.one_of(st.none(), st.sampled_from(["B6", "MQ", "", "ü", "never seen"])),
            st.one_of(st.none(), st.integers(-(2**40), 2**40)),
            st.one_of(st.none(), st.booleans()),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_both_encodings_agree_on_any_later_rows(rows: list[tuple[object, ...]]) -> None:
    features = signature(SCHEMA, FRAME)[:3]
    later = pl.DataFrame(
        {name: [row[i] for row in rows] for i, name in enumerate(["late", "carrier"])}
        | {"distance": [row[2] for row in rows], "night": [row[3] for row in rows]},
        schema={
            "late": pl.String,
            "carrier": pl.String,
            "distance": pl.Int64,
            "night": pl.Boolean,
        },
    )
    fast = build(features, later)
    slow = encode(features, {name: later[name].to_list() for name in later.columns})
    assert np.array_equal(fast, slow, equal_nan=True)


def test_rare_levels_become_unknown_where_there_are_many() -> None:
    values = [f"c{i}" for i in range(25) for _ in range(3)] + ["once"]
    schema = Schema(task="regression", target="y", columns=(Column(name="c", kind="category"),))
    (feature,) = signature(schema, pl.DataFrame({"c": values}))
    assert len(feature.levels) == 25
    assert "once" not in feature.levels
    assert build([feature], pl.DataFrame({"c": ["once", "c3"]}))[0, 0] == 0


@pytest.mark.parametrize("name", ["count", "rows", "level", "len", "literal", "index", ""])
def test_a_category_column_may_have_any_name(name: str) -> None:
    schema = Schema(task="regression", target="y", columns=(Column(name=name, kind="category"),))
    (feature,) = signature(schema, pl.DataFrame({name: ["b", "a", "b", None, "c", "a", "b"]}))
    assert feature.levels == ("b", "a", "c")


def test_nothing_to_learn_from_is_said() -> None:
    schema = Schema(task="regression", target="y", columns=(Column(name="e", kind="number"),))
    with pytest.raises(DataInvalid, match="No column is left"):
        signature(schema, pl.DataFrame({"e": [None, None]}, schema={"e": pl.Float64}))


def test_targets_sides_and_shape() -> None:
    assert target(SCHEMA, FRAME).tolist() == [0, 1, 0, 1]
    values = Schema(task="regression", target="distance", columns=())
    assert target(values, FRAME.drop_nulls("distance")).tolist() == [1.0, 3.0, 40.0]
    dealt = sides(pl.DataFrame({"side": ["train", "test", "valid", "test"]}))
    assert (dealt.dev.tolist(), dealt.test.tolist()) == ([0, 2], [1, 3])
    features = signature(SCHEMA, FRAME)
    shape = shape_of(features, SCHEMA, target(SCHEMA, FRAME))
    assert (shape.categorical, shape.levels, shape.rows) == ((0,), (2,), 4)
    assert shape.width == sum(feature.width for feature in features)
