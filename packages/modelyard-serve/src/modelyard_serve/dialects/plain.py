"""modelyard's own dialect: POST /v1/predict."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from modelyard_serve import csvtable
from modelyard_serve.dialects.call import (
    CSV,
    JSON,
    NDJSON,
    PROBLEM,
    Answer,
    Call,
    choose,
    has_header,
)
from modelyard_serve.errors import ServeError, TooLargeError
from modelyard_serve.served import Predicted, Served, unsupported

BLOCK = 1024
"""Rows of a stream that are scored at a time."""
LINE_BYTES = 1024 * 1024

_encode = msgspec.json.Encoder().encode


def predict(served: Served, call: Call) -> Answer:
    """Answer {"rows": [{column: value}]} or a CSV table, as JSON or as CSV.

    Raises:
        ServeError: 400, 406, 413, 415 or 422.
    """
    if call.kind in (JSON, "") or call.kind.endswith("+json"):
        matrix = served.reader.body(call.body)
        texts: dict[str, list[str]] = {}
        kind = JSON if not call.accept else choose(call.accept, (JSON, CSV))
    elif call.kind == CSV:
        kind = choose(call.accept, (JSON, CSV))
        texts, matrix = served.csv(call.body, header=has_header(call.parameters))
    else:
        raise unsupported(call.kind, f"{JSON}, {CSV} or {NDJSON}")
    found = served.predict(matrix)
    if kind == CSV:
        return Answer(as_csv(served, found, texts), "text/csv; charset=utf-8", found)
    return Answer(as_json(served, found), JSON, found)


def as_json(served: Served, found: Predicted) -> bytes:
    """{"predictions", "classes", "probabilities", "model"}; regression has no probabilities."""
    if served.middle:
        middle = (_encode(found.labels), served.middle, _encode(found.lists))
        return b"".join((b'{"predictions":', *middle, served.tail, b"}"))
    return b'{"predictions":' + _encode(found.labels) + served.tail + b"}"


def as_csv(served: Served, found: Predicted, texts: dict[str, list[str]]) -> bytes:
    """The sent columns, then the prediction and the probability of each class."""
    added = served.manifest.names_added(texts)
    outputs: list[list[float]] = (
        found.lists if served.manifest.classes else [[] for _ in found.labels]
    )
    return csvtable.write([*texts, *added], csvtable.rows_with(texts, found.labels, outputs))


def stream(served: Served, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Predicted | None]]:
    """Score a stream of rows, one JSON object a line, a block at a time.

    Yields:
        answers, one line a row, with what was predicted. Where a row does not fit, the stream ends
        with a problem document as its last line: what came before it stands.
    """
    block: list[bytes] = []
    start = 0
    try:
        for line in lines:
            if line.strip():
                block.append(line)
            if len(block) == BLOCK:
                yield _block(served, block, start)
                start += len(block)
                block = []
        if block:
            yield _block(served, block, start)
    except ServeError as error:
        yield _encode(error.as_problem()) + b"\n", None


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Cut chunks of bytes into lines. Raises TooLargeError for a line over LINE_BYTES."""
    rest = b""
    for chunk in chunks:
        lines = (rest + chunk).split(b"\n")
        rest = lines.pop()
        if len(rest) > LINE_BYTES:
            raise TooLargeError(f"a line is longer than {LINE_BYTES:,} bytes")
        yield from lines
    if rest:
        yield rest


def _block(served: Served, lines: list[bytes], start: int) -> tuple[bytes, Predicted]:
    found = served.predict(served.reader.lines(lines, start))
    classes = served.manifest.classes
    made: list[Any] = (
        [
            {"prediction": label, "probabilities": dict(zip(classes, row, strict=True))}
            for label, row in zip(found.labels, found.lists, strict=True)
        ]
        if classes
        else [{"prediction": label} for label in found.labels]
    )
    return msgspec.json.Encoder().encode_lines(made), found


def problem(error: ServeError) -> tuple[bytes, str]:
    """The error on the wire: an RFC 9457 problem document."""
    return _encode(error.as_problem()), PROBLEM
