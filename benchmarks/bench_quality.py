"""Quality after the same time: ours, FLAML, Optuna over LightGBM, GridSearchCV, on real tables.

    python benchmarks/bench_quality.py [--data FOLDER] [--tables flights,ames] [--budget 60]
                                       [--peers flaml,optuna,grid] [--seed 0] [--tune ensemble=4]

Target: with 60 s at most 2 % behind FLAML. Every table is split once, 80 % to learn from and 20 %
to be scored on, with a fixed seed; all sides read the same two CSV files, use two cores, and are
scored here with one function (AUC, log loss, RMSE). The peers live in an environment of their own
under .cache/. Twelve tables and four sides at 60 s take nearly an hour.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import measure

LIMIT = 0.02
PEERS = ("flaml", "optuna", "grid")
METRICS = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
CACHE = measure.ROOT / ".cache/quality/peers"
HERE = Path(__file__).parent


def peers_python() -> Path:
    """The interpreter that has the peers; its environment is made at the first call."""
    python = CACHE / "bin/python"
    wanted = HERE / "peers.txt"
    stamp = CACHE / "peers.txt"
    if not stamp.is_file() or stamp.read_text() != wanted.read_text():
        print("installing the peers ...", file=sys.stderr)
        uv = str(measure.BIN / "uv")
        shutil.rmtree(CACHE, ignore_errors=True)
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(CACHE)], check=True)
        subprocess.run(
            [uv, "pip", "install", "-q", "--python", str(python), "-r", str(wanted)], check=True
        )
        shutil.copyfile(wanted, stamp)
    return python


def deal(source: Path, target: str, task: str, seed: int, folder: Path) -> dict[str, Any]:
    """Write train.csv, test.csv (without the target) and task.json; returns the task and truth."""
    import numpy as np
    import polars as pl
    from sklearn.model_selection import train_test_split

    frame = pl.read_csv(source, infer_schema=False)  # texts: every cell stays as it was
    frame = frame.filter(pl.col(target).is_not_null() & ~pl.col(target).is_in(["", "NA"]))
    labels = frame[target].to_numpy()
    train, test = train_test_split(
        np.arange(len(frame)),
        test_size=0.2,
        random_state=seed,
        stratify=None if task == "regression" else labels,
    )
    classes = [] if task == "regression" else sorted(set(labels.tolist()))
    found = {"target": target, "task": task, "metric": METRICS[task], "classes": classes}
    folder.mkdir(parents=True, exist_ok=True)
    frame[np.sort(train)].write_csv(folder / "train.csv")
    test = np.sort(test)
    frame[test].drop(target).write_csv(folder / "test.csv")
    (folder / "task.json").write_text(json.dumps(found))
    return found | {"truth": labels[test], "rows": len(frame)}


def score(task: dict[str, Any], scores: Any) -> float:
    """AUC, log loss or RMSE."""
    import numpy as np
    from sklearn.metrics import log_loss, roc_auc_score

    if not task["classes"]:
        return float(np.sqrt(np.mean((task["truth"].astype(float) - scores[:, 0]) ** 2)))
    truth = np.array([task["classes"].index(label) for label in task["truth"]])
    if task["metric"] == "roc_auc":
        return float(roc_auc_score(truth, scores[:, 1]))
    return float(log_loss(truth, scores, labels=range(len(task["classes"]))))


def behind(metric: str, ours: float, other: float) -> float:
    """By how much of the other's figure ours is worse; below zero where it is better."""
    return 1 - ours / other if metric == "roc_auc" else ours / other - 1


