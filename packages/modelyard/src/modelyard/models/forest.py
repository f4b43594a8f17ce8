"""forest: random forest or extremely randomised trees (scikit-learn).

scikit-learn casts the matrix to float32; the form says so and the graph repeats it exactly. A
missing value becomes a sentinel below every value of its column, so that it goes left at every
node, in columns that had none in training too.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.forms import Choice, Floats, Params, Real, Shape, Space, Trees, Whole
from modelyard.models import lean
from modelyard.models.family import LEAVES, Target, outputs_of, refuse_empty
from modelyard.records import write_bytes

MOST_TREES = 400
CHUNK = 20
"""Trees that are grown between two looks at the clock."""
_FAR = 1e38
"""Beyond it, on either side, lie no thresholds; float32 itself ends at 3.4e38."""


@dataclass(frozen=True)
class FittedForest:
    """A forest and the sentinels of its columns (float32, shape (width,))."""

    native: Any
    sentinels: NDArray[np.float32]
    shape: Shape
    iterations: int | None
    stopped: bool

    def predict(self, X: Floats) -> Floats:
        """Probabilities or values, shape (rows, k)."""
        filled = _filled(X, self.sentinels)
        if self.shape.task == "regression":
            return np.asarray(self.native.predict(filled), dtype=np.float64).reshape(-1, 1)
        scores = np.zeros((len(X), self.shape.classes))
        scores[:, self.native.classes_] = self.native.predict_proba(filled)
        return scores

    def form(self) -> Trees:
        """The trees: means of leaves with the probability of class 1, of each class, or a value."""
        trees = [estimator.tree_ for estimator in self.native.estimators_]
        starts = np.cumsum([0, *(tree.node_count for tree in trees)]).astype(np.int64)
        roots, offsets = starts[:-1], np.repeat(starts[:-1], np.diff(starts))
        left = np.concatenate([tree.children_left for tree in trees]).astype(np.int64)
        right = np.concatenate([tree.children_right for tree in trees]).astype(np.int64)
        leaf = left < 0
        value = np.concatenate([tree.value[:, 0, :] for tree in trees]).astype(np.float64)
        if self.shape.task != "regression":
            whole = np.zeros((len(value), self.shape.classes))
            whole[:, self.native.classes_] = value
            value = whole[:, 1:] if self.shape.task == "binary" else whole
        feature = np.concatenate([tree.feature for tree in trees]).astype(np.int64)
        return Trees(
            roots=roots,
            feature=np.where(leaf, -1, feature),
            threshold=np.concatenate([tree.threshold for tree in trees]).astype(np.float64),
            equals=np.zeros(len(leaf), dtype=np.bool_),
            left=np.where(leaf, -1, left + offsets),
            right=np.where(leaf, -1, right + offsets),
            missing_left=~leaf,
            value=value,
            tree_output=np.full(len(roots), -1, dtype=np.int64),
            outputs=value.shape[1],
            aggregate="mean",
            link="identity",
            base=np.zeros(value.shape[1]),
            float32=True,
        )

    def save(self, path: Path) -> list[Path]:
        """Write `PATH.skops`: the estimator and the sentinels (read with skops.io.load)."""
        import skops.io

        file = path.with_name(path.name + ".skops")
        content = {"estimator": self.native, "sentinels": self.sentinels}
        write_bytes(file, skops.io.dumps(content))
        return [file]


class Forest:
    """Bagged trees, random ("random") or with random thresholds ("extra")."""

    name = "forest"

    def defaults(self, shape: Shape) -> list[Params]:
        """Extra trees, a random forest, and extra trees with larger leaves."""
        leaf = 1 if shape.rows < 2_000 else 2 if shape.rows < 10_000 else 4
        if shape.task == "regression":
            rows: list[Params] = [
                {"kind": "extra", "max_features": 0.8, "min_samples_leaf": leaf},
                {"kind": "random", "max_features": 0.5, "min_samples_leaf": leaf},
                {"kind": "extra", "max_features": 1.0, "min_samples_leaf": 3 * leaf},
            ]
            return [{**row, "n_estimators": 200} for row in rows]
        root = min(1.0, max(0.1, 1 / math.sqrt(max(1, shape.width))))
        rows = [
            {"kind": "extra", "criterion": "entropy", "max_features": min(1.0, 1.5 * root)},
            {"kind": "random", "criterion": "gini", "max_features": root},
            {"kind": "extra", "criterion": "gini", "max_features": min(1.0, 3 * root)},
        ]
        return [
            {**row, "min_samples_leaf": factor * leaf, "n_estimators": 200}
            for row, factor in zip(rows, (2, 2, 4), strict=True)
        ]

    def space(self, shape: Shape) -> Space:
        """The kind, the criterion, and what decides the trees' size and likeness."""
        space: Space = {"kind": Choice(("random", "extra"))}
        if shape.task != "regression":
            space["criterion"] = Choice(("gini", "entropy"))
        space["max_features"] = Real(0.1, 1.0)
        leaves = (1, 3, 10) if shape.task == "regression" else (2, 10)
        space["min_samples_leaf"] = Whole(1, 64, log=True, grid=leaves)
        space["n_estimators"] = Whole(100, MOST_TREES)
        return space

    def fit(
        self,
        X: Floats,
        y: Target,
        params: Params,
        shape: Shape,
        *,
        seed: int,
        threads: int,
        valid: tuple[Floats, Target] | None = None,
        iterations: int | None = None,
        deadline: float | None = None,
        metric: str,
    ) -> FittedForest:
        """See `family.Family.fit`; the deadline is looked at after every 20 trees."""
        refuse_empty(X, y)
        given = {**self.defaults(shape)[0], **params}
        wanted = iterations or int(given["n_estimators"] or 200)
        sentinels = _sentinels(X)
        filled = _filled(X, sentinels)
        native = _estimator(given, shape, len(X), seed, threads)
        stopped = False
        # Trees grown in steps are the same trees: the seeds of earlier ones are drawn and skipped.
        # Without a deadline there is no reason to step.
        step = wanted if deadline is None else CHUNK
        for trees in range(min(step, wanted), wanted + step, step):
            native.set_params(n_estimators=min(trees, wanted))
            native.fit(filled, y)
            if deadline is not None and time.monotonic() >= deadline:
                stopped = trees < wanted
                break
        # Threads that add up probabilities do so in any order; one thread gives the same bits.
        native.set_params(n_jobs=1, warm_start=False)
        return FittedForest(native, sentinels, shape, len(native.estimators_), stopped)


