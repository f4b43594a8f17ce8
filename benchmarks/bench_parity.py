"""Parity: the serving benchmark's own model against LightGBM itself on 500,000 rows.

    python benchmarks/bench_parity.py [--rows 500000]

A third of the rows are the table's; a third have values taken out, unseen categories and numbers
from elsewhere; a third stand at the trees' thresholds and one step beside them. The package is
scored both ways, by its masks and by its graph. Labels must be equal, probabilities within 1e-12.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

sys.path[:0] = [str(Path(__file__).resolve().parent / "serving")]
import environments
import flights
import measure

from modelyard.models.booster_text import parse
from modelyard_serve.contract import read_manifest
from modelyard_serve.encoding import encode
from modelyard_serve.scorer import Scorer

BLOCK = 50_000
TOLERANCE = 1e-12


def rows_of(count: int, text: str) -> NDArray[np.float64]:
    """The encoded rows, the same ones each time."""
    rng = np.random.default_rng(flights.SEED)
    features = read_manifest(flights.CACHE / "package").features
    sources = [flights.read_rows(), flights.changed(20_000)]
    tables = [
        encode(features, {name: [row[name] for row in rows] for name in flights.COLUMNS})
        for rows in sources
    ]
    third = count // 3
    parts = [table[rng.integers(0, len(table), third)] for table in tables]
    edges = tables[0][rng.integers(0, len(tables[0]), count - 2 * third)]
    trees = parse(text, link="sigmoid")
    asked = (trees.feature >= 0) & ~trees.equals
    for column in np.unique(trees.feature[asked]).tolist():
        thresholds = np.unique(trees.threshold[asked & (trees.feature == column)])
        drawn = rng.choice(thresholds, len(edges))
        side = rng.integers(-1, 2, len(edges))
        stepped = np.where(
            side == 0, drawn, np.nextafter(drawn, np.where(side > 0, 1, -1) * np.inf)
        )
        some = rng.random(len(edges)) < 0.7
        edges[some, column] = stepped[some]
    return np.concatenate([*parts, edges])


def compare(matrix: NDArray[np.float64], text: str) -> dict[str, Any]:
    """Largest differences and labels that differ, for both ways of scoring; seconds of each."""
    booster = lightgbm.Booster(model_str=text)
    ways = {name: Scorer(flights.CACHE / "package", graph=name == "graph") for name in WAYS}
    found: dict[str, Any] = {name: {"apart": 0.0, "labels": 0, "seconds": 0.0} for name in ways}
    threshold = ways["masks"].manifest.threshold
    assert threshold is not None
    for start in range(0, len(matrix), BLOCK):
        part = matrix[start : start + BLOCK]
        native = np.asarray(booster.predict(part, num_threads=1))
        labels = np.where(native >= threshold, "yes", "no")
        for name, scorer in ways.items():
            began = time.perf_counter()
            scores = scorer.score_matrix(part)
            one = found[name]
            one["seconds"] += time.perf_counter() - began
            one["apart"] = max(one["apart"], float(np.abs(scores.outputs[:, 1] - native).max()))
            one["labels"] += int((scores.labels != labels).sum())
    return found


WAYS = ("masks", "graph")


def main() -> None:
    """Compare, print, write; exit 1 where parity fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=500_000)
    options = parser.parse_args()
    environments.models()
    text = (flights.CACHE / "booster.lightgbm.txt").read_text()
    found = compare(rows_of(options.rows, text), text)
    lines = [
        [name, f"{one['apart']:.1e}", str(one["labels"]), f"{options.rows / one['seconds']:,.0f}"]
        for name, one in found.items()
    ]
    print(measure.markdown(["way", "largest difference", "labels that differ", "rows/s"], lines))
    body = {"rows": options.rows, "load": os.getloadavg()[0], "ways": found}
    out = measure.RESULTS / "parity.json"
    out.write_text(json.dumps(body, indent=1) + "\n")
    if any(one["labels"] or not one["apart"] <= TOLERANCE for one in found.values()):
        raise SystemExit("the package does not answer as LightGBM does")


if __name__ == "__main__":
    main()
