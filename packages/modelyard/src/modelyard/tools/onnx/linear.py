"""`forms.Linear` as operations over the matrix."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from modelyard.forms import Floats, Linear
from modelyard.tools.onnx.nodes import Nodes


def raw_linear(nodes: Nodes, matrix: str, form: Linear) -> str:
    """Add the design and its weights; returns the raw scores, shape (N, outputs)."""
    blocks: list[str] = []
    if len(form.numeric):
        numbers = nodes.op("Gather", matrix, nodes.constant(form.numeric), axis=1)
        missing = nodes.op("IsNaN", numbers)
        filled = nodes.op("Where", missing, nodes.constant(form.fill[None, :]), numbers)
        centred = nodes.op("Sub", filled, nodes.constant(form.centre[None, :]))
        scaled = nodes.op("Div", centred, nodes.constant(form.scale[None, :]))
        if np.isfinite(form.limit):
            ends = [nodes.constant(np.array(end)) for end in (-form.limit, form.limit)]
            scaled = nodes.op("Clip", scaled, *ends)
        blocks.append(scaled)
    if len(form.indicators):
        columns = nodes.op("Gather", matrix, nodes.constant(form.indicators), axis=1)
        blocks.append(nodes.op("Cast", nodes.op("IsNaN", columns), to=TensorProto.DOUBLE))
    if len(form.equals_column):
        columns = nodes.op("Gather", matrix, nodes.constant(form.equals_column), axis=1)
        equal = nodes.op("Equal", columns, nodes.constant(form.equals_code[None, :]))
        blocks.append(nodes.op("Cast", equal, to=TensorProto.DOUBLE))
    if not blocks:
        return constant_rows(nodes, matrix, form.bias)
    design = blocks[0] if len(blocks) == 1 else nodes.op("Concat", *blocks, axis=1)
    product = nodes.op("MatMul", design, nodes.constant(form.weights))
    return nodes.op("Add", product, nodes.constant(form.bias[None, :]))


def constant_rows(nodes: Nodes, matrix: str, values: Floats) -> str:
    """The same values, shape (outputs,), for each row of the matrix."""
    rows = nodes.op("Shape", matrix, start=0, end=1)
    size = nodes.op("Concat", rows, nodes.constant(np.array([len(values)], np.int64)), axis=0)
    return nodes.op("Expand", nodes.constant(values[None, :]), size)
