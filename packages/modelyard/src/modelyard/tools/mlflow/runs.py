"""Runs: one parent a `modelyard run`, one child a trial; written once, whatever is killed."""

from __future__ import annotations

import getpass
import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from modelyard.errors import ToolFailed, UsageError
from modelyard.tools.mlflow.plain import (
    KEY_TAG,
    KIND_TAG,
    DatasetToLog,
    RunInfo,
    RunToLog,
    TrialToLog,
)
from modelyard.tools.mlflow.store import Store
from modelyard.tools.mlflow.vendor import load

if TYPE_CHECKING:  # forms imports numpy, which light commands must not pay for
    from modelyard.forms import Value

T = TypeVar("T")
_STATUS = {"complete": "FINISHED", "pruned": "KILLED", "stopped": "KILLED", "failed": "FAILED"}
_PARENT = "mlflow.parentRunId"
_PAGE = 1000
# MLflow takes at most 1,000 entries a call and 100 of them parameters.
_METRICS_A_CALL = 800
_PARAMS_A_CALL = 100


def log_run(store: Store, run: RunToLog) -> str:
    """Write a run and its trials; returns the parent's run id.

    The parent is marked FINISHED last, and that mark alone makes it count: a finished run of the
    same key is returned as it is, and what an interrupted call left is deleted and written anew.

    Raises:
        ToolFailed: an artifact is missing (nothing was written), or MLflow refused.
    """
    for local in run.artifacts:
        if not local.exists():
            raise ToolFailed(
                f"{local.name} cannot be logged to MLflow.",
                why=f"{local} does not exist.",
                next_step="modelyard run",
            )
    local_paths = {local.resolve(): target for local, target in run.artifacts.items()}
    with store.lock(), store.session() as client:
        finished = None
        for earlier in _search(
            client, store, f"{_is(KEY_TAG, run.key)} AND {_is(KIND_TAG, 'run')}"
        ):
            if earlier.info.status == "FINISHED" and finished is None:
                finished = str(earlier.info.run_id)
            else:
                _delete(client, store, earlier.info.run_id)
        return finished or _write(client, store, run, local_paths)


def search_runs(store: Store, max_results: int = 1000) -> list[RunInfo]:
    """Return the experiment's parent runs, the newest first."""
    with store.session() as client:
        found = _search(client, store, _is(KIND_TAG, "run"), max_results)
        return [_info(run) for run in found]


def find_runs(store: Store, tag: str, value: str) -> list[RunInfo]:
    """Return the experiment's parent runs whose tag has this value, the newest first."""
    with store.session() as client:
        found = _search(client, store, f"{_is(KIND_TAG, 'run')} AND {_is(tag, value)}")
        return [_info(run) for run in found]


def _write(client: Any, store: Store, run: RunToLog, artifacts: Mapping[Path, str]) -> str:
    started = _millis(run.started)
    tags = {
        "mlflow.user": _user(),
        "mlflow.source.name": "modelyard run",
        "mlflow.source.type": "LOCAL",
        **run.tags,
        KEY_TAG: run.key,
        KIND_TAG: "run",
    }
    parent = client.create_run(
        store.experiment_id, start_time=started, tags=tags, run_name=run.name
    ).info.run_id
    if run.dataset is not None:
        _log_dataset(client, parent, run.dataset)
    for trial in run.trials:
        _write_trial(client, store, run, parent, trial, started)
    ended = _millis(run.ended)
    entities = load("mlflow.entities")
    metrics = [
        entities.Metric(_name(key), float(value), ended, 0) for key, value in run.metrics.items()
    ]
    _log(client, parent, metrics, run.params)
    for local, target in artifacts.items():
        if local.is_dir():
            client.log_artifacts(parent, str(local), target or None)
        else:
            client.log_artifact(parent, str(local), target or None)
    client.set_terminated(parent, "FINISHED", end_time=ended)
    return str(parent)


