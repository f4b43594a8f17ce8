"""Data versions: added, compared, checked out byte for byte, and their figures with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def test_log_and_diff_count_what_changed(grown: Any) -> None:
    newest, oldest = grown.json("data", "log")
    assert (newest["version"], newest["message"], newest["rows"]) == ("v2", "November", 1400)
    assert (oldest["version"], oldest["rows"], oldest["current"]) == ("v1", 1000, False)
    assert newest["current"]
    assert grown.git("status", "--porcelain") == ""

    found = grown.json("data", "diff", "v1", "v2")
    assert (found["rows_before"], found["rows_after"]) == (1000, 1400)
    assert (found["added"], found["removed"], found["changed"]) == (400, 0, 1)
    assert found["schema_changes"] == []
    backwards = grown.json("data", "diff", "v2", "v1")
    assert (backwards["added"], backwards["removed"]) == (0, 400)
    assert "400 added" in grown.cli("data", "diff").stdout


def test_old_rows_keep_their_sides(released: Any, grown: Any) -> None:
    import polars as pl

    old = pl.read_parquet(released.root / "data/interim/split.parquet")
    new = pl.read_parquet(grown.root / "data/interim/split.parquet")
    assert new.height > old.height
    sides = dict(new.select("key", "side").iter_rows())
    assert [sides[key] for key in old["key"]] == old["side"].to_list()


def test_there_and_back_again(project_of_two: Any, released: Any) -> None:
    project, first = project_of_two, released
    second = project.metrics
    champion = project.record("champion")
    assert champion["version"] == "2"
    now = project.table.read_bytes()

    project.cli("data", "checkout", "v1")
    assert project.table.read_bytes() == first.table.read_bytes()
    found = project.json("run")
    assert project.metrics == first.metrics
    assert found["released"] is None
    assert "v1" in found["note"]
    assert project.record("champion") == champion
    assert project.record("pack")["model_digest"] == first.record("pack")["model_digest"]
    assert len(project.audit) == 2

    project.cli("data", "checkout", "v2")
    assert project.table.read_bytes() == now
    project.cli("run")
    assert project.metrics == second
    assert project.record("champion") == champion
    assert project.git("tag", "--list", "model/*").splitlines() == ["model/v1", "model/v2"]


def test_invalid_data_changes_nothing(project: Any, tmp_path: Path) -> None:
    from csv import DictReader, DictWriter

    rows = list(DictReader(project.table.open(newline="")))
    for number in range(40):
        rows[number]["tenure"] = "a while"
    bad = tmp_path / "bad.csv"
    with bad.open("w", newline="") as file:
        writer = DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    before = project.snapshot()
    done = project.cli("data", "add", bad, "-m", "December", code=4)
    assert "tenure" in done.stderr
    assert "a while" in done.stderr
    assert done.stderr.count("a while") <= 12, "ten examples and a count, not forty"
    assert "next:" in done.stderr
    assert project.snapshot() == before

    lost = tmp_path / "lost.csv"
    with lost.open("w", newline="") as file:
        writer = DictWriter(file, [n for n in rows[0] if n != "contract"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows[40:])
    assert "contract" in project.cli("data", "add", lost, "-m", "December", code=4).stderr
    assert project.snapshot() == before
    again = project.cli("data", "add", project.table, "-m", "the same", code=2)
    assert "v1" in again.stderr
    assert project.snapshot() == before


def test_edited_data_is_never_lost(project: Any) -> None:
    text = project.table.read_text()
    project.table.write_text(text + text.splitlines()[5].replace("C00004", "C90000") + "\n")
    edited = project.table.read_bytes()
    for command in (["run"], ["data", "checkout", "v1"]):
        done = project.cli(*command, code=2)
        assert "data add" in done.stderr
        assert project.table.read_bytes() == edited
    project.cli("data", "add", project.table, "-m", "one row more")
    assert project.json("data", "diff")["added"] == 1
    assert project.table.read_bytes() == edited
    project.cli("data", "checkout", "v1")
    assert project.table.read_text() == text


def test_dvc_diff_understands_the_versions(grown: Any) -> None:
    found = json.loads(grown.tool("dvc", "diff", "data/v1", "data/v2", "--json").stdout)
    assert "data/raw/customers.csv" in {entry["path"] for entry in found["modified"]}
