"""Train the peers' model: imputer + scaler, imputer + one-hot, LightGBM; save it for each peer.

    .cache/serving/train/bin/python benchmarks/serving/pipeline.py

Left in benchmarks/.cache: `pipeline.joblib`, `mlflow_model/`, `pipeline.onnx`, `expected.json`
with the pipeline's own probabilities for the rows that every server is checked on, and
`pipeline.json`: what the pipeline learned as plain numbers, and its probabilities for every row and
many changed ones, from which `folded.py` makes our package of the same model. The rows that it
learns from are those of `split.json`, so that the peers and modelyard's package know the same
flights.
"""

from __future__ import annotations

import json
import shutil

import flights
import joblib
import mlflow
import numpy as np
import pandas as pd
from lightgbm import LGBMClassifier
from mlflow.models import infer_signature
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import calculate_linear_classifier_output_shapes
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

MISSING = "missing"
CHECKED = 300


def frame_of(rows: list[dict[str, flights.Cell]]) -> pd.DataFrame:
    """Rows as the pipeline takes them: float64 numbers, texts with NaN where they are missing."""
    frame = pd.DataFrame(rows, columns=list(flights.COLUMNS))
    frame = frame.astype(dict.fromkeys(flights.NUMBERS, "float64"))
    categories = list(flights.CATEGORIES)
    frame[categories] = frame[categories].astype(object).where(frame[categories].notna(), np.nan)
    return frame


def pipeline(*, impute_texts: bool) -> Pipeline:
    """The pipeline, not fitted. One compute thread, like every side of the benchmark."""
    onehot = OneHotEncoder(handle_unknown="ignore")
    imputer = SimpleImputer(strategy="constant", fill_value=MISSING)
    columns = ColumnTransformer(
        [
            (
                "numbers",
                make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
                list(flights.NUMBERS),
            ),
            (
                "categories",
                make_pipeline(imputer, onehot) if impute_texts else onehot,
                list(flights.CATEGORIES),
            ),
        ]
    )
    trees = LGBMClassifier(
        n_estimators=flights.TREES,
        num_leaves=flights.LEAVES,
        learning_rate=flights.RATE,
        random_state=flights.SEED,
        deterministic=True,
        force_row_wise=True,
        n_jobs=1,
        verbosity=-1,
    )
    return Pipeline([("columns", columns), ("trees", trees)])


def graph(fitted: Pipeline) -> bytes:
    """The skl2onnx graph, one input a column; a string imputer of NaN is not convertible."""
    update_registered_converter(
        LGBMClassifier,
        "LightGbmLGBMClassifier",
        calculate_linear_classifier_output_shapes,
        convert_lightgbm,
        options={"nocl": [True, False], "zipmap": [True, False, "columns"]},
    )
    inputs = [(name, FloatTensorType([None, 1])) for name in flights.NUMBERS]
    inputs += [(name, StringTensorType([None, 1])) for name in flights.CATEGORIES]
    converted = convert_sklearn(
        fitted,
        "flights",
        inputs,
        options={id(fitted): {"zipmap": False}},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    return bytes(converted.SerializeToString())


def learned(fitted: Pipeline) -> dict[str, object]:
    """The fitted steps as numbers and texts, and what they say of `flights.changed()`."""
    columns = fitted.named_steps["columns"].named_transformers_
    numbers, categories = columns["numbers"], columns["categories"]
    scaler = numbers.named_steps["standardscaler"]
    rows = [*flights.read_rows(), *flights.changed()]
    return {
        "fill": numbers.named_steps["simpleimputer"].statistics_.tolist(),
        "centre": scaler.mean_.tolist(),
        "scale": scaler.scale_.tolist(),
        "levels": [one.tolist() for one in categories.named_steps["onehotencoder"].categories_],
        "missing": MISSING,
        "booster": fitted.named_steps["trees"].booster_.model_to_string(),
        "probabilities": fitted.predict_proba(frame_of(rows))[:, 1].tolist(),
    }


def main() -> None:
    """Fit, save for every peer, write what the servers must answer."""
    rows = flights.read_rows()
    split = json.loads((flights.CACHE / "split.json").read_text())
    labels = flights.read_labels()
    dev, test = (frame_of([rows[i] for i in split[side]]) for side in ("dev", "test"))
    y_dev, y_test = (np.array([labels[i] for i in split[side]]) for side in ("dev", "test"))
    fitted = pipeline(impute_texts=True).fit(dev, y_dev)
    joblib.dump(fitted, flights.CACHE / "pipeline.joblib")

    categories = list(flights.CATEGORIES)
    filled = dev.assign(**{name: dev[name].fillna(MISSING) for name in categories})
    bare = pipeline(impute_texts=False).fit(filled, y_dev)
    same = np.abs(bare.predict_proba(filled) - fitted.predict_proba(dev)).max()
    assert same == 0.0, f"the pipeline for ONNX differs by {same}"
    (flights.CACHE / "pipeline.onnx").write_bytes(graph(bare))

    folder = flights.CACHE / "mlflow_model"
    shutil.rmtree(folder, ignore_errors=True)
    mlflow.sklearn.save_model(
        fitted,
        folder,
        pyfunc_predict_fn="predict_proba",
        signature=infer_signature(dev, fitted.predict_proba(dev.head())),
        serialization_format="cloudpickle",
    )
    checked = flights.sample(CHECKED)
    expected = {
        "roc_auc": roc_auc_score(y_test, fitted.predict_proba(test)[:, 1]),
        "probabilities": fitted.predict_proba(frame_of(checked)).tolist(),
    }
    (flights.CACHE / "pipeline.json").write_text(json.dumps(learned(fitted)))
    (flights.CACHE / "expected.json").write_text(json.dumps(expected))
    print(f"AUC on the held-out rows {expected['roc_auc']:.4f}")


if __name__ == "__main__":
    main()
