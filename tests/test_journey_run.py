"""run: everything that one command leaves behind, read with the tools' own readers."""

from __future__ import annotations

import csv
import json
import math
import pickletools
import re
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey

RECORDS = ["schema", "ingest", "split", "study", "train", "evaluate", "pack", "gate", "champion"]


def test_records_metrics_and_release(released: Any) -> None:
    for name in RECORDS:
        assert released.record(name), name
    metrics = json.loads(released.metrics)
    assert 0.7 < metrics["roc_auc"] < 0.95
    evaluated = released.record("evaluate")
    assert {name: entry["value"] for name, entry in evaluated["metrics"].items()} == metrics
    for name, entry in evaluated["metrics"].items():
        assert entry["low"] <= entry["value"] <= entry["high"], name
    assert evaluated["baseline"]["roc_auc"] == 0.5
    assert sum(released.record("split")["rows"].values()) == 1000

    gate, champion = released.record("gate"), released.record("champion")
    assert gate["passed"]
    assert champion["package_digest"] == gate["candidate_digest"]
    assert champion["value"] == metrics["roc_auc"]
    assert champion["data_version"] == "v1"
    assert released.git("tag", "--list").splitlines() == ["data/v1", "model/v1"]
    assert released.git("status", "--porcelain") == ""
    assert champion["commit"] == released.git("rev-parse", "data/v1^{commit}")

    (line,) = released.audit
    assert (line["action"], line["from_version"], line["to_version"]) == ("release", None, "1")
    assert line["who"] == "Ada Example <ada@example.org>"
    assert line["why"] == "the first model"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", line["when"])
    assert line["package_digest"] == champion["package_digest"]


def is_pickle(content: bytes) -> bool:
    """Whether the bytes are one whole pickle with more in it than a number."""
    try:
        operations = [operation.name for operation, _, _ in pickletools.genops(content)]
    except Exception:
        return False
    return len(operations) > 2


def package_files(root: Path) -> list[Path]:
    folders = [root / "package", root / "mlartifacts"]
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_no_pickle_anywhere_in_the_package(released: Any) -> None:
    found = package_files(released.root)
    assert {"manifest.json", "model.onnx", "golden.json", "reference.json"} <= {
        path.name for path in found
    }
    for path in found:
        content = path.read_bytes()
        assert path.suffix not in (".pkl", ".pickle", ".joblib", ".dill"), path
        assert not is_pickle(content), path
        assert not re.match(rb"\x80[\x02-\x05].*[.]\Z", content, re.DOTALL), path
        if "package" in path.parts or path.name == "MLmodel":
            for word in (b"sklearn", b"lightgbm", b"cloudpickle", b"joblib"):
                assert word not in content, f"{path} speaks of {word.decode()}"


def test_the_manifest_names_every_file(released: Any) -> None:
    from hashlib import sha256

    package = released.root / "package"
    manifest = json.loads((package / "manifest.json").read_bytes())
    assert {path.name for path in package.iterdir()} == {"manifest.json", *manifest["files"]}
    for name, digest in manifest["files"].items():
        assert sha256((package / name).read_bytes()).hexdigest() in digest
    digest = sha256((package / "manifest.json").read_bytes()).hexdigest()
    assert digest == released.record("champion")["package_digest"]
    assert manifest["metrics"] == json.loads(released.metrics)
    assert manifest["lineage"]["data_version"] == "v1"


def test_the_report_stands_alone(released: Any) -> None:
    page = (released.root / "reports/index.html").read_text()
    assert not re.search(r"(?:src|href|action|data)\s*=\s*[\"']?(?:https?:)?//", page)
    assert not re.search(r"url\(\s*[\"']?(?:https?:)?//|@import", page)
    assert "<script src" not in page
    assert page.count("<svg") >= 4
    assert f"{json.loads(released.metrics)['roc_auc']:.4f}" in page
    assert released.record("champion")["run_id"] in page
    assert str(released.root) not in page


