"""Score a matrix with a graph, as the serve half would."""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

import numpy as np

from modelyard.errors import ToolFailed
from modelyard.forms import Floats

ROWS = 2048
"""Rows scored at a time: bounds the memory of a large multiclass forest."""


def run(graph: bytes, X: Floats) -> Floats:
    """Score a float64 matrix of shape (rows, width) on one thread; shape (rows, k).

    Raises:
        ToolFailed: the bytes are not a graph, or the matrix is not of its width.
    """
    session = _session(graph)
    width, outputs = session.get_inputs()[0].shape[1], session.get_outputs()[0].shape[1]
    if X.ndim != 2 or X.shape[1] != width:
        raise ToolFailed(
            f"The graph takes {width} columns, the matrix has shape {X.shape}.",
            why="The graph and the matrix come from different trainings.",
            next_step="modelyard run --force",
        )
    scores = np.empty((len(X), outputs), dtype=np.float64)
    for start in range(0, len(X), ROWS):
        part = np.ascontiguousarray(X[start : start + ROWS], dtype=np.float64)
        scores[start : start + ROWS] = session.run(["scores"], {"matrix": part})[0]
    return scores


@lru_cache(maxsize=2)
def _session(graph: bytes) -> Any:
    # Read once, at import: nothing may be sent anywhere.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises pybind classes without a common base
        raise ToolFailed(
            "onnxruntime cannot open the graph.",
            why=str(error),
            next_step="modelyard doctor ; modelyard run --force",
        ) from error
