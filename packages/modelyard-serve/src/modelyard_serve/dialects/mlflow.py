"""MLflow's scoring dialect, which is SageMaker's too: POST /invocations.

The body's forms are those of MLflow's scoring server: exactly one of `dataframe_split`,
`dataframe_records`, `instances` and `inputs`, or a CSV table. Further columns are ignored, as
MLflow does. SageMaker's batch transform sends and wants application/jsonlines or CSV.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from modelyard_serve import csvtable
from modelyard_serve.dialects.call import CSV, JSON, PROBLEM, Answer, Call, choose, has_header
from modelyard_serve.encoding import Matrix
from modelyard_serve.errors import BodyError, InputError, ServeError
from modelyard_serve.rows import decode_json
from modelyard_serve.served import Predicted, Served, unsupported

LINES = "application/jsonlines"
FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")

_encode = msgspec.json.Encoder().encode


class _Body(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    dataframe_split: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    dataframe_records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    instances: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    inputs: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    params: dict[str, Any] | None = None


class _Split(msgspec.Struct):
    columns: list[str]
    data: msgspec.Raw
    index: Any = None


_body = msgspec.json.Decoder(_Body).decode
_split = msgspec.json.Decoder(_Split).decode


def invocations(served: Served, call: Call) -> Answer:
    """Answer {"predictions": [label, …]}; with params {"probabilities": true} lists of them.

    Raises:
        ServeError: 400, 406, 413, 415 or 422.
    """
    params: dict[str, Any] = {}
    if call.kind in (JSON, ""):
        matrix, params = _from_json(served, call.body)
    elif call.kind == CSV:
        _, matrix = served.csv(call.body, header=has_header(call.parameters))
    elif call.kind == LINES:
        lines = [line for line in call.body.split(b"\n") if line.strip()]
        matrix = served.reader.records(b"[" + b",".join(lines) + b"]")
    else:
        raise unsupported(call.kind, f"{JSON}, {CSV} or {LINES}")
    if len(matrix) == 0:
        raise InputError("no rows were given: send at least one")
    kind = JSON if not call.accept else choose(call.accept, (JSON, CSV, LINES))
    found = served.predict(matrix)
    answers: list[Any] = found.lists if params.get("probabilities") else found.labels
    return _answer(served, kind, answers, found)


def _answer(served: Served, kind: str, answers: list[Any], found: Predicted) -> Answer:
    if kind == CSV:
        several = bool(answers) and isinstance(answers[0], list)
        names = served.manifest.names_added()
        header = names[1:] if several and served.manifest.classes else names[:1]
        rows = answers if several else [[answer] for answer in answers]
        return Answer(csvtable.write(header, rows), "text/csv; charset=utf-8", found)
    if kind == LINES:
        return Answer(msgspec.json.Encoder().encode_lines(answers), LINES, found)
    return Answer(b'{"predictions":' + _encode(answers) + b"}", JSON, found)


def _from_json(served: Served, text: bytes) -> tuple[Matrix, dict[str, Any]]:
    try:
        # MLflow's own client writes a frame's missing values as NaN, which JSON does not have.
        body = _body(_without_nan(text) if b"NaN" in text else text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BodyError(
            f"send JSON with exactly one of {', '.join(FORMS)}, and perhaps params: {error}"
        ) from error
    given = [form for form in FORMS if getattr(body, form) is not msgspec.UNSET]
    if len(given) != 1:
        raise BodyError(f"send exactly one of {', '.join(FORMS)}; found {given or 'none'}")
    read = {
        "dataframe_split": _from_split,
        "dataframe_records": _from_records,
        "instances": _from_instances,
        "inputs": _from_inputs,
    }[given[0]]
    return read(served, getattr(body, given[0])), body.params or {}


def _without_nan(text: bytes) -> bytes:
    """The same JSON with null for the word NaN; a text that holds these letters stays.

    Raises:
        ValueError: not JSON, not UTF-8, or a number that is not finite.
    """
    found = json.loads(text.decode(), parse_constant=_constant)
    return json.dumps(found, allow_nan=False).encode()


def _constant(word: str) -> None:
    if word != "NaN":
        raise ValueError(f"{word} is no number that a model takes")


def _from_split(served: Served, raw: msgspec.Raw) -> Matrix:
    try:
        split = _split(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f'dataframe_split is {{"columns": […], "data": [[…]]}}: {error}') from error
    return served.reader.arrays(split.columns, split.data)


def _from_records(served: Served, raw: msgspec.Raw) -> Matrix:
    return served.reader.records(raw)


def _from_instances(served: Served, raw: msgspec.Raw) -> Matrix:
    """Rows as objects, or as lists in the signature's order."""
    text = bytes(raw).lstrip()
    if text[:1] == b"[" and text[1:].lstrip()[:1] == b"[":
        return served.reader.arrays(served.reader.names, raw)
    return served.reader.records(raw)


def _from_inputs(served: Served, raw: msgspec.Raw) -> Matrix:
    """Columns by name, or rows as `instances` has them."""
    if bytes(raw).lstrip()[:1] != b"{":
        return _from_instances(served, raw)
    columns = decode_json(raw, "inputs")
    flat: dict[str, list[Any]] = {}
    for name, values in columns.items():
        if not isinstance(values, list):
            values = [values]
        # A tensor of shape (rows, 1) is a column too.
        flat[name] = [v[0] if isinstance(v, list) and len(v) == 1 else v for v in values]
    if len({len(values) for values in flat.values()}) > 1:
        raise InputError("the columns of inputs differ in length")
    return served.reader.columns(flat)


def problem(error: ServeError) -> tuple[bytes, str]:
    """A problem document with the two members that MLflow's clients look for."""
    codes = {401: "UNAUTHENTICATED", 404: "RESOURCE_DOES_NOT_EXIST", 429: "REQUEST_LIMIT_EXCEEDED"}
    code = codes.get(error.status, "BAD_REQUEST" if error.status < 500 else "INTERNAL_ERROR")
    document = error.as_problem() | {"error_code": code, "message": error.detail}
    return _encode(document), PROBLEM
