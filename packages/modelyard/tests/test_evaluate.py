"""evaluate on hand-made outputs of the train stage, with a real graph."""

from __future__ import annotations

import csv
import json
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from sklearn import metrics as theirs

from modelyard.errors import ModelyardError
from modelyard.models import importance
from modelyard.project import Project, settings_from
from modelyard.records import Column, EvaluateRecord, Schema, StudyRecord, read_json, write_json
from modelyard.stages.evaluate import CSV_NAMES, _spelled, evaluate

ROWS = 900
NAMES = np.array(["amount", "when", "plan", "vip", "noise"])
STARTS = np.array([0, 1, 3, 4, 5])
WIDTHS = np.array([1, 2, 1, 1, 1])


def graph_of(weights: np.ndarray, task: str) -> bytes:
    """scores = link(matrix @ weights) as a graph in the model package's form."""
    outputs = max(2, weights.shape[1]) if task != "regression" else 1
    nodes = [helper.make_node("MatMul", ["matrix", "w"], ["z"])]
    if task == "regression":
        nodes.append(helper.make_node("Identity", ["z"], ["scores"]))
    else:
        nodes.append(helper.make_node("Softmax", ["z"], ["scores"], axis=1))
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("matrix", TensorProto.DOUBLE, [None, len(weights)])],
        [helper.make_tensor_value_info("scores", TensorProto.DOUBLE, [None, outputs])],
        [helper.make_tensor("w", TensorProto.DOUBLE, weights.shape, weights.ravel().tolist())],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def make(root: Path, task: str = "binary") -> Project:
    """A project as it stands after train; the `plan` level `gold` is scored badly on purpose."""
    random = np.random.default_rng(7)
    project = Project(
        root,
        settings_from(
            {"project": {"name": "demo"}, "data": {"path": "data/t.csv", "target": "y"}}, "test"
        ),
    )
    classes = {"binary": ("no", "yes"), "multiclass": ("a", "b", "c"), "regression": ()}[task]
    X = random.normal(size=(ROWS, 6))
    X[:, 3] = random.integers(1, 4, ROWS)
    X[:, 4] = random.integers(0, 2, ROWS)
    weights = np.zeros((6, max(1, len(classes))))
    weights[0, -1], weights[1, -1], weights[2, -1] = 2.0, 0.7, 0.7
    raw = X @ weights
    if task == "regression":
        scores, y = raw, raw[:, 0] + random.normal(0, 0.5, ROWS)
    else:
        scores = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
        y = (scores.cumsum(axis=1) < random.random((ROWS, 1))).sum(axis=1).astype(np.float64)
    gold = X[:, 3] == 3
    y[gold] = random.permutation(y[gold])

    table_rows = ROWS + 200
    where = np.sort(random.choice(table_rows, ROWS, replace=False))
    plan = np.full(table_rows, None, dtype=object)
    vip = np.full(table_rows, None, dtype=object)
    plan[where] = np.array(["basic", "silver", "gold"], dtype=object)[X[:, 3].astype(int) - 1]
    vip[where] = X[:, 4] == 1
    plan[where[:40]] = None
    first = datetime(2024, 1, 1)
    project.table.parent.mkdir(parents=True)
    pl.DataFrame(
        {
            "plan": pl.Series(plan.tolist(), dtype=pl.String),
            "vip": pl.Series(vip.tolist(), dtype=pl.Boolean),
            "when": [first + timedelta(days=i) for i in range(table_rows)],
            "amount": random.normal(size=table_rows),
            "noise": random.normal(size=table_rows),
        }
    ).write_parquet(project.table)
    write_json(
        project.record("schema"),
        Schema(
            task=task,
            target="y",
            classes=classes,
            positive="yes" if task == "binary" else None,
            columns=(
                Column(name="plan", kind="category", levels=("basic", "silver", "gold")),
                Column(name="vip", kind="boolean", levels=("N", "Y")),
                Column(name="when", kind="datetime"),
                Column(name="amount", kind="number"),
                Column(name="noise", kind="number"),
            ),
        ),
    )
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[task]
    write_json(
        project.record("study"),
        StudyRecord(
            metric=metric,
            direction="maximize" if metric == "roc_auc" else "minimize",
            mode="search",
            seed=3,
            folds=5,
            fold_kind="stratified",
            workers=1,
            threads=1,
            budget_seconds=None,
            trials_wanted=1,
            seconds=1.0,
            trials=(),
            chosen=(),
            score=0.5,
            threshold=0.4 if task == "binary" else None,
        ),
    )
    project.model.mkdir()
    outside = pl.DataFrame({"row": [0], "side": ["valid"], "y": [0.0]}).with_columns(
        pl.lit(0.5).alias(f"s{i}") for i in range(scores.shape[1])
    )
    inside = pl.DataFrame({"row": where, "side": ["test"] * ROWS, "y": y}).with_columns(
        pl.Series(f"s{i}", scores[:, i]) for i in range(scores.shape[1])
    )
    pl.concat([outside, inside]).write_parquet(project.model / "scores.parquet")
    constant = (
        [float(y.mean())]
        if task == "regression"
        else (np.bincount(y.astype(int)) / len(y)).tolist()
    )
    (project.model / "baseline.json").write_text(json.dumps({"scores": constant}))
    np.savez(project.model / "test_matrix.npz", X=X, starts=STARTS, widths=WIDTHS, names=NAMES)
    (project.model / "graph.onnx").write_bytes(graph_of(weights, task))
    return project


