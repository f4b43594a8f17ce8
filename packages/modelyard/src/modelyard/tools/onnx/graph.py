"""Members of an ensemble -> one graph: each a branch over the same matrix, then a weighted sum."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modelyard.errors import ToolFailed
from modelyard.forms import Floats, Linear, Member, Task, Trees
from modelyard.tools.onnx.linear import raw_linear
from modelyard.tools.onnx.nodes import Nodes
from modelyard.tools.onnx.trees import raw_trees

INPUT = "matrix"


def build(members: Sequence[Member], *, width: int, task: Task, classes: int, name: str) -> bytes:
    """Build the graph of a weighted ensemble (of one member too).

    Args:
        width: columns of the matrix.
        classes: number of classes; ignored for regression.
        name: the graph's name. Nothing else in the bytes depends on when or where they are made.

    Returns:
        a checked ONNX model, opset 21 and ai.onnx.ml 5.

    Raises:
        ToolFailed: no members, weights that do not sum to 1, or a form that does not fit the task.
    """
    outputs = 1 if task == "regression" else classes
    _refuse_misfits(members, width, task, outputs)
    nodes = Nodes()
    parts = [_member(nodes, member, task, outputs) for member in members]
    return nodes.model(nodes.add(parts), width=width, outputs=outputs, name=name)


def _member(nodes: Nodes, member: Member, task: Task, outputs: int) -> str:
    """One member's scores times its weight, shape (N, outputs)."""
    form, weight = member.form, member.weight
    if isinstance(form, Linear):
        raw = raw_linear(nodes, INPUT, form)
    else:
        raw = raw_trees(nodes, INPUT, form)
    if form.link == "sigmoid":
        # Both classes at once: sigmoid(-raw), sigmoid(raw).
        both = nodes.op("Mul", raw, nodes.constant(np.array([[-1.0, 1.0]])))
        scores = nodes.op("Sigmoid", both)
    elif form.link == "softmax":
        scores = nodes.op("Softmax", raw, axis=1)
    elif form.link == "exp":
        scores = nodes.op("Sub", nodes.op("Exp", raw), nodes.constant(np.array([[1.0]])))
    elif task == "binary":
        # A mean of the probabilities of class 1: (1 - p, p), the weight folded in.
        signed = nodes.op("Mul", raw, nodes.constant(np.array([[-weight, weight]])))
        return nodes.op("Add", signed, nodes.constant(np.array([[weight, 0.0]])))
    else:
        scores = raw
    return scores if weight == 1.0 else nodes.op("Mul", scores, nodes.constant(_cell(weight)))


def _cell(value: float) -> Floats:
    return np.array([[value]], dtype=np.float64)


def _refuse_misfits(members: Sequence[Member], width: int, task: Task, outputs: int) -> None:
    problems = []
    total = sum(member.weight for member in members)
    if not members or not abs(total - 1.0) <= 1e-9:
        problems.append(f"the weights of {len(members)} members sum to {total}")
    raw = {"binary": 1, "multiclass": outputs, "regression": 1}[task]
    links = {
        "binary": ("sigmoid", "identity"),
        "multiclass": ("softmax", "identity"),
        "regression": ("identity", "exp"),
    }[task]
    for number, member in enumerate(members):
        form = member.form
        found = form.outputs if isinstance(form, Trees) else form.weights.shape[1]
        if found != raw or form.link not in links:
            problems.append(f"member {number} gives {found} outputs with link {form.link}")
        if isinstance(form, Trees):
            last = int(form.feature.max(initial=-1))
        else:
            columns = (form.numeric, form.indicators, form.equals_column)
            last = max(int(column.max(initial=-1)) for column in columns)
            if task == "binary" and form.link == "identity":
                problems.append(f"member {number} is linear without a link")
        if last >= width:
            problems.append(f"member {number} reads column {last} of {width}")
    if problems:
        raise ToolFailed(
            f"The models do not make a graph: {problems[0]}.",
            why=f"The task is {task} with {outputs} outputs.",
            next_step="modelyard run",
        )
