"""Callers that others wrote: Triton's and MLflow's clients; and MLflow's own server beside ours."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from kinds import FEATURES, ROWS, write_kinds
from running import Running, ask, free_port

from modelyard.tools.mlflow import RunToLog, log_package, log_run, open_store
from modelyard_serve.contract import MANIFEST, Manifest
from modelyard_serve.scorer import Scorer

NAMES = [feature.name for feature in FEATURES]
SECONDS = 180.0


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A binary model with every kind of column, called as a project calls its model."""
    folder = write_kinds(tmp_path_factory.mktemp("model") / "package", "binary")
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    named = msgspec.structs.replace(manifest, name="trains")
    (folder / MANIFEST).write_bytes(msgspec.json.encode(named))
    return folder


@pytest.fixture(scope="module")
def server(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Our server of it."""
    with Running(package, tmp_path_factory.mktemp("server")) as running:
        yield running.ready()


@pytest.fixture(scope="module")
def expected(package: Path) -> Any:
    """What the scorer says of the rows."""
    return Scorer(package).score({name: [row[name] for row in ROWS] for name in NAMES})


def _frame(rows: tuple[dict[str, Any], ...] = ROWS) -> Any:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=NAMES).astype(object)


@pytest.mark.parametrize("binary", [True, False])
def test_tritons_client(server: Running, expected: Any, binary: bool) -> None:
    http = pytest.importorskip("tritonclient.http")
    client = http.InferenceServerClient(f"127.0.0.1:{server.port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("trains")
    assert not client.is_model_ready("planes")
    told = client.get_model_metadata("trains")
    assert [tensor["name"] for tensor in told["inputs"]] == NAMES
    # Tensors of bytes have no null: the rows that have none.
    rows = [row for row in ROWS if None not in row.values()]
    inputs = []
    for tensor in told["inputs"]:
        kind = tensor["datatype"]
        dtype = {"FP64": np.float64, "BOOL": np.bool_}.get(kind, np.object_)
        cells = np.array([[row[tensor["name"]]] for row in rows], dtype=dtype)
        given = http.InferInput(tensor["name"], list(cells.shape), kind)
        given.set_data_from_numpy(cells, binary_data=binary)
        inputs.append(given)
    outputs = [
        http.InferRequestedOutput(out["name"], binary_data=binary) for out in told["outputs"]
    ]
    answer = client.infer("trains", inputs, outputs=outputs, request_id="seven")
    client.close()
    places = [ROWS.index(row) for row in rows]
    assert len(places) >= 2
    assert answer.get_response()["id"] == "seven"
    labels = answer.as_numpy("predictions").reshape(-1).tolist()
    found = [text.decode() if isinstance(text, bytes) else text for text in labels]
    assert found == expected.labels[places].tolist()
    assert np.array_equal(answer.as_numpy("probabilities"), expected.outputs[places])


def test_mlflows_client(server: Running, expected: Any) -> None:
    from mlflow.pyfunc.scoring_server.client import ScoringServerClient

    client = ScoringServerClient("127.0.0.1", server.port)
    client.wait_server_ready(timeout=10)
    assert client.get_version().strip()
    found = client.invoke(_frame()).get_predictions()
    assert found.iloc[:, 0].tolist() == expected.labels.tolist()
    several = client.invoke(_frame(), params={"probabilities": True}).get_predictions()
    assert np.array_equal(several.to_numpy(), expected.outputs)


@pytest.fixture(scope="module")
def theirs(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of `mlflow models serve` with the same package, logged as a run logs it."""
    root = tmp_path_factory.mktemp("store")
    store = open_store(root, "sqlite:///mlflow.db", "clients")
    run = log_run(store, RunToLog(key="one", name="one", metrics={"roc_auc": 0.5}, params={}))
    uri = log_package(store, run, package, "trains")
    port = free_port()
    command = [
        *(sys.executable, "-m", "mlflow", "models", "serve", "-m", uri),
        *("--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)),
        *("--workers", "1"),
    ]
    environ = os.environ | {
        "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (root / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=root,
            env=environ,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
    try:
        _wait(process, port, root / "serve.log")
        yield port
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + SECONDS
    while time.monotonic() < ends and process.poll() is None:
        try:
            if ask(port, "GET", "/ping", seconds=5).status == 200:
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"mlflow models serve was not ready\n{log.read_text()[-3000:]}")


def test_mlflows_own_server_gives_the_same(server: Running, theirs: int) -> None:
    """Each form that both read: the same body, the same predictions."""
    split = json.loads(_frame().to_json(orient="split"))
    split.pop("index")
    bodies: list[dict[str, Any]] = [
        {"dataframe_split": split},
        {"dataframe_records": list(ROWS)},
        {"dataframe_split": split, "params": {"probabilities": True}},
    ]
    for body in bodies:
        sent = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        mine = ask(server.port, "POST", "/invocations", sent, headers)
        other = ask(theirs, "POST", "/invocations", sent, headers, seconds=60)
        assert (mine.status, other.status) == (200, 200), other.body
        assert mine.json() == other.json()