def held(project: Project) -> tuple[np.ndarray, np.ndarray]:
    frame = pl.read_parquet(project.model / "scores.parquet").filter(pl.col("side") == "test")
    outputs = [name for name in frame.columns if name not in ("row", "side", "y")]
    return frame["y"].to_numpy(), frame.select(outputs).to_numpy()


def lines(project: Project, name: str) -> list[dict[str, str]]:
    with (project.plots / name).open(newline="") as file:
        return list(csv.DictReader(file))


def test_binary(tmp_path: Path) -> None:
    project = make(tmp_path)
    record = evaluate(project)
    y, scores = held(project)
    assert record == read_json(project.record("evaluate"), EvaluateRecord)
    assert record.rows == ROWS
    flat = json.loads(project.metrics.read_bytes())
    assert flat["roc_auc"] == pytest.approx(theirs.roc_auc_score(y, scores[:, 1]))
    assert flat["f1"] == pytest.approx(theirs.f1_score(y, scores[:, 1] >= 0.4))
    assert flat.keys() == record.metrics.keys()
    assert all(entry.low <= entry.value <= entry.high for entry in record.metrics.values())
    assert record.baseline["roc_auc"] == 0.5
    assert record.baseline["accuracy"] == pytest.approx(max(np.bincount(y.astype(int))) / ROWS)
    expected = theirs.confusion_matrix(y, scores[:, 1] >= 0.4)
    assert [list(line) for line in record.confusion] == expected.tolist()
    assert record.calibration_error is not None


def test_importance_ranks_what_the_graph_uses_and_moves_a_date_s_parts_together(
    tmp_path: Path,
) -> None:
    record = evaluate(make(tmp_path))
    assert list(record.importance)[:2] == ["amount", "when"]
    assert record.importance["when"] > 0.02
    assert record.importance["noise"] == 0.0
    assert record.importance["plan"] == 0.0


def test_slices_show_the_planted_weakness_beside_the_baseline(tmp_path: Path) -> None:
    project = make(tmp_path)
    record = evaluate(project)
    found = {(entry.column, entry.level): entry for entry in record.slices}
    assert {level for column, level in found if column == "vip"} == {"N", "Y"}
    assert found["plan", "(missing)"].rows == 40
    assert found["plan", "gold"].value < 0.6 < 0.75 < found["plan", "basic"].value
    assert found["plan", "gold"].baseline == 0.5
    assert sum(entry.rows for entry in record.slices if entry.column == "plan") == ROWS


