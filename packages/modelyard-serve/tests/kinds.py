"""A signature with every kind of column, packages of every task for it, and values to send."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime as ort
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from modelyard_serve.contract import (
    FORMAT,
    GOLDEN,
    GRAPH,
    MANIFEST,
    REFERENCE,
    Feature,
    Golden,
    Manifest,
    Reference,
    Task,
    file_digest,
)
from modelyard_serve.encoding import PARTS, Matrix, encode, missing_numbers, text_of

FEATURES = (
    Feature(name="distance", kind="integer", minimum=100.0, maximum=5000.0, typical=762),
    Feature(name="Größe (€)", kind="number", typical=1.5, missing_share=0.25),
    Feature(name="carrier", kind="category", levels=("MQ", "415", "true", 'a,"b";c')),
    Feature(name="gate", kind="category", levels=("A1", "B2"), missing_share=0.5),
    Feature(name="night", kind="boolean", levels=("nein", "ja")),
    Feature(name="rain", kind="boolean", levels=("False", "True"), missing_share=0.1),
    Feature(name="when", kind="datetime", parts=PARTS),
    Feature(
        name="built", kind="datetime", parts=("year",), time_format="%d.%m.%Y", missing_share=1
    ),
)
REQUIRED = tuple(feature.name for feature in FEATURES if feature.missing_share == 0)
CLASSES: dict[str, tuple[str, ...]] = {
    "binary": ("no", "yes"),
    "multiclass": ("früh", "on time", "late,er"),
    "regression": (),
}
ROWS: tuple[dict[str, Any], ...] = (
    {
        "distance": 1000, "Größe (€)": 2.5, "carrier": "MQ", "gate": "B2", "night": True,
        "rain": False, "when": "2013-01-07T12:30:00", "built": "17.05.1999",
    },
    {
        "distance": None, "Größe (€)": None, "carrier": None, "gate": None, "night": None,
        "rain": None, "when": None, "built": None,
    },
    {
        "distance": -3, "Größe (€)": 0.1, "carrier": "never seen", "gate": "A1", "night": False,
        "rain": True, "when": "2013-07-01T00:00:00.250000", "built": "01.01.1970",
    },
    {
        "distance": 4_321, "Größe (€)": 1e-7, "carrier": 'a,"b";c', "gate": "C9", "night": True,
        "rain": None, "when": "2013-12-31T23:59:59+05:30", "built": None,
    },
)  # fmt: skip
"""Rows that every dialect can carry, in JSON's types."""


