"""tables/suggest: what a new project's data section says, and why."""

from __future__ import annotations

from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard.errors import DataInvalid
from modelyard.settings import DataSection
from modelyard.tables.reading import read_table
from modelyard.tables.schema import infer
from modelyard.tables.suggest import suggest

EXAMPLES = Path(__file__).parents[3] / "examples"
ROWS = 120


def customers() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "customerID": [f"7590-{i:04d}" for i in range(ROWS)],
            "e-mail": [f"a{i}@example.org" for i in range(ROWS)],
            "signed": [f"{i % 28 + 1:02d}.{i % 12 + 1:02d}.2020" for i in range(ROWS)],
            "birth_date": [f"19{i % 60 + 30}-01-05" for i in range(ROWS)],
            "spent": [f"{i},5" for i in range(ROWS)],
            "plan": [("a", "b")[i % 2] for i in range(ROWS)],
            "churn": [("no", "no", "yes")[i % 3] for i in range(ROWS)],
        }
    )


def test_customers() -> None:
    found = suggest(customers(), "churn", delimiter=";")
    assert (found.target, found.task, found.positive) == ("churn", "binary", "yes")
    assert found.id == "customerID"
    assert found.time == "signed"
    assert list(found.excluded) == ["e-mail"]
    assert found.types == {"signed": "datetime", "birth_date": "datetime", "spent": "number"}
    assert "%d.%m.%Y" in found.reasons["signed"]
    assert {"task", "positive", "id", "time", "e-mail", "spent"} <= set(found.reasons)
    assert all(reason.endswith(".") for reason in found.reasons.values())


def test_the_table_is_read_as_a_person_says() -> None:
    frame = customers().with_columns(z=pl.Series([float("inf"), *range(ROWS - 1)]))
    frame = frame.with_columns(visits=pl.Series([*(i % 14 for i in range(ROWS - 2)), 14, 15]))
    with pytest.raises(DataInvalid, match="infinite") as caught:
        suggest(frame, "churn")
    assert 'data.exclude: ["z"] in modelyard.yaml' in caught.value.next_step
    told = DataSection(path="-", target="visits", exclude=("z", "customerID"))
    with pytest.raises(DataInvalid, match="fewer than 3 rows") as caught:
        suggest(frame, "visits", told=told)
    assert "data.task: regression in modelyard.yaml" in caught.value.next_step
    told = msgspec.structs.replace(told, task="regression", missing=("no",))
    found = suggest(frame, "visits", told=told)
    assert (found.task, found.id, found.time) == ("regression", "customerID", "signed")
    assert list(found.excluded) == ["e-mail"]


def test_the_suggestion_is_a_data_section_that_works() -> None:
    found = suggest(customers(), "churn")
    section = DataSection(
        path="t.csv",
        target=found.target,
        task=found.task,
        positive=found.positive,
        id=found.id,
        time=found.time,
        exclude=tuple(found.excluded),
        types=dict(found.types),
    )
    _, schema = infer(customers(), section)
    assert [c.name for c in schema.features] == ["signed", "birth_date", "spent", "plan"]


def test_flights() -> None:
    found = suggest(read_table(EXAMPLES / "flights/flights_v1_jan_apr.csv").frame, "late")
    assert (found.task, found.id, found.time) == ("binary", None, "scheduled")
    assert found.types == {"scheduled": "datetime"}
    assert found.excluded == {}


def test_target_by_its_name_or_not_at_all() -> None:
    assert suggest(customers(), None).target == "churn"
    with pytest.raises(DataInvalid, match="not evident"):
        suggest(customers().rename({"churn": "quit"}), None)
    with pytest.raises(DataInvalid, match="did you mean 'churn'"):
        suggest(customers(), "churnn")
