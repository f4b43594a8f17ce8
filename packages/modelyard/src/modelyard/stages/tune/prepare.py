"""Before the search: the study's name, its arrays and folds, its first configurations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard import models
from modelyard.forms import Floats, Shape
from modelyard.models import grid
from modelyard.models.matrix import build, shape_of, sides, signature, target
from modelyard.project import Project
from modelyard.records import Schema
from modelyard.settings import TuneSection
from modelyard.tables.folds import fold_of
from modelyard.tools import optuna


@dataclass(frozen=True)
class Prepared:
    """What the folds are cut from: the matrix's shape, y and the fold of each row, shape (rows,).

    `folds` are the numbers of the folds; a row of none of them (-1) is trained on only.
    """

    shape: Shape
    y: Floats
    fold: NDArray[np.int8]
    folds: list[int]


def repeatable(settings: TuneSection) -> bool:
    """A grid, or a number of trials without a budget: the clock must not decide anything."""
    return settings.mode == "grid" or (settings.trials is not None and settings.budget is None)


def study_key(project: Project) -> str:
    """What the trials depend on; a study of the same key is resumed.

    The budget, the number of trials, the blend and the threshold are left out: raising a budget
    goes on where the study stopped, and choosing another threshold costs no trial.
    """
    settings = project.settings.tune
    decisive: list[object] = [settings.mode, settings.metric, settings.families]
    decisive += [settings.folds, settings.seed, settings.prune, repeatable(settings)]
    if repeatable(settings):
        decisive.append(settings.workers)
    sha = hashlib.sha256(msgspec.json.encode(decisive))
    for path in (project.table, project.split_table, project.record("schema")):
        sha.update(hashlib.sha256(path.read_bytes()).digest())
    return sha.hexdigest()[:16]


def prepare(project: Project, schema: Schema, folder: Path) -> Prepared:
    """Write the study's arrays for the workers; returns what the coordinator needs of them."""
    frame = pl.read_parquet(project.table)
    split = pl.read_parquet(project.split_table)
    rows = sides(split).dev
    dev = frame[rows]
    features = signature(schema, dev)
    X, y = build(features, dev), target(schema, dev)
    keys = split["key"].to_numpy()[rows]
    settings = project.settings
    order = None
    if settings.split.kind == "time" and settings.data.time:
        order = _order(dev[settings.data.time])
    fold = fold_of(
        keys,
        None if schema.task == "regression" else y,
        settings.tune.folds,
        settings.tune.seed,
        order,
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in (("X", X), ("y", y), ("fold", fold)):
        part = folder / f".{name}.part.npy"
        np.save(part, array)
        part.replace(folder / f"{name}.npy")
    folds = sorted({int(f) for f in np.unique(fold) if f >= 0})
    return Prepared(shape_of(features, schema, y), y, fold, folds)


def _order(times: pl.Series) -> NDArray[Any]:
    """Moments, or numbers such as a year with a fraction, shape (rows,); missing is NaT or NaN."""
    if times.dtype.is_numeric():
        return times.cast(pl.Float64).to_numpy()
    return times.to_numpy().astype("datetime64[us]")


def enqueue(search: optuna.Search, mode: str, families: Sequence[str], shape: Shape) -> None:
    """Queue the grid, or the families' defaults: first of each family, then the others."""
    if mode == "grid":
        for name in families:
            for point in grid.points(models.get(name), shape):
                search.enqueue(name, point, "grid")
        return
    defaults = {name: models.get(name).defaults(shape) for name in families}
    for rank in range(max(len(rows) for rows in defaults.values())):
        for name, rows in defaults.items():
            if rank < len(rows):
                search.enqueue(name, rows[rank], "default")
