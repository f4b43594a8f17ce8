"""PSI: the formula by hand, planted shifts found, chance left alone."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.records import Column, Schema
from modelyard.tables import shift
from modelyard_serve import contract

EXAMPLES = Path(__file__).parents[3] / "examples" / "flights"


def moved(before: pl.Series, after: pl.Series) -> shift.ColumnShift:
    frames = before.alias("x").to_frame(), after.alias("x").to_frame()
    (found,) = shift.column_shifts(*frames)
    return found


def test_psi_by_hand() -> None:
    expected = (0.6 - 0.5) * math.log(0.6 / 0.5) + (0.4 - 0.5) * math.log(0.4 / 0.5)
    assert shift.psi([0.5, 0.5], [0.6, 0.4]) == pytest.approx(expected)
    assert shift.psi([0.2, 0.8], [0.2, 0.8]) == 0
    assert math.isfinite(shift.psi([1.0, 0.0], [0.0, 1.0]))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(st.none(), st.floats(allow_infinity=False)), min_size=1, max_size=200),
    st.integers(2, 20),
)
def test_a_description_holds_every_row(values: list[float | None], bins: int) -> None:
    series = pl.Series("x", values, dtype=pl.Float64)
    (found,) = shift.describe(series, bins=bins)
    whole = shift.plain(series)
    assert found.missing_share == pytest.approx(whole.null_count() / len(values))
    if whole.null_count() < len(values):
        assert sum(found.shares) == pytest.approx(1)
        assert len(found.edges) == len(found.shares) + 1
        assert list(found.edges) == sorted(found.edges)
    counted = shift.counts(found, series)
    assert counted.sum() == len(values)
    assert shift.column_shift(found, len(values), counted).psi == pytest.approx(0, abs=1e-9)


def test_bins_are_deciles_and_heavy_values_have_their_own() -> None:
    (even,) = shift.describe(pl.Series("x", np.arange(1000.0)))
    assert even.shares == pytest.approx([0.1] * 10)
    rain = np.concatenate([np.zeros(950), np.linspace(0.1, 2, 50)])
    (dry,) = shift.describe(pl.Series("rain", rain))
    assert max(dry.shares) == pytest.approx(0.95)
    wet = pl.Series("rain", np.concatenate([np.zeros(500), np.linspace(0.1, 2, 500)]))
    assert moved(pl.Series("rain", rain), wet).psi > 1


def test_a_constant_that_changes_is_seen_on_both_sides() -> None:
    same = pl.Series([5.0] * 100)
    assert moved(same, same).psi == 0
    assert moved(same, pl.Series([6.0] * 100)).verdict == "strong"
    assert moved(same, pl.Series([4.0] * 100)).verdict == "strong"


def test_missing_is_a_bin_of_its_own() -> None:
    full = pl.Series(np.arange(1000.0))
    holed = pl.Series([None if i % 2 else float(i) for i in range(1000)])
    found = moved(full, holed)
    assert found.verdict == "strong"
    assert (found.missing_before, found.missing_after) == (0.0, 0.5)
    assert found.after == "missing 50.0%"
    assert moved(pl.Series([None] * 50, dtype=pl.Float64), full).verdict == "strong"


def test_categories_beyond_the_first_fifty_are_one_bin() -> None:
    random = np.random.default_rng(0)
    many = pl.Series(random.zipf(1.3, 5000).clip(max=400).astype(str))
    (found,) = shift.describe(many)
    assert len(found.levels) == 50
    assert len(found.shares) == 51
    new = pl.Series(["never seen"] * 5000)
    assert moved(many, new).psi > 5
    assert moved(many, new).before.startswith("1 "), "the level that vanished moved most"


@pytest.mark.parametrize("rows", [60, 500, 5000])
@pytest.mark.parametrize("kind", ["number", "category", "moment"])
def test_chance_alone_is_no_drift(rows: int, kind: str) -> None:
    """Two samples of one law: PSI of few rows is large, and still says none."""
    random = np.random.default_rng(rows)
    for _ in range(20):
        if kind == "number":
            pair = [pl.Series(random.normal(size=n)) for n in (5000, rows)]
        elif kind == "category":
            pair = [pl.Series(random.integers(0, 30, n).astype(str)) for n in (5000, rows)]
        else:
            start = datetime(2024, 1, 1)
            pair = [
                pl.Series([start + timedelta(hours=int(h)) for h in random.integers(0, 8760, n)])
                for n in (5000, rows)
            ]
        assert moved(*pair).verdict == "none"


@pytest.mark.parametrize("rows", [200, 5000])
def test_a_planted_shift_alarms(rows: int) -> None:
    random = np.random.default_rng(0)
    before = pl.Series(random.normal(size=5000))
    assert moved(before, pl.Series(random.normal(1.0, size=rows))).verdict == "strong"


def test_moments_are_judged_by_their_parts() -> None:
    start = datetime(2024, 1, 1)
    days = pl.Series([start + timedelta(hours=8 * i) for i in range(900)])
    nights = pl.Series([start + timedelta(hours=8 * i + 3) for i in range(900)])
    found = moved(days, nights)
    assert found.part == "hour"
    assert found.verdict == "strong"
    assert found.before.startswith("2024-01-01 to 2024-10-2")


def test_order_and_types() -> None:
    random = np.random.default_rng(0)
    old = pl.DataFrame(
        {"a": random.normal(size=500), "b": random.normal(size=500), "c": [1, 2] * 250, "old": 1}
    )
    new = old.with_columns(pl.col("b") + 2, pl.col("c").cast(pl.String), pl.lit("x").alias("new"))
    found = shift.column_shifts(old, new.drop("old"))
    assert [entry.column for entry in found] == ["b", "a", "c"]
    assert found[1].psi == 0
    assert found[2].psi == 0, "1 and the text 1 are one level"


def test_the_reference_is_what_the_package_holds() -> None:
    """Every field is the contract's, and reading it back gives the same figures."""
    random = np.random.default_rng(0)
    rows = 400
    frame = pl.DataFrame(
        {
            "n": random.normal(size=rows),
            "c": random.choice(np.array(["a", "b"]), rows),
            "b": random.random(rows) < 0.3,
            "t": [datetime(2024, 1, 1) + timedelta(hours=i) for i in range(rows)],
            "d": [datetime(2020, 1, 1) + timedelta(days=i) for i in range(rows)],
            "y": random.choice(np.array(["no", "yes"]), rows),
        }
    )
    schema = Schema(
        task="binary",
        target="y",
        classes=("no", "yes"),
        columns=(
            Column(name="n", kind="number"),
            Column(name="c", kind="category", levels=("a", "b")),
            Column(name="b", kind="boolean", levels=("no", "yes")),
            Column(name="t", kind="datetime", role="time"),
            Column(name="d", kind="datetime"),
            Column(name="y", kind="category", role="target"),
        ),
    )
    scores = random.random((100, 2))
    made = shift.reference_of(frame, schema, scores=scores)
    text = msgspec.json.encode(made)
    read = msgspec.json.decode(text, type=contract.Reference, strict=True)
    assert msgspec.json.encode(read) == msgspec.json.encode(
        msgspec.convert(msgspec.to_builtins(made), contract.Reference)
    )
    assert [c.name for c in read.columns] == [
        "n", "c", "b", "t.hour", "t.weekday", "d.hour", "d.weekday", "d.month",
    ]  # fmt: skip
    assert [c.name for c in read.scores] == ["no", "yes"]
    assert read.columns[0].edges == made.columns[0].edges
    assert read.rows == rows
    assert all(sum(c.shares) == pytest.approx(1) for c in (*read.columns, *read.scores))


def test_the_demo_tells_its_story() -> None:
    """The figures that the demo is built on."""
    read = [
        pl.read_csv(EXAMPLES / f"flights_{name}.csv", try_parse_dates=True)
        for name in ("v1_jan_apr", "v2_jan_aug", "new_sep_dec")
    ]
    first = {s.column: s.psi for s in shift.column_shifts(read[0], read[2])}
    second = {s.column: s.psi for s in shift.column_shifts(read[1], read[2])}
    assert first["temp"] == pytest.approx(0.92, abs=0.05)
    assert second["temp"] == pytest.approx(0.36, abs=0.05)
    assert first["distance"] < 0.1
