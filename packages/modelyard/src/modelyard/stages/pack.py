"""pack: assemble the model package and prove that it answers as the native model did.

Parity is checked through the serve half, from raw values, on every held-out row and on rows with
blanks and unseen categories; a difference above the tolerance fails the stage, and the package
stays as it was.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from modelyard.errors import ModelyardError
from modelyard.forms import Floats
from modelyard.models.matrix import raw_columns, sides
from modelyard.project import Project
from modelyard.records import (
    EvaluateRecord,
    PackRecord,
    Schema,
    StudyRecord,
    read_json,
    write_json,
)
from modelyard.registry import lineage
from modelyard.tables import shift
from modelyard_serve.contract import (
    FORMAT,
    GOLDEN,
    GRAPH,
    MANIFEST,
    MASKS,
    REFERENCE,
    Feature,
    Golden,
    Manifest,
    Reference,
    Scalar,
    file_digest,
)
from modelyard_serve.errors import ServeError
from modelyard_serve.scorer import Scorer

TOLERANCE = 1e-9
"""Largest difference between the package's and the native scores; for values relative to scale."""

GOLDEN_ROWS = 20


def pack(project: Project) -> PackRecord:
    """Write `package/` and `records/pack.json`.

    Raises:
        ModelyardError: parity fails, or the disk is full; `package/` is then as it was.
    """
    part = project.root / f".package.{os.getpid()}.part"
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir()
        record = _assemble(project, part)
        shutil.rmtree(project.package, ignore_errors=True)
        part.rename(project.package)
    except OSError as error:
        raise ModelyardError(
            "The package could not be written.",
            why=f"{error.strerror or error}; nothing half-written was left behind.",
            next_step="free some disk space, then: modelyard run",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    write_json(project.record("pack"), record)
    return record


def _assemble(project: Project, part: Path) -> PackRecord:
    schema = read_json(project.record("schema"), Schema)
    study = read_json(project.record("study"), StudyRecord)
    evaluation = read_json(project.record("evaluate"), EvaluateRecord)
    features = read_json(project.model / "features.json", tuple[Feature, ...])
    frame = pl.read_parquet(project.table)
    rows = sides(pl.read_parquet(project.split_table))
    held_out = pl.read_parquet(project.model / "scores.parquet")
    mutated = pl.read_parquet(project.model / "parity.parquet")
    _refuse_mixed(mutated, features, schema)
    native_plain, native_changed = _native(held_out, schema), _native(mutated, schema)

    shutil.copyfile(project.model / "graph.onnx", part / GRAPH)
    masks = [MASKS] if (project.model / MASKS).is_file() else []
    for name in masks:
        shutil.copyfile(project.model / name, part / name)
    _write(part / GOLDEN, _golden(features, mutated, native_changed))
    _write(part / REFERENCE, _reference(frame[rows.dev], schema, native_plain))
    manifest = Manifest(
        format=FORMAT,
        name=project.model_name,
        task=schema.task,
        target=schema.target,
        features=features,
        classes=schema.classes,
        positive=schema.positive,
        threshold=study.threshold if schema.task == "binary" else None,
        metrics={name: entry.value for name, entry in evaluation.metrics.items()},
        lineage=lineage.of_package(project),
        files={name: file_digest(part / name) for name in (GRAPH, *masks, GOLDEN, REFERENCE)},
    )
    _write(part / MANIFEST, manifest)
    test = frame[held_out["row"].to_numpy()]
    worst = 0.0
    try:
        # Both ways that the package can be scored must hold, whichever is then used.
        for graph in (True, False) if masks else (True,):
            scorer = Scorer(part, graph=graph)
            scorer.check_golden()
            plain = scorer.score(raw_columns(features, test)).outputs
            changed = scorer.score(raw_columns(features, mutated)).outputs
            worst = max(worst, _parity(plain, native_plain, "held-out"))
            worst = max(worst, _parity(changed, native_changed, "changed"))
    except ServeError as error:
        raise ModelyardError(
            "The package does not answer as the native model does.",
            why=error.detail,
            next_step="modelyard doctor ; please report this with the package's manifest.json",
        ) from error
    return PackRecord(
        model_digest=manifest.model_digest,
        package_digest=scorer.digest,
        package_bytes=sum(path.stat().st_size for path in part.iterdir()),
        parity_rows=len(plain),
        parity_difference=worst,
        parity_tolerance=TOLERANCE,
        parity_mutated_rows=len(changed),
    )


def _parity(found: Floats, expected: Floats, what: str) -> float:
    """Return the largest difference; values are compared relative to their largest."""
    scale = max(1.0, float(np.abs(expected).max()))
    difference = np.abs(found - expected).max(axis=1) / scale
    worst = int(np.argmax(np.where(np.isnan(difference), np.inf, difference)))
    if not difference[worst] <= TOLERANCE:
        wrong = int((~(difference <= TOLERANCE)).sum())
        raise ModelyardError(
            "The package does not answer as the native model does.",
            why=f"{wrong} of {len(found)} {what} rows differ, the worst (row {worst}) by "
            f"{difference[worst]:.3g}; allowed is {TOLERANCE:.0e}.",
            next_step="modelyard run -S 'tune.families=[baseline, linear]' "
            "while this is looked into",
        )
    return float(difference[worst])


def _refuse_mixed(mutated: pl.DataFrame, features: tuple[Feature, ...], schema: Schema) -> None:
    """Earlier trainings wrote a score over a feature of its name, such as s1."""
    if mutated.width != len(features) + max(1, len(schema.classes)):
        raise ModelyardError(
            "The rows that parity is checked on do not fit the model.",
            why=f"model/parity.parquet has {mutated.width} columns for {len(features)} features.",
            next_step="modelyard run --force",
        )


def _native(frame: pl.DataFrame, schema: Schema) -> Floats:
    """The native scores, which train writes last: features may have any name."""
    return frame[:, -max(1, len(schema.classes)) :].to_numpy().astype(np.float64)


def _golden(features: tuple[Feature, ...], mutated: pl.DataFrame, native: Floats) -> Golden:
    names = [feature.name for feature in features]
    picked = mutated.head(GOLDEN_ROWS).to_dicts()
    rows = [{n: _scalar(row[n]) for n in names} for row in picked]
    return Golden(rows=rows, scores=native[:GOLDEN_ROWS].tolist(), tolerance=TOLERANCE)


def _scalar(value: Any) -> Scalar:
    """A typed cell as JSON carries it."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    return str(value.isoformat())


def _reference(dev: pl.DataFrame, schema: Schema, native: Floats) -> Reference:
    return msgspec.convert(
        msgspec.to_builtins(shift.reference_of(dev, schema, scores=native)), Reference
    )


def _write(path: Path, struct: msgspec.Struct) -> None:
    path.write_bytes(msgspec.json.format(msgspec.json.encode(struct), indent=1) + b"\n")