def _write_trial(
    client: Any, store: Store, run: RunToLog, parent: str, trial: TrialToLog, start: int
) -> None:
    began = start if trial.started is None else _millis(trial.started)
    ended = began + int(trial.seconds * 1000) if trial.ended is None else _millis(trial.ended)
    tags = {
        _PARENT: parent,
        KIND_TAG: "trial",
        "modelyard.trial": str(trial.number),
        "modelyard.family": trial.family,
        "modelyard.state": trial.state,
        "modelyard.origin": trial.origin,
        "mlflow.user": run.tags.get("mlflow.user", _user()),
        "mlflow.source.name": "modelyard run",
    }
    if trial.message:
        tags["mlflow.note.content"] = trial.message
    child = client.create_run(
        store.experiment_id,
        start_time=began,
        tags=tags,
        run_name=f"trial {trial.number} {trial.family}",
    ).info.run_id
    metric = load("mlflow.entities").Metric
    name = _name(run.metric)
    metrics = [
        metric(f"fold_{name}", float(score), ended, step) for step, score in enumerate(trial.folds)
    ]
    metrics.append(metric("seconds", float(trial.seconds), ended, 0))
    if trial.score is not None:
        metrics.append(metric(name, float(trial.score), ended, 0))
    if trial.iterations is not None:
        metrics.append(metric("iterations", float(trial.iterations), ended, 0))
    _log(client, child, metrics, {"family": trial.family, **trial.params})
    client.set_terminated(child, _STATUS[trial.state], end_time=ended)


def _log(client: Any, run_id: str, metrics: Sequence[Any], params: Mapping[str, Value]) -> None:
    param = load("mlflow.entities").Param
    named = {_name(key): _text(value) for key, value in params.items()}
    for part in _parts([param(key, value) for key, value in named.items()], _PARAMS_A_CALL):
        client.log_batch(run_id, params=part, metrics=metrics[:_METRICS_A_CALL], synchronous=True)
        metrics = metrics[_METRICS_A_CALL:]
    for part in _parts(metrics, _METRICS_A_CALL):
        client.log_batch(run_id, metrics=part, synchronous=True)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _log_dataset(client: Any, run_id: str, dataset: DatasetToLog) -> None:
    entities = load("mlflow.entities")
    described = entities.Dataset(
        name=dataset.name[:500],
        digest=dataset.digest[:36],
        source_type="local",
        source=json.dumps({"uri": dataset.source}),
        profile=json.dumps(
            {"num_rows": dataset.rows, "num_elements": dataset.rows * dataset.columns}
        ),
    )
    tag = entities.InputTag("mlflow.data.context", dataset.context)
    client.log_inputs(run_id, datasets=[entities.DatasetInput(described, [tag])])


def _delete(client: Any, store: Store, run_id: str) -> None:
    """Delete a half-written run, children first, so that a kill in here loses no thread."""
    for child in _search(client, store, _is(_PARENT, run_id)):
        client.delete_run(child.info.run_id)
    client.delete_run(run_id)


def _search(client: Any, store: Store, query: str, limit: int | None = None) -> list[Any]:
    found: list[Any] = []
    token = None
    while limit is None or len(found) < limit:
        page = client.search_runs(
            [store.experiment_id],
            filter_string=query,
            max_results=_PAGE if limit is None else min(_PAGE, limit - len(found)),
            order_by=["attributes.start_time DESC"],
            page_token=token,
        )
        found.extend(page)
        token = page.token
        if not token:
            break
    return found


def _is(tag: str, value: str) -> str:
    """Return a filter of MLflow's search language; it knows no escape for a quote."""
    if "'" in value or "`" in tag:
        raise UsageError(
            f"A tag's value to search for cannot hold a quote: {value!r}.",
            why="MLflow's search language has no way to write one.",
            next_step="modelyard runs",
        )
    return f"tags.`{tag}` = '{value}'"


def _info(run: Any) -> RunInfo:
    start, end = run.info.start_time, run.info.end_time
    return RunInfo(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        started=start / 1000 if start else None,
        duration=(end - start) / 1000 if start and end else None,
        status=run.info.status,
        params=dict(run.data.params),
        metrics=dict(run.data.metrics),
        tags=dict(run.data.tags),
    )


def _millis(seconds: float | None) -> int:
    return int((time.time() if seconds is None else seconds) * 1000)


def _name(key: str) -> str:
    """Return the key with what MLflow's names cannot hold replaced by an underscore."""
    return re.sub(r"[^\w/. :-]", "_", key)[:250]


def _text(value: Value) -> str:
    return "null" if value is None else str(value)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"
