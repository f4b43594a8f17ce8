"""`modelyard predict` against `mlflow models predict` and against pandas with scikit-learn.

    python benchmarks/bench_batch.py [--rows 1000000] [--rounds 3] [--package FOLDER]
    python benchmarks/bench_batch.py --parity 500000
    python benchmarks/bench_batch.py --memory 1000000 10000000

Targets: at least 14 times MLflow's rows a second, and 5 times those of a script that reads the
table whole into pandas and scores it with the scikit-learn pipeline; at least 166,000 rows a second
with two processes; memory that does not grow with the table. All score flights (6 numbers and 8
categories) with 300 LightGBM trees of 31 leaves; MLflow reads CSV, the others Parquet. Each side is
a process of its own, on the same rows. Rows a second are counted twice, and so are the ratios: over
the whole command, which is what a person waits for, and beyond its start (what 1,000 rows take),
since a start of several seconds says nothing of a pace.

The package comes from `benchmarks/serving/ours.py`, with LightGBM's own text of the same trees
beside it; `--parity` compares every row of a table with that.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import measure

CACHE = measure.ROOT / "benchmarks/.cache"
FOLDER = CACHE / "batch"
PACKAGE = CACHE / "package"
NUMBERS = ("distance", "plane_built", "seats", "temp", "humid", "wind_speed")
CATEGORIES = (
    "carrier", "origin", "dest", "manufacturer", "engine_type", "month", "weekday", "hour",
)  # fmt: skip
COLUMNS = [*NUMBERS, *CATEGORIES]
LEAST = {"mlflow": 14.0, "pandas": 5.0}
PACE = 166_000
SMALL = 1_000
SIDES = ("modelyard", "pandas", "mlflow")
TOLERANCE = 1e-12
_PART = 500_000


def generate(rows: int, form: str) -> Path:
    """Flights drawn with replacement, a tenth of the cells of each column from other flights."""
    import numpy as np
    import polars as pl

    path = FOLDER / f"{rows}.{form}"
    if path.is_file():
        return path
    rng = np.random.default_rng(rows)
    flights = pl.read_csv(CACHE / "flights.csv").select(COLUMNS)
    parts = FOLDER / f".{path.name}.parts"
    shutil.rmtree(parts, ignore_errors=True)
    parts.mkdir(parents=True)
    for start in range(0, rows, _PART):
        size = min(_PART, rows - start)
        frame = flights[rng.integers(0, flights.height, size)]
        for name in COLUMNS:
            other = flights[name].gather(rng.integers(0, flights.height, size))
            swapped = pl.Series(rng.random(size) < 0.1)
            frame = frame.with_columns(frame[name].zip_with(~swapped, other).alias(name))
        frame.insert_column(0, pl.Series("id", range(start, start + size)))
        frame.write_parquet(parts / f"{start:09}.parquet")
    lazy = pl.scan_parquet(parts / "*.parquet")
    sink = lazy.sink_csv if form == "csv" else lazy.sink_parquet
    sink(FOLDER / f".{path.name}")
    (FOLDER / f".{path.name}").rename(path)
    shutil.rmtree(parts)
    return path


def pipeline() -> None:
    """The peers' model, written as is usual: imputer and scaler, imputer and one-hot, LightGBM."""
    import joblib
    import mlflow
    import pandas as pd
    from lightgbm import LGBMClassifier
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    table = pd.read_csv(CACHE / "flights.csv").astype(dict.fromkeys(NUMBERS, "float64"))
    texts = SimpleImputer(strategy="constant", fill_value="missing")
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), list(NUMBERS)),
            (
                "categories",
                make_pipeline(texts, OneHotEncoder(handle_unknown="ignore")),
                list(CATEGORIES),
            ),
        ]
    )
    trees = LGBMClassifier(n_estimators=300, num_leaves=31, learning_rate=0.05, verbosity=-1)
    fitted = make_pipeline(columns, trees).fit(table[COLUMNS].astype(_types()), table["late"])
    joblib.dump(fitted, FOLDER / "pipeline.joblib")
    shutil.rmtree(FOLDER / "mlflow_model", ignore_errors=True)
    mlflow.sklearn.save_model(
        fitted,
        FOLDER / "mlflow_model",
        pyfunc_predict_fn="predict_proba",
        serialization_format="cloudpickle",
        pip_requirements=[],
    )


