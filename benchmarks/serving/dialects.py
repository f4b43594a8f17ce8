"""How each server wants the rows, and where its answer holds the probabilities."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import flights

Rows = Sequence[dict[str, flights.Cell]]
Pairs = list[list[float]]


@dataclass(frozen=True)
class Dialect:
    """A path, a body for some rows, and the probabilities in an answer: one pair a row."""

    name: str
    path: str
    body: Callable[[Rows], dict[str, Any]]
    pairs: Callable[[Any], Pairs]

    def text(self, rows: Rows) -> bytes:
        """The body as one line of JSON without spaces."""
        return json.dumps(self.body(rows), separators=(",", ":")).encode()


def _table(rows: Rows) -> dict[str, Any]:
    data = [[row[name] for name in flights.COLUMNS] for row in rows]
    return {"columns": list(flights.COLUMNS), "data": data}


def _tensors(rows: Rows) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "shape": [len(rows)],
            "datatype": "FP64" if name in flights.NUMBERS else "BYTES",
            "data": [row[name] for row in rows],
        }
        for name in flights.COLUMNS
    ]


def _mlserver(rows: Rows) -> dict[str, Any]:
    """V2 with MLServer's pandas codec: the inputs are the columns of one frame."""
    inputs = _tensors(rows)
    for tensor in inputs:
        kind = "np" if tensor["datatype"] == "FP64" else "str"
        tensor["parameters"] = {"content_type": kind}
    return {
        "parameters": {"content_type": "pd"},
        "inputs": inputs,
        "outputs": [{"name": "predict_proba"}],
    }


def _output(answer: Any) -> Pairs:
    """The last output of a V2 answer: two numbers a row."""
    data = answer["outputs"][-1]["data"]
    return [data[start : start + 2] for start in range(0, len(data), 2)]


ROWS = Dialect("rows", "/predict", lambda rows: {"rows": list(rows)}, lambda a: a["probabilities"])
MLFLOW = Dialect(
    "dataframe_split",
    "/invocations",
    lambda rows: {"dataframe_split": _table(rows)},
    lambda a: a["predictions"],
)
MLSERVER = Dialect("v2-pandas", "/v2/models/flights/infer", _mlserver, _output)
V1 = Dialect("rows", "/v1/predict", ROWS.body, ROWS.pairs)
INVOCATIONS = Dialect(
    "dataframe_split-probabilities",
    "/invocations",
    lambda rows: {"dataframe_split": _table(rows), "params": {"probabilities": True}},
    lambda a: a["predictions"],
)
V2 = Dialect("v2", "/v2/models/bench/infer", lambda rows: {"inputs": _tensors(rows)}, _output)
