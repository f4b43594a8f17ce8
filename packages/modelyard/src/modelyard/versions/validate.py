"""data validate: the working table against the recorded schema."""

from __future__ import annotations

from dataclasses import dataclass

from modelyard.errors import DataInvalid
from modelyard.project import Project
from modelyard.records import Schema, read_if_there
from modelyard.versions import content


@dataclass(frozen=True)
class Validated:
    """A table that can be used: its rows, what to know, and what it was held against."""

    rows: int
    warnings: tuple[str, ...]
    against: str


def validate(project: Project) -> Validated:
    """Hold the working table against the schema; before the first run, see that it can be learned.

    Raises:
        DataInvalid: it does not fit, is not here, or cannot be learned from.
    """
    from modelyard.models.matrix import as_text
    from modelyard.tables import validation
    from modelyard.tables.schema import infer

    data = project.settings.data
    if not project.data.is_file():
        raise DataInvalid(
            f"The table {data.path} is not here.",
            why="Its pointer is in git; the table itself is with DVC.",
            next_step="modelyard data pull",
        )
    schema = read_if_there(project.record("schema"), Schema)
    raw = content.read(project, project.data, as_text(schema) if schema else ())
    if schema is None:
        infer(raw.frame, data, delimiter=raw.delimiter)
        return Validated(len(raw.frame), (), "what can be learned from it")
    report = validation.validate(raw.frame, schema, missing=data.missing, delimiter=raw.delimiter)
    report.raise_if_errors(
        data.path, next_step="mend the table and `modelyard data add` it, or: modelyard run"
    )
    warnings = tuple(violation.message for violation in report.warnings)
    return Validated(len(raw.frame), warnings, "records/schema.json")
