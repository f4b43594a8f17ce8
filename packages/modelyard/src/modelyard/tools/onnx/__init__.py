"""onnx and onnxruntime: fitted models as one float64 graph, and that graph's scores.

The graph takes "matrix", double [N, width], and gives "scores", double [N, k]: probabilities in
class order or one value. Everything in it is float64: with float32 thresholds, values that stand at
a threshold fall on the wrong side of it.
"""

from modelyard.tools.onnx.graph import build
from modelyard.tools.onnx.session import run

__all__ = ["build", "run"]
