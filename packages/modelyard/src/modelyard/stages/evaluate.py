"""evaluate: the candidate on the held-out test rows, always beside the baseline.

Reads what train left in `model/`; imports no estimator. The pictures are drawn by the report from
the CSV files that are written here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from modelyard.errors import ModelyardError
from modelyard.forms import Floats, Ints
from modelyard.models import bootstrap, curves, importance, metrics, points
from modelyard.models.matrix import clusters
from modelyard.models.metrics import Target
from modelyard.project import Project
from modelyard.records import (
    Column,
    EvaluateRecord,
    Schema,
    Slice,
    StudyRecord,
    read_json,
    write_bytes,
    write_json,
)
from modelyard.tools import onnx as graphs

CONFIDENCE = 0.95
RESAMPLES = 1000
SLICE_ROWS = 30
SLICE_COLUMNS = 8
SLICE_LEVELS = 20
MISSING = "(missing)"
CSV_NAMES = (
    "roc.csv",
    "pr.csv",
    "calibration.csv",
    "confusion.csv",
    "residuals.csv",
    "predictions.csv",
    "importance.csv",
)


@dataclass(frozen=True)
class _Held:
    """The test rows: their numbers in the table, target, scores, and the baseline's scores."""

    rows: Ints
    y: Target
    scores: Floats
    baseline: Floats


def evaluate(project: Project) -> EvaluateRecord:
    """Measure the candidate; write metrics.json, plots/ and `records/evaluate.json`.

    Every usual metric of the task has a 95 % bootstrap interval. Binary metrics that decide use the
    study's threshold for the candidate and the larger class for the baseline. The same files give
    the same answers, byte for byte.

    Raises:
        ModelyardError: a file of the train stage is missing, or does not fit the others.
    """
    schema = read_json(project.record("schema"), Schema)
    study = read_json(project.record("study"), StudyRecord)
    held = _read_held(project.model, schema)
    names = [metric.name for metric in metrics.usual(schema.task)]
    found = bootstrap.intervals(
        names,
        held.y,
        held.scores,
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        seed=study.seed,
        threshold=study.threshold,
        clusters=clusters(project.settings.data, project.split_table, held.rows),
    )
    baseline = {name: metrics.score(name, held.y, held.baseline) for name in found}
    drops = _importance(project.model, held, study)
    files = {"importance.csv": points.importance(drops)}
    confusion: tuple[tuple[int, ...], ...] = ()
    error = None
    if schema.task == "regression":
        files |= points.regression(held.y, held.scores[:, 0])
    else:
        decided = metrics.decide(held.scores, study.threshold)
        files |= points.classification(held.y, held.scores, decided, schema.classes, schema.task)
        cells = curves.confusion(held.y, decided, len(schema.classes))
        confusion = tuple(tuple(line) for line in cells.tolist())
        said, hit = points.top_class(held.y, held.scores, schema.task)
        error = curves.calibration_error(hit, said)
    record = EvaluateRecord(
        metric=study.metric,
        direction=study.direction,
        rows=len(held.y),
        confidence=CONFIDENCE,
        resamples=RESAMPLES,
        metrics=found,
        baseline={name: value for name, value in baseline.items() if np.isfinite(value)},
        importance=drops,
        slices=_slices(project.table, schema, study, held, tuple(drops)),
        threshold=study.threshold,
        confusion=confusion,
        calibration_error=error,
    )
    _write_plots(project.plots, files)
    write_json(project.metrics, {name: entry.value for name, entry in found.items()})
    write_json(project.record("evaluate"), record)
    return record


