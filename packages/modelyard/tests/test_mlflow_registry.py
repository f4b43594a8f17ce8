"""Packages in MLflow: logged, registered, aliased, moved with the project, served by the scorer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelyard.errors import ToolFailed
from modelyard.tools.mlflow import (
    RunToLog,
    Store,
    download_package,
    get_alias,
    log_package,
    log_run,
    open_store,
    package_uri,
    preflight,
    register,
    set_alias,
    versions,
)
from modelyard.tools.mlflow.vendor import load
from modelyard_serve.contract import (
    FORMAT,
    GRAPH,
    MANIFEST,
    Feature,
    Manifest,
    file_digest,
    package_digest,
    read_manifest,
)

FEATURES = (
    Feature(name="visits", kind="integer"),
    Feature(name="amount", kind="number"),
    Feature(name="member", kind="boolean", levels=("no", "yes")),
    Feature(name="plan", kind="category", levels=("basic", "gold")),
    Feature(name="since", kind="datetime", parts=("weekday",)),
)
EXAMPLE: list[dict[str, Any]] = [
    {"visits": 2, "amount": 1.5, "member": True, "plan": "gold", "since": "2024-01-01"},
    {"visits": None, "amount": None, "member": None, "plan": None, "since": None},
]


def make_package(folder: Path, lineage: str = "one") -> Path:
    """A package that answers "yes" where the row's numbers, missing as 0, sum to above 0."""
    folder.mkdir(parents=True)
    weights = np.hstack([np.zeros((len(FEATURES), 1)), np.ones((len(FEATURES), 1))])
    graph = helper.make_graph(
        [
            helper.make_node("IsNaN", ["matrix"], ["gone"]),
            helper.make_node("Where", ["gone", "zero", "matrix"], ["filled"]),
            helper.make_node("MatMul", ["filled", "weights"], ["sums"]),
            helper.make_node("Softmax", ["sums"], ["scores"], axis=1),
        ],
        "sum",
        [helper.make_tensor_value_info("matrix", TensorProto.DOUBLE, [None, len(FEATURES)])],
        [helper.make_tensor_value_info("scores", TensorProto.DOUBLE, [None, 2])],
        [
            numpy_helper.from_array(weights, "weights"),
            numpy_helper.from_array(np.array(0.0), "zero"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    manifest = Manifest(
        format=FORMAT,
        name="churn",
        task="binary",
        target="left",
        features=FEATURES,
        classes=("no", "yes"),
        positive="yes",
        threshold=0.6,
        metrics={"roc_auc": 0.75},
        lineage={"commit": lineage},
        files={GRAPH: file_digest(folder / GRAPH)},
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Store:
    root = tmp_path / "project"
    root.mkdir()
    return open_store(root, "sqlite:///mlflow.db", "churn")


def release(store: Store, package: Path) -> tuple[str, str]:
    run = RunToLog(key=package.name, name="run", metrics={"roc_auc": 0.75}, params={"seed": 1})
    run_id = log_run(store, run)
    uri = log_package(store, run_id, package, "churn", EXAMPLE)
    version = register(store, uri, "churn", {"modelyard.data_version": "v1"})
    set_alias(store, "churn", "champion", version)
    return run_id, version


def test_a_registered_package_answers_raw_frames(store: Store, tmp_path: Path) -> None:
    release(store, make_package(tmp_path / "package"))
    frame = load("pandas").DataFrame
    with store.session():
        model = load("mlflow.pyfunc").load_model("models:/churn@champion")
    monday = {"visits": [3, 4], "amount": [0.5, 0.1], "member": [True, False]}
    rest = {"plan": ["gold", "basic"], "since": ["2024-01-01", "2024-01-01"]}
    assert list(model.predict(frame({**monday, **rest, "surplus": [1, 2]}))) == ["yes", "yes"]
    nulls = {name: [None, None] for name in ("amount", "member", "since")}
    unseen = frame({**nulls, "visits": [None, -9], "plan": [None, "platinum"]})
    assert list(model.predict(unseen)) == ["no", "no"]
    empty = frame({name: [np.nan] for name in (f.name for f in FEATURES)})
    assert list(model.predict(empty)) == ["no"]
    outputs = model.predict(unseen, params={"probabilities": True})
    np.testing.assert_allclose(outputs[0], [0.5, 0.5])
    with pytest.raises(Exception, match="amount"):
        model.predict(frame({**monday, **rest, "amount": ["much", "little"]}))
    with pytest.raises(Exception, match="visits"):
        model.predict(frame(rest))


def test_the_logged_model_holds_no_pickle_and_asks_for_the_serve_half_only(
    store: Store, tmp_path: Path
) -> None:
    run_id, _ = release(store, make_package(tmp_path / "package"))
    with store.session() as client:
        (model,) = client.search_logged_models([store.experiment_id])
        folder = store.root / model.artifact_location
        info = load("mlflow.models").get_model_info(f"models:/{model.model_id}")
        example = (folder / "serving_input_example.json").read_text()
        validate = load("mlflow.models").validate_serving_input
        answer = validate(f"models:/{model.model_id}", example)
    assert model.source_run_id == run_id
    assert {metric.key: metric.value for metric in model.metrics} == {"roc_auc": 0.75}
    assert list(answer["predictions"] if isinstance(answer, dict) else answer) == ["yes", "no"]
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {"", ".json", ".onnx", ".txt", ".yaml"}
    needs = (folder / "requirements.txt").read_text().split()
    assert [need.partition("==")[0] for need in needs] == ["mlflow", "modelyard-serve"]
    assert info.signature.inputs.input_names() == [feature.name for feature in FEATURES]
    assert info.metadata["kinds"]["visits"] == "integer"


def test_logging_and_registering_twice_is_once(store: Store, tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    run_id, version = release(store, package)
    assert release(store, package) == (run_id, version)
    uri = package_uri(store, run_id)
    assert uri is not None
    register(store, uri, "churn", {"modelyard.gate": "passed"})
    (only,) = versions(store, "churn")
    assert only.run_id == run_id
    assert only.tags == {
        "modelyard.package_digest": package_digest(package),
        "modelyard.data_version": "v1",
        "modelyard.gate": "passed",
    }


def test_an_interrupted_logging_is_done_again(store: Store, tmp_path: Path) -> None:
    package = make_package(tmp_path / "package")
    run_id = log_run(store, RunToLog(key="k", name="n"))
    with store.session() as client:
        tags = {"modelyard.package_digest": package_digest(package)}
        half = client.create_logged_model(store.experiment_id, "churn", run_id, tags=tags)
    assert package_uri(store, run_id) is None
    uri = log_package(store, run_id, package, "churn")
    assert uri != f"models:/{half.model_id}"
    with store.session() as client:
        assert len(client.search_logged_models([store.experiment_id])) == 1


def test_the_alias_moves_and_points_at_one_version(store: Store, tmp_path: Path) -> None:
    assert versions(store, "churn") == []
    assert get_alias(store, "churn", "champion") is None
    _, first = release(store, make_package(tmp_path / "one"))
    _, second = release(store, make_package(tmp_path / "two", lineage="two"))
    assert [entry.version for entry in versions(store, "churn")] == [second, first]
    champion = get_alias(store, "churn", "champion")
    assert champion is not None
    assert (champion.version, champion.aliases) == (second, ("champion",))
    set_alias(store, "churn", "champion", first)
    back = get_alias(store, "churn", "champion")
    assert back is not None
    assert back.version == first
    with pytest.raises(ToolFailed):
        set_alias(store, "churn", "champion", "99")


def test_a_package_comes_back_byte_for_byte(store: Store, tmp_path: Path) -> None:
    package = make_package(tmp_path / "one")
    run_id, version = release(store, package)
    uri = package_uri(store, run_id)
    assert uri is not None
    for source in (run_id, uri, f"models:/churn/{version}", "models:/churn@champion"):
        back = download_package(store, source, tmp_path / "deep" / "back")
        assert package_digest(back) == package_digest(package)
        read_manifest(back)
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["back"]


def test_a_download_never_overwrites_other_things(store: Store, tmp_path: Path) -> None:
    release(store, make_package(tmp_path / "one"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years")
    with pytest.raises(ToolFailed, match="in the way"):
        download_package(store, "models:/churn@champion", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years"


def test_bad_packages_and_sources_are_refused(store: Store, tmp_path: Path) -> None:
    run_id = log_run(store, RunToLog(key="k", name="n"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / MANIFEST).write_text(json.dumps({"features": "all"}))
    for folder in ("absent", "empty", "broken"):
        with pytest.raises(ToolFailed, match="not a model package"):
            log_package(store, run_id, tmp_path / folder, "churn")
    with pytest.raises(ToolFailed, match="no model package"):
        download_package(store, run_id, tmp_path / "back")
    for source in ("models:/churn/7", "models:/m-" + "0" * 32, "models:/churn@champion"):
        with pytest.raises(ToolFailed):
            download_package(store, source, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".package-*"))


OPEN_EVERYTHING = """
import mlflow, pandas
mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
opened = 0
def walk(listing, fetch, path=None):
    global opened
    for entry in listing(path):
        if entry.is_dir:
            walk(listing, fetch, entry.path)
        else:
            assert open(fetch(entry.path), "rb").read() is not None
            opened += 1
(experiment,) = [e for e in client.search_experiments() if e.name == "churn"]
for run in client.search_runs([experiment.experiment_id]):
    walk(lambda p: client.list_artifacts(run.info.run_id, p),
         lambda p: client.download_artifacts(run.info.run_id, p))
for model in client.search_logged_models([experiment.experiment_id]):
    walk(lambda p: client.list_logged_model_artifacts(model.model_id, p),
         lambda p: mlflow.artifacts.download_artifacts(model.artifact_location + "/" + p))
model = mlflow.pyfunc.load_model("models:/churn@champion")
row = {"visits": [2, None], "amount": [1.5, None], "member": [True, None],
       "plan": ["gold", "new"], "since": ["2024-01-01", None]}
print(opened, *model.predict(pandas.DataFrame(row)))
"""


def test_a_zipped_store_opens_elsewhere_with_mlflow_alone(store: Store, tmp_path: Path) -> None:
    (store.root / "metrics.json").write_text("{}")
    (store.root / "plots").mkdir()
    (store.root / "plots" / "roc.csv").write_text("x,y\n")
    artifacts = {store.root / "metrics.json": "", store.root / "plots": "plots"}
    run_id = log_run(store, RunToLog(key="one", name="run", artifacts=artifacts))
    uri = log_package(store, run_id, make_package(tmp_path / "one"), "churn", EXAMPLE)
    set_alias(store, "churn", "champion", register(store, uri, "churn", {}))
    assert str(tmp_path).encode() not in (store.root / "mlflow.db").read_bytes()
    archive = shutil.make_archive(str(tmp_path / "project"), "zip", store.root)
    shutil.rmtree(store.root)
    shutil.rmtree(tmp_path / "one")
    elsewhere = tmp_path / "else where"
    shutil.unpack_archive(archive, elsewhere)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    done = subprocess.run(
        [sys.executable, "-c", OPEN_EVERYTHING],
        cwd=elsewhere,
        env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
    )
    # Two artifacts of the run; MLmodel, three environments, two examples, two files of the package.
    assert done.stdout.split() == ["10", "yes", "no"], done.stderr
    moved = open_store(elsewhere, "sqlite:///mlflow.db", "churn")
    back = download_package(moved, "models:/churn@champion", tmp_path / "back")
    read_manifest(back)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path / "server"
    folder.mkdir()
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--backend-store-uri", "sqlite:///server.db"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=folder,
            stdout=log,
            stderr=log,
            env={**environment, "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
        uri = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 120
        while True:
            try:
                preflight(tmp_path, uri)
                break
            except ToolFailed:
                assert time.monotonic() < deadline, (folder / "log").read_text()
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.5)
        try:
            yield uri
        finally:
            os.killpg(process.pid, 15)
            process.wait(30)


@pytest.mark.journey
def test_the_same_calls_work_on_a_server(server: str, tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "metrics.json").write_text("{}")
    remote = open_store(root, server, "churn")
    assert open_store(root, server, "churn") == remote
    run = RunToLog(key="one", name="run", artifacts={root / "metrics.json": ""})
    run_id = log_run(remote, run)
    assert log_run(remote, run) == run_id
    package = make_package(tmp_path / "one")
    run_id, version = release(remote, package)
    champion = get_alias(remote, "churn", "champion")
    assert champion is not None
    assert (champion.version, champion.run_id) == (version, run_id)
    back = download_package(remote, "models:/churn@champion", tmp_path / "back")
    assert package_digest(back) == package_digest(package)
    with remote.session():
        model = load("mlflow.pyfunc").load_model("models:/churn@champion")
    assert list(model.predict(load("pandas").DataFrame(EXAMPLE))) == ["yes", "no"]
    assert sorted(path.name for path in root.iterdir()) == ["metrics.json"]
