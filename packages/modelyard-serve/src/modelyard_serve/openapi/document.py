"""One OpenAPI 3.1 document for one model, made from its manifest."""

from __future__ import annotations

from typing import Any

from modelyard_serve.contract import Golden, Manifest
from modelyard_serve.openapi import invocations, service, v1, v2
from modelyard_serve.openapi.examples import examples_of
from modelyard_serve.openapi.parts import Facts, Json, error_responses
from modelyard_serve.openapi.schemas import schemas

TAGS = {
    v1.TAG: "Rows in, predictions out: JSON, CSV or lines of JSON.",
    invocations.TAG: "What clients of MLflow's scoring server send.",
    v2.TAG: "What clients of KServe, MLServer and Triton send.",
    service.TAG: "Pages, this document and metrics.",
}


def document(
    manifest: Manifest,
    golden: Golden,
    *,
    version: str,
    digest: str,
    row_limit: int | None = None,
    byte_limit: int | None = None,
    secured: bool = False,
) -> dict[str, Any]:
    """Describe the service of one model.

    Args:
        manifest: the signature, which becomes the schema of a row.
        golden: rows and scores to take examples from; may be empty.
        version: the model's version, as the answers name it.
        digest: the model's digest, as the answers name it.
        row_limit: most rows in one request; None: no limit is stated.
        byte_limit: largest body in bytes; None: no limit is stated.
        secured: whether an API key is asked for.

    Returns:
        A document of plain values that JSON can carry.
    """
    facts = Facts(
        manifest=manifest,
        examples=examples_of(manifest, golden),
        version=version,
        digest=digest,
        secured=secured,
        row_limit=row_limit,
        byte_limit=byte_limit,
    )
    components: Json = {
        "schemas": schemas(facts),
        "responses": error_responses(facts),
        "parameters": {
            "ModelName": _in_path("name", manifest.name),
            "ModelVersion": _in_path("version", version),
        },
    }
    found: Json = {
        "openapi": "3.1.0",
        "info": {
            "title": manifest.name,
            "version": version,
            "summary": "A tabular model, served by modelyard.",
            "description": _description(facts),
            "x-model": {
                **facts.model,
                "task": manifest.task,
                "target": manifest.target,
                "classes": list(manifest.classes),
                "threshold": manifest.threshold,
                "positive": manifest.positive,
                "row-limit": row_limit,
                "byte-limit": byte_limit,
            },
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": {
            **v1.paths(facts),
            **invocations.paths(facts),
            **v2.paths(facts),
            **service.paths(facts),
        },
        "components": components,
    }
    if secured:
        components["securitySchemes"] = {
            "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            "Bearer": {"type": "http", "scheme": "bearer"},
            "Basic": {
                "type": "http",
                "scheme": "basic",
                "description": "The key is the password; the user's name does not matter.",
            },
        }
        found["security"] = [{"ApiKey": []}, {"Bearer": []}, {"Basic": []}]
    return found


def _in_path(name: str, value: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": f"The model's {name}; there is one.",
        "schema": {"type": "string", "enum": [value]},
        "example": value,
    }


def _size(count: int) -> str:
    mebi = 1024 * 1024
    return f"{count // mebi:,} MiB" if count % mebi == 0 else f"{count:,} bytes"


def _description(facts: Facts) -> str:
    task = {
        "binary": "tells one of two classes from the other",
        "multiclass": f"decides between {len(facts.manifest.classes)} classes",
        "regression": "estimates a number",
    }[facts.manifest.task]
    limits = []
    if facts.row_limit is not None:
        limits.append(f"{facts.row_limit:,} rows")
    if facts.byte_limit is not None:
        limits.append(_size(facts.byte_limit))
    text = f"The model {task}. The same rows can be sent in three dialects."
    if limits:
        text += f" One request holds at most {' and '.join(limits)}; streams are not counted."
    if facts.secured:
        text += " Send an API key as `X-API-Key` or as a bearer token."
    return text
