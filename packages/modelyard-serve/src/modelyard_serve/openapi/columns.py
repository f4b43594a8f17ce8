"""The signature as JSON Schema: what each column of a row may hold."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any

from modelyard_serve.contract import Feature, Manifest, Scalar
from modelyard_serve.encoding import FALSE_WORDS, TRUE_WORDS

MAX_LEVELS = 200
"""A category's levels beyond this many are counted, not listed: the document stays readable."""


def row_schema(manifest: Manifest, examples: list[dict[str, Scalar]]) -> dict[str, Any]:
    """Return the schema of one row: closed, with the never-missing columns required."""
    required = [feature.name for feature in manifest.features if feature.missing_share == 0]
    schema: dict[str, Any] = {
        "type": "object",
        "title": "Row",
        "description": "One row: a value or null for each column. Null counts as missing.",
        "properties": {feature.name: column_schema(feature) for feature in manifest.features},
        "additionalProperties": False,
        "examples": examples,
    }
    if required:
        schema["required"] = required
    return schema


def column_schema(feature: Feature) -> dict[str, Any]:
    """Return one column's schema.

    What a general client needs is standard (types, `anyOf`, `examples`); what the page shows
    beside it stands in `x-` fields. A training range is no `minimum`: values beyond it are scored.
    """
    schema: dict[str, Any] = _types(feature)
    schema["description"] = " ".join([_meaning(feature), *_range_note(feature), _null(feature)])
    if feature.typical is not None:
        schema["examples"] = [feature.typical]
    schema["x-kind"] = feature.kind
    schema["x-missing-share"] = feature.missing_share
    if span := training_range(feature):
        schema["x-training-range"] = span
    if feature.time_format:
        schema["x-time-format"] = feature.time_format
    if feature.kind == "category":
        schema["x-levels-total"] = len(feature.levels)
    return schema


def walkable(feature: Feature) -> bool:
    """Whether /v1/what-if has values to walk along: not for a date or a number of no range."""
    if feature.kind in ("number", "integer"):
        return bool(training_range(feature))
    return feature.kind == "boolean" or (feature.kind == "category" and bool(feature.levels))


def training_range(feature: Feature) -> list[Any]:
    """Return [lowest, highest] of the training rows, datetimes as ISO 8601; [] if unknown."""
    ends = (feature.minimum, feature.maximum)
    found: list[Any] = []
    for end in ends:
        if end is None or not math.isfinite(end):
            return []
        if feature.kind == "datetime":
            try:
                found.append(_moment(end))
            except OverflowError:
                return []
        elif feature.kind == "integer" and end.is_integer():
            found.append(int(end))
        else:
            found.append(end)
    return found


def _moment(days: float) -> str:
    moment = datetime(1970, 1, 1) + timedelta(days=days)
    return moment.isoformat(timespec="auto" if moment.microsecond else "seconds")


def _types(feature: Feature) -> dict[str, Any]:
    if feature.kind in ("number", "integer"):
        return {"type": [feature.kind, "null"]}
    if feature.kind == "datetime":
        return {"type": ["string", "null"]}
    if feature.kind == "boolean":
        own = feature.levels if len(feature.levels) == 2 else ()
        words = dict.fromkeys([*own, *sorted(TRUE_WORDS | FALSE_WORDS)])
        return {"anyOf": [{"type": ["boolean", "null"]}, {"enum": [0, 1, *words]}]}
    others = ["string"]
    if any(_reads_as_number(level) for level in feature.levels):
        others.append("number")
    if {"true", "false"} & set(feature.levels):
        others.append("boolean")
    anything = {
        "type": others if len(others) > 1 else others[0],
        "description": "Any other level counts as `other`.",
    }
    known = list(dict.fromkeys(feature.levels))[:MAX_LEVELS]
    return {"anyOf": [*([{"enum": known}] if known else []), anything, {"type": "null"}]}


def _reads_as_number(level: str) -> bool:
    try:
        return math.isfinite(float(level))
    except ValueError:
        return False


def _meaning(feature: Feature) -> str:
    if feature.kind == "number":
        return "A finite number."
    if feature.kind == "integer":
        return "A whole number."
    if feature.kind == "boolean":
        return "True or false; 0, 1 and the words listed are read too, in upper or lower case."
    if feature.kind == "datetime":
        form = "in ISO 8601"
        if feature.time_format:
            form = f"as `{feature.time_format}` or {form}"
        return f"A moment {form}. One with a time zone is moved to UTC."
    count = len(feature.levels)
    listed = "" if count <= MAX_LEVELS else f" The first {MAX_LEVELS} of {count} are listed."
    return f"A category with {count} known levels. An unknown level counts as `other`.{listed}"


def _range_note(feature: Feature) -> list[str]:
    span = training_range(feature)
    if not span:
        return []
    low, high = span
    return [f"The training rows held {low} to {high}; values outside are accepted."]


def _null(feature: Feature) -> str:
    if feature.missing_share == 0:
        told = "Never missing in training; null is accepted and counts as missing."
    else:
        told = (
            f"Missing in {percent(feature.missing_share)} of the training rows; null is accepted."
        )
    shown = ", ".join(feature.missing[:MAX_LEVELS])
    return f"{told} Missing too: {shown}." if shown else told


def percent(share: float) -> str:
    """A share of 0 to 1 as a percentage that never rounds to nothing."""
    return "less than 0.1 %" if 0 < share < 0.001 else f"{share:.1%}".replace("%", " %")
