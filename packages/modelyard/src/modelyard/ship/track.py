"""Record a run in MLflow: a parent with the figures and files, a child for every trial."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from modelyard.forms import Value
from modelyard.project import FILE, OVERRIDES, Project
from modelyard.records import (
    EvaluateRecord,
    GateRecord,
    IngestRecord,
    PackRecord,
    RunLine,
    RunsRecord,
    Schema,
    StudyRecord,
    read_json,
    write_bytes,
    write_json,
)
from modelyard.registry import champion
from modelyard.registry.lineage import Lineage
from modelyard.ship.preflight import tracking_uri
from modelyard.tools import mlflow

PATCH = "dirty.patch"
EXAMPLE_ROWS = 5


def open_store(project: Project) -> mlflow.Store:
    """Open the project's store; imports MLflow."""
    track = project.settings.track
    experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or track.experiment or project.name
    return mlflow.open_store(project.root, tracking_uri(project), experiment)


def track(
    project: Project,
    origin: Lineage,
    verdict: GateRecord,
    *,
    pictures: Mapping[str, str] | None = None,
    started: float | None = None,
) -> str:
    """Record what the records say, and log the package; returns the run's id.

    The same package with the same verdict is the same run, however often this is called.

    Args:
        pictures: name -> SVG, kept beside the plots' points.
        started: when the run began, in Unix seconds.

    Raises:
        ToolFailed: the store refused.
    """
    study = read_json(project.record("study"), StudyRecord)
    evaluation = read_json(project.record("evaluate"), EvaluateRecord)
    packed = read_json(project.record("pack"), PackRecord)
    schema = read_json(project.record("schema"), Schema)
    ingested = read_json(project.record("ingest"), IngestRecord)
    store = open_store(project)
    key = hashlib.sha256(
        packed.package_digest.encode() + project.record("gate").read_bytes()
    ).hexdigest()
    family = "+".join(dict.fromkeys(member.family for member in study.chosen))
    run_id = mlflow.log_run(
        store,
        mlflow.RunToLog(
            key=key,
            name=f"{family}-{packed.model_digest[:8]}",
            params=_params(project, study),
            metrics=_metrics(evaluation, study),
            tags={
                **origin.tags(),
                "modelyard.package_digest": packed.package_digest,
                "modelyard.model_digest": packed.model_digest,
                "modelyard.family": family,
                "modelyard.metric": study.metric,
                "modelyard.direction": study.direction,
                "modelyard.gate": "passed" if verdict.passed else "refused",
                "modelyard.task": schema.task,
            },
            artifacts=_artifacts(project, origin, pictures or {}),
            trials=tuple(
                mlflow.TrialToLog(
                    number=trial.number,
                    family=trial.family,
                    params=trial.params,
                    state=trial.state,
                    score=trial.score,
                    folds=trial.folds,
                    seconds=trial.seconds,
                    iterations=trial.iterations,
                    origin=trial.origin,
                    message=trial.message,
                )
                for trial in study.trials
            ),
            metric=study.metric,
            dataset=mlflow.DatasetToLog(
                name=f"{project.name} {origin.data_version}".strip(),
                digest=origin.data_md5 or ingested.source_md5,
                source=project.settings.data.path,
                rows=ingested.rows,
                columns=len(schema.columns),
            ),
            started=started,
            ended=time.time(),
        ),
    )
    golden = msgspec.json.decode((project.package / "golden.json").read_bytes())
    mlflow.log_package(
        store, run_id, project.package, project.model_name, golden["rows"][:EXAMPLE_ROWS]
    )
    return run_id


def _params(project: Project, study: StudyRecord) -> dict[str, Value]:
    """The choices: modelyard.yaml as resolved, then the chosen configuration."""
    flat: dict[str, Value] = {}
    settings = msgspec.to_builtins(project.settings)
    for section in ("data", "split", "tune", "gate"):
        for key, value in settings[section].items():
            if value not in (None, "", [], {}, ()):
                flat[f"{section}.{key}"] = _plain(value)
    for rank, member in enumerate(study.chosen):
        prefix = "model" if len(study.chosen) == 1 else f"model{rank}"
        flat[f"{prefix}.family"] = member.family
        flat[f"{prefix}.weight"] = member.weight
        if member.iterations is not None:
            flat[f"{prefix}.iterations"] = member.iterations
        for key, value in member.params.items():
            flat[f"{prefix}.{key}"] = value
    if study.threshold is not None:
        flat["model.threshold"] = study.threshold
    return flat


def _plain(value: Any) -> Value:
    if isinstance(value, str | int | float | bool):
        return value
    return str(msgspec.json.encode(value), "utf-8")


def _metrics(evaluation: EvaluateRecord, study: StudyRecord) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name, found in evaluation.metrics.items():
        figures[f"test_{name}"] = found.value
        figures[f"test_{name}_low"] = found.low
        figures[f"test_{name}_high"] = found.high
    figures.update({f"baseline_{name}": value for name, value in evaluation.baseline.items()})
    figures[f"cv_{study.metric}"] = study.score
    figures["search_seconds"] = study.seconds
    return {name: value for name, value in figures.items() if value == value}