def _types() -> dict[str, str]:
    return dict.fromkeys(NUMBERS, "float64") | dict.fromkeys(CATEGORIES, "object")


def by_pandas(source: Path) -> None:
    """The script that one writes: the whole table in memory."""
    import joblib
    import pandas as pd

    model = joblib.load(FOLDER / "pipeline.joblib")
    table = pd.read_parquet(source)
    scores = model.predict_proba(table[COLUMNS].astype(_types()))
    table["prediction"] = model.classes_[(scores[:, 1] >= 0.5).astype(int)]
    for index, name in enumerate(model.classes_):
        table[f"p_{name}"] = scores[:, index]
    table.to_parquet(FOLDER / "pandas.parquet")


def commands(package: Path, rows: dict[str, int]) -> dict[str, list[str]]:
    """What each side is called with."""
    out = str(FOLDER / "modelyard.parquet")
    ours = [str(measure.BIN / "modelyard"), "predict"]
    theirs = [str(measure.BIN / "mlflow"), "models", "predict", "--env-manager", "local"]
    return {
        "modelyard": [
            *ours, str(generate(rows["modelyard"], "parquet")), "-o", out,
            "--package", str(package), "--workers", "2",
        ],
        "pandas": [
            sys.executable, __file__, "--do", str(generate(rows["pandas"], "parquet")),
        ],
        "mlflow": [
            *theirs, "-m", str(FOLDER / "mlflow_model"), "-t", "csv",
            "-i", str(generate(rows["mlflow"], "csv")), "-o", str(FOLDER / "mlflow.json"),
        ],
    }  # fmt: skip


def compare(package: Path, rows: int, rounds: int) -> dict[str, Any]:
    """Run every side in turn, on few and on many rows; returns what the table shows."""
    many = dict.fromkeys(SIDES, rows)
    sides = {
        (name, size): command
        for size, counts in (("small", dict.fromkeys(SIDES, SMALL)), ("large", many))
        for name, command in commands(package, counts).items()
    }
    found: dict[tuple[str, str], list[measure.Spent]] = {side: [] for side in sides}
    for number in range(rounds + 1):  # the first round does not count, and need not be long
        for side, command in sides.items():
            if number:
                found[side].append(measure.run(command))
            elif side[1] == "small":
                measure.run(command)
    body: dict[str, Any] = {"rows": many, "rounds": rounds, "sides": {}, "ratios": {}}
    paces: dict[str, list[float]] = {}
    for name, count in many.items():
        large, small = found[name, "large"], found[name, "small"]
        paces[name] = [
            (count - SMALL) / (a.seconds - b.seconds) for a, b in zip(large, small, strict=True)
        ]
        body["sides"][name] = {
            "pace": statistics.median(paces[name]),
            "pace_with_start": statistics.median(count / spent.seconds for spent in large),
            "start_seconds": statistics.median(spent.seconds for spent in small),
            "cpu_us_a_row": statistics.median(spent.cpu for spent in large) / count * 1e6,
            "largest_process_mb": statistics.median(spent.peak_mb for spent in large),
        }
    for name, limit in LEAST.items():
        whole = [
            theirs.seconds / ours.seconds
            for ours, theirs in zip(found["modelyard", "large"], found[name, "large"], strict=True)
        ]
        beyond = [a / b for a, b in zip(paces["modelyard"], paces[name], strict=True)]
        body["ratios"][name] = {
            kind: {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}
            for kind, ratios in (("whole", whole), ("beyond_start", beyond))
        } | {"at_least": limit}
    return body


def show(body: dict[str, Any]) -> None:
    """Print the table and the verdicts."""
    rows = []
    for name, side in body["sides"].items():
        ratio = body["ratios"].get(name)
        verdicts = (
            [_verdict(ratio, kind) for kind in ("whole", "beyond_start")] if ratio else ["", ""]
        )
        rows.append(
            [
                name,
                f"{body['rows'][name]:,}",
                f"{side['pace']:,.0f}",
                f"{side['pace_with_start']:,.0f}",
                f"{side['start_seconds']:.1f}",
                f"{side['cpu_us_a_row']:.1f}",
                *verdicts,
            ]
        )
    head = ["", "rows", "rows/s beyond the start", "with it", "start, s", "processor, µs a row"]
    head += ["ours / theirs, whole command", "beyond the start"]
    print(measure.markdown(head, rows))
    pace = body["sides"]["modelyard"]["pace"]
    print(f"\nours: {pace:,.0f} rows/s, target {PACE:,}: {'kept' if pace >= PACE else 'MISSED'}")