def test_mlflow_holds_the_run_its_trials_and_its_lineage(
    project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    monkeypatch.chdir(project.root)
    client = mlflow.MlflowClient(project.store)
    experiment = client.get_experiment_by_name("churn")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    (parent,) = parents
    champion, study = project.record("champion"), project.record("study")
    assert parent.info.run_id == champion["run_id"]
    assert parent.info.status == "FINISHED"

    children = [run for run in runs if run.data.tags.get("mlflow.parentRunId")]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert len(children) == len(study["trials"])
    scores = {run.data.params["family"]: run.data.metrics["roc_auc"] for run in children}
    assert scores == {trial["family"]: trial["score"] for trial in study["trials"]}
    assert len(scores) >= 3

    tags = parent.data.tags
    assert tags["modelyard.commit"] == champion["commit"]
    assert tags["modelyard.dirty"] == "false"
    assert tags["modelyard.data_version"] == "v1"
    assert tags["modelyard.data_md5"] == champion["data_md5"]
    assert tags["modelyard.package_digest"] == champion["package_digest"]
    for name in ("modelyard.dvc_lock", "modelyard.environment_lock"):
        assert re.fullmatch(r"[0-9a-f]{64}", tags[name]), name
    metrics = json.loads(project.metrics)
    assert {f"test_{name}" for name in metrics} <= set(parent.data.metrics)
    assert parent.data.metrics["test_roc_auc"] == metrics["roc_auc"]
    assert parent.data.params["split.kind"] == "stratified"
    assert parent.data.params["model.family"] == study["chosen"][0]["family"]

    def walk(path: str = "") -> list[str]:
        entries = client.list_artifacts(parent.info.run_id, path)
        return [name for e in entries for name in (walk(e.path) if e.is_dir else [e.path])]

    names = walk()
    for wanted in ("records/schema.json", "project/dvc.lock", "metrics.json", "plots/roc.csv"):
        assert wanted in names
    assert any(name.startswith("pictures/") and name.endswith(".svg") for name in names)


def test_the_champion_of_the_registry_predicts_as_the_command_does(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow
    import pandas as pd

    rows = list(csv.DictReader(project.table.open(newline="")))[:60]
    for number, row in enumerate(rows[:20]):
        row[("tenure", "contract", "total_charges", "senior_citizen")[number % 4]] = ""
    source, scored = tmp_path / "new.csv", tmp_path / "scored.csv"
    with source.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    project.cli("predict", source, "-o", scored)
    expected = list(csv.DictReader(scored.open(newline="")))
    assert len(expected) == len(rows)

    frame = pd.read_csv(source, keep_default_na=False, na_values=[""]).drop(columns="churn")
    frame["contract"] = frame["contract"].astype(object).where(frame["contract"].notna(), None)
    assert frame["contract"].isna().any()
    monkeypatch.chdir(project.root)
    mlflow.set_tracking_uri(project.store)
    try:
        model = mlflow.pyfunc.load_model("models:/churn@champion")
        assert model.metadata.signature is not None
        example = model.metadata.load_input_example(model.metadata.get_model_info().model_uri)
        assert len(example) > 0
        labels = model.predict(frame)
        outputs = model.predict(frame, params={"probabilities": True})
    finally:
        mlflow.set_tracking_uri(None)
    assert list(labels) == [row["prediction"] for row in expected]
    for ours, theirs in zip(expected, outputs, strict=True):
        assert math.isclose(float(ours["p_Yes"]), theirs[1], rel_tol=1e-9)
        assert math.isclose(float(ours["p_No"]), theirs[0], rel_tol=1e-9)


def test_runs_marks_the_champion(released: Any, project: Any) -> None:
    (row,) = project.json("runs")
    assert row["champion"]
    assert row["run_id"] == released.record("champion")["run_id"]
    assert row["value"] == json.loads(project.metrics)["roc_auc"]
    shown = project.cli("runs").stdout
    assert row["run_id"][:8] in shown
    assert "*" in shown
