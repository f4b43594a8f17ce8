"""Bodies and headers that a client should not send, by route: strategies for Hypothesis."""

from __future__ import annotations

import gzip
import json
import struct
from typing import Any, NamedTuple

from handmade import ROW
from hypothesis import strategies as st

PREDICT, EXPLAIN, WHAT_IF = "/v1/predict", "/v1/explain", "/v1/what-if"
INVOCATIONS, INFER = "/invocations", "/v2/models/flights/infer"
JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"
LINES = "application/jsonlines"

CELLS = (
    b"null", b"true", b"-0", b"1e308", b"-1e308", b"1e309", b"1e999999", b"0.1e-400", b"NaN",
    b"Infinity", b"-Infinity", b"9" * 400, b"9223372036854775808", b"-170141183460469231731687",
    b'""', b'"MQ"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\xff\xfe"',
    b'"\xed\xa0\x80"', b'"2013-02-30T25:61:00"', b'"0001-01-01T00:00:00+23:59"',
    b'"9999-12-31T23:59:59-23:59"', b'"2013-01-07T12:30:00Z"', b'"12:30"',
    b'"' + b"x" * 5000 + b'"', b"[]", b"[1]", b"{}", b'{"a": {"b": [null]}}', b"[" * 3000,
    b'{"a":' * 3000, b"1_000", b"0x10", b"1.", b"+1", b"",
)  # fmt: skip
"""Pieces of text that are put where a value belongs; some are no JSON."""

KINDS = (
    JSON, CSV, NDJSON, LINES, "", "application/json; charset=utf-16", "APPLICATION/JSON ;x",
    "text/csv; header=absent", "text/csv;header=present", "application/octet-stream", "text/plain",
    "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
    "application/vnd.a+json", ";", "/", "text/csv; header", "\x7f",
    "application/x-ndjson; charset=latin-1",
)  # fmt: skip
ACCEPTS = (
    "", "*/*", JSON, CSV, LINES, "text/*", "text/html", "application/*;q=0", "text/csv;q=a,*/*;q=0",
    ",", ";;;", "*", "text/csv;q=1e999", "application/json;q=nan", "a" * 3000,
)  # fmt: skip
LENGTHS = ("0", "1", "20", "-1", "1e3", "99999999999", "9" * 5000, "²", "٣", " 10", "ten", "")
NAMES = (
    *ROW,
    "",
    "row",
    "rows",
    "Distance",
    "distance ",
    "größe (€)",
    "\x00",
    "a" * 300,
    "__class__",
)


class Sent(NamedTuple):
    """One request's body, headers, and the Content-Length that it claims (None: the true one)."""

    body: bytes
    headers: dict[str, str]
    length: str | None = None


def _dump(value: object) -> bytes:
    return json.dumps(value).encode()


def _row(cells: dict[str, bytes]) -> bytes:
    return b"{" + b",".join(_dump(name) + b":" + cell for name, cell in cells.items()) + b"}"


_VALID = {name: _dump(value) for name, value in ROW.items()}
_row_cells = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(CELLS), max_size=3)
_rows = st.lists(st.builds(lambda cells: _row(_VALID | cells), _row_cells), max_size=4)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)
_cells = st.lists(st.sampled_from(CELLS), max_size=6)