def _artifacts(
    project: Project, origin: Lineage, pictures: Mapping[str, str]
) -> Mapping[Path, str]:
    drawn = project.state / "drawn"
    for old in drawn.glob("*.svg"):
        old.unlink()
    for name, svg in pictures.items():
        write_bytes(drawn / f"{name}.svg", svg.encode())
    files: dict[Path, str] = {
        project.records: "records",
        project.plots: "plots",
        drawn: "pictures",
        project.metrics: "",
        project.root / "dvc.yaml": "project",
        project.root / "dvc.lock": "project",
        project.root / FILE: "project",
        project.root / OVERRIDES: "project",
        project.environment_lock: "project",
    }
    if origin.dirty:
        patch = project.state / PATCH
        write_bytes(patch, origin.patch)
        files[patch] = "project"
    return {path: place for path, place in files.items() if path.exists()}


def remember(project: Project) -> None:
    """Write the store's runs where reports read them (`.modelyard/runs.json`).

    Reading the store costs MLflow's imports; a report must not wait for them.
    """
    versions = {line.run_id: line.to_version for line in champion.audit(project)}
    lines, direction = [], "maximize"
    for run in sorted(_found(project), key=lambda one: one.started or 0.0):
        metric = run.tags.get("modelyard.metric", "")
        direction = run.tags.get("modelyard.direction", direction)
        when = (
            datetime.fromtimestamp(run.started, UTC).isoformat("T", "seconds")
            if run.started
            else ""
        )
        lines.append(
            RunLine(
                run_id=run.run_id,
                name=run.name,
                started=when,
                metric=metric,
                value=run.metrics.get(f"test_{metric}"),
                low=run.metrics.get(f"test_{metric}_low"),
                high=run.metrics.get(f"test_{metric}_high"),
                cv=run.metrics.get(f"cv_{metric}"),
                seconds=run.metrics.get("search_seconds"),
                family=run.tags.get("modelyard.family", ""),
                data_version=run.tags.get("modelyard.data_version", ""),
                gate=run.tags.get("modelyard.gate", ""),
                version=versions.get(run.run_id),
                commit=run.tags.get("modelyard.commit", ""),
                model_digest=run.tags.get("modelyard.model_digest", ""),
                package_digest=run.tags.get("modelyard.package_digest", ""),
            )
        )
    kind: Any = "minimize" if direction == "minimize" else "maximize"
    write_json(project.state / "runs.json", RunsRecord(direction=kind, runs=tuple(lines)))


@dataclass(frozen=True)
class RunRow:
    """One run as `modelyard runs` lists it."""

    run_id: str
    name: str
    started: str
    metric: str
    value: float | None
    family: str
    data_version: str
    gate: str
    version: str | None
    champion: bool
    commit: str
    package_digest: str


def ranked_runs(project: Project, count: int = 20) -> list[RunRow]:
    """The recorded runs, best first by their test metric.

    Where the metric was changed, runs of the newest run's metric come first: figures of two
    metrics have no order.
    """
    found = _found(project)
    versions = {line.run_id: line.to_version for line in champion.audit(project)}
    now = champion.current(project)
    rows = []
    for run in found:
        metric = run.tags.get("modelyard.metric", "")
        digest = run.tags.get("modelyard.package_digest", "")
        rows.append(
            RunRow(
                run_id=run.run_id,
                name=run.name,
                started=datetime.fromtimestamp(run.started).strftime("%Y-%m-%d %H:%M")
                if run.started
                else "",
                metric=metric,
                value=run.metrics.get(f"test_{metric}"),
                family=run.tags.get("modelyard.family", ""),
                data_version=run.tags.get("modelyard.data_version", ""),
                gate=run.tags.get("modelyard.gate", ""),
                version=versions.get(run.run_id),
                champion=now is not None and now.run_id == run.run_id,
                commit=run.tags.get("modelyard.commit", ""),
                package_digest=digest,
            )
        )
    order = {metric: place for place, metric in enumerate(dict.fromkeys(r.metric for r in rows))}
    smaller = {
        run.tags.get("modelyard.metric", "")
        for run in found
        if run.tags.get("modelyard.direction") == "minimize"
    }

    def place(row: RunRow) -> tuple[int, float]:
        if row.value is None:
            return order[row.metric], float("inf")
        return order[row.metric], row.value if row.metric in smaller else -row.value

    rows.sort(key=place)
    return rows[:count]


def _found(project: Project) -> list[mlflow.RunInfo]:
    """The store's runs; none where the project's own store does not exist yet."""
    uri = tracking_uri(project)
    file = mlflow.sqlite_file(project.root, uri)
    if file is not None and not file.is_file():
        return []
    mlflow.preflight(project.root, uri)
    return mlflow.search_runs(open_store(project))
