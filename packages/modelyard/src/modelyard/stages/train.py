"""train: refit the study's choice on train + valid, export the graph, keep the native scores.

The model's folder holds what evaluate and pack need, so that neither imports an estimator:

    graph.onnx             the whole model as one graph over the matrix
    masks.msgpack          the same as tables, where the model is trees and they are quicker
    features.json          the signature
    scores.parquet         test rows: `row`, `side`, `y`, native scores `s0`..
    parity.parquet         test rows with values blanked and unseen categories put in, and last the
                           native scores, under names that no feature has
    test_matrix.npz        the test rows' matrix and where each feature stands in it
    baseline.json          the baseline's constant scores
    native/                the fitted estimators in their own formats, for people
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard import models
from modelyard.forms import Floats, Member
from modelyard.models.masks import compiled
from modelyard.models.matrix import build, shape_of, sides, signature, target
from modelyard.models.refit import refit
from modelyard.project import Project
from modelyard.records import Chosen, Schema, StudyRecord, TrainRecord, read_json, write_json
from modelyard.tools import onnx as graphs
from modelyard_serve.contract import MASKS, Feature

if TYPE_CHECKING:
    from modelyard.models.family import Fitted

MUTATED_ROWS = 500
UNSEEN = "a category that was never seen"
LIBRARIES = ("lightgbm", "numpy", "onnx", "polars", "scikit-learn")


def train(project: Project) -> TrainRecord:
    """Refit and write `model/` and `records/train.json`.

    Raises:
        ModelyardError: a record that it reads is missing.
    """
    started = time.monotonic()
    schema = read_json(project.record("schema"), Schema)
    study = read_json(project.record("study"), StudyRecord)
    frame = pl.read_parquet(project.table)
    rows = sides(pl.read_parquet(project.split_table))
    dev, test = frame[rows.dev], frame[rows.test]
    features = signature(schema, dev)
    X, y = build(features, dev), target(schema, dev)
    shape = shape_of(features, schema, y)
    threads = study.workers
    fitted = refit(study.chosen, X, y, shape, metric=study.metric, seed=study.seed, threads=threads)
    members = [
        Member(model.form(), member.weight)
        for model, member in zip(fitted, study.chosen, strict=True)
    ]
    masks = compiled(members, schema.task)
    graph = graphs.build(
        members,
        width=shape.width,
        task=schema.task,
        classes=shape.classes,
        name=project.model_name,
    )
    X_test = build(features, test)
    mutated = _mutate(features, test, study.seed)
    baseline = models.get("baseline").fit(
        X, y, {}, shape, seed=study.seed, threads=1, metric=study.metric
    )

    part = project.root / f".model.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    (part / "native").mkdir(parents=True)
    try:
        (part / "graph.onnx").write_bytes(graph)
        if masks is not None:
            (part / MASKS).write_bytes(masks)
        write_json(part / "features.json", features)
        native = _blend(fitted, study.chosen, X_test)
        _scores(rows.test, target(schema, test), native).write_parquet(part / "scores.parquet")
        _with_scores(mutated, _blend(fitted, study.chosen, build(features, mutated))).write_parquet(
            part / "parity.parquet"
        )
        _save_matrix(part / "test_matrix.npz", features, X_test)
        write_json(part / "baseline.json", {"scores": baseline.predict(X[:1])[0].tolist()})
        for member, model in zip(study.chosen, fitted, strict=True):
            model.save(part / "native" / f"{member.trial:04d}-{member.family}")
        shutil.rmtree(project.model, ignore_errors=True)
        part.rename(project.model)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    record = TrainRecord(
        members=study.chosen,
        rows=len(X),
        width=shape.width,
        seed=study.seed,
        threads=threads,
        seconds=round(time.monotonic() - started, 2),
        graph_bytes=len(graph),
        versions={name: version(name) for name in LIBRARIES},
    )
    write_json(project.record("train"), record)
    return record


def _blend(fitted: Sequence[Fitted], chosen: Sequence[Chosen], X: Floats) -> Floats:
    """The weighted mean of the native models' outputs, shape (rows, k)."""
    outputs = [
        member.weight * model.predict(X) for member, model in zip(chosen, fitted, strict=True)
    ]
    return np.asarray(sum(outputs), dtype=np.float64)


def _scores(rows: NDArray[np.int64], y: NDArray[np.float64], native: Floats) -> pl.DataFrame:
    frame = pl.DataFrame(
        {
            "row": rows,
            "side": pl.Series(["test"] * len(rows), dtype=pl.String),
            "y": y.astype(np.float64),
        }
    )
    return _with_scores(frame, native)


def _with_scores(frame: pl.DataFrame, native: Floats) -> pl.DataFrame:
    stem = "s"
    while any(f"{stem}{index}" in frame.columns for index in range(native.shape[1])):
        stem += "_"  # a feature may be called s1
    return frame.with_columns(
        pl.Series(f"{stem}{index}", native[:, index]) for index in range(native.shape[1])
    )


def _mutate(features: Sequence[Feature], test: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Test rows as production will send them: some values missing, some categories unseen."""
    random = np.random.default_rng(seed)
    picked = np.sort(random.choice(len(test), size=min(MUTATED_ROWS, len(test)), replace=False))
    frame = test[picked].select([feature.name for feature in features])
    changed = []
    for feature in features:
        series = frame[feature.name]
        fate = random.random(len(frame))
        if feature.kind == "category":
            series = series.zip_with(
                pl.Series(fate >= 0.15), pl.Series([UNSEEN] * len(frame), dtype=pl.String)
            )
        blank = pl.Series(feature.name, [None] * len(frame), dtype=series.dtype)
        changed.append(series.zip_with(pl.Series(fate < 0.85), blank).alias(feature.name))
    return pl.DataFrame(changed)


def _save_matrix(path: Path, features: Sequence[Feature], X: Floats) -> None:
    widths = np.array([feature.width for feature in features], dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int64)
    names = np.array([feature.name for feature in features])
    np.savez(path, X=X, starts=starts, widths=widths, names=names)
