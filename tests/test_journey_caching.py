"""Only what depends on a change runs; `dvc repro` and `modelyard run` walk the same line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.journey


def times(project: Any) -> dict[str, int]:
    folders = [project.root / "records", project.root / "package", project.root / "plots"]
    found = [path for folder in folders for path in folder.rglob("*")]
    return {str(path): path.stat().st_mtime_ns for path in found if path.is_file()}


def test_a_second_run_has_nothing_to_do(project: Any) -> None:
    before, head = times(project), project.git("rev-parse", "HEAD")
    said = project.cli("run").stdout
    assert "Nothing to do" in said
    assert times(project) == before
    assert project.git("rev-parse", "HEAD") == head
    assert "up to date" in project.tool("dvc", "status").stdout
    assert len(project.json("runs")) == 1


def test_an_override_counts_for_one_run(project: Any) -> None:
    before = project.record("champion")
    study = (project.root / "records/study.json").read_bytes()
    # A changed rule of the gate runs the gate alone.
    found = project.json("run", "-S", "gate.resamples=200")
    assert found["ran"] == ["gate"]
    overrides = yaml.safe_load((project.root / "overrides.yaml").read_text())
    assert overrides["gate"] == {"resamples": 200}
    assert (project.root / "records/study.json").read_bytes() == study
    # It stays for commands that only read, and is gone with the next plain run.
    again = project.cli("run").stdout
    overrides = yaml.safe_load((project.root / "overrides.yaml").read_text())
    assert not any(overrides.values())
    assert "up to date" in project.tool("dvc", "status").stdout
    assert "★ champion" in again
    assert project.record("champion") == before


def test_a_new_split_seed_runs_split_and_what_follows(project: Any) -> None:
    schema = project.root / "records/schema.json"
    before = schema.stat().st_mtime_ns
    rows = project.record("split")["rows"]
    found = project.json("run", "-S", "split.seed=7", "-S", "gate.champion=ignore")
    assert found["ran"] == ["split", "tune", "train", "evaluate", "pack", "gate"]
    assert schema.stat().st_mtime_ns == before
    assert project.record("split")["seed"] == 7
    assert sum(project.record("split")["rows"].values()) == sum(rows.values())
    # Back to the recorded settings: nothing is computed again, the figures are the first ones.
    first = json.loads(project.git("show", "model/v1:metrics.json"))
    back = project.json("run")
    assert json.loads(project.metrics) == first
    assert back["champion"]["version"] == "2"
    assert "v1" in back["note"]


def test_dvc_repro_by_hand_and_then_a_run_that_only_records(project: Any, tmp_path: Path) -> None:
    project.edit("  folds: 2\n", "  folds: 3\n")
    project.git("commit", "-am", "feat: another fold")
    said = project.tool("dvc", "repro").stdout
    ran = [line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")]
    assert ran == ["tune", "train", "evaluate", "pack", "gate"]
    assert project.record("study")["folds"] == 3

    found = project.json("run", "--no-release")
    assert found["ran"] == []
    assert found["released"] is None
    assert len(project.json("runs")) == 2
    assert project.record("champion")["version"] == "1"
    found = project.json("run")
    assert found["ran"] == []
    assert found["released"]["version"] == "2"
    assert project.git("tag", "--list", "model/*").splitlines() == ["model/v1", "model/v2"]
    assert len(project.json("runs")) == 2
    assert "up to date" in project.tool("dvc", "status").stdout

    shown = json.loads(project.tool("dvc", "metrics", "show", "--json").stdout)
    assert shown[""]["data"]["metrics.json"]["data"] == json.loads(project.metrics)
    changed = json.loads(project.tool("dvc", "metrics", "diff", "model/v1", "--json").stdout)
    old = json.loads(project.git("show", "model/v1:metrics.json"))
    assert changed["metrics.json"]["roc_auc"]["old"] == old["roc_auc"]
    project.tool("dvc", "plots", "show", "-o", tmp_path / "plots")
    page = (tmp_path / "plots/index.html").read_text()
    assert "roc" in page
    assert "calibration" in page