def _estimator(given: Params, shape: Shape, rows: int, seed: int, threads: int) -> Any:
    ensemble = lean.load("sklearn.ensemble")

    table = {
        ("random", False): ensemble.RandomForestClassifier,
        ("extra", False): ensemble.ExtraTreesClassifier,
        ("random", True): ensemble.RandomForestRegressor,
        ("extra", True): ensemble.ExtraTreesRegressor,
    }
    leaf = max(1, int(given["min_samples_leaf"] or 1))
    # Bounds the graph, in which each leaf of a multiclass forest carries a vector.
    vector = math.ceil(outputs_of(shape) / 4)
    most = max(64, LEAVES // (int(given["n_estimators"] or 200) * vector))
    options: dict[str, Any] = {
        "max_features": float(given["max_features"] or 1.0),
        "min_samples_leaf": leaf,
        "max_leaf_nodes": most if rows / leaf > most else None,
        "n_jobs": threads,
        "random_state": seed,
        "warm_start": True,
    }
    if shape.task != "regression":
        options["criterion"] = given["criterion"]
    return table[str(given["kind"]), outputs_of(shape) == 1](**options)


def _sentinels(X: Floats) -> NDArray[np.float32]:
    """A value below all others of each column, near enough for random thresholds between them."""
    narrow = _narrow(X)
    missing = np.isnan(narrow)
    low = np.where(missing, np.float32(np.inf), narrow).min(axis=0).astype(np.float64)
    high = np.where(missing, np.float32(-np.inf), narrow).max(axis=0).astype(np.float64)
    empty = np.isinf(low)
    low, high = np.where(empty, 0.0, low), np.where(empty, 0.0, high)
    below = low - np.maximum(0.25 * (high - low), np.maximum(1e-3 * np.abs(low), 1e-6))
    found = below.astype(np.float32)
    return np.minimum(found, np.nextafter(low.astype(np.float32), np.float32(-np.inf)))


def _narrow(X: Floats) -> NDArray[np.float32]:
    """The matrix in float32; what lies beyond `_FAR` stands there, still beyond every threshold."""
    return np.clip(X, -_FAR, _FAR).astype(np.float32)


def _filled(X: Floats, sentinels: NDArray[np.float32]) -> NDArray[np.float32]:
    narrow = _narrow(X)
    return np.where(np.isnan(narrow), sentinels, narrow)


FAMILY = Forest()
