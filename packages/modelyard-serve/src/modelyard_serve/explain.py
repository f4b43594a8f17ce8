"""What moved a prediction, and what another value would give. No Flask in here.

Both answers come from scoring changed copies of the row in one call: the model is asked, not
opened, so every family of models is explained in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from modelyard_serve.contract import Feature, Scalar
from modelyard_serve.encoding import Matrix, encode, encode_column
from modelyard_serve.errors import InputError, Problem
from modelyard_serve.scorer import Scorer

POINTS = 25


class Effect(msgspec.Struct, frozen=True, kw_only=True):
    """One column's part: score(row) - score(the row with this column at its typical value)."""

    feature: str
    value: Any
    typical: Scalar
    effect: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What moved one prediction.

    `score` and `typical_score` (the row whose every column is typical) are probabilities of
    `output`, which is the positive class (binary) or the predicted class (multiclass), or values
    in the unit of the target, which `output` then names. `effects` are in the same unit, largest
    first. They need not add up to `score - typical_score`: each is measured alone, while columns
    act together.
    """

    output: str
    prediction: Scalar
    score: float
    typical_score: float
    effects: tuple[Effect, ...]


class WhatIf(msgspec.Struct, frozen=True, kw_only=True):
    """The scores of a row while one of its columns takes each of `values`, the rest unchanged.

    `value` and `score` are the row's own; `output` and the scores' unit are as in `Explanation`,
    and for several classes `output` is the class that the unchanged row is given.
    """

    feature: str
    output: str
    value: Any
    score: float
    values: tuple[Scalar, ...]
    scores: tuple[float, ...]


def explain(scorer: Scorer, row: Mapping[str, Any]) -> Explanation:
    """Compare the row with copies of it in which one column at a time is typical.

    A column without a typical value is compared with null. A column that already is typical has
    the effect 0 and is not scored again. One call of the model, at most columns + 2 rows.

    Raises:
        InputError: as `Scorer.score_rows` does for this row.
    """
    features = scorer.manifest.features
    own = _encode_row(scorer, row)
    typical = encode(features, {feature.name: [feature.typical] for feature in features})
    spans = _spans(features)
    moved = [
        index
        for index, span in enumerate(spans)
        if not np.array_equal(own[:, span], typical[:, span], equal_nan=True)
    ]
    matrix = np.concatenate([own, typical, np.repeat(own, len(moved), axis=0)])
    for place, index in enumerate(moved, start=2):
        matrix[place, spans[index]] = typical[0, spans[index]]
    scores = scorer.score_matrix(matrix)
    shown, output = _shown(scorer, scores.outputs[0])
    values = scores.outputs[:, shown]
    differences = dict(zip(moved, (values[0] - values[2:]).tolist(), strict=True))
    effects = [
        Effect(
            feature=feature.name,
            value=row[feature.name],
            typical=feature.typical,
            effect=differences.get(index, 0.0),
        )
        for index, feature in enumerate(features)
    ]
    return Explanation(
        output=output,
        prediction=scores.labels[:1].tolist()[0],
        score=float(values[0]),
        typical_score=float(values[1]),
        effects=tuple(sorted(effects, key=lambda effect: -abs(effect.effect))),
    )


def what_if(scorer: Scorer, row: Mapping[str, Any], feature: str, points: int = POINTS) -> WhatIf:
    """Score the row along one column's values; one call of the model.

    Args:
        scorer: the model.
        row: raw values, one of every column.
        feature: a number (walked from its smallest to its largest training value in at most
            `points` steps), a boolean (both values) or a category (all its levels).
        points: how many values of a number, 2 or more.

    Raises:
        InputError: as `Scorer.score_rows` does for this row; or there is no such column, or it has
            no values to walk along (a date, or a number whose range is not known).
    """
    features = scorer.manifest.features
    found = next((i for i, each in enumerate(features) if each.name == feature), None)
    if found is None:
        raise InputError(
            f"the model has no column {feature!r}",
            [Problem(None, feature, "a column of the model", "an unknown name")],
        )
    values = _walk(features[found], points)
    own = _encode_row(scorer, row)
    matrix = np.repeat(own, len(values) + 1, axis=0)
    matrix[1:, _spans(features)[found]] = encode_column(features[found], values)
    outputs = scorer.score_matrix(matrix).outputs
    shown, output = _shown(scorer, outputs[0])
    return WhatIf(
        feature=feature,
        output=output,
        value=row[feature],
        score=float(outputs[0, shown]),
        values=tuple(values),
        scores=tuple(outputs[1:, shown].tolist()),
    )


def _encode_row(scorer: Scorer, row: Mapping[str, Any]) -> Matrix:
    """Encode one row as `Scorer.score_rows` would: an absent key is refused."""
    names = [feature.name for feature in scorer.manifest.features]
    return encode(scorer.manifest.features, {name: [row[name]] for name in names if name in row})


def _spans(features: tuple[Feature, ...]) -> list[slice]:
    """Each feature's columns of the matrix; a datetime has several."""
    ends = np.cumsum([feature.width for feature in features]).tolist()
    return [slice(end - feature.width, end) for feature, end in zip(features, ends, strict=True)]


def _shown(scorer: Scorer, outputs: Matrix) -> tuple[int, str]:
    """Which output is talked about, and its name."""
    manifest = scorer.manifest
    if manifest.task == "regression":
        return 0, manifest.target
    if manifest.task == "binary":
        # The decision rule reads the second output, whatever the positive class is called.
        return 1, manifest.classes[1]
    index = int(outputs.argmax())
    return index, manifest.classes[index]


def _walk(feature: Feature, points: int) -> list[Scalar]:
    if feature.kind == "category":
        return list(feature.levels)
    if feature.kind == "boolean":
        return [False, True]
    if feature.kind == "datetime" or feature.minimum is None or feature.maximum is None:
        reason = "it is a date" if feature.kind == "datetime" else "its range is not known"
        raise InputError(
            f"column {feature.name} cannot be walked along: {reason}",
            [Problem(None, feature.name, "a number with a range, or levels", reason)],
        )
    grid = np.linspace(feature.minimum, feature.maximum, max(2, points))
    if feature.kind == "integer":
        return [int(value) for value in np.unique(np.rint(grid))]
    return [float(value) for value in np.unique(grid)]
