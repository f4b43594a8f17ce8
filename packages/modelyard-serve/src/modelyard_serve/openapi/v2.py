"""The routes of the Open Inference Protocol, V2."""

from __future__ import annotations

from typing import Any

from modelyard_serve.openapi.examples import labels_of, tensors
from modelyard_serve.openapi.parts import JSON, SCORING, Facts, Json, errors, get, media, ok, ref
from modelyard_serve.openapi.v1 import GZIP

TAG = "Open Inference Protocol V2"
UNDER_MODEL = "/v2/models/{name}"
UNDER_VERSION = UNDER_MODEL + "/versions/{version}"


def paths(facts: Facts) -> Json:
    """The routes, by path."""
    live = ok("The server runs.", {JSON: media(ref("V2Live"))})
    server = ok("The server.", {JSON: media(ref("V2Server"))})
    return {
        "/v2": {
            "get": get(facts, TAG, "v2Server", "The server's name and version", server, v2=True)
        },
        "/v2/health/live": {
            "get": get(facts, TAG, "v2Live", "Is the server alive?", live, open_to_all=True)
        },
        "/v2/health/ready": {"get": _ready(facts)},
        **_of_model(facts, UNDER_MODEL, ""),
        **_of_model(facts, UNDER_VERSION, "Version"),
    }


def _of_model(facts: Facts, base: str, suffix: str) -> Json:
    """The three routes of a model, once without and once with its version in the path."""
    what = "this version of the model" if suffix else "the model"
    parameters = [ref("ModelName", "parameters")]
    if suffix:
        parameters.append(ref("ModelVersion", "parameters"))
    described = ok("Names, datatypes and shapes of the tensors.", {JSON: media(ref("V2Model"))})
    ready = ok("It takes requests.", {JSON: media(ref("V2ModelReady"))})
    about = get(facts, TAG, f"v2Model{suffix}", f"Inputs and outputs of {what}", described, v2=True)
    probe = get(facts, TAG, f"v2Model{suffix}Ready", f"Is {what} ready?", ready, v2=True)
    for operation in (about, probe):
        operation["responses"] |= errors(facts, "404", v2=True)
    return {
        base: {"parameters": parameters, "get": about},
        f"{base}/ready": {"parameters": parameters, "get": probe},
        f"{base}/infer": {"parameters": parameters, "post": _infer(facts, suffix, what)},
    }


def _ready(facts: Facts) -> Json:
    content = {JSON: media(ref("V2Ready"))}
    yes = ok("The server takes requests.", content)
    operation = get(facts, TAG, "v2Ready", "Is the server ready?", yes, open_to_all=True)
    operation["responses"]["503"] = ok("The server is stopping.", content)
    return operation


def _infer(facts: Facts, suffix: str, what: str) -> Json:
    rows = facts.examples.full_rows
    return {
        "tags": [TAG],
        "operationId": f"v2Infer{suffix}",
        "summary": f"Score tensors with {what}",
        "description": (
            "One tensor a column, of shape [N] or [N, 1]. Numbers are FP64 (FP16, FP32, `INT*` and "
            "`UINT*` are read too), booleans BOOL, categories and datetimes BYTES. Null is "
            "missing. Tensors may follow the JSON as bytes (the binary tensor extension, "
            "`Inference-Header-Content-Length`), where NaN is missing. " + GZIP
        ),
        "requestBody": {
            "required": True,
            "content": {
                JSON: media(
                    ref("V2InferRequest"),
                    rows={"id": "1", "inputs": tensors(facts.manifest, rows)},
                )
            },
        },
        "responses": {
            "200": ok(
                "The predictions; for classes also their probabilities.",
                {JSON: media(ref("V2InferAnswer"), rows=_answer(facts))},
            ),
            **errors(facts, *(s for s in SCORING if s != "406"), "404", v2=True),
        },
    }


def _answer(facts: Facts) -> Json | None:
    outputs = facts.examples.full_outputs
    if not outputs:
        return None
    manifest = facts.manifest
    labels = labels_of(manifest, outputs)
    kind = "BYTES" if manifest.classes else "FP64"
    found: list[dict[str, Any]] = [
        {"name": "predictions", "shape": [len(labels)], "datatype": kind, "data": labels}
    ]
    if manifest.classes:
        found.append(
            {
                "name": "probabilities",
                "shape": [len(labels), len(manifest.classes)],
                "datatype": "FP64",
                "data": [number for output in outputs for number in output],
            }
        )
    return {
        "model_name": manifest.name,
        "model_version": facts.version,
        "id": "1",
        "outputs": found,
    }
