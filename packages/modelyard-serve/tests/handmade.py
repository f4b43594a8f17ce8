"""A small package, built by hand."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
from onnx import TensorProto, helper, numpy_helper

from modelyard_serve.contract import (
    FORMAT,
    GOLDEN,
    GRAPH,
    MANIFEST,
    REFERENCE,
    Feature,
    Golden,
    Manifest,
    Reference,
    file_digest,
)

FEATURES = (
    Feature(name="distance", kind="integer", minimum=100.0, maximum=5000.0, typical=762),
    Feature(name="Größe (€)", kind="number", typical=1.5),
    Feature(name="carrier", kind="category", levels=("MQ", "B6"), typical="MQ"),
    Feature(name="night", kind="boolean", levels=("no", "yes"), typical=False),
    Feature(name="when", kind="datetime", parts=("hour", "weekday"), typical="2013-01-01T06:00"),
)
LATE = 1 / (1 + math.exp(-4.25))
WEIGHTS = np.array([[0.001], [0.5], [1.0], [-1.0], [0.1], [0.01]])


def write_package(folder: Path, **changes: object) -> Path:
    """Write a binary model: the log-odds are the matrix, missing as 0, times WEIGHTS."""
    folder.mkdir(parents=True, exist_ok=True)
    double = TensorProto.DOUBLE
    nodes = [
        helper.make_node("IsNaN", ["matrix"], ["gone"]),
        helper.make_node("Where", ["gone", "zero", "matrix"], ["filled"]),
        helper.make_node("MatMul", ["filled", "weights"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], ["late"]),
        helper.make_node("Sub", ["one", "late"], ["on_time"]),
        helper.make_node("Concat", ["on_time", "late"], ["scores"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "hand-made",
        [helper.make_tensor_value_info("matrix", double, [None, 6])],
        [helper.make_tensor_value_info("scores", double, [None, 2])],
        [
            numpy_helper.from_array(np.array(0.0), "zero"),
            numpy_helper.from_array(np.array(1.0), "one"),
            numpy_helper.from_array(WEIGHTS, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    golden = Golden(
        rows=[
            {
                "distance": 1000,
                "Größe (€)": 2.0,
                "carrier": "B6",
                "night": True,
                "when": "2013-01-07T12:30:00",
            },
            {"distance": None, "Größe (€)": None, "carrier": "never seen", "night": None},
        ],
        # by hand: 1 + 1 + 2 - 1 + 1.25 + 0 = 4.25 and 0 + 0 + 0 + 0 = 0
        scores=[[1 - LATE, LATE], [0.5, 0.5]],
        tolerance=1e-12,
    )
    (folder / GOLDEN).write_bytes(msgspec.json.encode(golden))
    (folder / REFERENCE).write_bytes(msgspec.json.encode(Reference(rows=10, columns=())))
    manifest = Manifest(
        format=FORMAT,
        name="flights",
        task="binary",
        target="late",
        features=FEATURES,
        classes=("no", "yes"),
        positive="yes",
        threshold=0.4,
        files={name: file_digest(folder / name) for name in (GRAPH, GOLDEN, REFERENCE)},
    )
    manifest = msgspec.structs.replace(manifest, **changes)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


ROW = {
    "distance": 1000,
    "Größe (€)": 2.0,
    "carrier": "B6",
    "night": True,
    "when": "2013-01-07T12:30:00",
}
