"""A package's signature as a schema, so that later tables are read as the training table was."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import polars as pl
from modelyard_serve.contract import Manifest

from modelyard.records import Column, Schema
from modelyard.tables import reading, validation


def schema_of(manifest: Manifest) -> Schema:
    """The features as columns; ids, excluded columns and the target are not part of it."""
    return Schema(
        task=manifest.task,
        target=manifest.target,
        classes=manifest.classes,
        positive=manifest.positive,
        columns=tuple(
            Column(
                name=feature.name,
                kind=feature.kind,
                levels=feature.levels,
                minimum=None if feature.kind == "datetime" else feature.minimum,
                maximum=None if feature.kind == "datetime" else feature.maximum,
                time_format=feature.time_format,
            )
            for feature in manifest.features
        ),
    )


def read(
    source: Path,
    manifest: Manifest,
    *,
    encoding: str = "auto",
    delimiter: str = "auto",
    missing: Iterable[str] = (),
) -> tuple[pl.DataFrame, validation.Report]:
    """Read a table and fit it to the signature; returns it as it came, and the report.

    The report's `frame` holds the features, typed. Columns that the model does not take are no
    misfit here.

    Raises:
        DataInvalid: the table cannot be read, lacks a column, or a value has the wrong type.
    """
    raw = reading.read_table(source, encoding=encoding, delimiter=delimiter).frame
    names = [feature.name for feature in manifest.features]
    taken = raw.select([name for name in names if name in raw.columns])
    report = validation.validate(
        taken, schema_of(manifest), target_optional=True, missing=missing
    )
    report.raise_if_errors(source.name, next_step="fix the table, then run this again")
    return raw, report