def _read_held(model: Path, schema: Schema) -> _Held:
    frame = pl.read_parquet(_there(model / "scores.parquet")).filter(pl.col("side") == "test")
    names = [name for name in frame.columns if name[0] == "s" and name[1:].isdigit()]
    outputs = max(1, len(schema.classes))
    constants = json.loads(_there(model / "baseline.json").read_bytes())["scores"]
    scores = frame.select(f"s{index}" for index in range(len(names))).to_numpy()
    if len(frame) == 0 or len(names) != outputs or len(constants) != outputs:
        raise ModelyardError(
            f"The scores in {model.name}/ do not fit the dataset.",
            why=f"{len(frame)} test rows with {len(names)} outputs and a baseline of "
            f"{len(constants)}; the schema asks for {outputs} outputs.",
            next_step="modelyard run --force",
        )
    if not np.isfinite(scores).all():
        raise ModelyardError(
            "The model gave scores that are not finite numbers.",
            why=f"{int((~np.isfinite(scores)).any(axis=1).sum())} of {len(scores)} test rows.",
            next_step="leave the family out by tune.families in modelyard.yaml, modelyard run",
        )
    y = frame["y"].to_numpy()
    return _Held(
        rows=frame["row"].cast(pl.Int64).to_numpy(),
        y=y if schema.task == "regression" else y.astype(np.int64),
        scores=np.ascontiguousarray(scores, dtype=np.float64),
        baseline=np.tile(np.asarray(constants, dtype=np.float64), (len(frame), 1)),
    )


def _importance(model: Path, held: _Held, study: StudyRecord) -> dict[str, float]:
    graph = _there(model / "graph.onnx").read_bytes()
    with np.load(_there(model / "test_matrix.npz"), allow_pickle=False) as stored:
        X: Floats = stored["X"]
        blocks = [
            importance.Block(str(name), int(start), int(width))
            for name, start, width in zip(
                stored["names"], stored["starts"], stored["widths"], strict=True
            )
        ]
    if len(X) != len(held.y):
        raise ModelyardError(
            f"The matrix in {model.name}/ does not fit the scores.",
            why=f"{len(X)} rows in test_matrix.npz, {len(held.y)} in scores.parquet.",
            next_step="modelyard run --force",
        )
    return importance.permutation(
        lambda matrix: graphs.run(graph, matrix),
        X,
        held.y,
        blocks,
        study.metric,
        seed=study.seed,
        threshold=study.threshold,
    )


def _slices(
    table: Path, schema: Schema, study: StudyRecord, held: _Held, ranked: Sequence[str]
) -> tuple[Slice, ...]:
    """The metric on each frequent level of the main category and boolean columns."""
    place = {name: index for index, name in enumerate(ranked)}
    able = [column for column in schema.features if column.kind in ("category", "boolean")]
    able.sort(key=lambda column: place.get(column.name, len(place)))
    main = able[:SLICE_COLUMNS]
    if not main:
        return ()
    frame = pl.read_parquet(_there(table), columns=[column.name for column in main])[held.rows]
    found: list[Slice] = []
    for column in main:
        levels = _spelled(frame[column.name], column)
        counts: dict[str, int] = dict(levels.value_counts(name="rows").iter_rows())
        frequent = sorted(counts, key=lambda level: (-counts[level], level))[:SLICE_LEVELS]
        for level in frequent:
            if counts[level] < SLICE_ROWS:
                break
            here = (levels == level).to_numpy()
            value = metrics.score(study.metric, held.y[here], held.scores[here], study.threshold)
            plain = metrics.score(study.metric, held.y[here], held.baseline[here])
            # One class alone has no AUC: such a slice says nothing.
            if np.isfinite(value) and np.isfinite(plain):
                found.append(
                    Slice(
                        column=column.name,
                        level=level,
                        rows=counts[level],
                        value=value,
                        baseline=plain,
                    )
                )
    return tuple(found)


def _spelled(series: pl.Series, column: Column) -> pl.Series:
    """Levels as texts; booleans in the dataset's own spelling."""
    if series.dtype == pl.Boolean:
        false, true = column.levels if len(column.levels) == 2 else ("false", "true")
        spelled = [MISSING if v is None else true if v else false for v in series.to_list()]
        return pl.Series("level", spelled, dtype=pl.String)
    return series.cast(pl.String).fill_null(MISSING).alias("level")


def _write_plots(folder: Path, files: Mapping[str, points.Points]) -> None:
    """Write each CSV whole, and take away those of an earlier task."""
    for name, table in files.items():
        write_bytes(folder / name, table.text().encode())
    for name in CSV_NAMES:
        if name not in files:
            (folder / name).unlink(missing_ok=True)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise ModelyardError(
            f"{path.name} is missing.",
            why=f"The stage before evaluate writes {path}.",
            next_step="modelyard run",
        )
    return path
