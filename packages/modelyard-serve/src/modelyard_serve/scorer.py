"""Rows -> one matrix -> the masks or onnxruntime -> scores. No Flask in here.

onnxruntime is imported where a package needs it: with masks alone a worker starts in half the time
and holds 40 MB less.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard_serve.contract import (
    GRAPH,
    MASKS,
    Manifest,
    package_digest,
    read_golden,
    read_manifest,
)
from modelyard_serve.encoding import Column, Matrix, encode
from modelyard_serve.errors import GoldenError, InputError, PackageError
from modelyard_serve.masks import read_masks

INPUT = "matrix"
OUTPUT = "scores"
_OUTPUTS = [OUTPUT]
Run = Callable[[Matrix], NDArray[np.float64]]


class Scores(msgspec.Struct, frozen=True):
    """What the model says of some rows, one entry a row.

    `outputs` is the graph's answer: shape (rows, classes) of probabilities in the order of
    `Manifest.classes`, or (rows, 1) of values in the target's unit. `labels` are the classes after
    the decision threshold, or the values themselves.
    """

    outputs: NDArray[np.float64]
    labels: NDArray[Any]

    @property
    def probabilities(self) -> NDArray[np.float64]:
        """The outputs under their classification name."""
        return self.outputs


class Scorer:
    """A model package, opened. Digests are checked before the graph is built.

    `by_masks` says that the masks are read, not the graph.

    Args:
        threads: of onnxruntime; the masks are read by the caller's.
        graph: use the graph even where the package has masks.

    Raises:
        PackageError: the package is not whole (see `contract.read_manifest`), or its graph does
            not take and give what the manifest says.
    """

    def __init__(
        self, package: str | Path, *, verify: bool = True, threads: int = 1, graph: bool = False
    ) -> None:
        self.package = Path(package)
        self.manifest: Manifest = read_manifest(self.package, verify=verify)
        self.digest = package_digest(self.package)
        # What the manifest does not list is not read: its digest was not checked.
        self.by_masks = MASKS in self.manifest.files and not graph
        if self.by_masks:
            self._run: Run = read_masks(self.package, self.manifest)
        else:
            self._run = _session(self.package, self.manifest, threads)
        self._classes = np.array(self.manifest.classes, dtype=object)

    def score(self, columns: Mapping[str, Column]) -> Scores:
        """Score raw columns (name -> values, all of one length). Raises InputError."""
        return self.score_matrix(encode(self.manifest.features, columns))

    def score_rows(self, rows: Sequence[Mapping[str, Any]]) -> Scores:
        """Score rows given as mappings; a key that a row lacks counts as null.

        Raises:
            InputError: no rows, a column absent from every row, or a value of the wrong kind.
        """
        if not rows:
            raise InputError("no rows were given: send at least one")
        names = [feature.name for feature in self.manifest.features]
        present = {name for row in rows for name in row}
        return self.score({n: [row.get(n) for row in rows] for n in names if n in present})

    def score_matrix(self, matrix: Matrix) -> Scores:
        """Score an encoded matrix, shape (rows, manifest.width)."""
        outputs = self.outputs(matrix)
        return Scores(outputs, self.decide(outputs))

    def outputs(self, matrix: Matrix) -> NDArray[np.float64]:
        """The graph's answer alone, shape (rows, classes) or (rows, 1)."""
        if len(matrix) == 0:
            return np.empty((0, max(1, len(self._classes))), dtype=np.float64)
        return self._run(matrix)

    def decide(self, outputs: NDArray[np.float64]) -> NDArray[Any]:
        """The label of each row: the class that is decided for, or the value."""
        if self.manifest.task == "regression":
            values: NDArray[Any] = outputs[:, 0]
            return values
        labels: NDArray[Any] = self._classes[self.decided(outputs)]
        return labels

    def decided(self, outputs: NDArray[np.float64]) -> NDArray[np.intp]:
        """The places in `Manifest.classes`: by the threshold (binary), else of the largest."""
        threshold = self.manifest.threshold
        if self.manifest.task == "binary" and threshold is not None:
            return (outputs[:, 1] >= threshold).astype(np.intp)
        places: NDArray[np.intp] = outputs.argmax(axis=1)
        return places

    def check_golden(self) -> float:
        """Score the golden samples; returns the largest difference.

        Raises:
            GoldenError: a sample's scores differ from the packed ones by more than the tolerance.
        """
        golden = read_golden(self.package)
        expected = np.array(golden.scores, dtype=np.float64)
        found = self.score_rows(golden.rows).outputs
        if found.shape != expected.shape:
            raise GoldenError(f"golden scores have shape {expected.shape}, the model {found.shape}")
        difference = np.abs(found - expected).max(axis=1)
        scale = 1.0 if self.manifest.task != "regression" else max(1.0, float(abs(expected).max()))
        worst = int(difference.argmax())
        # A NaN must fail too, hence "not <=".
        if not difference[worst] <= golden.tolerance * scale:
            raise GoldenError(
                f"golden sample {worst} gives {found[worst].tolist()}, "
                f"packed was {golden.scores[worst]}"
            )
        return float(difference[worst])


def _session(package: Path, manifest: Manifest, threads: int) -> Run:
    """Open the graph. Raises PackageError."""
    # Read once, at import: nothing may be sent anywhere.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(
            (package / GRAPH).read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime raises pybind classes without a common base
        raise PackageError(f"{GRAPH} cannot be opened: {error}") from error
    width = session.get_inputs()[0].shape[1]
    if width != manifest.width:
        raise PackageError(f"{GRAPH} takes {width} columns, the signature gives {manifest.width}")

    def run(matrix: Matrix) -> NDArray[np.float64]:
        found: NDArray[np.float64] = session.run(_OUTPUTS, {INPUT: matrix})[0]
        return found

    return run
