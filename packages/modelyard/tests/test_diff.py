"""The table diff: a known edit script is found whole."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import DataInvalid
from modelyard.settings import DataSection
from modelyard.tables.diff import diff
from modelyard.tables.schema import apply, infer


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "nr": np.arange(rows),
            "size": random.normal(size=rows),
            "colour": random.choice(np.array(["red", "green", "grey"]), rows),
            "day": [date(2024, 1, 1 + int(d)) for d in random.integers(0, 28, rows)],
            "bought": random.choice(np.array(["no", "yes"]), rows),
        }
    ).with_columns(pl.col("colour").replace("grey", None))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_known_edit_script_is_found_whole(data: st.DataObject) -> None:
    rows = data.draw(st.integers(1, 80))
    numbers = st.lists(st.integers(0, rows - 1), unique=True)
    removed = set(data.draw(numbers))
    changed = set(data.draw(numbers)) - removed
    added = data.draw(st.integers(0, 20))
    shuffle = data.draw(st.randoms())
    old = table(rows)
    new = pl.concat(
        [
            old.filter(~pl.col("nr").is_in(list(removed))).with_columns(
                pl.when(pl.col("nr").is_in(list(changed)))
                .then(pl.col("size") + 1)
                .otherwise(pl.col("size"))
                .alias("size")
            ),
            table(added, 9).with_columns(pl.col("nr") + 1000),
        ]
    )
    order = list(range(new.height))
    shuffle.shuffle(order)
    new = new[order]

    found = diff(old, new, id_column="nr", target="bought")
    assert (found.added, found.removed, found.changed) == (added, len(removed), len(changed))
    assert {row["nr"] for row in found.removed_rows} <= removed
    assert len(found.removed_rows) == min(10, len(removed))
    assert {row.id for row in found.changed_rows} <= changed
    assert len(found.changed_rows) == min(10, len(changed))
    assert all(set(row.cells) == {"size"} for row in found.changed_rows)
    assert found.changed_cells == ({"size": len(changed)} if changed else {})

    loose = diff(old, new, target="bought")
    assert loose.changed == 0
    assert (loose.added, loose.removed) == (added + len(changed), len(removed) + len(changed))


def test_cells_before_and_after() -> None:
    old = pl.DataFrame({"id": ["a", "b"], "x": [1.0, 2.0], "t": [datetime(2024, 1, 1)] * 2})
    new = pl.DataFrame(
        {"id": ["b", "a"], "x": [2.0, None], "t": [datetime(2024, 1, 2), old["t"][0]]}
    )
    found = diff(old, new, id_column="id")
    cells = {row.id: row.cells for row in found.changed_rows}
    assert cells == {
        "a": {"x": (1.0, None)},
        "b": {"t": ("2024-01-01T00:00:00", "2024-01-02T00:00:00")},
    }


def test_equal_tables_have_no_difference() -> None:
    old = table(200)
    other_types = old.with_columns(pl.col("nr").cast(pl.Float64)).reverse()
    for id_column in ("nr", None):
        found = diff(old, other_types, id_column=id_column, target="bought")
        assert (found.added, found.removed, found.changed) == (0, 0, 0)
        assert all(shift.psi == pytest.approx(0) for shift in found.shifts)
    assert found.schema_changes == ("nr: integer became number",)


def test_rows_that_come_several_times_are_counted() -> None:
    old = pl.DataFrame({"x": ["a", "a", "a", "b", "c"]})
    new = pl.DataFrame({"x": ["a", "b", "b", "d"]})
    found = diff(old, new)
    assert (found.added, found.removed) == (2, 3)
    assert sorted(row["x"] for row in found.removed_rows) == ["a", "a", "c"]
    assert sorted(row["x"] for row in found.added_rows) == ["b", "d"]


def test_ids_that_come_twice_or_are_missing_fall_back_to_content() -> None:
    old = pl.DataFrame({"id": [1, 2, 2, None, 5], "x": ["a", "b", "c", "d", "e"]})
    new = pl.DataFrame({"id": [1, 2, 2, None, 5], "x": ["A", "b", "C", "d", "e"]})
    found = diff(old, new, id_column="id")
    assert (found.added, found.removed, found.changed) == (1, 1, 1)
    assert found.added_rows == ({"id": 2, "x": "C"},)
    assert any("comes twice" in note for note in found.notes)


def test_columns_that_come_go_and_change_type() -> None:
    old = pl.DataFrame({"id": [1, 2], "x": [1, 2], "gone": [0, 0]})
    new = pl.DataFrame({"id": [1, 2], "x": ["1", "two"], "new": [0, 0]})
    found = diff(old, new, id_column="id")
    assert found.columns_added == ("new",)
    assert found.columns_removed == ("gone",)
    assert found.columns_retyped == {"x": ("integer", "text")}
    assert found.schema_changes == (
        "new: new column",
        "gone: column removed",
        "x: integer became text",
    )
    assert found.changed == 1, "1 and the text 1 are one value"
    assert found.changed_rows[0].cells == {"x": ("2", "two")}


def test_balance_and_shifts() -> None:
    old = pl.DataFrame({"x": np.arange(1000.0), "y": ["no"] * 800 + ["yes"] * 200})
    new = pl.DataFrame({"x": np.arange(1000.0) + 500, "y": ["no"] * 500 + ["yes"] * 500})
    found = diff(old, new, target="y")
    assert found.balance_before == {"no": 0.8, "yes": 0.2}
    assert found.balance_after == {"no": 0.5, "yes": 0.5}
    assert [shift.column for shift in found.shifts] == ["x", "y"]
    assert found.shifts[0].verdict == "strong"
    prices = old.select(price=pl.col("x"))
    assert diff(prices, prices, target="price").balance_after == {"mean": 499.5}


def test_ids_beyond_what_decimals_hold() -> None:
    """Snowflakes: by way of float64 hundreds of them would be one."""
    old = pl.DataFrame(
        {"id": [2**60 + n for n in range(300)], "x": list(range(300)), "y": ["a", "b"] * 150}
    )
    new = old.with_columns(pl.when(pl.col("x") == 7).then(-1).otherwise("x").alias("x"))
    schema = infer(old, DataSection(path="t.csv", target="y", id="id"))[1]
    typed = [apply(frame, schema) for frame in (old, new)]
    assert typed[0]["id"].to_list() == old["id"].to_list()
    found = diff(typed[0], typed[1], id_column="id", target="y")
    assert (found.changed, found.added, found.removed) == (1, 0, 0)


@pytest.mark.parametrize("id_column", ["nr", None])
def test_an_empty_side(id_column: str | None) -> None:
    old = table(12)
    found = diff(old, old.clear(), id_column=id_column)
    assert (found.added, found.removed) == (0, 12)
    assert diff(old.clear(), old, id_column=id_column).added == 12


def test_no_common_column() -> None:
    found = diff(pl.DataFrame({"a": [1]}), pl.DataFrame({"b": [1, 2]}))
    assert (found.added, found.removed) == (2, 1)


def test_an_unknown_id_is_refused() -> None:
    with pytest.raises(
        DataInvalid, match="'nrr' is in neither table, did you mean 'nr'"
    ) as refused:
        diff(table(3), table(3), id_column="nrr")
    assert refused.value.exit_code == 4


def test_it_is_one_json_document() -> None:
    odd: dict[str, Any] = {
        "list": [[1], [2]],
        "blob": [b"a", b"b"],
        "not a number": [float("nan"), 1.0],
        "at": [datetime(2024, 1, 1), None],
    }
    wide = {f"c{i}": [i, i] for i in range(100)}
    frame = pl.DataFrame(odd | wide)
    found = diff(frame, frame.clear())
    text = msgspec.json.encode(found)
    assert b"2024-01-01T00:00:00" in text
    assert len(found.removed_rows[0]) == 30
