"""`components.schemas`: the bodies that the routes take and give."""

from __future__ import annotations

from typing import Any

from modelyard_serve.contract import Manifest
from modelyard_serve.openapi.columns import row_schema, walkable
from modelyard_serve.openapi.parts import Facts, Json, ref

DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "FP32", "FP64", "BYTES"),
)
STRING: Json = {"type": "string"}
NUMBER: Json = {"type": "number"}
BOOLEAN: Json = {"type": "boolean"}
OUTPUT: Json = {
    "type": "string",
    "description": "What the scores are of: a class whose probability they are, or the target.",
}
CELL: Json = {"type": ["string", "number", "boolean", "null"]}


def schemas(facts: Facts) -> Json:
    """Every schema, by its stable name."""
    return {
        "Row": row_schema(facts.manifest, list(facts.examples.shown)),
        "Label": label(facts.manifest),
        "Model": _object(name=STRING, version=STRING, digest=STRING),
        **_v1(facts),
        **_mlflow(facts),
        **_v2(facts.manifest),
        "Problem": _problem(),
    }


def label(manifest: Manifest) -> Json:
    """What one prediction is."""
    if manifest.task == "regression":
        return NUMBER | {"description": "The value, in the target's unit."}
    kind: Json = {"type": "string", "description": "The class decided for."}
    if manifest.classes:
        kind["enum"] = list(dict.fromkeys(manifest.classes))
    return kind


def _v1(facts: Facts) -> Json:
    rows: Json = _list(ref("Row"), minItems=1)
    if facts.row_limit is not None:
        rows["maxItems"] = facts.row_limit
    predictions = _object(predictions=_list(ref("Label")), model=ref("Model"))
    line = _object(prediction=ref("Label"))
    if facts.manifest.classes:
        share = {"type": "number", "minimum": 0, "maximum": 1}
        count = len(facts.manifest.classes)
        one = _list(share, minItems=count, maxItems=count)
        one["description"] = "The probability of each class, in the order of `classes`."
        _add(predictions, classes=_list(STRING), probabilities=_list(one))
        by_name = {"type": "object", "additionalProperties": share}
        _add(line, probabilities=by_name | {"description": "Class -> its probability."})
    return {
        "PredictRequest": _closed(rows=rows),
        "Predictions": predictions,
        "PredictionLine": line,
        "ExplainRequest": _closed(row=ref("Row")),
        "WhatIfRequest": _closed(row=ref("Row"), feature=_walkable(facts)),
        "Effect": _object(feature=STRING, value=CELL, typical=CELL, effect=NUMBER),
        "Explanation": _object(
            output=OUTPUT,
            prediction=ref("Label"),
            score=NUMBER | {"description": "The row's score for `output`."},
            typical_score=NUMBER | {"description": "The score where every column is typical."},
            effects=_list(ref("Effect")),
        ),
        "WhatIf": _object(
            feature=STRING,
            output=OUTPUT,
            value=CELL,
            score=NUMBER,
            values=_list(CELL),
            scores=_list(NUMBER),
        ),
        "ModelCard": _card(facts),
    }


def _walkable(facts: Facts) -> Json:
    found = STRING | {"description": "The column to vary: not a date, nor a number of no range."}
    names = [feature.name for feature in facts.manifest.features if walkable(feature)]
    return found | {"enum": names} if names else found


def _card(facts: Facts) -> Json:
    row: Json = {"anyOf": [ref("Row"), {"type": "null"}]}
    return _object(
        name=STRING,
        task={"const": facts.manifest.task},
        target=STRING,
        classes=_list(STRING),
        positive={"type": ["string", "null"]},
        threshold={"type": ["number", "null"]},
        features=_list(_object(name=STRING, kind=STRING)),
        metrics={"type": "object", "additionalProperties": NUMBER},
        lineage={"type": "object", "additionalProperties": STRING},
        format={"type": "integer"},
        digest=STRING,
        model_digest=STRING,
        example=row,
        examples=_list(ref("Row")),
    )


