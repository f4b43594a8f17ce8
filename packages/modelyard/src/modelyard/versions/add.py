"""data add: check a table, and make it the next data version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import UsageError
from modelyard.project import Project
from modelyard.records import Schema, read_if_there
from modelyard.registry.data_versions import DataVersion, find, versions
from modelyard.registry.lock import hold
from modelyard.tools import dvc, git
from modelyard.versions import content, transaction

if TYPE_CHECKING:
    from modelyard.tables.reading import Raw


def add(
    project: Project,
    table: Path,
    message: str,
    *,
    append: bool = False,
    allow_schema_change: bool = False,
) -> DataVersion:
    """Make a table the next data version: into place, into DVC, to the remote, commit, tag.

    The table may be the working one itself, after a person has edited it. Killed at any moment, the
    same call can be made again; a failure leaves the old version in place.

    Args:
        message: what is new; the tag and the commit carry it.
        append: the rows come below the present ones, instead of replacing them.
        allow_schema_change: accept new, lost and retyped columns.

    Raises:
        DataInvalid: the table cannot be read, or does not fit the schema.
        UsageError: the table is this or an earlier version already; the working table has changes
            that belong to no version; the project is in no git repository.
        LockHeld: another modelyard command works here.
        ToolFailed: git or DVC refused.
    """
    if not message.strip():
        raise UsageError(
            "A data version needs a message.",
            why="The log and the tag show it.",
            next_step='modelyard data add TABLE -m "What is new"',
        )
    with hold(project, "modelyard data add"):
        recovered = transaction.recover(project)
        known = versions(project)
        source = table.absolute()
        in_place = _same_file(source, project.data)
        if append and in_place:
            raise UsageError(
                f"{table} is the working table: it cannot be appended to itself.",
                why="Every row would stand in it twice.",
                next_step=f"modelyard data add {table} -m MESSAGE, without --append",
            )
        raw = content.read(project, source)
        if recovered is not None and source.is_file():
            journal, tag = recovered
            again = (journal.source_md5, journal.append) == (dvc.file_md5(source), append)
            if again and journal.message == message:
                return find(project, tag)
        _check(project, raw, source.name, append, allow_schema_change)
        if not in_place:
            _refuse_unsaved(project, known)
        rows = _prepare(project, source, raw, append=append, in_place=in_place)
        journal = transaction.begin(project, message, source=source, rows=rows, append=append)
        try:
            _refuse_known(project, journal.md5, known)
        except UsageError:
            transaction.go_back(project, journal)
            raise
        return find(project, transaction.carry_out(project, journal))


def _prepare(project: Project, source: Path, raw: Raw, *, append: bool, in_place: bool) -> int:
    """Write the new table beside the old one; return its rows."""
    part = transaction.prepare(project)
    if in_place:
        return len(raw.frame)
    if append and project.data.is_file():
        present = content.read(project, project.data)
        content.joined(project, present, raw, source, part)
        return len(present.frame) + len(raw.frame)
    content.replacement(project, source, raw, part)
    return len(raw.frame)


def _check(project: Project, raw: Raw, name: str, append: bool, allow_schema_change: bool) -> None:
    """Hold the table against the recorded schema; without one, see that it can be learned."""
    from modelyard.tables.schema import infer
    from modelyard.tables.validation import validate

    data = project.settings.data
    schema = read_if_there(project.record("schema"), Schema)
    if schema is None or allow_schema_change:
        if append and project.data.is_file():
            return  # a few more rows need not hold every class; their columns are compared later
        infer(raw.frame, data, delimiter=raw.delimiter)
        return
    report = validate(raw.frame, schema, missing=data.missing, delimiter=raw.delimiter)
    report.raise_if_errors(
        name, next_step="mend the table, or accept it: data add --allow-schema-change"
    )


def _refuse_unsaved(project: Project, known: list[DataVersion]) -> None:
    """A working table that no version holds would be lost."""
    if not project.data.is_file():
        return
    found = dvc.file_md5(project.data)
    kept = {version.md5 for version in known} | {dvc.pointer_md5(project.data_pointer)}
    if found not in kept:
        where = project.settings.data.path
        raise UsageError(
            f"{where} has changes that belong to no data version; they would be lost.",
            why=f"Its md5 is {found[:12]}.",
            next_step=f"modelyard data add {where} -m MESSAGE, or drop the changes: "
            "modelyard data checkout VERSION --force",
        )


def _refuse_known(project: Project, md5: str, known: list[DataVersion]) -> None:
    """The same bytes twice are no new version."""
    for version in reversed(known):
        if version.md5 == md5:
            here = version.current and _committed(project, md5)
            raise UsageError(
                f"This table is data version {version.version} already: {version.message}.",
                why=f"Its md5 is {md5[:12]}.",
                next_step="modelyard data log"
                if here
                else f"modelyard data checkout {version.version}",
            )


def _committed(project: Project, md5: str) -> bool:
    path = project.data_pointer.relative_to(project.root).as_posix()
    pointer = dvc.read_pointer(git.show(project.root, f"HEAD:{path}"))
    return pointer is not None and pointer.md5 == md5


def _same_file(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)
