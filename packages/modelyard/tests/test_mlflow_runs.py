"""Runs: what is written stands there, once, whatever is killed."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from modelyard.errors import ToolFailed, UsageError
from modelyard.tools.mlflow import (
    DatasetToLog,
    RunToLog,
    Store,
    TrialToLog,
    find_runs,
    log_run,
    open_store,
    search_runs,
)
from modelyard.tools.mlflow.vendor import load

FORK = multiprocessing.get_context("fork")
STATES = ("complete", "pruned", "failed", "stopped")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path, "sqlite:///mlflow.db", "churn")


def trial(number: int, **changes: Any) -> TrialToLog:
    fields: dict[str, Any] = {
        "number": number,
        "family": "boosting",
        "params": {"learning_rate": 0.1 * number, "max_depth": None, "balanced": True},
        "state": "complete",
        "score": 0.7,
        "folds": (0.6, 0.7, 0.8),
        "seconds": 1.5,
        "iterations": 120,
    }
    return TrialToLog(**{**fields, **changes})


def children(store: Store, parent: str) -> list[Any]:
    with store.session() as client:
        query = f"tags.`mlflow.parentRunId` = '{parent}'"
        return list(client.search_runs([store.experiment_id], filter_string=query))


def test_a_run_with_its_trials_artifacts_and_dataset(store: Store, tmp_path: Path) -> None:
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots" / "roc.csv").write_text("x,y\n")
    (tmp_path / "schema.json").write_text("{}")
    states = [trial(n, state=state) for n, state in enumerate(STATES)]
    run = RunToLog(
        key="abc",
        name="first",
        params={f"key_{n}": n for n in range(130)},
        metrics={"roc_auc": 0.75, "slice plan=gold": 0.5, "gone": math.nan},
        tags={"modelyard.commit": "1234", "mlflow.user": "ada"},
        artifacts={tmp_path / "plots": "plots", tmp_path / "schema.json": "records"},
        trials=tuple(states),
        metric="roc_auc",
        dataset=DatasetToLog("customers", "d" * 64, "customers.csv", 100, 7),
        started=1_700_000_000.0,
        ended=1_700_000_060.5,
    )
    run_id = log_run(store, run)
    (found,) = search_runs(store)
    assert (found.run_id, found.name, found.status) == (run_id, "first", "FINISHED")
    assert (found.started, found.duration) == (1_700_000_000.0, 60.5)
    assert found.params == {f"key_{n}": str(n) for n in range(130)}
    assert found.metrics["roc_auc"] == 0.75
    assert found.metrics["slice plan_gold"] == 0.5
    assert math.isnan(found.metrics["gone"])
    assert found.tags["modelyard.commit"] == "1234"
    assert found.tags["mlflow.user"] == "ada"
    with store.session() as client:
        got = client.get_run(run_id)
        (dataset,) = got.inputs.dataset_inputs
        assert dataset.dataset.digest == "d" * 36
        paths = {f.path for top in ("plots", "records") for f in client.list_artifacts(run_id, top)}
        assert paths == {"plots/roc.csv", "records/schema.json"}
        assert Path(client.download_artifacts(run_id, "plots/roc.csv")).read_text() == "x,y\n"
    assert got.info.artifact_uri.startswith("mlartifacts/")


def test_trials_are_children_with_a_step_a_fold(store: Store) -> None:
    trials = (*(trial(n, state=s) for n, s in enumerate(STATES)), trial(4, score=None, folds=()))
    parent = log_run(store, RunToLog(key="k", name="n", trials=trials, metric="log_loss"))
    found = {run.data.tags["modelyard.trial"]: run for run in children(store, parent)}
    assert [found[str(n)].info.status for n in range(4)] == [
        "FINISHED",
        "KILLED",
        "FAILED",
        "KILLED",
    ]
    first = found["0"]
    assert first.info.run_name == "trial 0 boosting"
    assert first.data.params == {
        "family": "boosting",
        "learning_rate": "0.0",
        "max_depth": "null",
        "balanced": "True",
    }
    assert first.data.metrics["log_loss"] == 0.7
    assert "log_loss" not in found["4"].data.metrics
    with store.session() as client:
        history = client.get_metric_history(first.info.run_id, "fold_log_loss")
    assert [(entry.step, entry.value) for entry in history] == [(0, 0.6), (1, 0.7), (2, 0.8)]
    assert [run.run_id for run in search_runs(store)] == [parent]


def test_the_same_key_is_the_same_run(store: Store) -> None:
    run = RunToLog(key="k", name="n", trials=(trial(0),))
    first = log_run(store, run)
    assert log_run(store, run) == first
    assert log_run(store, RunToLog(key="other", name="n")) != first
    assert len(search_runs(store)) == 2
    assert len(children(store, first)) == 1


def test_runs_are_found_by_tag_newest_first(store: Store) -> None:
    for number in range(3):
        tags = {"modelyard.commit": "old" if number < 2 else "new"}
        log_run(store, RunToLog(key=f"k{number}", name=f"n{number}", tags=tags, started=number + 1))
    assert [run.name for run in find_runs(store, "modelyard.commit", "old")] == ["n1", "n0"]
    assert [run.name for run in search_runs(store, 2)] == ["n2", "n1"]
    assert find_runs(store, "modelyard.commit", "none") == []
    with pytest.raises(UsageError):
        find_runs(store, "modelyard.commit", "it's")


def test_a_missing_artifact_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(ToolFailed) as caught:
        log_run(store, RunToLog(key="k", name="n", artifacts={tmp_path / "plots": ""}))
    assert "plots" in caught.value.what
    assert search_runs(store) == []


def test_what_mlflow_refuses_is_told_in_its_words(store: Store) -> None:
    with pytest.raises(ToolFailed) as caught, store.session() as client:
        client.get_run("0" * 32)
    assert "0" * 32 in caught.value.why


@pytest.mark.parametrize("written", [1, 8, 20])
def test_a_kill_and_the_same_call_end_with_one_whole_run(
    store: Store, tmp_path: Path, written: int
) -> None:
    load("mlflow.entities")
    (tmp_path / "schema.json").write_text("{}")
    run = RunToLog(
        key="k",
        name="n",
        metrics={"roc_auc": 0.7},
        artifacts={tmp_path / "schema.json": ""},
        trials=tuple(trial(n) for n in range(20)),
    )
    worker = FORK.Process(target=log_run, args=(store, run))
    worker.start()
    counter = sqlite3.connect(tmp_path / "mlflow.db", timeout=20)
    deadline = time.monotonic() + 60
    while counter.execute("SELECT count(*) FROM runs").fetchone()[0] < written:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    counter.close()
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    run_id = log_run(store, run)
    (found,) = search_runs(store)
    assert (found.run_id, found.status, found.metrics) == (run_id, "FINISHED", {"roc_auc": 0.7})
    with store.session() as client:
        everything = list(client.search_runs([store.experiment_id]))
        assert [file.path for file in client.list_artifacts(run_id)] == ["schema.json"]
    assert len(everything) == 21
    numbers = {run.data.tags.get("modelyard.trial") for run in everything}
    assert numbers == {None, *(str(n) for n in range(20))}