def _mlflow(facts: Facts) -> Json:
    names = [f.name for f in facts.manifest.features if f.missing_share == 0]
    record: Json = {
        "type": "object",
        "description": "The columns of `Row`; further columns are ignored.",
        "additionalProperties": True,
    }
    if names:
        record["required"] = names
    cells = _list(CELL)
    records = _list(ref("Record"), minItems=1)
    lists = _list(
        cells | {"description": "Values in the order of the model's columns."}, minItems=1
    )
    forms: Json = {
        "dataframe_split": _object(columns=_list(STRING), data=_list(cells, minItems=1)),
        "dataframe_records": records,
        "instances": {"anyOf": [records, lists]},
        "inputs": {
            "anyOf": [
                {
                    "type": "object",
                    "description": "Column -> its values.",
                    "additionalProperties": cells,
                },
                records,
            ]
        },
    }
    params: Json = {
        "type": ["object", "null"],
        "properties": {"probabilities": BOOLEAN | {"default": False}},
    }
    prediction: Json = {"anyOf": [ref("Label"), _list(NUMBER)]}
    return {
        "Record": record,
        "InvocationsRequest": {
            "type": "object",
            "properties": {**forms, "params": params},
            "additionalProperties": False,
            "oneOf": [{"required": [form]} for form in forms],
        },
        "InvocationsAnswer": _object(predictions=_list(prediction)),
        "Health": _object(status=STRING),
    }


def _v2(manifest: Manifest) -> Json:
    shape = _list({"type": "integer", "minimum": 0}, minItems=1, maxItems=2)
    parameters: Json = {"type": "object", "additionalProperties": True}
    tensor: Json = {"name": STRING, "shape": shape, "datatype": {"enum": list(DATATYPES)}}
    described = {"name": STRING, "datatype": {"enum": list(DATATYPES)}}
    signature = _list(_object(**described, shape=_list({"type": "integer"})))
    asked = _object(**tensor)
    asked["properties"]["data"] = {
        "type": ["array", "null"],
        "description": "The values; absent where they follow the JSON as bytes.",
    }
    asked["properties"]["name"] = {
        "type": "string",
        "description": "A column of the model; other tensors are ignored.",
        "examples": [feature.name for feature in manifest.features[:1]],
    }
    asked["properties"]["parameters"] = parameters
    request = _object(inputs=_list(asked, minItems=1))
    request["properties"] |= {
        "id": STRING | {"description": "Comes back in the answer."},
        "parameters": parameters,
        "outputs": _list(_object(name=STRING)),
    }
    given = _object(**tensor)
    given["properties"] |= {"data": {"type": "array"}, "parameters": parameters}
    answer = _object(
        model_name=STRING,
        model_version=STRING,
        outputs=_list(given),
    )
    answer["properties"]["id"] = STRING
    return {
        "V2Server": _object(name=STRING, version=STRING, extensions=_list(STRING)),
        "V2Live": _object(live=BOOLEAN),
        "V2Ready": _object(ready=BOOLEAN),
        "V2ModelReady": _object(name=STRING, ready=BOOLEAN),
        "V2Model": _object(
            name=STRING,
            versions=_list(STRING),
            platform=STRING,
            inputs=signature,
            outputs=signature,
        ),
        "V2InferRequest": request,
        "V2InferAnswer": answer,
        "V2Error": _object(error=STRING),
    }


def _problem() -> Json:
    row: Json = {"type": ["integer", "null"], "description": "Counted from 0; null: every row."}
    problem = _object(
        title=STRING | {"description": "The kind of error."},
        status={"type": "integer"},
        detail=STRING | {"description": "What happened and what to send instead."},
    )
    problem["description"] = "RFC 9457. Cells are named, ten at the most."
    problem["properties"] |= {
        "type": STRING,
        "problems": _list(_object(row=row, column=STRING, expected=STRING, got=STRING)),
        "problems_total": {"type": "integer", "minimum": 0},
        "error_code": STRING | {"description": "MLflow's code, at /invocations only."},
        "message": STRING | {"description": "The detail again, at /invocations only."},
    }
    return problem


def _object(**properties: Json) -> Json:
    """An object all of whose properties are always there."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def _closed(**properties: Json) -> Json:
    return _object(**properties) | {"additionalProperties": False}


def _add(schema: Json, **properties: Json) -> None:
    schema["properties"] |= properties
    schema["required"] += list(properties)


def _list(items: Json, **limits: Any) -> Json:
    return {"type": "array", "items": items, **limits}