def test_one_long_text_among_the_levels_takes_no_memory_for_each_row() -> None:
    series = pl.Series("plan", ["x" * 20_000, None, *["basic"] * 1998])
    tracemalloc.start()
    try:
        levels = _spelled(series, Column(name="plan", kind="category"))
        assert int((levels == "basic").sum()) == 1998
        assert int((levels == "(missing)").sum()) == 1
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_plots_are_csv_with_a_header_that_dvc_s_templates_take(tmp_path: Path) -> None:
    project = make(tmp_path)
    record = evaluate(project)
    assert {path.name for path in project.plots.iterdir()} == set(CSV_NAMES) - {"residuals.csv"}
    roc = lines(project, "roc.csv")
    assert list(roc[0]) == ["fpr", "tpr", "threshold"]
    assert len(roc) <= 200
    cells = lines(project, "confusion.csv")
    hits = sum(cell == {"actual": "yes", "predicted": "yes"} for cell in cells)
    assert (len(cells), hits) == (ROWS, record.confusion[1][1])
    assert sum(int(line["rows"]) for line in lines(project, "calibration.csv")) == ROWS
    assert sum(int(line["rows"]) for line in lines(project, "predictions.csv")) == ROWS
    assert lines(project, "importance.csv")[0]["feature"] == "amount"


def test_multiclass(tmp_path: Path) -> None:
    project = make(tmp_path, "multiclass")
    record = evaluate(project)
    y, scores = held(project)
    assert record.metrics["log_loss"].value == pytest.approx(theirs.log_loss(y, scores))
    assert len(record.confusion) == 3
    assert {line["class"] for line in lines(project, "roc.csv")} == {"a", "b", "c"}
    assert record.importance["amount"] > 0


def test_regression_and_the_plots_of_an_earlier_task_go(tmp_path: Path) -> None:
    project = make(tmp_path, "regression")
    project.plots.mkdir()
    (project.plots / "roc.csv").write_text("old\n")
    record = evaluate(project)
    y, scores = held(project)
    rmse = theirs.root_mean_squared_error(y, scores[:, 0])
    assert record.metrics["rmse"].value == pytest.approx(rmse)
    assert record.baseline["rmse"] == pytest.approx(y.std())
    assert record.confusion == ()
    assert not (project.plots / "roc.csv").exists()
    residuals = lines(project, "residuals.csv")
    assert len(residuals) == 500
    assert list(residuals[0]) == ["predicted", "actual", "residual"]
    groups = {line["group"] for line in lines(project, "predictions.csv")}
    assert groups == {"actual", "predicted"}


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    project = make(tmp_path)
    evaluate(project)
    written = [project.metrics, project.record("evaluate"), *sorted(project.plots.iterdir())]
    before = [path.read_bytes() for path in written]
    evaluate(project)
    assert [path.read_bytes() for path in written] == before


@pytest.mark.parametrize("name", ["scores.parquet", "graph.onnx", "test_matrix.npz"])
def test_a_missing_file_of_train_is_named_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    project = make(tmp_path)
    (project.model / name).unlink()
    with pytest.raises(ModelyardError, match=f"{name} is missing"):
        evaluate(project)
    assert not project.metrics.exists()
    assert not project.plots.exists()


def test_scores_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    project = make(tmp_path)
    path = project.model / "scores.parquet"
    frame = pl.read_parquet(path)
    frame.drop("s1").write_parquet(path)
    with pytest.raises(ModelyardError, match="do not fit the dataset"):
        evaluate(project)
    frame.with_columns(pl.lit(float("nan")).alias("s1")).write_parquet(path)
    with pytest.raises(ModelyardError, match="not finite"):
        evaluate(project)
    frame.head(100).write_parquet(path)
    with pytest.raises(ModelyardError, match="does not fit the scores"):
        evaluate(project)


def test_wide_tables_are_shuffled_once_on_fewer_rows() -> None:
    random = np.random.default_rng(0)
    X = random.normal(size=(3000, 1000))
    y = (X[:, 5] > 0).astype(np.int64)
    blocks = [importance.Block(f"c{i}", i, 1) for i in range(1000)]
    scored = []

    def predict(matrix: np.ndarray) -> np.ndarray:
        scored.append(len(matrix))
        p = 1 / (1 + np.exp(-matrix[:, 5]))
        return np.stack([1 - p, p], axis=1)

    drops = importance.permutation(predict, X, y, blocks, "roc_auc", seed=0)
    assert next(iter(drops)) == "c5"
    assert drops["c5"] == pytest.approx(0.5, abs=0.1)
    assert sum(scored) == importance.FEWEST_ROWS * 1001
