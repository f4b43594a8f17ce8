"""The routes of our own dialect: /v1."""

from __future__ import annotations

from typing import Any

from modelyard_serve.openapi.columns import walkable
from modelyard_serve.openapi.examples import Row, as_csv, as_lines, labels_of
from modelyard_serve.openapi.parts import (
    CSV,
    JSON,
    LINES,
    SCORING,
    Facts,
    Json,
    errors,
    get,
    media,
    ok,
    ref,
    text,
)

TAG = "Predict"
ASKING = ("400", "401", "413", "422", "429", "503")
GZIP = "A body may be packed (`Content-Encoding: gzip`)."


def paths(facts: Facts) -> Json:
    """The routes, by path."""
    return {
        "/v1/predict": {"post": _predict(facts)},
        "/v1/explain": {"post": _explain(facts)},
        "/v1/what-if": {"post": _what_if(facts)},
        "/v1/model": {
            "get": get(
                facts,
                TAG,
                "getModel",
                "The model's card",
                ok("What the model is and where it comes from.", {JSON: media(ref("ModelCard"))}),
            )
        },
    }


def _predict(facts: Facts) -> Json:
    return {
        "tags": [TAG],
        "operationId": "predict",
        "summary": "Score rows",
        "description": (
            "Send rows as JSON, as CSV or as a stream of one JSON object a line. JSON and CSV are "
            "answered in JSON, or in CSV where `Accept` asks for it; a stream is answered line by "
            "line and not counted by the limits. A row must carry every required column. Unknown "
            "columns are refused, but in CSV they come back as they were sent. " + GZIP
        ),
        "requestBody": {"required": True, "content": _rows_body(facts) | csv_or_lines(facts)},
        "responses": {
            "200": ok("One prediction a row, in the order of the rows.", _answers(facts)),
            **errors(facts, *SCORING),
        },
    }


def _rows_body(facts: Facts) -> Json:
    shown = facts.examples
    return {
        JSON: media(
            ref("PredictRequest"),
            rows={"rows": shown.rows},
            typical={"rows": [shown.typical]},
        )
    }


def csv_or_lines(facts: Facts) -> Json:
    """The two forms of a table that are not one JSON document."""
    return {
        CSV: csv_body(facts),
        LINES: media(
            text("One `Row` a line, as JSON. The answer comes while rows are still being sent."),
            rows=as_lines(facts.examples.rows),
        ),
    }


def csv_body(facts: Facts) -> Json:
    """A table as CSV."""
    return media(
        text(
            "A header line of column names, then one line a row; an empty cell is null, and in a "
            "column of numbers so is NA, NaN or null. The delimiter is a comma, a semicolon, a tab "
            "or a bar. `text/csv; header=absent` has no header: the columns stand in the model's "
            "order."
        ),
        rows=table(facts.examples.rows),
    )


def table(rows: list[Row]) -> str:
    """The rows as CSV."""
    return as_csv(list(rows[0]), [list(row.values()) for row in rows])


def _answers(facts: Facts) -> Json:
    rows, outputs = facts.examples.rows, facts.examples.outputs
    manifest = facts.manifest
    labels = labels_of(manifest, outputs) if outputs else []
    answer: dict[str, Any] | None = None
    lines: str | None = None
    scored: str | None = None
    if outputs:
        answer = {"predictions": labels}
        items: list[Json] = [{"prediction": label} for label in labels]
        header = [*rows[0], *manifest.names_added(rows[0])]
        cells: list[list[Any]] = [
            [*row.values(), label] for row, label in zip(rows, labels, strict=True)
        ]
        if manifest.classes:
            answer |= {"classes": list(manifest.classes), "probabilities": outputs}
            for item, cell, output in zip(items, cells, outputs, strict=True):
                item["probabilities"] = dict(zip(manifest.classes, output, strict=True))
                cell += output
        answer["model"] = facts.model
        lines, scored = as_lines(items), as_csv(header, cells)
    columns = "`prediction`"
    if manifest.classes:
        columns += " and one `p_<class>` a class"
    return {
        JSON: media(ref("Predictions"), rows=answer),
        CSV: media(
            text(f"The columns that were sent (none where the rows came as JSON), then {columns}."),
            rows=scored,
        ),
        LINES: media(
            text(
                "One `PredictionLine` a row, as JSON. Where a row of a stream cannot be read after "
                "others were answered, the last line is a `Problem`."
            ),
            rows=lines,
        ),
    }


def _explain(facts: Facts) -> Json:
    return {
        "tags": [TAG],
        "operationId": "explain",
        "summary": "What moved one prediction",
        "description": (
            "For each column: how far the score moves when that column alone is set to its "
            "typical value. The effects need not add up to the whole."
        ),
        "requestBody": {
            "required": True,
            "content": {
                JSON: media(ref("ExplainRequest"), row={"row": facts.examples.rows[0]}),
            },
        },
        "responses": {
            "200": ok("The effects, largest first.", {JSON: media(ref("Explanation"))}),
            **errors(facts, *ASKING),
        },
    }


def _what_if(facts: Facts) -> Json:
    feature = next((f for f in facts.manifest.features if walkable(f)), None)
    shown = {"row": facts.examples.rows[0], "feature": feature.name} if feature else None
    return {
        "tags": [TAG],
        "operationId": "whatIf",
        "summary": "One column varied, the rest of the row held",
        "description": (
            "The scores along a number's training range, or over every level of a category."
        ),
        "requestBody": {
            "required": True,
            "content": {JSON: media(ref("WhatIfRequest"), row=shown)},
        },
        "responses": {
            "200": ok("One score for each value tried.", {JSON: media(ref("WhatIf"))}),
            **errors(facts, *ASKING),
        },
    }
