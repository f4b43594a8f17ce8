"""The Open Inference Protocol, version 2: POST /v2/models/{name}/infer, and the model's metadata.

One tensor a column, of shape [rows] or [rows, 1]; its data as JSON, or as bytes behind the JSON
(the binary tensor extension, which Triton's clients use by default). NaN in a binary tensor is a
missing value, as null is in JSON.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np

from modelyard_serve.contract import Feature
from modelyard_serve.dialects.call import JSON, Answer, Call
from modelyard_serve.encoding import Matrix
from modelyard_serve.errors import BodyError, InputError, Problem, ServeError, UnknownModelError
from modelyard_serve.served import Predicted, Served, unsupported

HEADER_LENGTH = "Inference-Header-Content-Length"
NUMBERS = {
    "FP64": "<f8", "FP32": "<f4", "FP16": "<f2",
    "INT64": "<i8", "INT32": "<i4", "INT16": "<i2", "INT8": "<i1",
    "UINT64": "<u8", "UINT32": "<u4", "UINT16": "<u2", "UINT8": "<u1", "BOOL": "?",
}  # fmt: skip
EXTENSIONS = ("binary_tensor_data",)

_encode = msgspec.json.Encoder().encode


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: dict[str, Any] | None = None


class _Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Inference(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Wanted] | None = None


_decode = msgspec.json.Decoder(_Inference).decode


def infer(served: Served, call: Call) -> Answer:
    """Answer an inference request with `predictions` and, for classes, `probabilities`.

    Raises:
        ServeError: 400, 404, 413, 415 or 422.
    """
    check_model(served, call.model, call.version)
    if call.kind not in (JSON, "", "application/octet-stream"):
        raise unsupported(call.kind, JSON)
    text, blobs = _parts(call)
    try:
        request = _decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"this is no inference request: {error}") from error
    wanted = _wanted(served, request)
    found = served.predict(_matrix(served, request.inputs, blobs))
    return _answer(served, request, wanted, found)


def check_model(served: Served, name: str, version: str = "") -> None:
    """Raise UnknownModelError where this server holds no such model or version."""
    if name != served.name:
        raise UnknownModelError(f"there is no model {name[:80]!r} here; it is {served.name!r}")
    if version not in ("", served.version):
        raise UnknownModelError(
            f"{served.name} has no version {version[:80]!r} here; it is {served.version!r}"
        )


def metadata(served: Served) -> dict[str, Any]:
    """The model's metadata: its tensors' names, types and shapes."""
    outputs = [{"name": "predictions", "datatype": _label_type(served), "shape": [-1]}]
    if served.manifest.classes:
        shape = [-1, len(served.manifest.classes)]
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": shape})
    return {
        "name": served.name,
        "versions": [served.version],
        "platform": "modelyard_onnx",
        "inputs": [
            {"name": feature.name, "datatype": datatype(feature), "shape": [-1, 1]}
            for feature in served.manifest.features
        ],
        "outputs": outputs,
    }


def datatype(feature: Feature) -> str:
    """The tensor type of a column."""
    return {"number": "FP64", "integer": "FP64", "boolean": "BOOL"}.get(feature.kind, "BYTES")


def problem(error: ServeError) -> tuple[bytes, str]:
    """The error on the wire: {"error": text}, as the protocol has it."""
    return _encode({"error": f"{error.title}: {error.detail}"}), JSON


def _parts(call: Call) -> tuple[bytes, memoryview]:
    """The JSON part of the body, and the tensors' bytes behind it."""
    header = call.headers.get(HEADER_LENGTH, "")
    if not header:
        return call.body, memoryview(b"")
    number = header.isascii() and header.isdigit() and len(header) < 20
    if not number or int(header) > len(call.body):
        raise BodyError(f"{HEADER_LENGTH}: {header[:40]} is not a length within the body")
    return call.body[: int(header)], memoryview(call.body)[int(header) :]


def _wanted(served: Served, request: _Inference) -> dict[str, bool]:
    """Which outputs are to be given, and whether each as bytes."""
    known = ["predictions", *(["probabilities"] if served.manifest.classes else [])]
    binary = bool((request.parameters or {}).get("binary_data_output"))
    if not request.outputs:
        return dict.fromkeys(known, binary)
    wanted = {}
    for output in request.outputs:
        if output.name not in known:
            raise BodyError(f"there is no output {output.name[:80]!r}; there are {known}")
        wanted[output.name] = bool((output.parameters or {}).get("binary_data", binary))
    return wanted


