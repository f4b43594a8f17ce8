"""The small pieces that every route's description is made of."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard_serve.contract import Manifest
from modelyard_serve.openapi.examples import Examples, a_problem

Json = dict[str, Any]

JSON = "application/json"
CSV = "text/csv"
LINES = "application/x-ndjson"
JSON_LINES = "application/jsonlines"
TEXT = "text/plain"
PROBLEM = "application/problem+json"

ERRORS = {
    "400": ("BadRequest", "The body cannot be read."),
    "401": ("Unauthorized", "An API key is needed."),
    "404": ("UnknownModel", "The server holds no model or version of this name."),
    "406": ("NotAcceptable", "`Accept` names no form that the route answers in."),
    "413": ("TooLarge", "More bytes or rows than one request may hold."),
    "415": ("UnsupportedMediaType", "The route does not read this `Content-Type`."),
    "422": ("Unprocessable", "The rows do not fit the columns; rows and columns are named."),
    "429": ("TooManyRequests", "More requests a second than the caller may send."),
    "503": ("Unavailable", "The server is starting or stopping."),
}
"""Status -> the component's name and what it means."""

HEADERS: Json = {
    "401": {"WWW-Authenticate": {"schema": {"type": "string"}}},
    "429": {
        "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
    },
}
SCORING = ("400", "401", "406", "413", "415", "422", "429", "503")


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the parts of the document are made from."""

    manifest: Manifest
    examples: Examples
    version: str
    digest: str
    secured: bool
    row_limit: int | None
    byte_limit: int | None

    @property
    def model(self) -> Json:
        """The model as an answer names it."""
        return {"name": self.manifest.name, "version": self.version, "digest": self.digest}


def ref(name: str, kind: str = "schemas") -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def media(schema: Json, **examples: Any) -> Json:
    """A media type's object; an example that is None is left out."""
    given = {name: {"value": value} for name, value in examples.items() if value is not None}
    return {"schema": schema, "examples": given} if given else {"schema": schema}


def text(description: str) -> Json:
    """The schema of a body that is not JSON."""
    return {"type": "string", "description": description}


def ok(description: str, content: Json) -> Json:
    """The response to a request that was answered."""
    return {"description": description, "content": content}


def errors(facts: Facts, *statuses: str, v2: bool = False) -> Json:
    """References to the problem responses; 401 only where keys are asked for."""
    prefix = "V2" if v2 else ""
    return {
        status: ref(prefix + ERRORS[status][0], "responses")
        for status in statuses
        if status != "401" or facts.secured
    }


def get(
    facts: Facts,
    tag: str,
    name: str,
    summary: str,
    answer: Json,
    *,
    open_to_all: bool = False,
    v2: bool = False,
) -> Json:
    """A route that only answers; `open_to_all` ones (probes) ask for no key and have no limit."""
    operation: Json = {"tags": [tag], "operationId": name, "summary": summary}
    operation["responses"] = {"200": answer}
    if open_to_all:
        if facts.secured:
            operation["security"] = []
    else:
        operation["responses"] |= errors(facts, "401", "429", v2=v2)
    return operation


def error_responses(facts: Facts) -> Json:
    """`components.responses`: each status once as a problem document and once in V2's form."""
    problem = a_problem(facts.manifest)
    found: Json = {}
    for status, (name, meaning) in ERRORS.items():
        if status == "401" and not facts.secured:
            continue
        shown = problem if status == "422" else None
        error = {"error": f"{problem['title']}: {problem['detail']}"} if shown else None
        headers = {"headers": HEADERS[status]} if status in HEADERS else {}
        if status != "404":
            found[name] = ok(meaning, {PROBLEM: media(ref("Problem"), problem=shown)}) | headers
        if status != "406":
            found["V2" + name] = ok(meaning, {JSON: media(ref("V2Error"), error=error)}) | headers
    return found
