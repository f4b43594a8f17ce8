"""The signature as form fields, and the golden rows as examples. No Flask in here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import numpy as np

from modelyard_serve.contract import Feature, Scalar
from modelyard_serve.encoding import text_of

SEARCHED = 30
"""A category with more levels than this is a text field with suggestions."""

METRIC_NAMES = {
    "roc_auc": "ROC AUC",
    "roc_auc_ovr": "ROC AUC (one v. rest)",
    "brier": "Brier score",
    "macro_f1": "Macro F1",
    "f1": "F1",
    "rmse": "RMSE",
    "mae": "Mean abs. error",
    "r2": "R²",
    "median_absolute_error": "Median abs. error",
    "mape": "Mean abs. share",
}
"""Names for people; a metric that is not here is shown under its own, without underscores."""

ORIGIN_NAMES = {
    "release": "Release",
    "created": "Since",
    "data_version": "Data version",
    "data_md5": "Data MD5",
    "commit": "Commit",
    "run": "Run",
    "study": "Study",
    "split": "Split",
    "environment_lock": "Environment",
    "modelyard": "modelyard",
}
"""The lineage's entries in the order in which the card shows them."""

Widget = Literal["number", "select", "search", "choice", "datetime-local", "date", "text"]


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of the form. `start` is its first content, as the widget spells it."""

    feature: Feature
    widget: Widget
    start: str = ""
    step: str = "any"
    hint: str = ""
    other: str = ""


def fields(features: Sequence[Feature]) -> list[Field]:
    """Lay the signature out as fields, in its order."""
    return [_field(feature) for feature in features]


def examples(
    features: Sequence[Feature], rows: Iterable[Mapping[str, Scalar]]
) -> list[dict[str, Scalar]]:
    """Make golden rows whole (an absent key is null), those with the fewest oddities first.

    Golden rows hold blanks and unseen categories on purpose; as examples plain ones read better.
    """
    whole = [{feature.name: row.get(feature.name) for feature in features} for row in rows]
    return sorted(whole, key=lambda row: sum(_odd(f, row[f.name]) for f in features))


def origins(lineage: Mapping[str, str]) -> list[tuple[str, str]]:
    """The lineage as (name for people, value); what is unknown comes last, under its own name."""
    known = [(ORIGIN_NAMES[key], lineage[key]) for key in ORIGIN_NAMES if lineage.get(key)]
    if lineage.get("dirty") == "true":
        known.append(("Work tree", "changed"))
    others = set(lineage) - set(ORIGIN_NAMES) - {"dirty"}
    return known + [(key.replace("_", " "), lineage[key]) for key in sorted(others) if lineage[key]]


def day(text: str) -> str:
    """The day of a point in time, as the card shows it; a text that is none stays as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when:%Y-%m-%d}"


def _field(feature: Feature) -> Field:
    typical = feature.typical
    if feature.kind == "category":
        text = "" if typical is None else text_of(typical)
        if len(feature.levels) > SEARCHED:
            hint = f"{len(feature.levels)} known values"
            return Field(feature=feature, widget="search", start=text, hint=hint)
        return Field(feature=feature, widget="select", start=text, other=_unseen(feature.levels))
    if feature.kind == "boolean":
        start = "" if typical is None else str(bool(typical)).lower()
        return Field(feature=feature, widget="choice", start=start)
    if feature.kind == "datetime":
        return _moment(feature)
    return Field(
        feature=feature,
        widget="number",
        start="" if typical is None else _plain(typical),
        step=_step(feature),
        hint=_range(feature, _plain),
    )


def _moment(feature: Feature) -> Field:
    moment = None
    if isinstance(feature.typical, str):
        moment = _parse(feature.typical, feature.time_format)
    if feature.time_format:
        form = feature.time_format
        start = "" if moment is None else moment.strftime(form)
        return Field(feature=feature, widget="text", start=start, hint=f"as {form}")
    by_day = "hour" not in feature.parts and "days" not in feature.parts
    form = "%Y-%m-%d" if by_day else "%Y-%m-%dT%H:%M"
    return Field(
        feature=feature,
        widget="date" if by_day else "datetime-local",
        start="" if moment is None else moment.strftime(form),
        hint=_range(feature, lambda days: str(np.datetime64(math.floor(days), "D"))),
    )


def _parse(text: str, time_format: str | None) -> datetime | None:
    """The typical moment in UTC without a zone; None where it is of no known form."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        try:
            moment = datetime.strptime(text, time_format or "")
        except ValueError:
            return None
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _range(feature: Feature, spell: Any) -> str:
    if feature.minimum is None or feature.maximum is None:
        return ""
    return f"{spell(feature.minimum)} – {spell(feature.maximum)}"


def _plain(value: Any) -> str:
    """A number as a number field takes it, to ten digits: no 10.357019999999999."""
    number = float(value)
    if number.is_integer() and abs(number) < 1e15:
        return str(int(number))
    return f"{number:.10g}"


def _step(feature: Feature) -> str:
    """How far an arrow key goes: a power of ten, about a fiftieth of the range."""
    if feature.kind == "integer":
        return "1"
    if feature.minimum is None or feature.maximum is None or feature.maximum <= feature.minimum:
        return "any"
    power = math.floor(math.log10((feature.maximum - feature.minimum) / 50))
    return f"{10.0**power:.{max(0, -power)}f}"


def _unseen(levels: Sequence[str]) -> str:
    """A text that is not a level: what the form sends for "another value"."""
    text = "other"
    while text in levels:
        text = f"({text})"
    return text


def _odd(feature: Feature, value: Scalar) -> bool:
    if value is None:
        return True
    return feature.kind == "category" and text_of(value) not in feature.levels
