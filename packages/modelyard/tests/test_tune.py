"""The study: repeatable with a number of trials, complete over a grid, resumed, in its budget."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from modelyard import line, models, project
from modelyard.errors import ModelyardError
from modelyard.forms import Shape
from modelyard.models import grid
from modelyard.project import Project
from modelyard.records import StudyRecord, Trial
from modelyard.stages.tune import tune

pytestmark = pytest.mark.journey


def make(folder: Path, rows: int = 300, **sections: Any) -> Project:
    """A project whose table was ingested and split; no git is needed for a stage."""
    random = np.random.default_rng(7)
    folder.mkdir(parents=True)
    size = random.normal(size=rows)
    kind = random.choice(["a", "b", "c"], rows)
    odds = 1.5 * size + (kind == "a") * 1.0 + random.normal(size=rows)
    lines = ["size,kind,late"]
    lines += [
        f"{s:.4f},{k},{'yes' if o > 0 else 'no'}" for s, k, o in zip(size, kind, odds, strict=True)
    ]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    tree = {
        "project": {"name": "tiny"},
        "data": {"path": "t.csv", "target": "late"},
        "split": {"seed": 1},
        **sections,
    }
    (folder / "modelyard.yaml").write_text(yaml.safe_dump(tree))
    here = project.load(folder)
    line.run_stage(here, "ingest")
    line.run_stage(here, "split")
    return here


def told(record: StudyRecord) -> list[Trial]:
    """The trials without what the clock says."""
    return [replace_seconds(trial) for trial in record.trials]


def replace_seconds(trial: Trial) -> Trial:
    import msgspec

    return msgspec.structs.replace(trial, seconds=0.0)


FAST = {"folds": 3, "families": ["linear", "boosting"], "budget": None}


def test_a_number_of_trials_repeats_exactly_and_resumes_to_the_same(tmp_path: Path) -> None:
    tune_section = {**FAST, "trials": 10}
    whole = tune(make(tmp_path / "whole", tune=tune_section))
    parts = make(tmp_path / "parts", tune={**FAST, "trials": 4})
    first = tune(parts)
    assert told(first) == told(whole)[:4]
    text = (parts.root / "modelyard.yaml").read_text().replace("trials: 4", "trials: 10")
    (parts.root / "modelyard.yaml").write_text(text)
    second = tune(project.load(parts.root))
    assert second.resumed_trials == 4
    assert told(second) == told(whole)
    assert second.chosen == whole.chosen
    assert (second.score, second.threshold) == (whole.score, whole.threshold)
    assert {trial.family for trial in whole.trials} >= {"baseline", "linear", "boosting"}
    # Fewer trials than were played are the first ones, so the outcome is the smaller study's.
    (parts.root / "modelyard.yaml").write_text(text.replace("trials: 10", "trials: 4"))
    assert told(tune(project.load(parts.root))) == told(first)


def test_the_grid_is_covered_completely(tmp_path: Path) -> None:
    here = make(tmp_path / "grid", tune={**FAST, "mode": "grid", "prune": False})
    record = tune(here)
    shape = Shape(rows=240, width=2, task="binary", classes=2, categorical=(1,), levels=(3,))
    wanted = []
    for family in ("baseline", "linear", "boosting"):
        wanted += [(family, point) for point in grid.points(models.get(family), shape)]
    found = [(trial.family, trial.params) for trial in record.trials]
    assert len(found) == len(wanted)
    for family, point in wanted:
        assert any(f == family and point.items() <= p.items() for f, p in found), (family, point)
    assert all(trial.state == "complete" for trial in record.trials)
    assert record.mode == "grid"
    best = max(trial.score or 0 for trial in record.trials)
    assert record.score == best


def test_a_budget_ends_the_study_and_a_larger_one_goes_on(tmp_path: Path) -> None:
    here = make(tmp_path / "budget", tune={**FAST, "budget": "15s"})
    seen = []
    record = tune(here, seen.append)
    assert record.budget_seconds == 15
    assert record.seconds < 60  # the clock ended it, not the number of trials
    assert [progress.finished for progress in seen] == list(range(1, len(seen) + 1))
    count = len(record.trials)
    again = tune(project.load(here.root))
    assert len(again.trials) == count, "a used-up budget asks for nothing more"
    assert again.resumed_trials == count
    text = (here.root / "modelyard.yaml").read_text().replace("15s", "25s")
    (here.root / "modelyard.yaml").write_text(text)
    more = tune(project.load(here.root))
    assert len(more.trials) > count
    assert [t.number for t in more.trials] == list(range(len(more.trials)))


def test_a_budget_that_the_imports_used_up_still_ends_with_a_model(tmp_path: Path) -> None:
    here = make(tmp_path / "short", tune={**FAST, "budget": "2s"})
    record = tune(here, started=time.time() - 10)
    assert record.chosen
    assert record.trials[0].state == "complete"


def test_a_budget_and_a_number_of_trials_whichever_comes_first(tmp_path: Path) -> None:
    here = make(tmp_path / "both", tune={**FAST, "budget": "60s", "trials": 5})
    record = tune(here)
    assert len(record.trials) == 5
    assert (record.budget_seconds, record.trials_wanted) == (60, 5)
    assert record.seconds < 50
    text = (here.root / "modelyard.yaml").read_text()
    (here.root / "modelyard.yaml").write_text(text.replace("trials: 5", "trials: 5000"))
    (here.root / "modelyard.yaml").write_text(
        (here.root / "modelyard.yaml").read_text().replace("60s", "12s")
    )
    longer = tune(project.load(here.root))
    assert 5 <= len(longer.trials) < 5000
    assert longer.seconds < 30


def test_hopeless_trials_are_dropped_and_cost_less(tmp_path: Path) -> None:
    section = {**FAST, "folds": 5, "trials": 14}
    pruned = tune(make(tmp_path / "prune", tune=section))
    full = tune(make(tmp_path / "full", tune={**section, "prune": False}))
    dropped = [trial for trial in pruned.trials if trial.state == "pruned"]
    assert dropped
    assert all(2 <= len(trial.folds) < 5 for trial in dropped)
    folds = sum(len(trial.folds) for trial in pruned.trials)
    assert folds < sum(len(trial.folds) for trial in full.trials)
    assert pruned.score >= full.score - 0.01


def test_a_study_in_which_every_trial_fails_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = make(tmp_path / "fail", tune={**FAST, "trials": 2})
    # An out-of-fold array that cannot be read by the workers: every fit fails.
    from modelyard.stages.tune import search as stage

    monkeypatch.setattr(stage, "fitter", failing_fitter)
    with pytest.raises(ModelyardError, match="No trial could be completed") as caught:
        tune(replace(here))
    assert "cannot fit" in caught.value.why


def failing_fitter(*_: object) -> Any:
    """A factory whose work always fails; workers import it by name."""
    return failing_work


def failing_work(_: object) -> Any:
    raise ValueError("cannot fit this")
