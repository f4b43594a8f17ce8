"""The same rows through every form of every dialect: the scorer's numbers, to the last bit."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pytest
from flask.testing import FlaskClient
from kinds import CLASSES, FEATURES, ROWS, as_csv, write_kinds

from modelyard_serve.app import create_app
from modelyard_serve.contract import Task
from modelyard_serve.scorer import Scorer

NAMES = [feature.name for feature in FEATURES]
VALUES = [[row[name] for name in NAMES] for row in ROWS]
JSON, CSV, LINES = "application/json", "text/csv", "application/jsonlines"
TASKS: tuple[Task, ...] = ("binary", "multiclass", "regression")


class Asked(NamedTuple):
    """One form of asking: where, what, and how its labels and outputs are read."""

    path: str
    body: bytes
    kind: str
    read: Callable[[Any, bytes], tuple[list[Any], list[list[float]] | None]]
    headers: Mapping[str, str] = MappingProxyType({})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _own(_: Any, text: bytes) -> tuple[list[Any], list[list[float]] | None]:
    found = json.loads(text)
    return found["predictions"], found.get("probabilities")


def _own_lines(model: Scorer, text: bytes) -> tuple[list[Any], list[list[float]] | None]:
    found = [json.loads(line) for line in text.splitlines()]
    classes = model.manifest.classes
    rows = [[row["probabilities"][name] for name in classes] for row in found if classes]
    return [row["prediction"] for row in found], rows or None


def _mlflow(_: Any, text: bytes) -> tuple[list[Any], list[list[float]] | None]:
    return json.loads(text)["predictions"], None


def _mlflow_lines(_: Any, text: bytes) -> tuple[list[Any], list[list[float]] | None]:
    return [json.loads(line) for line in text.splitlines()], None


def _oip(model: Scorer, text: bytes) -> tuple[list[Any], list[list[float]] | None]:
    outputs = {output["name"]: output for output in json.loads(text)["outputs"]}
    if "probabilities" not in outputs:
        return outputs["predictions"]["data"], None
    shape = outputs["probabilities"]["shape"]
    flat = np.array(outputs["probabilities"]["data"]).reshape(shape)
    return outputs["predictions"]["data"], flat.tolist()


def _tensors(*, binary: bool) -> tuple[bytes, dict[str, str]]:
    """The rows as one tensor a column; binary: numbers and texts without nulls as bytes."""
    inputs: list[dict[str, Any]] = []
    blobs = b""
    for name, kind in ((feature.name, feature.kind) for feature in FEATURES):
        cells = [row[name] for row in ROWS]
        number = kind in ("number", "integer")
        tensor: dict[str, Any] = {
            "name": name,
            "datatype": "FP64" if number else "BOOL" if kind == "boolean" else "BYTES",
            "shape": [len(cells), 1],
        }
        if binary and number:
            floats = [float("nan") if cell is None else float(cell) for cell in cells]
            blob = struct.pack(f"<{len(floats)}d", *floats)
            tensor["parameters"] = {"binary_data_size": len(blob)}
            blobs += blob
        else:
            tensor["data"] = cells
        inputs.append(tensor)
    text = _json({"inputs": inputs})
    length = {"Inference-Header-Content-Length": str(len(text))} if blobs else {}
    return text + blobs, length


def forms(name: str) -> dict[str, Asked]:
    """Every form that a caller may use."""
    split = {"columns": NAMES, "data": VALUES}
    infer = f"/v2/models/{name}/infer"
    table = as_csv(ROWS, NAMES)
    lines = b"".join(_json(row) + b"\n" for row in ROWS)
    plain, _ = _tensors(binary=False)
    packed, length = _tensors(binary=True)
    columns = {column: [row[column] for row in ROWS] for column in NAMES}
    accept_json = {"Accept": JSON}
    return {
        "rows": Asked("/v1/predict", _json({"rows": list(ROWS)}), JSON, _own),
        "table": Asked("/v1/predict", table, CSV, _own, accept_json),
        "semicolons": Asked(
            "/v1/predict", as_csv(ROWS, NAMES, delimiter=";", ending="\r\n"), CSV, _own, accept_json
        ),
        "stream": Asked("/v1/predict", lines, "application/x-ndjson", _own_lines),
        "split": Asked("/invocations", _json({"dataframe_split": split}), JSON, _mlflow),
        "records": Asked("/invocations", _json({"dataframe_records": ROWS}), JSON, _mlflow),
        "instances": Asked("/invocations", _json({"instances": ROWS}), JSON, _mlflow),
        "instances as lists": Asked("/invocations", _json({"instances": VALUES}), JSON, _mlflow),
        "inputs": Asked("/invocations", _json({"inputs": columns}), JSON, _mlflow),
        "mlflow's table": Asked("/invocations", table, CSV, _mlflow, accept_json),
        "sagemaker's lines": Asked("/invocations", lines, LINES, _mlflow_lines, {"Accept": LINES}),
        "tensors": Asked(infer, plain, JSON, _oip),
        "tensors as bytes": Asked(infer, packed, "application/octet-stream", _oip, length),
    }


FORMS = tuple(forms("name"))


@pytest.fixture(scope="module", params=TASKS)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of each task; it uses every kind of column."""
    return write_kinds(tmp_path_factory.mktemp(request.param) / "package", request.param)


