"""modelyard runs: best first, and never one metric's figures among another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard.project import Project, settings_from
from modelyard.ship import track
from modelyard.tools.mlflow import RunInfo


def run(place: int, metric: str, direction: str, value: float | None) -> RunInfo:
    tags = {"modelyard.metric": metric, "modelyard.direction": direction}
    metrics = {} if value is None else {f"test_{metric}": value}
    return RunInfo(f"run{place}", f"r{place}", 1000.0 - place, 1.0, "FINISHED", {}, metrics, tags)


def test_each_metric_is_ranked_in_its_own_direction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = {"project": {"name": "p"}, "data": {"path": "t.csv", "target": "y"}}
    here = Project(tmp_path, settings_from(tree, "modelyard.yaml"))
    newest_first = [
        run(0, "log_loss", "minimize", 0.30),
        run(1, "log_loss", "minimize", None),
        run(2, "roc_auc", "maximize", 0.60),
        run(3, "roc_auc", "maximize", 0.95),
        run(4, "log_loss", "minimize", 0.20),
    ]
    monkeypatch.setattr(track, "_found", lambda project: newest_first)
    assert [row.run_id for row in track.ranked_runs(here)] == [
        "run4", "run0", "run1", "run3", "run2",
    ]  # fmt: skip
