"""The row hash: frozen values, a plain-Python twin, and what counts as equal."""

from __future__ import annotations

import hashlib
import re
import struct
from contextlib import suppress
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.tables import rowhash
from modelyard.tables.rowhash import row_keys, side_fraction

M = 2**64 - 1


def mix(x: int) -> int:
    x = (x + 0x9E3779B97F4A7C15) & M
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & M
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & M
    return x ^ (x >> 31)


def bits_of(value: Any) -> int:
    """The specification, one value at a time."""
    if value is None or (isinstance(value, float) and value != value):
        return int.from_bytes(b"missing!"[::-1], "little")
    if isinstance(value, bool):
        value = float(value)
    if isinstance(value, float) and 2**53 < abs(value) < 2**63:
        value = int(value)
    if isinstance(value, int) and abs(value) > 2**53:
        return mix(value & M) ^ int.from_bytes(b"biginteg"[::-1], "little")
    if isinstance(value, int | float):
        return int.from_bytes(struct.pack("<d", float(value) + 0.0), "little")
    if isinstance(value, datetime):
        delta = value - datetime(1970, 1, 1)
        micros = (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
        return mix(micros & M) ^ int.from_bytes(b"momentus"[::-1], "little")
    value = value.lower() if value.lower() in ("true", "false") else value
    raw = value.encode()
    whole = value.lstrip("-").isdigit() and value.isascii() and str(int(value)) == value
    if whole and abs(int(value)) < 2**63:
        return bits_of(int(value))
    if re.fullmatch(r"-?(0|[1-9][0-9]{0,5})\.([0-9]{0,5}[1-9]|0)", value):
        return bits_of(float(value))
    if re.fullmatch(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}", value):
        with suppress(ValueError):
            return bits_of(datetime.fromisoformat(value))
    if len(raw) > 128:
        return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "little")
    state = mix(len(raw) ^ int.from_bytes(b"text_utf"[::-1], "little"))
    for start in range(0, len(raw), 8):
        state = mix(state ^ int.from_bytes(raw[start : start + 8], "little"))
    return state


def key_of(row: dict[str, Any]) -> int:
    total = 0
    for name, value in row.items():
        digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
        total += mix(bits_of(value) ^ int.from_bytes(digest, "little"))
    return mix(total & M)


ROWS: list[dict[str, Any]] = [
    {"n": 1.5, "i": 3, "b": True, "s": "alpha", "t": datetime(2013, 1, 1, 6, 0, 0, 5)},
    {"n": -0.0, "i": -(2**60) - 1, "b": False, "s": "", "t": datetime(1969, 12, 31)},
    {"n": None, "i": None, "b": None, "s": None, "t": None},
    {"n": float("nan"), "i": 2**53, "b": True, "s": "Größe (€) über alles", "t": None},
    {"n": 1e300, "i": 0, "b": False, "s": "-17", "t": datetime(2100, 2, 3)},
    {"n": 2.0**60, "i": 1, "b": True, "s": "x" * 129, "t": datetime(2100, 2, 3)},
    {"n": float("inf"), "i": 1, "b": True, "s": "0042", "t": datetime(2100, 2, 3)},
]
TYPES = {"n": pl.Float64, "i": pl.Int64, "b": pl.Boolean, "s": pl.String, "t": pl.Datetime("us")}

FROZEN = [
    4710837628456064012,
    3898036002725364035,
    697074823238677674,
    4573631549627049101,
    8540918290074781192,
    4189343570036117819,
    27638498220850506,
]
FRACTIONS = [
    0.39871441997226253,
    0.1244696745762055,
    0.9773923453907272,
    0.7930210909455643,
    0.5774259936293008,
    0.3450716371910828,
    0.09272986728773935,
]


def test_values_are_frozen() -> None:
    """A change here would deal every user's rows anew: never edit these numbers."""
    found = row_keys(pl.DataFrame(ROWS, schema=TYPES), list(TYPES))
    assert found.dtype == np.uint64
    assert found.tolist() == FROZEN
    fractions = side_fraction(found, 7)
    assert fractions.tolist() == pytest.approx(FRACTIONS, abs=0)


