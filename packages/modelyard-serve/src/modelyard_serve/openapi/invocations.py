"""The routes of MLflow's scoring dialect."""

from __future__ import annotations

from modelyard_serve.openapi.examples import as_lines, labels_of
from modelyard_serve.openapi.parts import (
    CSV,
    JSON,
    JSON_LINES,
    SCORING,
    TEXT,
    Facts,
    Json,
    errors,
    get,
    media,
    ok,
    ref,
    text,
)
from modelyard_serve.openapi.v1 import GZIP, csv_body

TAG = "MLflow"


def paths(facts: Facts) -> Json:
    """The routes, by path."""
    return {
        "/invocations": {"post": _invocations(facts)},
        "/ping": {"get": _health(facts, "mlflowPing")},
        "/health": {"get": _health(facts, "mlflowHealth")},
        "/version": {
            "get": get(
                facts,
                TAG,
                "mlflowVersion",
                "The server's version",
                ok("The version, as text.", {TEXT: media(text("A version number."))}),
                open_to_all=True,
            )
        },
    }


def _health(facts: Facts, name: str) -> Json:
    content = {JSON: media(ref("Health"))}
    up = ok("The server takes requests.", content)
    operation = get(facts, TAG, name, "Is the server ready?", up, open_to_all=True)
    operation["responses"]["503"] = ok("The server is stopping.", content)
    return operation


def _invocations(facts: Facts) -> Json:
    rows = facts.examples.rows
    names = list(rows[0])
    cells = [list(row.values()) for row in rows]
    outputs = facts.examples.outputs
    answer = {"predictions": labels_of(facts.manifest, outputs)} if outputs else None
    return {
        "tags": [TAG],
        "operationId": "invocations",
        "summary": "Score rows as MLflow's scoring server does",
        "description": (
            "The body holds exactly one of `dataframe_split`, `dataframe_records`, `instances` and "
            "`inputs`. Columns that the model does not take are ignored. With "
            '`"params": {"probabilities": true}` a prediction is the list of the classes\' '
            "probabilities instead of the label. " + GZIP
        ),
        "requestBody": {
            "required": True,
            "content": {
                JSON: media(
                    ref("InvocationsRequest"),
                    dataframe_split={"dataframe_split": {"columns": names, "data": cells}},
                    dataframe_records={"dataframe_records": rows},
                    instances={"instances": rows},
                    inputs={"inputs": {name: [row[name] for row in rows] for name in names}},
                ),
                CSV: csv_body(facts),
                JSON_LINES: media(text("One `Record` a line, as JSON."), rows=as_lines(rows)),
            },
        },
        "responses": {
            "200": ok(
                "One prediction a row.",
                {
                    JSON: media(ref("InvocationsAnswer"), rows=answer),
                    CSV: media(text("A header line, then one line a row.")),
                    JSON_LINES: media(text("One prediction a line, as JSON.")),
                },
            ),
            **errors(facts, *SCORING),
        },
    }
