"""The package that a person means when they name none: the champion's, else the working one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import ChampionRecord, Schema, read_json
from modelyard.registry import champion


def package_to_use(project: Project) -> Path:
    """Return the champion's package, or the candidate's before the first release.

    Raises:
        ModelyardError: nothing was packed yet.
    """
    now = champion.current(project)
    if now is not None:
        return champion.package_of(project, now.version, now.package_digest)
    if champion.manifest_digest(project.package):
        return project.package
    raise ModelyardError(
        "There is no model yet.",
        why="Neither a champion nor a packed candidate is in this project.",
        next_step="modelyard run",
    )


def reading_options(project: Project | None) -> dict[str, Any]:
    """How a project's tables are read: encoding, delimiter, spellings of a missing value."""
    if project is None:
        return {}
    data = project.settings.data
    return {"encoding": data.encoding, "delimiter": data.delimiter, "missing": data.missing}


def release_scores(project: Project, release: ChampionRecord, table: Path) -> tuple[Any, Any]:
    """A labelled table's target, shape (rows,), and a release's outputs on it, shape (rows, k)."""
    from modelyard.models.matrix import as_text, raw_columns, target
    from modelyard.tables import reading, schema
    from modelyard_serve.scorer import Scorer

    known = read_json(project.record("schema"), Schema)
    data = project.settings.data
    raw = reading.read_table(
        table, encoding=data.encoding, delimiter=data.delimiter, as_text=as_text(known)
    )
    frame = schema.apply(
        raw.frame,
        known,
        target_optional=False,
        missing=data.missing,
        delimiter=raw.delimiter,
    )
    frame = frame.filter(frame[known.target].is_not_null())
    scorer = Scorer(champion.package_of(project, release.version, release.package_digest))
    features = scorer.manifest.features
    # A column of texts for this release may be one of two words, and so of booleans, by now.
    spelled = schema.in_words(frame, known, [f.name for f in features if f.kind == "category"])
    return target(known, frame), scorer.score(raw_columns(features, spelled)).outputs