def _list(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"


def _object(name: str, value: bytes) -> bytes:
    return b"{" + _dump(name) + b":" + value + b"}"


def _predict() -> st.SearchStrategy[bytes]:
    return st.one_of(
        st.builds(lambda rows: _object("rows", _list(rows)), _rows),
        st.builds(lambda value: _object("rows", value), st.sampled_from(CELLS)),
        st.builds(lambda value: _dump({"rows": value}), _json),
    )


def _lines() -> st.SearchStrategy[bytes]:
    ends = st.sampled_from((b"\n", b"\r\n", b"\n\n", b" \n", b"\r", b""))
    return st.builds(lambda rows, end: end.join([*rows, b""]), _rows, ends)


def _invocations() -> st.SearchStrategy[bytes]:
    forms = st.sampled_from(
        ("dataframe_split", "dataframe_records", "instances", "inputs", "params")
    )
    names = st.lists(st.sampled_from(NAMES), max_size=7)
    data = st.lists(st.builds(_list, _cells), max_size=3).map(_list)
    split = st.builds(
        lambda columns, rows: b'{"columns":' + _dump(columns) + b',"data":' + rows + b"}",
        names,
        data,
    )
    whole = st.just(_list([_list(list(_VALID.values()))]))
    values = st.one_of(
        split, data, whole, _rows.map(_list), st.sampled_from(CELLS), _json.map(_dump),
        st.builds(_row, _row_cells),
        st.dictionaries(st.sampled_from(NAMES), _cells.map(_list), max_size=4).map(_row),
    )  # fmt: skip
    several = st.dictionaries(forms, values, min_size=1, max_size=2)
    return several.map(_row)


def _texts(values: list[bytes]) -> bytes:
    return b"".join(struct.pack("<I", len(value)) + value for value in values)


@st.composite
def _infer(draw: st.DrawFn) -> tuple[bytes, str | None]:
    """A V2 request: its body, and the length of the JSON part where bytes follow it."""
    inputs = []
    blobs = b""
    odd = st.integers(0, 7).map(lambda number: number == 0)
    for name, value in ROW.items():
        kind = "BYTES" if isinstance(value, str) else "FP64"
        tensor: dict[str, Any] = {"name": name, "datatype": kind, "shape": [1], "data": [value]}
        if draw(odd):
            tensor["name"] = draw(st.sampled_from(NAMES))
        if draw(odd):
            tensor["datatype"] = draw(
                st.sampled_from(("FP32", "FP16", "INT64", "UINT8", "BOOL", "BYTES", "BF16", "", 3))
            )
        if draw(odd):
            tensor["shape"] = draw(
                st.lists(st.integers(-2, 3) | st.just(2**70), max_size=3) | _json
            )
        if draw(odd):
            tensor["data"] = draw(_json)
        if draw(odd):
            blob = draw(
                st.binary(max_size=24) | st.lists(st.binary(max_size=4), max_size=3).map(_texts)
            )
            size = draw(st.just(len(blob)) | st.integers(-1, 40) | st.just(2**64) | _json)
            tensor.pop("data", None)
            tensor["parameters"] = {"binary_data_size": size}
            blobs += blob
        inputs.append(tensor)
    request: dict[str, Any] = {"inputs": inputs}
    if draw(odd):
        request["inputs"] = draw(_json)
    if draw(odd):
        request["id"] = draw(_json)
    if draw(odd):
        request["parameters"] = draw(st.just({"binary_data_output": True}) | _json)
    if draw(odd):
        names = st.sampled_from(("predictions", "probabilities", "", "scores"))
        wanted = st.builds(
            lambda name, binary: {"name": name, "parameters": {"binary_data": binary}}, names, _json
        )
        request["outputs"] = draw(st.lists(wanted, max_size=3) | _json)
    text = _dump(request)
    return text + blobs, str(len(text)) if blobs else None


def _table() -> st.SearchStrategy[bytes]:
    marks = st.sampled_from((b",", b";", b"\t", b"|", b"\x00", b" "))
    cell = st.one_of(
        st.sampled_from(
            (b"", b"1000", b"2.0", b"B6", b"yes", b"2013-01-07T12:30:00", b"inf", b"nan")
        ),
        st.sampled_from(
            (b'"', b'""', b'"a,b"', b'"a\nb"', b'"a"b', b"\xff", b"\xef\xbb\xbf", b"1_0")
        ),
        st.binary(max_size=4),
    )
    header = st.lists(st.sampled_from([name.encode() for name in NAMES]), max_size=7) | st.just(
        [name.encode() for name in ROW]
    )
    rows = st.lists(st.lists(cell, min_size=4, max_size=6), max_size=4)
    good = st.just([[b"1000", b"2.0", b"B6", b"yes", b"2013-01-07T12:30:00"]])
    ends = st.sampled_from((b"\n", b"\r\n", b"\r"))
    return st.builds(
        lambda names, lines, mark, end: end.join(mark.join(line) for line in [names, *lines]),
        header,
        rows | good,
        marks,
        ends,
    )


def _question() -> st.SearchStrategy[bytes]:
    feature = st.sampled_from(tuple(ROW)).map(_dump) | st.sampled_from((*CELLS, b'"rows"'))
    row = st.one_of(
        st.just(_row(_VALID)),
        st.builds(lambda cells: _row(_VALID | cells), _row_cells),
        st.sampled_from(CELLS),
    )
    return st.one_of(
        st.builds(lambda value: b'{"row":' + value + b"}", row),
        st.builds(
            lambda value, name: b'{"row":' + value + b',"feature":' + name + b"}", row, feature
        ),
    )


_BODIES = {
    PREDICT: _predict,
    INVOCATIONS: _invocations,
    EXPLAIN: _question,
    WHAT_IF: _question,
}


@st.composite
def requests(draw: st.DrawFn, route: str) -> Sent:
    """A request to a route: valid in most of its parts, hostile in one or a few."""
    headers: dict[str, str] = {}
    kind = JSON
    if route == INFER:
        body, header_length = draw(_infer())
        if header_length is not None:
            headers["Inference-Header-Content-Length"] = header_length
    else:
        body = draw(_BODIES[route]())
        if route in (PREDICT, INVOCATIONS):
            kind, body = draw(
                st.sampled_from(((JSON, body), (JSON, body)))
                | st.tuples(st.just(CSV), _table())
                | st.tuples(st.just(NDJSON if route == PREDICT else LINES), _lines())
            )
    mutation = draw(st.integers(0, 9))
    if mutation == 0:
        body = draw(st.binary(max_size=200))
    elif mutation == 1 and body:
        body = body[: draw(st.integers(0, len(body)))]
    elif mutation in (2, 3) and body:
        at = draw(st.integers(0, len(body)))
        end = draw(st.integers(at, min(len(body), at + 20)))
        body = body[:at] + draw(st.binary(max_size=8) | st.sampled_from(CELLS)) + body[end:]
    if draw(st.integers(0, 5)) == 0:
        kind = draw(st.sampled_from(KINDS))
    if draw(st.integers(0, 3)) == 0:
        headers["Accept"] = draw(st.sampled_from(ACCEPTS))
    if draw(st.integers(0, 9)) == 0:
        headers["Inference-Header-Content-Length"] = draw(st.sampled_from(LENGTHS))
    packing = draw(st.integers(0, 11))
    if packing < 3:
        packed = gzip.compress(body, 1)
        if packing == 1:
            at = draw(st.integers(0, len(packed) - 1))
            packed = packed[:at] + draw(st.binary(max_size=4)) + packed[at + 1 :]
        elif packing == 2:
            packed = draw(
                st.sampled_from((packed[:-1], packed + b"x", packed * 2, packed[:10], b"", BOMB))
            )
        body = packed
        headers["Content-Encoding"] = "gzip"
    elif packing == 3:
        headers["Content-Encoding"] = draw(
            st.sampled_from(("", "identity", "br", "deflate", "gzip, gzip", "GZIP", "\x7f"))
        )
    headers["Content-Type"] = kind
    length = draw(st.sampled_from(LENGTHS)) if draw(st.integers(0, 9)) == 0 else None
    return Sent(body, headers, length)


BOMB = gzip.compress(bytes(3 * 1024 * 1024), 9)
"""Three megabytes of nothing in three kilobytes: more than the fuzzed server takes."""
