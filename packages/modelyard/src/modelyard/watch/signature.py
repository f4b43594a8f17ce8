"""A package's signature as a schema, so that later tables are read as the training table was."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import polars as pl

from modelyard.models.matrix import as_text
from modelyard.records import Column, Schema
from modelyard.tables import validation
from modelyard_serve.contract import Feature, Manifest

_DAY = 86_400


def schema_of(manifest: Manifest) -> Schema:
    """The features as columns; ids, excluded columns and the target are not part of it."""
    return Schema(
        task=manifest.task,
        target=manifest.target,
        classes=manifest.classes,
        positive=manifest.positive,
        missing=declared(manifest),
        columns=tuple(_column(feature) for feature in manifest.features),
    )


def declared(manifest: Manifest) -> tuple[str, ...]:
    """The spellings of a missing value that the package knows."""
    return tuple(dict.fromkeys(word for f in manifest.features for word in f.missing))


def texts(manifest: Manifest) -> frozenset[str]:
    """Features whose cells a reader of text must leave as they stand."""
    return as_text(schema_of(manifest))


def _column(feature: Feature) -> Column:
    return Column(
        name=feature.name,
        kind=feature.kind,
        levels=feature.levels,
        minimum=_bound(feature, feature.minimum),
        maximum=_bound(feature, feature.maximum),
        time_format=feature.time_format,
        style=feature.style,
    )


def _bound(feature: Feature, value: float | None) -> float | str | None:
    if value is None or feature.kind != "datetime":
        return value
    moment = datetime.fromtimestamp(round(value * _DAY), tz=UTC)
    return moment.replace(tzinfo=None).isoformat()


def fit(
    raw: pl.DataFrame,
    manifest: Manifest,
    *,
    missing: Iterable[str] = (),
    delimiter: str = ",",
) -> validation.Report:
    """Fit a raw table to the signature; the report's `frame` holds the features, typed.

    Columns that the model does not take are no misfit here. `missing` counts besides the
    package's own.
    """
    names = [feature.name for feature in manifest.features]
    taken = raw.select([name for name in names if name in raw.columns])
    if not taken.width:  # so that the number of rows is not lost
        taken = raw.select(pl.lit(None).alias(names[0])).clear()
    return validation.validate(
        taken,
        schema_of(manifest),
        target_optional=True,
        missing=missing,
        delimiter=delimiter or ",",
    )