def _verdict(ratio: dict[str, Any], kind: str) -> str:
    found, least = ratio[kind], ratio["at_least"]
    kept = "kept" if found["median"] >= least else "MISSED"
    return (
        f"{found['median']:.1f} ({found['min']:.1f}–{found['max']:.1f}), target {least:g}: {kept}"
    )


def memory(package: Path, sizes: list[int]) -> dict[str, float]:
    """Peak resident memory of the command and its workers together, in MB, by rows."""
    import psutil

    found = {}
    for rows in sizes:
        command = commands(package, dict.fromkeys(SIDES, SMALL) | {"modelyard": rows})["modelyard"]
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            env=measure.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        root, peak = psutil.Process(process.pid), 0
        while process.poll() is None:
            try:
                family = [root, *root.children(recursive=True)]
                peak = max(peak, sum(one.memory_info().rss for one in family))
            except psutil.NoSuchProcess:
                continue
            time.sleep(0.02)
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed: run it by hand")
        found[f"{rows:,}"] = peak / 1e6
        print(f"{rows:,} rows: {peak / 1e6:,.0f} MB, {time.perf_counter() - started:,.0f} s")
    return found


def parity(package: Path, rows: int) -> dict[str, float]:
    """Every row's label and probability against LightGBM's own. Raises SystemExit on a miss."""
    import lightgbm
    import numpy as np
    import polars as pl

    from modelyard_serve.contract import read_manifest
    from modelyard_serve.encoding import encode

    command = commands(package, dict.fromkeys(SIDES, SMALL) | {"modelyard": rows})["modelyard"]
    measure.run(command)
    scored = pl.read_parquet(FOLDER / "modelyard.parquet")
    manifest = read_manifest(package)
    raw = {feature.name: scored[feature.name].to_list() for feature in manifest.features}
    matrix = encode(manifest.features, raw)
    booster = lightgbm.Booster(model_file=str(package.parent / "booster.lightgbm.txt"))
    native = np.asarray(booster.predict(matrix, num_threads=os.cpu_count()))
    ours = scored[f"p_{manifest.classes[1]}"].to_numpy()
    worst = float(np.abs(ours - native).max())
    labels = np.array(manifest.classes)[(native >= manifest.threshold).astype(int)]
    wrong = int((labels != scored["prediction"].to_numpy()).sum())
    order = scored["id"].to_list() == list(range(rows))
    print(f"{rows:,} rows: {wrong} labels differ, probabilities by {worst:.1e} at the most")
    if wrong or not worst <= TOLERANCE or not order:
        raise SystemExit(f"parity MISSED (limit {TOLERANCE:g}; rows in order: {order})")
    return {"rows": rows, "labels_wrong": wrong, "largest_difference": worst}


def main() -> None:
    """Print the tables; keep what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--package", type=Path, default=PACKAGE)
    parser.add_argument("--parity", type=int, metavar="ROWS", help="compare with LightGBM only")
    parser.add_argument("--memory", type=int, nargs="+", metavar="ROWS", help="peak memory only")
    parser.add_argument("--do", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do:
        return by_pandas(options.do)
    if not options.package.is_dir():
        measure.run([sys.executable, str(measure.ROOT / "benchmarks/serving/ours.py")])
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = measure.RESULTS / "batch.json"
    body = json.loads(kept.read_text()) if kept.is_file() else {}
    body.pop("conditions", None)
    if options.parity:
        body["parity"] = parity(options.package, options.parity)
    elif options.memory:
        body["memory_mb"] = memory(options.package, options.memory)
    else:
        pipeline()
        body |= compare(options.package, options.rows, options.rounds)
        show(body)
    measure.save("batch", body)
    return None


if __name__ == "__main__":
    main()
