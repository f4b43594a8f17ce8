"""boosting: LightGBM with its native categories, stopped early, by the clock, or at a size."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.forms import Choice, Floats, Params, Real, Shape, Space, Trees, Value, Whole
from modelyard.models import lean
from modelyard.models.booster_text import parse
from modelyard.models.family import (
    LEAVES,
    Target,
    log_shift,
    log_target,
    outputs_of,
    refuse_empty,
)
from modelyard.records import write_bytes

MOST_ITERATIONS = 4000
DEEP = 16
"""The largest max_depth, which a tree of at most 255 leaves hardly ever reaches."""

_BASE: Params = {
    "learning_rate": 0.05,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "max_depth": DEEP,
    "feature_fraction": 1.0,
    "bagging_fraction": 1.0,
    "lambda_l1": 1e-8,
    "lambda_l2": 1e-8,
    "max_bin": 255,
    "extra_trees": False,
}
_CATEGORIES: Params = {"cat_levels": 255, "cat_smooth": 10.0, "cat_l2": 10.0}

PORTFOLIO: tuple[Params, ...] = (
    # Ours: a little of everything that seldom hurts.
    {"learning_rate": 0.06, "feature_fraction": 0.8, "bagging_fraction": 0.9, "lambda_l2": 1.0},
    # Trees grown the way that XGBoost grows them: wide, shallow, ordered codes, shrunk leaves.
    {
        "learning_rate": 0.08,
        "num_leaves": 120,
        "max_depth": 7,
        "min_data_in_leaf": 5,
        "feature_fraction": 0.7,
        "bagging_fraction": 0.8,
        "lambda_l2": 3.0,
        "cat_levels": 0,
    },
    # From here: rows of AutoGluon's LightGBM portfolio of 2023 (Apache-2.0), rounded: "XT", "_r94",
    # "_r130", "_r131", "_r188". Salinas and Erickson, "TabRepo: A Large Scale Repository of Tabular
    # Model Evaluations and its AutoML Applications", AutoML 2024, section 5: a few such rows in
    # turn do as well as a long search.
    {"extra_trees": True},
    {
        "extra_trees": True,
        "learning_rate": 0.0403,
        "num_leaves": 16,
        "min_data_in_leaf": 33,
        "feature_fraction": 0.434,
    },
    {
        "learning_rate": 0.0471,
        "num_leaves": 89,
        "min_data_in_leaf": 56,
        "feature_fraction": 0.625,
    },
    {
        "learning_rate": 0.0121,
        "num_leaves": 53,
        "min_data_in_leaf": 14,
        "feature_fraction": 0.702,
    },
    {
        "extra_trees": True,
        "learning_rate": 0.0339,
        "num_leaves": 127,
        "min_data_in_leaf": 6,
        "feature_fraction": 0.828,
    },
)

STOPPING = {"roc_auc": "auc", "average_precision": "average_precision"}
"""Binary: the metric to stop early on, where it is not the log loss."""
ABSOLUTE = frozenset({"mae", "median_absolute_error", "mape"})
"""Regression: metrics that absolute errors fit better than squared ones."""


@dataclass(frozen=True)
class FittedBoosting:
    """A booster as LightGBM's own text; `shift` is added to its raw scores (log targets only)."""

    text: str
    shape: Shape
    logged: bool
    shift: float
    iterations: int
    stopped: bool
    threads: int
    booster: Any = field(repr=False, compare=False)

    def predict(self, X: Floats) -> Floats:
        """Probabilities or values by `Booster.predict`, shape (rows, k)."""
        found = np.asarray(self.booster.predict(X, num_threads=self.threads), dtype=np.float64)
        if self.shape.task == "binary":
            return np.stack([1 - found, found], axis=1)
        if self.logged:
            found = np.exp(found + self.shift) - 1.0
        return found.reshape(len(X), outputs_of(self.shape))

    def form(self) -> Trees:
        """The trees: sums of leaves per output."""
        link = {"binary": "sigmoid", "multiclass": "softmax", "regression": "identity"}
        return parse(
            self.text,
            link="exp" if self.logged else link[self.shape.task],  # type: ignore[arg-type]
            base=self.shift,
        )

    def save(self, path: Path) -> list[Path]:
        """Write `PATH.lightgbm.txt` (read with `lightgbm.Booster(model_file=...)`)."""
        file = path.with_name(path.name + ".lightgbm.txt")
        write_bytes(file, self.text.encode())
        return [file]


