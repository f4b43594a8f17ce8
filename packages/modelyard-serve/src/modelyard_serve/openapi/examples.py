"""Example requests and answers, from golden rows and typical values: each answers 200."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard_serve.contract import Feature, Golden, Manifest, Scalar
from modelyard_serve.encoding import encode, encode_column
from modelyard_serve.errors import InputError, Problem

Row = dict[str, Scalar]
SHOWN_ROWS = 2


class Examples(msgspec.Struct, frozen=True):
    """What the document shows.

    `rows` are sent as they stand; `outputs` are the packed scores of the same rows (rows x
    classes, or rows x 1), empty where the package holds no golden sample; `typical` is the row of
    typical values, complete where the golden rows allow it. `full_rows` and `full_outputs` are rows
    without a null, for the dialect that has none; without such golden rows, the typical row alone.
    """

    rows: list[Row]
    outputs: list[list[float]]
    typical: Row
    full_rows: list[Row]
    full_outputs: list[list[float]]

    @property
    def shown(self) -> list[Row]:
        """Every different row, the typical one first."""
        return [self.typical, *(row for row in self.rows if row != self.typical)]


def examples_of(manifest: Manifest, golden: Golden) -> Examples:
    """Choose the golden rows with the fewest nulls and unknown levels, and complete them.

    A golden row may lack a key or spell a boolean as a word; the examples carry every key, and
    true or false. A row or typical value that the signature does not take is left out.
    """
    known = []
    for raw, output in zip(golden.rows, golden.scores, strict=False):
        try:
            known.append((_complete(manifest, raw), output))
        except InputError:
            continue
    known.sort(key=lambda pair: _oddities(manifest, pair[0]))
    everything = [row for row, _ in known]
    typical = {
        feature.name: _typical(feature, [row[feature.name] for row in everything])
        for feature in manifest.features
    }
    full = [pair for pair in known if None not in pair[0].values()]
    rows, outputs = _shown(known, typical)
    full_rows, full_outputs = _shown(full, typical)
    return Examples(rows, outputs, typical, full_rows, full_outputs)


def _shown(
    pairs: list[tuple[Row, list[float]]], typical: Row
) -> tuple[list[Row], list[list[float]]]:
    """The first rows with their scores; without any, the typical row, whose scores are unknown."""
    chosen = pairs[:SHOWN_ROWS]
    if not chosen:
        return [typical], []
    return [row for row, _ in chosen], [output for _, output in chosen]


def _complete(manifest: Manifest, raw: Row) -> Row:
    return {feature.name: _plain(feature, raw.get(feature.name)) for feature in manifest.features}


def _plain(feature: Feature, value: Scalar) -> Scalar:
    """Return the value as an example shows it. Raises InputError where the signature refuses it."""
    code = float(encode_column(feature, [value])[0, 0]) if feature.width else math.nan
    if feature.kind == "boolean":
        return None if math.isnan(code) else bool(code)
    return value


def _typical(feature: Feature, others: Sequence[Scalar]) -> Scalar:
    try:
        value = _plain(feature, feature.typical)
    except InputError:
        value = None
    if value is not None:
        return value
    return next((other for other in others if other is not None), None)


def _oddities(manifest: Manifest, row: Row) -> int:
    odd = 0
    for feature in manifest.features:
        value = row[feature.name]
        unknown = feature.kind == "category" and value not in feature.levels
        odd += value is None or unknown
    return odd


def labels_of(manifest: Manifest, outputs: list[list[float]]) -> list[Any]:
    """Apply the decision rule to packed scores, as `Scorer.decide` does (a test compares them)."""
    if manifest.task == "regression":
        return [output[0] for output in outputs]
    if manifest.task == "binary" and manifest.threshold is not None:
        return [manifest.classes[int(output[1] >= manifest.threshold)] for output in outputs]
    return [manifest.classes[output.index(max(output))] for output in outputs]


def as_csv(header: Sequence[str], rows: Sequence[Sequence[Scalar]]) -> str:
    """Rows as CSV with a header line; null is an empty cell, a boolean is true or false."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([[_cell(value) for value in row] for row in rows])
    return text.getvalue()


def _cell(value: Scalar) -> str | int | float:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else value


def as_lines(items: Sequence[Any]) -> str:
    """Newline-delimited JSON."""
    return "".join(msgspec.json.encode(item).decode() + "\n" for item in items)


def datatype(feature: Feature, values: Sequence[Scalar]) -> str:
    """The V2 datatype that an example sends a column as; whole numbers go as FP64 beside nulls."""
    if feature.kind == "number":
        return "FP64"
    if feature.kind == "integer":
        whole = all(type(value) is int and abs(value) < 2**63 for value in values)
        return "INT64" if whole else "FP64"
    return "BOOL" if feature.kind == "boolean" else "BYTES"


def tensors(manifest: Manifest, rows: list[Row]) -> list[dict[str, Any]]:
    """One tensor a column, shape [rows]."""
    found = []
    for feature in manifest.features:
        values = [row[feature.name] for row in rows]
        kind = datatype(feature, values)
        found.append({"name": feature.name, "shape": [len(rows)], "datatype": kind, "data": values})
    return found


def a_problem(manifest: Manifest) -> dict[str, Any]:
    """A real problem document: what this signature says of a value that it cannot read."""
    for feature in manifest.features:
        if feature.kind == "category":
            continue
        try:
            encode_column(feature, ["?"])
        except InputError as error:
            return error.as_problem()
    try:
        encode(manifest.features, {})
    except InputError as error:
        return error.as_problem()
    nothing = Problem(None, "", "a column", "nothing")
    return InputError("the signature names no column", [nothing]).as_problem()