def _matrix(served: Served, tensors: Sequence[_Tensor], blobs: memoryview) -> Matrix:
    columns: dict[str, Sequence[Any]] = {}
    rows = -1
    for tensor in tensors:
        if tensor.name in columns:
            raise BodyError(f"the input {tensor.name[:80]!r} is given twice")
        count = _rows(tensor)
        if rows not in (-1, count):
            raise BodyError(f"the input {tensor.name[:80]!r} has {count} rows, others have {rows}")
        rows = count
        size = (tensor.parameters or {}).get("binary_data_size")
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(blobs):
                raise BodyError(f"{tensor.name[:80]}: binary_data_size does not fit the body")
            columns[tensor.name] = _from_bytes(tensor, blobs[:size], rows)
            blobs = blobs[size:]
        else:
            columns[tensor.name] = _from_list(tensor, rows)
    if rows < 1:
        raise InputError("no rows were given: send at least one")
    if len(blobs):
        raise BodyError(f"{len(blobs)} bytes follow the last tensor")
    return served.reader.columns(columns)


def _rows(tensor: _Tensor) -> int:
    shape = tensor.shape
    if not shape or shape[0] < 0 or any(size != 1 for size in shape[1:]):
        raise BodyError(f"{tensor.name[:80]}: shape {shape[:8]} is not [rows] or [rows, 1]")
    if tensor.datatype not in NUMBERS and tensor.datatype != "BYTES":
        raise BodyError(f"{tensor.name[:80]}: unknown datatype {tensor.datatype[:20]!r}")
    return shape[0]


def _from_list(tensor: _Tensor, rows: int) -> list[Any]:
    data = tensor.data
    if data is None:
        raise BodyError(f"the input {tensor.name[:80]!r} has no data")
    if data and isinstance(data[0], list):
        data = [cell[0] if isinstance(cell, list) and len(cell) == 1 else cell for cell in data]
    if len(data) != rows:
        raise BodyError(f"{tensor.name[:80]}: {len(data)} values for {rows} rows")
    if tensor.datatype != "BYTES":
        for row, value in enumerate(data):
            if type(value) is str:
                raise InputError(
                    f"row {row}: {tensor.name[:80]} is a text in a tensor of {tensor.datatype}",
                    [Problem(row, tensor.name[:80], tensor.datatype, repr(value[:40]))],
                )
    return data


def _from_bytes(tensor: _Tensor, blob: memoryview, rows: int) -> Sequence[Any]:
    if tensor.datatype != "BYTES":
        kind = np.dtype(NUMBERS[tensor.datatype])
        if len(blob) != rows * kind.itemsize:
            raise BodyError(
                f"{tensor.name[:80]}: {len(blob)} bytes for {rows} values of {tensor.datatype}"
            )
        # As Python's values: a category or a boolean may come as numbers too, NaN as missing.
        return [None if value != value else value for value in np.frombuffer(blob, kind).tolist()]
    found = []
    place = 0
    while place < len(blob):
        if place + 4 > len(blob):
            raise BodyError(f"{tensor.name[:80]}: its bytes end in the middle of a length")
        (length,) = struct.unpack_from("<I", blob, place)
        place += 4
        if length > len(blob) - place:
            raise BodyError(f"{tensor.name[:80]}: its bytes end in the middle of a text")
        try:
            found.append(str(blob[place : place + length], "utf-8"))
        except UnicodeDecodeError as error:
            raise BodyError(f"{tensor.name[:80]}: row {len(found)} is not UTF-8") from error
        place += length
    if len(found) != rows:
        raise BodyError(f"{tensor.name[:80]}: {len(found)} texts for {rows} rows")
    return found


def _label_type(served: Served) -> str:
    return "BYTES" if served.manifest.classes else "FP64"


def _answer(
    served: Served, request: _Inference, wanted: dict[str, bool], found: Predicted
) -> Answer:
    rows = len(found.labels)
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for name, binary in wanted.items():
        labels = name == "predictions"
        output: dict[str, Any] = {
            "name": name,
            "datatype": _label_type(served) if labels else "FP64",
            "shape": [rows] if labels else [rows, len(served.manifest.classes)],
        }
        if binary:
            blobs.append(_labels_bytes(found.labels) if labels else _bytes(found.outputs))
            output["parameters"] = {"binary_data_size": len(blobs[-1])}
        elif labels:
            output["data"] = found.labels
        else:
            output["data"] = [value for row in found.lists for value in row]
        outputs.append(output)
    head: dict[str, Any] = {"model_name": served.name, "model_version": served.version}
    if request.id is not None:
        head["id"] = request.id
    text = _encode(head | {"outputs": outputs})
    if not blobs:
        return Answer(text, JSON, found)
    headers = ((HEADER_LENGTH, str(len(text))),)
    return Answer(text + b"".join(blobs), "application/octet-stream", found, headers)


def _bytes(outputs: Any) -> bytes:
    return np.ascontiguousarray(outputs, dtype="<f8").tobytes()


def _labels_bytes(labels: Sequence[Any]) -> bytes:
    if labels and isinstance(labels[0], float):
        return _bytes(labels)
    texts = [str(label).encode() for label in labels]
    return b"".join(struct.pack("<I", len(text)) + text for text in texts)