@pytest.fixture(scope="module")
def client(model: Path) -> FlaskClient:
    """The application around it."""
    return create_app(model).test_client()


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_scorers_numbers(model: Path, client: FlaskClient, form: str) -> None:
    scorer = Scorer(model)
    expected = scorer.score({name: [row[name] for row in ROWS] for name in NAMES})
    asked = forms(scorer.manifest.name)[form]
    answer = client.post(
        asked.path, data=asked.body, headers={"Content-Type": asked.kind, **asked.headers}
    )
    assert answer.status_code == 200, answer.get_data(as_text=True)
    labels, outputs = asked.read(scorer, answer.get_data())
    assert labels == expected.labels.tolist()
    if outputs is not None:
        assert outputs == expected.outputs.tolist()


def test_mlflow_gives_probabilities_on_demand(model: Path, client: FlaskClient) -> None:
    scorer = Scorer(model)
    expected = scorer.score({name: [row[name] for row in ROWS] for name in NAMES})
    body = {"instances": ROWS, "params": {"probabilities": True}}
    found = client.post("/invocations", json=body).get_json()["predictions"]
    assert found == expected.outputs.tolist()


def test_the_answers_do_depend_on_the_rows(model: Path) -> None:
    """Else equal numbers would prove nothing."""
    scorer = Scorer(model)
    outputs = scorer.score({name: [row[name] for row in ROWS] for name in NAMES}).outputs
    assert len(np.unique(outputs[:, 0])) == len(ROWS)
    assert outputs.shape[1] == max(1, len(CLASSES[scorer.manifest.task]))


def test_mlflows_word_for_missing_is_read(model: Path, client: FlaskClient) -> None:
    """MLflow's client sends NaN for what a frame lacks; a text with these letters is a text."""
    rows = [{**ROWS[0], "Größe (€)": None, "carrier": "NaN"}]
    expected = client.post("/invocations", json={"instances": rows}).get_json()["predictions"]
    sent = json.dumps({"instances": [{**rows[0], "Größe (€)": float("nan")}]}).encode()
    assert b": NaN" in sent
    answer = client.post("/invocations", data=sent, content_type=JSON)
    assert answer.get_json()["predictions"] == expected
    for bad in (
        b'{"instances": [{"distance": -Infinity, "a": NaN}]}',
        b'{"instances": [NaN',
        b"NaN",
    ):
        assert client.post("/invocations", data=bad, content_type=JSON).status_code == 400
