"""stages/ingest: from the raw table to typed Parquet and two records, or nothing at all."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from modelyard import project as projects
from modelyard.errors import DataInvalid, UsageError
from modelyard.project import Project
from modelyard.records import IngestRecord, Schema, read_json
from modelyard.stages.ingest import ingest

EXAMPLES = Path(__file__).parents[3] / "examples"


def make(root: Path, content: bytes | str, name: str = "t.csv", **data: object) -> Project:
    path = root / "data/raw" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    section = {"path": f"data/raw/{name}", "target": "y", **data}
    tree = {"project": {"name": "test"}, "data": section}
    return Project(root, projects.settings_from(tree, "modelyard.yaml"))


def written(project: Project) -> list[str]:
    """Everything but the raw table."""
    files = (path for path in project.root.rglob("*") if path.is_file())
    return sorted(str(f.relative_to(project.root)) for f in files if "raw" not in f.parts)


def test_flights(tmp_path: Path) -> None:
    content = (EXAMPLES / "flights/flights_v1_jan_apr.csv").read_bytes()
    project = make(tmp_path, content, "flights.csv", target="late", time="scheduled")
    record = ingest(project)
    assert written(project) == [
        "data/interim/table.parquet", "records/ingest.json", "records/schema.json"
    ]  # fmt: skip
    assert read_json(project.record("ingest"), IngestRecord) == record
    assert record.rows == record.rows_read == 7766
    assert record.source_md5 == hashlib.md5(content).hexdigest()
    assert record.source_bytes == len(content)
    assert record.class_counts["yes"] == 1429
    assert sum(record.class_counts.values()) == 7766
    schema = read_json(project.record("schema"), Schema)
    table = pl.read_parquet(project.table)
    assert table.columns == [column.name for column in schema.columns]
    assert table["scheduled"].dtype == pl.Datetime("us")
    assert len(schema.features) == 19


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    content = (EXAMPLES / "churn/wa_churn.csv").read_bytes()
    project = make(tmp_path, content, target="churn")
    assert ingest(project).duplicate_rows == 22
    first = [(tmp_path / name).read_bytes() for name in written(project)]
    ingest(project)
    assert [(tmp_path / name).read_bytes() for name in written(project)] == first


def test_missing_targets_are_dropped_and_counted(tmp_path: Path) -> None:
    rows = "".join(f"{i},{('p', 'q', '')[i % 3]}\n" for i in range(30))
    record = ingest(make(tmp_path, "a,y\n" + rows))
    assert (record.rows_read, record.rows, record.target_missing) == (30, 20, 10)
    assert "target-missing" in {finding.kind for finding in record.findings}


def test_a_word_that_passes_for_no_target_is_named(tmp_path: Path) -> None:
    rows = "".join(f"{i},{('yes', 'no', 'none', '')[i % 4]}\n" for i in range(80))
    (tmp_path / "a").mkdir()
    record = ingest(make(tmp_path / "a", "a,y\n" + rows))
    (told,) = [f.message for f in record.findings if f.kind == "target-missing"]
    assert told == (
        "40 rows have no target and were dropped "
        "('none' in 20; data.types.y: category keeps such a word as a class)"
    )
    (tmp_path / "b").mkdir()
    project = make(tmp_path / "b", "a,y\n" + rows, types={"y": "category"})
    record = ingest(project)
    (told,) = [f.message for f in record.findings if f.kind == "target-missing"]
    assert told == "20 rows have no target and were dropped"
    assert record.class_counts == {"no": 20, "none": 20, "yes": 20}


def test_latin_semicolons_and_decimal_commas(tmp_path: Path) -> None:
    rows = "".join(f"{i},5;{('Köln', 'Ulm')[i % 2]};{('ja', 'nein')[i % 2]}\n" for i in range(30))
    project = make(tmp_path, ("Größe (m²);Ort;y\n" + rows).encode("latin-1"))
    record = ingest(project)
    assert (record.encoding, record.delimiter) == ("cp1252", ";")
    table = pl.read_parquet(project.table)
    assert table["Größe (m²)"].to_list()[:2] == [0.5, 1.5]
    assert table["Ort"].to_list()[:2] == ["Köln", "Ulm"]


def test_fifty_rows_and_fifteen_hundred_columns(tmp_path: Path) -> None:
    few = "a,y\n" + "".join(f"{i * 7 % 50},{i % 2}\n" for i in range(50))
    record = ingest(make(tmp_path / "few", few))
    assert record.rows == 50
    assert "few-rows" in {finding.kind for finding in record.findings}
    names = [f"c{i}" for i in range(1500)]
    wide = ",".join([*names, "y"]) + "\n"
    wide += "".join(
        ",".join([*(str((r * 31 + c * 7) % 101) for c in range(1500)), str(r % 2)]) + "\n"
        for r in range(100)
    )
    project = make(tmp_path / "wide", wide)
    ingest(project)
    assert len(read_json(project.record("schema"), Schema).features) == 1500


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,y\n", "header only"),
        ("a,a,y\n1,2,3\n", "several columns of one name"),
        ("a,b\n1,2\n", "target column 'y' is not in the table"),
        ("a,y\n" + "1,x\n2,x\n" * 9, "is constant"),
        (",y\n" + ",p\n,q\n" * 9, "No column is left"),
        ("a,y\n" + "1,p\n2,q\n" * 9 + "inf,p\n", "row 19, column 'a'"),
        ("a,y\n" + "1,p\n" * 9 + "2,q\n2,q\n", "fewer than 3 rows"),
        ("a,y\n" + "1,p\n" * 9 + "2\n", "ragged"),
        (b"\x89PNG\x00\x01\x02\x00" * 40, "not a text table"),
    ],
)
def test_bad_tables_leave_nothing_half_written(
    tmp_path: Path, content: bytes | str, message: str
) -> None:
    project = make(tmp_path, content)
    with pytest.raises(DataInvalid, match=message) as caught:
        ingest(project)
    assert caught.value.exit_code == 4
    assert caught.value.next_step
    assert written(project) == []


def test_a_missing_table(tmp_path: Path) -> None:
    project = make(tmp_path, "a,y\n1,2\n")
    project.data.unlink()
    with pytest.raises(UsageError, match="does not exist"):
        ingest(project)


def test_a_failed_write_keeps_the_old_table(tmp_path: Path, monkeypatch) -> None:
    project = make(tmp_path, "a,y\n" + "1,p\n2,q\n" * 9)
    ingest(project)
    before = project.table.read_bytes()

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        ingest(project)
    assert project.table.read_bytes() == before
    assert not list(project.table.parent.glob("*.part"))


def test_a_light_stage() -> None:
    """A person gets the message fast: none of the heavy libraries is imported on the way."""
    code = (
        "import sys, modelyard.stages.ingest\n"
        "heavy = {'sklearn', 'lightgbm', 'mlflow', 'pandas', 'matplotlib', 'optuna', 'dvc'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
