"""The peers' side of bench_quality.py, run by an interpreter that has them (see peers.txt).

    python quality_peers.py FOLDER BUDGET flaml|optuna|grid

Each as its own documentation shows it; the same preparation of the columns for all: texts become
pandas categories, dates their parts. Reads and writes the files that quality_ours.py does.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

THREADS = 2
SEED = 0


def prepared(folder: Path, task: dict[str, Any]) -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """The training columns, the target, the test columns."""
    train = pd.read_csv(folder / "train.csv")
    test = pd.read_csv(folder / "test.csv")
    y = train.pop(task["target"])
    for name in list(train.columns):
        if pd.api.types.is_numeric_dtype(train[name]) or train[name].dtype == bool:
            continue
        moments = pd.to_datetime(train[name], errors="coerce", format="ISO8601")
        if moments.notna().mean() > 0.95 * train[name].notna().mean() > 0:
            for frame in (train, test):
                when = pd.to_datetime(frame.pop(name), errors="coerce", format="ISO8601")
                for part in ("year", "month", "day", "dayofweek", "hour"):
                    frame[f"{name}_{part}"] = getattr(when.dt, part)
            continue
        kinds = pd.CategoricalDtype(sorted(train[name].dropna().astype(str).unique()))
        for frame in (train, test):
            texts = frame[name].astype(str).where(frame[name].notna())
            frame[name] = texts.where(texts.isin(kinds.categories)).astype(kinds)
    if task["classes"]:
        y = y.astype(str).map({name: code for code, name in enumerate(task["classes"])})
    return train, y, test[train.columns]


def scores_of(model: Any, X: pd.DataFrame, task: dict[str, Any]) -> np.ndarray:
    """Probabilities in class order, or values."""
    if task["classes"]:
        return np.asarray(model.predict_proba(X))
    return np.asarray(model.predict(X)).reshape(-1, 1)


def flaml(X: pd.DataFrame, y: pd.Series, task: dict[str, Any], budget: float) -> tuple[Any, Any]:
    """AutoML with its defaults, for the budget."""
    from flaml import AutoML

    model = AutoML()
    model.fit(
        X,
        y,
        task="regression" if task["task"] == "regression" else "classification",
        metric=task["metric"],
        time_budget=budget,
        n_jobs=THREADS,
        seed=SEED,
        verbose=0,
    )
    return model, model.best_estimator


def optuna(X: pd.DataFrame, y: pd.Series, task: dict[str, Any], budget: float) -> tuple[Any, Any]:
    """The search of Optuna's own LightGBM example, with a timeout, then a refit on all rows."""
    import lightgbm as lgb
    import optuna as library
    from sklearn.metrics import log_loss, mean_squared_error, roc_auc_score
    from sklearn.model_selection import train_test_split

    library.logging.set_verbosity(library.logging.ERROR)
    kind = lgb.LGBMClassifier if task["classes"] else lgb.LGBMRegressor
    learn, valid, y_learn, y_valid = train_test_split(
        X, y, test_size=0.25, random_state=SEED, stratify=y if task["classes"] else None
    )

    def objective(trial: Any) -> float:
        params = {
            "lambda_l1": trial.suggest_float("lambda_l1", 1e-8, 10.0, log=True),
            "lambda_l2": trial.suggest_float("lambda_l2", 1e-8, 10.0, log=True),
            "num_leaves": trial.suggest_int("num_leaves", 2, 256),
            "feature_fraction": trial.suggest_float("feature_fraction", 0.4, 1.0),
            "bagging_fraction": trial.suggest_float("bagging_fraction", 0.4, 1.0),
            "bagging_freq": trial.suggest_int("bagging_freq", 1, 7),
            "min_child_samples": trial.suggest_int("min_child_samples", 5, 100),
            "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.3, log=True),
        }
        model = kind(n_estimators=1000, n_jobs=THREADS, random_state=SEED, verbosity=-1, **params)
        model.fit(
            learn,
            y_learn,
            eval_set=[(valid, y_valid)],
            callbacks=[lgb.early_stopping(30, verbose=False)],
        )
        trial.set_user_attr("n_estimators", model.best_iteration_ or 1000)
        found = scores_of(model, valid, task)
        if task["metric"] == "roc_auc":
            return -float(roc_auc_score(y_valid, found[:, 1]))
        if task["metric"] == "log_loss":
            return float(log_loss(y_valid, found, labels=range(len(task["classes"]))))
        return float(mean_squared_error(y_valid, found[:, 0]))

    study = library.create_study(sampler=library.samplers.TPESampler(seed=SEED))
    study.optimize(objective, timeout=budget)
    best = study.best_trial
    model = kind(
        n_estimators=best.user_attrs["n_estimators"],
        n_jobs=THREADS,
        random_state=SEED,
        verbosity=-1,
        **best.params,
    )
    return model.fit(X, y), len(study.trials)


def grid(X: pd.DataFrame, y: pd.Series, task: dict[str, Any], budget: float) -> tuple[Any, Any]:
    """GridSearchCV over HistGradientBoosting, 12 points and 5 folds; it knows no budget."""
    from sklearn.compose import make_column_selector, make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    kind = HistGradientBoostingClassifier if task["classes"] else HistGradientBoostingRegressor
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
    columns = make_column_transformer(
        (codes, make_column_selector(dtype_include="category")), remainder="passthrough"
    )
    scoring = {"roc_auc": "roc_auc", "log_loss": "neg_log_loss"}
    search = GridSearchCV(
        make_pipeline(columns, kind(random_state=SEED, max_iter=200)),
        {
            f"{kind.__name__.lower()}__{name}": values
            for name, values in {
                "learning_rate": [0.03, 0.1],
                "max_leaf_nodes": [15, 31, 63],
                "min_samples_leaf": [5, 20],
            }.items()
        },
        scoring=scoring.get(task["metric"], "neg_root_mean_squared_error"),
        cv=5,
        n_jobs=THREADS,
    )
    return search.fit(X, y), len(search.cv_results_["params"])


def main() -> None:
    """Search, refit, score the held-out rows."""
    warnings.simplefilter("ignore")
    folder, budget, name = Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    task = json.loads((folder / "task.json").read_text())
    X, y, test = prepared(folder, task)
    started = time.time()
    model, found = {"flaml": flaml, "optuna": optuna, "grid": grid}[name](X, y, task, budget)
    spent = time.time() - started
    np.save(folder / "scores.npy", scores_of(model, test, task))
    (folder / "said.json").write_text(json.dumps({"search": spent, "found": str(found)}))


if __name__ == "__main__":
    main()
