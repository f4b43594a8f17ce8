"""What every dialect asks of the model: rows in, labels and outputs out, within the limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard_serve import csvtable
from modelyard_serve.encoding import Matrix
from modelyard_serve.errors import InputError, MediaTypeError, TooLargeError
from modelyard_serve.rows import RowReader
from modelyard_serve.scorer import Scorer


class Predicted(NamedTuple):
    """`labels`: one a row. `lists`: the outputs as lists, rows x outputs (floats)."""

    matrix: Matrix
    outputs: NDArray[np.float64]
    lists: list[list[float]]
    labels: list[Any]


class Served:
    """An opened package under its name and version, with the limits of one request."""

    def __init__(self, scorer: Scorer, *, version: str = "", max_rows: int = 100_000) -> None:
        manifest = scorer.manifest
        self.scorer = scorer
        self.manifest = manifest
        self.name = manifest.name
        self.version = version or manifest.model_digest[:12]
        self.max_rows = max_rows
        self.reader = RowReader(manifest.features)
        self.tail = b',"model":' + msgspec.json.encode(
            {"name": self.name, "version": self.version, "digest": scorer.digest}
        )
        classes = msgspec.json.encode(manifest.classes)
        self.middle = b',"classes":' + classes + b',"probabilities":' if manifest.classes else b""
        self._threshold = manifest.threshold if manifest.task == "binary" else None

    def predict(self, matrix: Matrix) -> Predicted:
        """Score an encoded matrix. Raises TooLargeError over the limit of rows."""
        if len(matrix) > self.max_rows:
            raise TooLargeError(
                f"{len(matrix):,} rows were sent; one request takes {self.max_rows:,}: "
                "send them in parts, or as a stream of application/x-ndjson"
            )
        outputs = self.scorer.outputs(matrix)
        lists: list[list[float]] = outputs.tolist()
        return Predicted(matrix, outputs, lists, self.labels(lists))

    def labels(self, lists: Sequence[Sequence[float]]) -> list[Any]:
        """The decision rule of `Scorer.decide`, for plain lists."""
        classes = self.manifest.classes
        if not classes:
            return [row[0] for row in lists]
        if self._threshold is not None:
            low, high, threshold = classes[0], classes[1], self._threshold
            return [high if row[1] >= threshold else low for row in lists]
        return [classes[max(range(len(row)), key=row.__getitem__)] for row in lists]

    def csv(self, body: bytes, *, header: bool = True) -> tuple[dict[str, list[str]], Matrix]:
        """Read a CSV body; returns its cells and the matrix. Raises BodyError or InputError."""
        texts = csvtable.read(body, names=self.reader.names, header=header)
        columns = csvtable.values(self.manifest.features, texts)
        matrix = self.reader.columns(columns | _length_of(texts, columns))
        if len(matrix) == 0:
            raise InputError("no rows were given: send at least one below the header")
        return texts, matrix


def _length_of(texts: dict[str, list[str]], columns: dict[str, Any]) -> dict[str, list[str]]:
    """A column that tells the number of rows where the signature's columns are all absent."""
    return {} if columns else dict(list(texts.items())[:1])


def unsupported(kind: str, wanted: str) -> MediaTypeError:
    """The error for a Content-Type that a route does not read."""
    hint = " (curl: -H 'Content-Type: application/json')" if "form-urlencoded" in kind else ""
    return MediaTypeError(f"{kind or 'no Content-Type'} was sent; this route reads {wanted}{hint}")
