"""Drift of a batch: a planted shift alarms, a replay does not."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest
from handmade import FEATURES, write_package

from modelyard.errors import DataInvalid
from modelyard.models.matrix import raw_columns
from modelyard.records import Column, Schema, read_json, write_json
from modelyard.tables import shift
from modelyard.watch import blocks
from modelyard.watch.drift import DriftRecord, drift
from modelyard_serve.contract import GOLDEN, GRAPH, REFERENCE, Reference, file_digest
from modelyard_serve.scorer import Scorer

NAMES = [feature.name for feature in FEATURES]


def table(rows: int, seed: int) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    start = datetime(2013, 1, 7)
    return pl.DataFrame(
        {
            "distance": random.integers(100, 5000, rows).astype(np.float64),
            "Größe (€)": random.normal(1.5, 1, rows),
            "carrier": random.choice(np.array(["MQ", "B6"]), rows, p=[0.6, 0.4]),
            "night": random.random(rows) < 0.3,
            "when": [start + timedelta(hours=int(h)) for h in random.integers(0, 2400, rows)],
        }
    )


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The hand-made model with the reference of 4,000 training rows."""
    folder = write_package(tmp_path_factory.mktemp("model") / "package")
    train = table(4000, 1)
    outputs = Scorer(folder).score(raw_columns(FEATURES, table(1000, 2))).outputs
    schema = Schema(
        task="binary",
        target="late",
        classes=("no", "yes"),
        columns=tuple(
            Column(name=f.name, kind=f.kind, role="time" if f.name == "when" else "feature")
            for f in FEATURES
        ),
    )
    made = shift.reference_of(train, schema, scores=outputs)
    reference = msgspec.convert(msgspec.to_builtins(made), Reference)
    (folder / REFERENCE).write_bytes(msgspec.json.encode(reference))
    manifest = Scorer(folder, verify=False).manifest
    files = {name: file_digest(folder / name) for name in (GRAPH, GOLDEN, REFERENCE)}
    (folder / "manifest.json").write_bytes(
        msgspec.json.encode(msgspec.structs.replace(manifest, files=files))
    )
    return folder


def against(package: Path, frame: pl.DataFrame, tmp_path: Path) -> DriftRecord:
    path = tmp_path / "batch.csv"
    frame.write_csv(path)
    return drift(package, path)


@pytest.mark.parametrize("rows", [50, 300, 3000])
def test_a_replay_does_not_alarm(package: Path, tmp_path: Path, rows: int) -> None:
    for seed in range(3, 8):
        found = against(package, table(rows, seed), tmp_path)
        assert found.verdict == "none", found
        assert found.rows == rows
    assert [entry.column for entry in found.columns] != NAMES
    assert sorted(entry.column for entry in found.columns) == sorted(NAMES)


def test_a_planted_shift_alarms(package: Path, tmp_path: Path) -> None:
    frame = table(1000, 9).with_columns(pl.col("Größe (€)") + 1.5)
    found = against(package, frame, tmp_path)
    assert found.verdict == "strong"
    assert found.columns[0].column == "Größe (€)"
    assert found.columns[0].verdict == "strong"
    assert all(entry.verdict == "none" for entry in found.columns[1:])
    assert found.score_psi > 0
    assert found.scores[0].psi == found.score_psi
    psis = [entry.psi for entry in found.columns]
    assert psis == sorted(psis, reverse=True)


def test_unseen_and_missing_are_shares(package: Path, tmp_path: Path) -> None:
    frame = table(1000, 10).with_columns(
        pl.when(pl.int_range(1000) % 4 == 0)
        .then(pl.lit("XX"))
        .otherwise(pl.col("carrier"))
        .alias("carrier"),
        pl.when(pl.int_range(1000) % 2 == 0).then(None).otherwise(pl.col("night")).alias("night"),
    )
    found = {entry.column: entry for entry in against(package, frame, tmp_path).columns}
    assert found["carrier"].unseen_share == 0.25
    assert found["carrier"].verdict == "strong"
    assert (found["night"].missing_before, found["night"].missing_after) == (0.0, 0.5)
    assert found["night"].after == "missing 50.0%"
    assert found["distance"].unseen_share == 0


def test_time_passing_is_no_drift_but_other_hours_are(package: Path, tmp_path: Path) -> None:
    later = table(2000, 11).with_columns(pl.col("when") + timedelta(weeks=30))
    assert against(package, later, tmp_path).verdict == "none"
    nights = table(2000, 12).with_columns(pl.col("when").dt.truncate("1d"))
    found = against(package, nights, tmp_path)
    assert found.columns[0].column == "when"
    assert found.columns[0].part == "hour"
    assert found.verdict == "strong"


def test_blocks_add_up(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "batch.parquet"
    table(5000, 13).write_parquet(path, row_group_size=900)
    whole = drift(package, path)
    monkeypatch.setattr(blocks.each, "__kwdefaults__", blocks.each.__kwdefaults__ | {"large": 1})
    monkeypatch.setattr(blocks, "ROWS", 700)
    parts = drift(package, path)
    assert parts.columns == whole.columns
    assert parts.scores == whole.scores


def test_the_record_is_written_and_read(package: Path, tmp_path: Path) -> None:
    found = against(package, table(100, 14), tmp_path)
    write_json(tmp_path / "drift.json", found)
    assert read_json(tmp_path / "drift.json", DriftRecord) == found
    assert found.package_digest == Scorer(package).digest


def test_a_table_that_does_not_fit_is_refused(package: Path, tmp_path: Path) -> None:
    with pytest.raises(DataInvalid, match="does not fit") as refused:
        against(package, table(50, 15).drop("night"), tmp_path)
    assert refused.value.exit_code == 4
