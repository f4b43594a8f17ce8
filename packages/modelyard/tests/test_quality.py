"""tables/quality, tables/leakage: each finding is found, and not where there is nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from modelyard.records import Finding
from modelyard.settings import DataSection
from modelyard.tables import quality
from modelyard.tables.reading import read_table
from modelyard.tables.schema import infer

EXAMPLES = Path(__file__).parents[3] / "examples"
ROWS = 600
RNG = np.random.default_rng(7)
NOISE = RNG.normal(size=ROWS)
LABEL = np.where(NOISE + RNG.normal(size=ROWS) > 0, "yes", "no")


def findings(columns: dict[str, Any], **data: Any) -> tuple[Finding, ...]:
    columns = {"noise": NOISE, "y": LABEL, **columns}
    section = DataSection(path="t.csv", target="y", **data)
    frame, schema = infer(pl.DataFrame(columns, strict=False), section)
    return quality.examine(frame, schema)


def kinds(found: tuple[Finding, ...]) -> set[tuple[str, str | None]]:
    return {(finding.kind, finding.column) for finding in found}


def test_nothing_is_found_in_plain_data() -> None:
    assert findings({"b": NOISE**2}) == ()


def test_real_tables() -> None:
    for path, target, column in (
        ("flights/flights_v1_jan_apr.csv", "late", "wind_gust"),
        ("churn/wa_churn.csv", "churn", None),
    ):
        raw = read_table(EXAMPLES / path)
        frame, schema = infer(raw.frame, DataSection(path="t.csv", target=target))
        found = kinds(quality.examine(frame, schema))
        assert "leakage" not in {kind for kind, _ in found}
        assert (("missing", column) if column else ("duplicates", None)) in found
    assert quality.duplicate_rows(frame) == 22


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        ([None if i % 2 else 1.5 * (i % 9) for i in range(ROWS)], "missing"),
        ([None] * ROWS, "missing"),
        (["x"] * ROWS, "constant"),
        ([f"n{i}" for i in range(ROWS)], "id-like"),
        ([f"level {i % 150}" for i in range(ROWS)], "high-cardinality"),
        ([f"a few words that stand here {i}" for i in range(ROWS)], "text"),
        ([f"2013-01-{i % 28 + 1:02d}" for i in range(ROWS - 1)] + ["never"], "text"),
    ],
)
def test_columns(column: list[Any], kind: str) -> None:
    found = findings({"c": pl.Series("c", column)})
    assert (kind, "c") in kinds(found)
    assert all(finding.message for finding in found)


def test_duplicates_and_few_rows() -> None:
    frame = pl.DataFrame({"a": [1, 1, 2, 3, 4, 5] * 2, "y": ["p", "p", "q", "q", "p", "q"] * 2})
    typed, schema = infer(frame, DataSection(path="t", target="y"))
    found = {finding.kind: finding.figure for finding in quality.examine(typed, schema)}
    assert found["duplicates"] == 7
    assert found["few-rows"] == 12
    assert quality.duplicate_rows(typed, schema) == 7
    assert quality.duplicate_rows(typed.with_row_index(), schema) == 0


def test_id_that_repeats() -> None:
    found = findings({"key": [i // 2 for i in range(ROWS)]}, id="key")
    assert ("duplicates", "key") in kinds(found)


@pytest.mark.parametrize(("rare", "message"), [(4, "has 4 rows"), (30, "accuracy says little")])
def test_imbalance(rare: int, message: str) -> None:
    found = findings({"y": ["bad"] * rare + ["good"] * (ROWS - rare)})
    assert any(f.kind == "imbalance" and message in f.message for f in found)


NUMBER = np.arange(ROWS) % 97 * 1.7 + NOISE


@pytest.mark.parametrize(
    ("target", "column"),
    [
        (LABEL, np.where(LABEL == "yes", 3, 9)),
        (LABEL, np.where(LABEL == "yes", "closed", "open")),
        (LABEL, pl.Series([None if label == "yes" else 1.0 * i for i, label in enumerate(LABEL)])),
        (LABEL, np.where(LABEL == "yes", NUMBER + 1000, NUMBER)),
        (np.array(["a", "b", "c"])[np.arange(ROWS) % 3], np.arange(ROWS) % 3 * 10),
        (NUMBER, NUMBER * 1.8 + 32),
        (NUMBER, np.exp(NUMBER / 50)),
    ],
)
def test_a_column_that_gives_the_answer_away(target: Any, column: Any) -> None:
    found = findings({"y": target, "leak": column})
    assert [f.column for f in found if f.kind == "leakage"] == ["leak"]
    assert next(f for f in found if f.kind == "leakage").figure >= 0.99


@pytest.mark.parametrize(
    ("target", "column"),
    [
        (LABEL, np.arange(ROWS)),  # unique in each row, and still no leak
        (LABEL, np.array([f"k{i % 300}" for i in range(ROWS)])),
        (LABEL, np.where(RNG.random(ROWS) < 0.9, LABEL, "no")),  # a good feature
        (NUMBER, NUMBER + RNG.normal(size=ROWS) * 20),
    ],
)
def test_what_is_no_leak(target: Any, column: Any) -> None:
    found = findings({"y": target, "c": column})
    assert "leakage" not in {f.kind for f in found}


def test_many_findings_of_one_kind_are_counted() -> None:
    found = findings({f"c{i}": ["x"] * ROWS for i in range(50)})
    same = [f for f in found if f.kind == "constant"]
    assert len(same) == 21
    assert same[-1].message == "30 more columns: constant"
