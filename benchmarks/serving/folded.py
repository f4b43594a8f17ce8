"""Make our package of the very model that the peers serve: its scikit-learn steps folded in.

    python benchmarks/serving/folded.py

`pipeline.py` has left the fitted pipeline as plain numbers. Each split of its trees asks a scaled
number or a one-hot column, and becomes a split of the raw column: the largest number that the
scaler keeps at or below the threshold, an equality with a category's code, and for a missing value
the way that its imputed value goes. Nothing is rounded: the package is refused unless it gives the
pipeline's own probabilities to 1e-12 for every row of the table and for thousands of changed ones.
Left in benchmarks/.cache: `package_same/`.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import flights
import msgspec
import numpy as np

from modelyard.forms import Floats, Member, Trees
from modelyard.models.booster_text import parse
from modelyard.models.masks import compiled
from modelyard.tools import onnx as graphs
from modelyard_serve.contract import (
    GOLDEN,
    GRAPH,
    MANIFEST,
    MASKS,
    REFERENCE,
    Feature,
    Golden,
    Manifest,
    file_digest,
    read_manifest,
)
from modelyard_serve.scorer import Scorer

TOLERANCE = 1e-12
PACKAGE = flights.CACHE / "package_same"


def make() -> Path:
    """Build the package beside our own, whose columns and reference it shares; returns it."""
    learned = json.loads((flights.CACHE / "pipeline.json").read_text())
    own = read_manifest(flights.CACHE / "package")
    features = tuple(_with_levels(feature, learned) for feature in own.features)
    trees = fold(learned, features)
    part = flights.CACHE / ".package_same.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    _write(part, own, features, trees, learned["probabilities"])
    apart = parity(part, learned["probabilities"])
    shutil.rmtree(PACKAGE, ignore_errors=True)
    part.rename(PACKAGE)
    print(f"{len(learned['probabilities']):,} rows, largest difference {apart:.1e}")
    return PACKAGE


def fold(learned: dict[str, Any], features: tuple[Feature, ...]) -> Trees:
    """The pipeline's trees over the raw matrix: numbers, category codes, NaN for missing."""
    trees = parse(learned["booster"], link="sigmoid")
    places = {feature.name: place for place, feature in enumerate(features)}
    asked = [(places[name], -1.0, False) for name in flights.NUMBERS]
    for name, levels in zip(flights.CATEGORIES, learned["levels"], strict=True):
        codes = {level: code for code, level in enumerate(features[places[name]].levels, start=1)}
        asked += [(places[name], float(codes[x]), x == learned["missing"]) for x in levels]
    column, code, for_missing = (np.array(one) for one in zip(*asked, strict=True))

    inner = trees.feature >= 0
    at = np.where(inner, trees.feature, 0)
    onehot = inner & (at >= len(flights.NUMBERS))
    number = np.flatnonzero(inner & ~onehot)
    if not ((trees.threshold[onehot] >= 0) & (trees.threshold[onehot] < 1)).all():
        raise SystemExit("a split of a one-hot column lies outside 0 to 1")
    threshold = np.where(onehot, code[at], trees.threshold)
    missing_left = onehot & for_missing[at].astype(bool)
    fill, centre, scale = (np.array(learned[key]) for key in ("fill", "centre", "scale"))
    split, which = trees.threshold[number], trees.feature[number]
    threshold[number] = unscaled(split, centre[which], scale[which])
    missing_left[number] = (fill[which] - centre[which]) / scale[which] <= split
    # One-hot 1 is "is the code", and went right.
    return Trees(
        roots=trees.roots,
        feature=np.where(inner, column[at], -1),
        threshold=threshold,
        equals=onehot,
        left=np.where(onehot, trees.right, trees.left),
        right=np.where(onehot, trees.left, trees.right),
        missing_left=missing_left,
        value=trees.value,
        tree_output=trees.tree_output,
        outputs=trees.outputs,
        aggregate=trees.aggregate,
        link=trees.link,
        base=trees.base,
    )


def unscaled(split: Floats, centre: Floats, scale: Floats) -> Floats:
    """The largest x with (x - centre) / scale <= split, in floating point as the scaler has it."""
    found = split * scale + centre
    for _ in range(64):
        above = (found - centre) / scale > split
        found = np.where(above, np.nextafter(found, -np.inf), found)
        higher = np.nextafter(found, np.inf)
        more = ~above & ((higher - centre) / scale <= split)
        found = np.where(more, higher, found)
        if not (above | more).any():
            return found
    raise SystemExit("a threshold cannot be told from its neighbours")


def parity(package: Path, expected: list[float]) -> float:
    """The largest difference from the pipeline, by the masks and by the graph; labels equal."""
    rows = [*flights.read_rows(), *flights.changed()]
    columns = {name: [row[name] for row in rows] for name in flights.COLUMNS}
    native = np.array(expected)
    worst = 0.0
    for graph in (False, True):
        scorer = Scorer(package, graph=graph)
        scorer.check_golden()
        found = scorer.score(columns)
        apart = float(np.abs(found.outputs[:, 1] - native).max())
        same = (found.labels == np.where(native >= 0.5, "yes", "no")).all()
        if not (apart <= TOLERANCE and same):
            raise SystemExit(f"graph={graph}: differs from the pipeline by {apart:.1e}")
        worst = max(worst, apart)
    return worst


def _with_levels(feature: Feature, learned: dict[str, Any]) -> Feature:
    """Our column, knowing every category that the encoder knows."""
    if feature.kind != "category":
        return feature
    seen = learned["levels"][flights.CATEGORIES.index(feature.name)]
    more = [level for level in seen if level not in feature.levels]
    return msgspec.structs.replace(feature, levels=(*feature.levels, *more))


def _write(
    part: Path, own: Manifest, features: tuple[Feature, ...], trees: Trees, native: list[float]
) -> None:
    members = [Member(trees, 1.0)]
    graph = graphs.build(members, width=len(features), task="binary", classes=2, name="bench")
    (part / GRAPH).write_bytes(graph)
    masks = compiled(members, "binary")
    if masks is None:
        raise SystemExit("the folded trees have no masks")
    (part / MASKS).write_bytes(masks)
    rows = [{name: row[name] for name in flights.COLUMNS} for row in flights.read_rows()[:20]]
    scores = [[1 - late, late] for late in native[:20]]
    golden = Golden(rows=rows, scores=scores, tolerance=TOLERANCE)
    (part / GOLDEN).write_bytes(msgspec.json.encode(golden))
    shutil.copyfile(flights.CACHE / "package" / REFERENCE, part / REFERENCE)
    files = {name: file_digest(part / name) for name in (GRAPH, MASKS, GOLDEN, REFERENCE)}
    manifest = msgspec.structs.replace(own, features=features, threshold=0.5, files=files)
    (part / MANIFEST).write_bytes(msgspec.json.encode(manifest))


if __name__ == "__main__":
    print(make())
