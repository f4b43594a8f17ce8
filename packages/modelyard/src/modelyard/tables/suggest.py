"""What `modelyard init` writes into a new modelyard.yaml, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import polars as pl

from modelyard.errors import DataInvalid, capped
from modelyard.forms import Task
from modelyard.records import Column, ColumnKind, Schema
from modelyard.settings import DataSection
from modelyard.tables.schema import infer

_TARGET_NAMES = ("target", "label", "y", "class", "outcome", "churn", "default", "response")
_NOT_TIME = re.compile(
    r"birth|born|dob|geburt|naiss|nacim|built|expir|valid|end|due", re.IGNORECASE
)
_ID_WORD = re.compile(r"(?:^|[^a-z])(?:id|uuid|guid|key)(?:$|[^a-z])|^index$|^column_1$")


@dataclass(frozen=True)
class Suggestion:
    """A data section, each entry with a reason sentence.

    `types` holds what later tables must keep to (dates, numbers among text), `excluded` the columns
    that no model should see; `reasons` is keyed `target`, `task`, `positive`, `id`, `time`, and by
    column name for types and excluded columns.
    """

    target: str
    task: Task
    positive: str | None = None
    id: str | None = None
    time: str | None = None
    excluded: dict[str, str] = field(default_factory=dict)
    types: dict[str, ColumnKind] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)


def suggest(
    frame: pl.DataFrame,
    target: str | None,
    *,
    delimiter: str = ",",
    told: DataSection | None = None,
) -> Suggestion:
    """Read a raw table and suggest its data section.

    Args:
        told: what a person said already, by which the table is read.

    Raises:
        DataInvalid: the target is absent or cannot be learned, or none is given and none is
            evident; no column is left to learn from.
    """
    reasons: dict[str, str] = {}
    if target is None:
        target = _target(frame)
        reasons["target"] = f"{target} was taken as the target by its name."
    data = told or DataSection(path="-", target=target)
    schema = infer(frame, data, delimiter=delimiter)[1]
    said = schema.column(target)
    reasons["task"] = _sentence(said.reason if said else "")
    if schema.positive is not None:
        reasons["positive"] = f"{schema.positive!r} is the class whose probability is reported."
    key, others = _ids(frame, schema, data, reasons)
    time = _time(schema, reasons)
    types: dict[str, ColumnKind] = {}
    for column in schema.columns:
        textual = frame.schema[column.name] == pl.String
        dated = column.kind == "datetime" and not frame.schema[column.name].is_temporal()
        if column.role in ("feature", "time") and (
            dated or (textual and column.kind in ("number", "integer"))
        ):
            types[column.name] = column.kind
            form = f" in the form {column.time_format}" if column.time_format else ""
            why = f" ({column.reason})" if column.reason else ""
            reasons[column.name] = f"{column.name} parses as {column.kind}{form}{why}."
    excluded = {}
    for column in others:
        excluded[column.name] = reasons[column.name] = _sentence(
            f"{column.name} is {column.reason}"
        )
    reasons |= excluded
    return Suggestion(target, schema.task, schema.positive, key, time, excluded, types, reasons)


def _target(frame: pl.DataFrame) -> str:
    lowered = {name.lower(): name for name in frame.columns}
    found = [lowered[name] for name in _TARGET_NAMES if name in lowered]
    if len(found) == 1:
        return found[0]
    raise DataInvalid(
        "Which column is to be predicted is not evident.",
        why=f"The columns are {capped(frame.columns)}.",
        next_step="modelyard init NAME --data TABLE.csv --target COLUMN",
    )


def _ids(
    frame: pl.DataFrame, schema: Schema, data: DataSection, reasons: dict[str, str]
) -> tuple[str | None, list[Column]]:
    """The column that names each row, and further id-like ones."""
    alike = [column for column in schema.columns if column.reason.startswith("id-like")]
    # What a person left out of the model may name the rows all the same.
    told = [c for c in schema.columns if c.name in data.exclude and _ID_WORD.search(_words(c.name))]
    unique = [
        column
        for column in (*alike, *told)
        if not column.missing and frame[column.name].n_unique() == frame.height
    ]
    named = [column for column in unique if _ID_WORD.search(_words(column.name))]
    chosen = (named or unique)[0] if unique and (named or len(unique) == 1) else None
    if chosen is None:
        return None, alike
    reasons["id"] = f"{chosen.name} is different in each of the {frame.height} rows."
    return chosen.name, [column for column in alike if column.name != chosen.name]


def _time(schema: Schema, reasons: dict[str, str]) -> str | None:
    """The one column of dates, unless its name tells of something else than the row's moment."""
    dates = [
        column
        for column in schema.columns
        if column.kind == "datetime" and column.role == "feature" and not column.missing
    ]
    dates = [column for column in dates if not _NOT_TIME.search(column.name)]
    if len(dates) != 1:
        return None
    only = dates[0]
    reasons["time"] = f"{only.name} is the one date of each row: {only.minimum} to {only.maximum}."
    return only.name


def _words(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "." if text else ""
