"""Make the benchmark's model package with modelyard itself; the search alone is left out.

    python benchmarks/serving/ours.py

A project by `modelyard init`, the stages ingest and split, a study record that names one
configuration (300 trees of 31 leaves), then the stages train, evaluate and pack as in any run:
parity with LightGBM is proved by pack on every held-out row. Left in benchmarks/.cache:
`package/`, `booster.lightgbm.txt` (LightGBM's own text), `split.json` (the row numbers of both
sides, so that the peers learn from the same rows), `flights.csv`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import flights
import polars as pl

from modelyard import project
from modelyard.models.matrix import sides
from modelyard.records import Chosen, StudyRecord, Trial, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure

PARAMS: dict[str, str | int | float | bool | None] = {
    "learning_rate": flights.RATE,
    "num_leaves": flights.LEAVES,
    "min_data_in_leaf": 20,
    "max_depth": -1,
    "lambda_l1": 0.0,
    "lambda_l2": 0.0,
}


def make() -> Path:
    """Build the package anew; returns its folder."""
    table = flights.write_table()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "bench"
        _modelyard(Path(scratch), "init", "bench", "--data", str(table), "--target", "late")
        for stage in ("ingest", "split"):
            _modelyard(folder, "stage", stage)
        here = project.load(folder)
        write_json(here.record("study"), _study())
        for stage in ("train", "evaluate", "pack"):
            _modelyard(folder, "stage", stage)
        _keep(here)
    return flights.CACHE / "package"


def _study() -> StudyRecord:
    """The outcome of a study that tried one configuration."""
    trial = Trial(
        number=0,
        family="boosting",
        params=PARAMS,
        state="complete",
        score=0.0,
        iterations=flights.TREES,
        origin="default",
    )
    return StudyRecord(
        metric="roc_auc",
        direction="maximize",
        mode="search",
        seed=flights.SEED,
        folds=0,
        fold_kind="stratified",
        workers=2,
        threads=1,
        budget_seconds=None,
        trials_wanted=1,
        seconds=0.0,
        trials=(trial,),
        chosen=(Chosen(trial=0, family="boosting", params=PARAMS, iterations=flights.TREES),),
        score=0.0,
        threshold=0.5,
    )


def _keep(here: project.Project) -> None:
    """Copy the package, the booster's text and the split into the cache, whole or not at all."""
    package = flights.CACHE / "package"
    part = flights.CACHE / f".package.{os.getpid()}.part"
    shutil.copytree(here.package, part)
    shutil.rmtree(package, ignore_errors=True)
    part.rename(package)
    (booster,) = (here.model / "native").glob("*.lightgbm.txt")
    shutil.copyfile(booster, flights.CACHE / "booster.lightgbm.txt")
    rows = sides(pl.read_parquet(here.split_table))
    split = {"dev": rows.dev.tolist(), "test": rows.test.tolist()}
    (flights.CACHE / "split.json").write_text(json.dumps(split))


def _modelyard(folder: Path, *words: str) -> None:
    done = subprocess.run(
        [str(measure.BIN / "modelyard"), *words],
        cwd=folder,
        env=measure.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"modelyard {' '.join(words)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    print(make())
