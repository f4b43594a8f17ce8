"""Our side of bench_quality.py: the stages in a scratch project, the graph's scores on the rest.

    python quality_ours.py FOLDER BUDGET

FOLDER holds train.csv, test.csv and task.json; scores.npy is written there: probabilities in the
order of task.json's classes, shape (rows, classes), or values, shape (rows, 1).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import yaml

SHARES = (0.01, 0.03, 0.1)
"""The project's own held-out share: the smallest that has rows of every class, since nearly all
rows are for learning here. The benchmark holds out rows of its own."""


def main() -> None:
    """Ingest, split, tune, train; then the graph on the held-out rows."""
    folder, budget = Path(sys.argv[1]), float(sys.argv[2])
    task = json.loads((folder / "task.json").read_text())
    root = folder / "project"
    root.mkdir(exist_ok=True)
    tree = {
        "project": {"name": "bench"},
        "data": {"path": "train.csv", "target": task["target"], "task": task["task"]},
        "tune": {"budget": f"{budget:g}s", **task.get("tune", {})},
    }
    (root / "train.csv").write_bytes((folder / "train.csv").read_bytes())

    from modelyard import line, project
    from modelyard.errors import DataInvalid
    from modelyard.models import lean
    from modelyard.models.matrix import build
    from modelyard.records import Schema, StudyRecord, read_json
    from modelyard.tables.reading import read_table
    from modelyard.tables.schema import apply
    from modelyard.tools import onnx as graphs
    from modelyard_serve.contract import Feature

    lean.own_process()
    for share in SHARES:
        tree["split"] = {"test": share, "valid": 0.1}
        (root / "modelyard.yaml").write_text(yaml.safe_dump(tree))
        here = project.load(root)
        line.run_stage(here, "ingest")
        try:
            line.run_stage(here, "split")
            break
        except DataInvalid:
            if share == SHARES[-1]:
                raise
    searched = time.time()
    line.run_stage(here, "tune", process_started=searched)
    refitted = time.time()
    line.run_stage(here, "train")
    ended = time.time()

    schema = read_json(here.record("schema"), Schema)
    study = read_json(here.record("study"), StudyRecord)
    features = read_json(here.model / "features.json", tuple[Feature, ...])
    test = apply(read_table(folder / "test.csv").frame, schema)
    graph = (here.model / "graph.onnx").read_bytes()
    scores = graphs.run(graph, build(features, test))
    if task["classes"]:
        scores = scores[:, [schema.classes.index(name) for name in task["classes"]]]
    np.save(folder / "scores.npy", scores)
    said = {
        "search": refitted - searched,
        "refit": ended - refitted,
        "found": "+".join(member.family for member in study.chosen),
        "tried": len(study.trials),
    }
    (folder / "said.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main()