def side(
    name: str, shared: Path, budget: float, task: dict[str, Any], tune: dict[str, Any]
) -> dict[str, Any]:
    """Run one side in a process and a folder of its own."""
    import numpy as np

    folder = shared.with_name(name)
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(shared, folder)
    if name == "ours":
        described = json.loads((folder / "task.json").read_text())
        (folder / "task.json").write_text(json.dumps(described | {"tune": tune}))
        command = [sys.executable, str(HERE / "quality_ours.py"), str(folder), f"{budget:g}"]
    else:
        script = str(HERE / "quality_peers.py")
        command = [str(peers_python()), script, str(folder), f"{budget:g}", name]
    try:
        spent = measure.run(command)
    except SystemExit as failed:
        # One table that one peer cannot take must not end an hour's work.
        print(str(failed)[-1500:], file=sys.stderr)
        return {"score": None, "seconds": None}
    found = score(task, np.load(folder / "scores.npy"))
    said = json.loads((folder / "said.json").read_text())
    return {"score": found, "seconds": spent.seconds, "cpu": spent.cpu, **said}


def shown(result: dict[str, Any] | None) -> str:
    """A score with the time that it took."""
    if result is None or result["score"] is None:
        return "–"
    value = result["score"]
    return f"{value:,.1f}" if value >= 100 else f"{value:.4f}"


def taken(result: dict[str, Any] | None) -> str:
    """The seconds of the whole process."""
    return "–" if result is None or result["score"] is None else f"{result['seconds']:.0f}"


def kept(body: dict[str, Any]) -> dict[str, Any]:
    """The tables of earlier runs under the same conditions, so that a part can be measured."""
    path = measure.RESULTS / "quality.json"
    before = json.loads(path.read_text()) if path.is_file() else {}
    same = all(before.get(key) == value for key, value in body.items())
    return dict(before["tables"]) if same else {}


def main() -> None:
    """Print a table, row by row as it comes about, and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=measure.ROOT.parent / "shared/data")
    parser.add_argument("--tables", default="", help="names without .csv; all by default")
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--peers", default=",".join(PEERS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tune", action="append", default=[], help="a key of tune, for ours")
    options = parser.parse_args()
    if not (options.data / "index.csv").is_file():
        print("Skipped: there is no index.csv in the folder of --data (file, target, task).")
        return
    peers = [name for name in options.peers.split(",") if name]
    if unknown := set(peers) - set(PEERS):
        parser.error(f"unknown peers: {', '.join(unknown)}; known: {', '.join(PEERS)}")
    wanted = [name for name in options.tables.split(",") if name]
    with (options.data / "index.csv").open(encoding="utf-8") as file:
        index = {row["file"].removesuffix(".csv"): row for row in csv.DictReader(file)}
    if unknown := set(wanted) - set(index):
        parser.error(f"unknown tables: {', '.join(unknown)}; known: {', '.join(index)}")
    tune = {
        key: json.loads(value) for key, _, value in (pair.partition("=") for pair in options.tune)
    }
    if peers:
        peers_python()
    results: dict[str, dict[str, Any]] = {}
    head = ["table", "metric", "ours", *peers, "behind FLAML", "seconds: ours", *peers]
    print(measure.markdown(head, []))
    for name, row in index.items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as scratch:
            shared = Path(scratch) / "dealt"
            source = options.data / row["file"]
            task = deal(source, row["target"], row["task"], options.seed, shared)
            found = {one: side(one, shared, options.budget, task, tune) for one in ("ours", *peers)}
        gap = None
        flaml = found.get("flaml")
        if flaml and flaml["score"] is not None and found["ours"]["score"] is not None:
            gap = behind(task["metric"], found["ours"]["score"], flaml["score"])
        results[name] = {"metric": task["metric"], "rows": task["rows"], "behind": gap, **found}
        cells = [name, task["metric"], *(shown(found[one]) for one in ("ours", *peers))]
        cells.append("–" if gap is None else f"{gap:+.1%}")
        cells += [taken(found[one]) for one in ("ours", *peers)]
        print("| " + " | ".join(cells) + " |", flush=True)
    gaps = [entry["behind"] for entry in results.values() if entry["behind"] is not None]
    if gaps:
        late = sum(gap > LIMIT for gap in gaps)
        print(f"\nMore than {LIMIT:.0%} behind FLAML on {late} of {len(gaps)} tables.")
    body = {"budget": options.budget, "seed": options.seed, "limit": LIMIT, "tune": tune}
    measure.save("quality", body | {"tables": kept(body) | results})


if __name__ == "__main__":
    main()