class Boosting:
    """Gradient-boosted trees."""

    name = "boosting"

    def defaults(self, shape: Shape) -> list[Params]:
        """Our own guess, a depth-wise one, and five published rows; log targets first if skewed."""
        rows = []
        for number, row in enumerate(PORTFOLIO):
            params = _BASE | (_CATEGORIES if shape.categorical else {})
            params |= {key: value for key, value in row.items() if key in params}
            if shape.skewed:
                params["target"] = "log" if number % 2 == 0 else "plain"
            rows.append(params)
        return rows

    def space(self, shape: Shape) -> Space:
        """What is searched; `cat_levels`: columns of at most so many levels split natively."""
        space: Space = {
            "learning_rate": Real(0.005, 0.3, log=True),
            "num_leaves": Whole(4, 255, log=True, grid=(15, 63)),
            "min_data_in_leaf": Whole(1, 200, log=True, grid=(5, 20, 60)),
            "max_depth": Whole(3, DEEP),
            "feature_fraction": Real(0.3, 1.0),
            "bagging_fraction": Real(0.5, 1.0),
            "lambda_l1": Real(1e-8, 10.0, log=True),
            "lambda_l2": Real(1e-8, 100.0, log=True),
            "max_bin": Whole(63, 511, log=True),
            "extra_trees": Choice((False, True)),
        }
        if shape.categorical:
            space["cat_levels"] = Whole(0, 255)
            space["cat_smooth"] = Real(1.0, 100.0, log=True)
            space["cat_l2"] = Real(0.1, 100.0, log=True)
        if shape.skewed:
            space["target"] = Choice(("plain", "log"))
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
    ) -> FittedBoosting:
        """See `family.Family.fit`."""
        lgb = lean.load("lightgbm")

        refuse_empty(X, y)
        given = {**_BASE, **_CATEGORIES, **params}
        values, logged = log_target(y, given) if shape.task == "regression" else (y, False)
        options = _options(given, shape, len(X), seed=seed, threads=threads, metric=metric)
        most = LEAVES // (int(given["num_leaves"] or 31) * outputs_of(shape))
        most = min(MOST_ITERATIONS, max(50, most))
        rate = float(given["learning_rate"] or 0.05)
        rounds = iterations or (most if valid else min(most, max(50, int(10 / rate))))
        native = [
            column
            for column, levels in zip(shape.categorical, shape.levels, strict=True)
            if levels <= int(given["cat_levels"] or 0)
        ]
        data = lgb.Dataset(
            X, values, categorical_feature=native, params=options, free_raw_data=True
        )
        clock = Clock(deadline, patience=min(150, int(20 + 2 / rate)) if not iterations else rounds)
        held = []
        if valid is not None and not iterations:
            target = log_target(valid[1], given)[0] if logged else valid[1]
            held = [lgb.Dataset(valid[0], target, reference=data, free_raw_data=True)]
        booster = lgb.train(
            options,
            data,
            num_boost_round=rounds,
            valid_sets=held,
            callbacks=[clock],
            keep_training_booster=True,
        )
        kept = clock.best if held else booster.current_iteration()
        text = booster.model_to_string(num_iteration=kept)
        # What predicts is what was written: the text, read back.
        native_model = lgb.Booster(model_str=text)
        shift = 0.0
        if logged:
            raw = native_model.predict(X, num_threads=threads)
            shift = log_shift(y, np.asarray(raw, dtype=np.float64))
        return FittedBoosting(
            text, shape, logged, shift, kept, clock.stopped, threads, native_model
        )


class Clock:
    """A LightGBM callback: ends the training early or at the deadline, and keeps the best size."""

    order = 30
    before_iteration = False

    def __init__(self, deadline: float | None, *, patience: int) -> None:
        self.deadline = deadline
        self.patience = patience
        self.best = 1
        self.score = -math.inf
        self.stopped = False

    def __call__(self, env: Any) -> None:
        """Look at the clock and at the first validation metric after an iteration."""
        from lightgbm.callback import EarlyStopException

        if env.evaluation_result_list:
            _, _, value, higher_is_better = env.evaluation_result_list[0][:4]
            score = float(value) if higher_is_better else -float(value)
            if score > self.score:
                self.best, self.score = env.iteration + 1, score
        last = env.iteration + 1 >= env.end_iteration
        late = self.deadline is not None and time.monotonic() >= self.deadline
        self.stopped = late and not last
        patient = not env.evaluation_result_list or env.iteration + 1 - self.best < self.patience
        if self.stopped or not patient:
            raise EarlyStopException(env.iteration, env.evaluation_result_list)


def _options(
    given: Params, shape: Shape, rows: int, *, seed: int, threads: int, metric: str
) -> dict[str, Value]:
    """LightGBM's own parameters; everything that could vary between two runs is fixed."""
    options: dict[str, Value] = {
        key: given[key] for key in (*_BASE, *_CATEGORIES) if key != "cat_levels"
    }
    if shape.task == "regression":
        absolute = metric in ABSOLUTE
        options |= {
            "objective": "regression_l1" if absolute else "regression",
            "metric": "l1" if absolute else "l2",
        }
    elif shape.task == "multiclass":
        options |= {
            "objective": "multiclass",
            "metric": "multi_logloss",
            "num_class": shape.classes,
        }
    else:
        options |= {"objective": "binary", "metric": STOPPING.get(metric, "binary_logloss")}
    # Leaves and groups of a size that small tables can fill.
    options["min_data_in_leaf"] = min(int(given["min_data_in_leaf"] or 1), max(1, rows // 10))
    options["min_data_per_group"] = min(100, max(5, rows // 50))
    options["bagging_freq"] = 1 if float(given["bagging_fraction"] or 1.0) < 1 else 0
    layout = "force_row_wise" if shape.width <= 100 else "force_col_wise"
    return options | {
        layout: True,
        "deterministic": True,
        "feature_pre_filter": False,
        "num_threads": threads,
        "seed": seed,
        "verbosity": -1,
    }


FAMILY = Boosting()