def write_kinds(folder: Path, task: Task, features: Sequence[Feature] = FEATURES) -> Path:
    """Write a package whose outputs depend on every column: weights times filled matrix."""
    folder.mkdir(parents=True, exist_ok=True)
    width = sum(feature.width for feature in features)
    classes = CLASSES[task]
    outputs = max(1, len(classes))
    double = TensorProto.DOUBLE
    # Columns of dates are large, so that the weights are small: no probability may be 0 or 1.
    weights = np.cos(np.arange(width * outputs)).reshape(width, outputs) * 1e-4
    last = [helper.make_node("Softmax", ["odds"], ["scores"], axis=1)]
    graph = helper.make_graph(
        [
            helper.make_node("IsNaN", ["matrix"], ["gone"]),
            helper.make_node("Where", ["gone", "filling", "matrix"], ["filled"]),
            helper.make_node("MatMul", ["filled", "weights"], ["odds" if classes else "scores"]),
            *(last if classes else []),
        ],
        "kinds",
        [helper.make_tensor_value_info("matrix", double, [None, width])],
        [helper.make_tensor_value_info("scores", double, [None, outputs])],
        [
            # Not zero, which a category that is not known has.
            numpy_helper.from_array(np.array(-7.5), "filling"),
            numpy_helper.from_array(weights, "weights"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    rows = [{name: value for name, value in row.items() if value is not None} for row in ROWS]
    names = {feature.name for feature in features}
    golden_rows = [{k: v for k, v in row.items() if k in names} for row in rows]
    matrix = encode(features, columns_of(golden_rows, [feature.name for feature in features]))
    scores = ort.InferenceSession(str(folder / GRAPH)).run(["scores"], {"matrix": matrix})[0]
    golden = Golden(rows=golden_rows, scores=scores.tolist(), tolerance=1e-9)
    (folder / GOLDEN).write_bytes(msgspec.json.encode(golden))
    (folder / REFERENCE).write_bytes(msgspec.json.encode(Reference(rows=10, columns=())))
    manifest = Manifest(
        format=FORMAT,
        name="Züge/nach Ulm",
        task=task,
        target="delay",
        features=tuple(features),
        classes=classes,
        positive=classes[1] if task == "binary" else None,
        threshold=0.5 if task == "binary" else None,
        files={name: file_digest(folder / name) for name in (GRAPH, GOLDEN, REFERENCE)},
    )
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


def columns_of(rows: Iterable[Mapping[str, Any]], names: Sequence[str]) -> dict[str, list[Any]]:
    """Rows as columns; a key that a row lacks is None."""
    rows = list(rows)
    return {name: [row.get(name) for row in rows] for name in names}


def as_csv(
    rows: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    *,
    delimiter: str = ",",
    header: bool = True,
    ending: str = "\n",
) -> bytes:
    """Rows as a CSV table: None is an empty cell, a number its shortest text."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    if header:
        writer.writerow(names)
    for row in rows:
        writer.writerow(["" if row.get(name) is None else cell_of(row[name]) for name in names])
    return out.getvalue().encode()


def cell_of(value: Any) -> str:
    """A value's text in a table: 2.0 is "2", which a flag and a category know too."""
    return text_of(value)


def as_json(value: Any) -> bytes:
    """JSON by the standard library, so that no codec is tested against itself."""
    return json.dumps(value, allow_nan=False).encode()


def same(found: Matrix, expected: Matrix) -> bool:
    """Whether two matrices are equal bit for bit; any NaN equals any other."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    gone = np.isnan(expected)
    if not np.array_equal(gone, np.isnan(found)):
        return False
    return found[~gone].tobytes() == expected[~gone].tobytes()


WORDS = [(), (), ("-9", "gone"), ("1900-01-01", "unknown", "0.25"), ("0", "1", "no")]
"""What a person may have declared to be missing."""

# What may stand in a column of each kind, in JSON's types.
_finite = st.floats(allow_nan=False, allow_infinity=False)
_integers = st.integers(-(2**62), 2**62) | st.integers(-1000, 1000) | st.integers(-(2**70), 2**70)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
_zones = st.one_of(
    st.just(UTC),
    st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
_moments = st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1))


@st.composite
def _iso(draw: st.DrawFn) -> str:
    """A moment in one of the forms of ISO 8601 that Python reads."""
    moment = draw(_moments)
    forms = [
        moment.isoformat(),
        moment.isoformat(sep=" "),
        moment.isoformat(timespec="minutes"),
        moment.date().isoformat(),
        f" {moment.isoformat()} ",
        moment.replace(tzinfo=draw(_zones)).isoformat(),
        moment.isoformat(timespec="seconds") + "Z",
        moment.strftime("%Y%m%dT%H%M%S").rjust(15, "0"),
    ]
    return draw(st.sampled_from(forms))


def values(feature: Feature, *, numbers_as_flags: bool = True) -> st.SearchStrategy[Any]:
    """What a cell of this column may hold, None included.

    Args:
        numbers_as_flags: also a number given as true or false, which JSON can and CSV cannot.
    """
    if feature.kind in ("number", "integer"):
        plain: st.SearchStrategy[Any] = _finite | _integers
        found = plain | st.booleans() if numbers_as_flags else plain
    elif feature.kind == "category":
        known = st.sampled_from(feature.levels) if feature.levels else st.nothing()
        found = known | _texts | _integers | _finite | st.booleans() | st.sampled_from([415, 415.0])
    elif feature.kind == "boolean":
        words = [*feature.levels, "true", "FALSE", "Yes", "n", "0", "1", "on", "Off", " t "]
        found = st.booleans() | st.sampled_from([0, 1, 0.0, 1.0]) | st.sampled_from(words)
    elif feature.time_format:
        found = _iso() | _moments.map(
            lambda moment: moment.strftime("%d.%m.") + f"{moment.year:04}"
        )
    else:
        found = _iso()
    if feature.missing:
        found |= st.sampled_from([*feature.missing, *missing_numbers(feature)])
    return st.none() | found


def wrong_values(feature: Feature) -> st.SearchStrategy[Any]:
    """What a cell of this column must not hold."""
    nested: list[Any] = [[], [1], {}, {"a": None}]
    if feature.kind in ("number", "integer"):
        return st.sampled_from(["12", "", "far", *nested])
    if feature.kind == "category":
        return st.sampled_from(nested)
    if feature.kind == "boolean":
        return st.sampled_from(["perhaps", "", 2, 0.5, -1, *nested])
    return st.sampled_from(["yesterday", "", "2013-02-30", 12, 1.5, True, *nested])


@st.composite
def signatures(draw: st.DrawFn, names: st.SearchStrategy[str] | None = None) -> tuple[Feature, ...]:
    """A signature of one to six columns of any kind, in any order."""
    taken = draw(st.lists(_texts if names is None else names, min_size=1, max_size=6, unique=True))
    return tuple(draw(_feature(name)) for name in taken)


@st.composite
def _feature(draw: st.DrawFn, name: str) -> Feature:
    kind = draw(st.sampled_from(["number", "integer", "boolean", "category", "datetime"]))
    levels: tuple[str, ...] = ()
    if kind == "category":
        levels = tuple(draw(st.lists(_texts, max_size=4, unique=True)))
    elif kind == "boolean":
        levels = draw(st.sampled_from([(), ("nein", "ja"), ("False", "True")]))
    parts = draw(st.lists(st.sampled_from(PARTS), min_size=1, max_size=7, unique=True))
    form = draw(st.sampled_from([None, None, "%d.%m.%Y"]))
    return Feature(
        name=name,
        kind=kind,
        levels=levels,
        parts=tuple(parts) if kind == "datetime" else (),
        time_format=form if kind == "datetime" else None,
        missing=draw(st.sampled_from(WORDS)),
        missing_share=draw(st.sampled_from([0.0, 0.5])),
    )


@st.composite
def tables(
    draw: st.DrawFn, features: Sequence[Feature], *, numbers_as_flags: bool = True
) -> list[dict[str, Any]]:
    """One to four rows; a column that was missing in training may be absent from any of them."""
    rows = []
    for _ in range(draw(st.integers(1, 4))):
        row = {}
        for feature in features:
            if feature.missing_share == 0 or draw(st.booleans()):
                row[feature.name] = draw(values(feature, numbers_as_flags=numbers_as_flags))
        rows.append(row)
    return rows


def is_gone(value: Any) -> bool:
    """Whether a value is missing."""
    return value is None or (isinstance(value, float) and math.isnan(value))