def test_the_plain_twin_agrees() -> None:
    found = row_keys(pl.DataFrame(ROWS, schema=TYPES), list(TYPES))
    assert found.tolist() == [key_of(row) for row in ROWS]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.floats()),
            st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
            st.one_of(st.none(), st.text(max_size=200), st.integers(-99, 999).map(str)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_the_plain_twin_agrees_on_anything(rows: list[tuple[Any, Any, Any]]) -> None:
    named = [dict(zip("nis", row, strict=True)) for row in rows]
    frame = pl.DataFrame(named, schema={name: TYPES[name] for name in "nis"}, strict=False)
    assert row_keys(frame, ["n", "i", "s"]).tolist() == [key_of(row) for row in named]


def test_columns_order_and_rows_order_do_not_matter() -> None:
    frame = pl.DataFrame(ROWS, schema=TYPES)
    names = list(TYPES)
    keys = row_keys(frame, names)
    assert (row_keys(frame.select(names[::-1]), names[::-1]) == keys).all()
    assert (row_keys(frame.reverse(), names) == keys[::-1]).all()
    assert (row_keys(frame.rename({"n": "m"}), ["m", *names[1:]]) != keys).all()


def test_values_that_swap_columns_differ() -> None:
    frame = pl.DataFrame({"a": [1, 2], "b": [2, 1]})
    first, second = row_keys(frame, ["a", "b"])
    assert first != second


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pl.Series("x", [1, 2, None]), pl.Series("x", [1.0, 2.0, float("nan")])),
        (pl.Series("x", [1, 2, 3], dtype=pl.Int8), pl.Series("x", ["1", "2", "3"])),
        (pl.Series("x", [1.5, -0.25, 3.0]), pl.Series("x", ["1.5", "-0.25", "3.0"])),
        (pl.Series("x", [date(2024, 1, 31)]), pl.Series("x", ["2024-01-31"])),
        (pl.Series("x", ["True", "FALSE", "Truth"]), pl.Series("x", ["true", "false", "Truth"])),
        (pl.Series("x", [0.0]), pl.Series("x", [-0.0])),
        (pl.Series("x", [2**60]), pl.Series("x", [2.0**60])),
        (pl.Series("x", [date(2024, 1, 2)]), pl.Series("x", [datetime(2024, 1, 2)])),
        (pl.Series("x", ["a", None]), pl.Series("x", ["a", None], dtype=pl.Categorical)),
        (pl.Series("x", [None, None]), pl.Series("x", [None, None], dtype=pl.String)),
    ],
)
def test_one_value_in_two_types_is_one_value(one: pl.Series, other: pl.Series) -> None:
    assert (row_keys(one.to_frame(), ["x"]) == row_keys(other.to_frame(), ["x"])).all()


@pytest.mark.parametrize(
    "values",
    [
        ["42", "0042", "42.10", "042", "+42", " 42", "42.1", "4.21e1"],
        ["2024-01-31", "2024-1-31", "2024-02-31", "31.01.2024"],
        ["", None, " "],
        [2**60, 2**60 + 1, 2**60 + 2],
        ["abcdefgh", "abcdefg", "abcdefgh\0", "hgfedcba"],
        [datetime(2024, 1, 1), datetime(2024, 1, 1, microsecond=1)],
        [b"a", b"b", None],
        [[1, 2], [2, 1], None],
    ],
)
def test_different_values_differ(values: list[Any]) -> None:
    frame = pl.DataFrame({"x": values})
    assert len(set(row_keys(frame, ["x"]).tolist())) == len(values)


def test_many_rows_are_hashed_as_few_are() -> None:
    """Blocks, threads and the two ways for texts give one result."""
    size = rowhash.BLOCK * 2 + 17
    random = np.random.default_rng(0)
    frame = pl.DataFrame(
        {
            "n": random.normal(size=size),
            "few": random.choice(np.array(["red", "green", "415", ""]), size),
            "many": np.arange(size).astype(str),
        }
    ).with_columns(pl.when(pl.col("n") > 2).then(None).otherwise(pl.col("few")).alias("few"))
    keys = row_keys(frame, frame.columns)
    assert len(np.unique(keys)) == size
    some = random.choice(size, 200, replace=False)
    assert (row_keys(frame[some], frame.columns) == keys[some]).all()
    assert keys[some[0]] == key_of(frame.row(int(some[0]), named=True))


def test_the_source_is_not_written_to() -> None:
    numbers = np.array([1.0, 2.0, -0.0])
    frame = pl.DataFrame({"x": numbers})
    row_keys(frame, ["x"])
    assert frame["x"].to_list() == [1.0, 2.0, -0.0]
    keys = np.arange(5, dtype=np.uint64)
    side_fraction(keys, 3)
    assert keys.tolist() == [0, 1, 2, 3, 4]


def test_fractions_are_even_and_salted() -> None:
    keys = row_keys(pl.DataFrame({"x": np.arange(50_000)}), ["x"])
    one, two = side_fraction(keys, 1), side_fraction(keys, 2)
    assert one.min() >= 0
    assert one.max() < 1
    tenths = np.histogram(one, bins=10, range=(0, 1))[0] / len(one)
    assert np.abs(tenths - 0.1).max() < 0.006
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.02
