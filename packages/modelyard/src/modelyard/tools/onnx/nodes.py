"""A graph under construction: operations and constants, named by their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
# ai.onnx.ml 5 has TreeEnsemble with doubles and came with opset 21 and IR 10; any onnxruntime that
# the serve half accepts reads them. Fixed, so that the same model gives the same bytes.
OPSETS = (("", 21), (ML, 5))
IR_VERSION = 10


class Nodes:
    """Collects nodes and constants; `op` returns the name of an operation's output."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, values: NDArray[Any]) -> str:
        """Add an initialiser of the array's own type."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def op(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add an operation. Arrays become tensors, lists of integers are written fast."""
        name = f"v{len(self.nodes)}"
        node = NodeProto(op_type=kind, domain=domain, name=name)
        node.input.extend(inputs)
        node.output.append(name)
        for key in sorted(attributes):
            node.attribute.append(_attribute(key, attributes[key]))
        self.nodes.append(node)
        return name

    def add(self, parts: Sequence[str]) -> str:
        """The sum of some values of one shape."""
        return parts[0] if len(parts) == 1 else self.op("Sum", *parts)

    def model(self, output: str, *, width: int, outputs: int, name: str) -> bytes:
        """Close the graph: `output` becomes "scores". Checked; the same graph gives the same bytes.

        Raises:
            onnx.checker.ValidationError: the graph is not valid ONNX (a defect of ours).
        """
        for node in self.nodes:
            for place, entry in enumerate(node.output):
                if entry == output:
                    node.output[place] = "scores"
        double = TensorProto.DOUBLE
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("matrix", double, ["rows", width])],
            [helper.make_tensor_value_info("scores", double, ["rows", outputs])],
            self.constants,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid(domain, version) for domain, version in OPSETS],
            ir_version=IR_VERSION,
            producer_name="modelyard",
        )
        content = model.SerializeToString(deterministic=True)
        onnx.checker.check_model(content)
        return bytes(content)


def _attribute(key: str, value: Any) -> AttributeProto:
    # helper.make_attribute looks at every entry of a list, which takes seconds for a large forest.
    if isinstance(value, np.ndarray) and value.dtype == np.int64:
        attribute = AttributeProto(name=key, type=AttributeProto.INTS)
        attribute.ints.extend(value.tolist())
        return attribute
    if isinstance(value, np.ndarray):
        return helper.make_attribute(key, numpy_helper.from_array(value, key))
    return helper.make_attribute(key, value)
