"""Putting a new table in place, whole or not at all, also when the machine stops in the middle.

While it lasts, `.modelyard/data-add/` holds the new table, the old one and a journal. Whoever comes
next with the project's lock goes back to the old state, or forward if the commit was made already.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

import msgspec

from modelyard.project import Project
from modelyard.records import write_bytes, write_json
from modelyard.render import messages
from modelyard.tools import dvc, git


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """What is being done. `old_pointer` and `old_rules` are None where there was no such file."""

    message: str
    md5: str
    rows: int
    source: str
    source_md5: str
    append: bool
    in_place: bool
    had_data: bool
    head: str | None
    old_pointer: str | None
    old_rules: str | None


def folder(project: Project) -> Path:
    """Where the journal lies."""
    return project.state / "data-add"


def prepare(project: Project) -> Path:
    """An empty folder for the work; returns the path of the new table in it."""
    work = folder(project)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    return work / "new"


def begin(project: Project, message: str, *, source: Path, rows: int, append: bool) -> Journal:
    """Write down what is there and what will be, before anything is touched."""
    work, pointer = folder(project), project.data_pointer
    in_place = not (work / "new").exists()
    journal = Journal(
        message=message,
        md5=dvc.file_md5(project.data if in_place else work / "new"),
        rows=rows,
        source=source.name,
        source_md5=dvc.file_md5(source),
        append=append,
        in_place=in_place,
        had_data=project.data.is_file(),
        head=git.head(project.root),
        old_pointer=_text(pointer),
        old_rules=_text(_rules(project)),
    )
    write_json(work / "journal.json", journal)
    return journal


def carry_out(project: Project, journal: Journal) -> str:
    """Put the table in place, track, push, commit and tag it; return the tag.

    On any failure everything is as it was before.
    """
    root, work = project.root, folder(project)
    made = None
    try:
        if not journal.in_place:
            project.data.parent.mkdir(parents=True, exist_ok=True)
            if journal.had_data:
                _link(project.data, work / "old")
            (work / "new").replace(project.data)
        dvc.add(root, project.data)
        dvc.push(root, [_relative(project, project.data_pointer)])
        number = git.next_number(root, "data/v")
        made = git.commit(root, f"data: v{number}, {_first(journal.message)}", _paths(project))
        tag = _tag(project, journal, number)
    except BaseException:
        if made is not None and made != journal.head:
            git.undo_commit(root, made, _paths(project))
        go_back(project, journal)
        raise
    shutil.rmtree(work, ignore_errors=True)
    return tag


def recover(project: Project) -> tuple[Journal, str] | None:
    """Finish with what an interrupted `data add` left behind.

    Returns its journal and tag where its commit was made, and only the tag may have been missing;
    None where there was nothing, or all was put back.
    """
    path = folder(project) / "journal.json"
    try:
        journal = msgspec.json.decode(path.read_bytes(), type=Journal)
    except (FileNotFoundError, msgspec.DecodeError):
        return None  # the journal is written whole: without one, nothing was touched
    pointer = f"HEAD:{_relative(project, project.data_pointer)}"
    committed = dvc.read_pointer(git.show(project.root, pointer))
    if committed is None or committed.md5 != journal.md5 or git.head(project.root) == journal.head:
        go_back(project, journal)
        return None
    tag = _tagged(project, journal.md5)
    if tag is None:
        tag = _tag(project, journal, git.next_number(project.root, "data/v"))
    shutil.rmtree(folder(project), ignore_errors=True)
    return journal, tag


def go_back(project: Project, journal: Journal) -> None:
    """Put the old table, pointer and ignore rules back, unless somebody has changed them since."""
    old = folder(project) / "old"
    if not journal.in_place and (not project.data.is_file() or _is_ours(project, journal)):
        if old.is_file():
            old.replace(project.data)
        elif not journal.had_data:
            project.data.unlink(missing_ok=True)
    found = dvc.pointer_md5(project.data_pointer)
    if found in (None, journal.md5):
        _put(project.data_pointer, journal.old_pointer)
        _put(_rules(project), journal.old_rules)
        with suppress(Exception):  # the index is a convenience: the files are what counts
            git.unstage(project.root, _paths(project))
    shutil.rmtree(folder(project), ignore_errors=True)


def _is_ours(project: Project, journal: Journal) -> bool:
    return dvc.file_md5(project.data) == journal.md5


def _tagged(project: Project, md5: str) -> str | None:
    """The newest data tag whose pointer names this content."""
    pointer = _relative(project, project.data_pointer)
    for tag in reversed(git.tags(project.root, "data/v*")):
        found = dvc.read_pointer(git.show(project.root, f"{tag.name}:{pointer}"))
        if found is not None and found.md5 == md5:
            return tag.name
    return None


def _tag(project: Project, journal: Journal, number: int) -> str:
    text = messages.data_version(
        journal.message, rows=journal.rows, md5=journal.md5, source=journal.source
    )
    git.tag(project.root, f"data/v{number}", text)
    return f"data/v{number}"


def _paths(project: Project) -> list[str]:
    """What git keeps of a data version."""
    wanted = (project.data_pointer, _rules(project))
    return [
        _relative(project, path)
        for path in wanted
        if path.exists() or git.is_tracked(project.root, _relative(project, path))
    ]


def _rules(project: Project) -> Path:
    return project.data.parent / ".gitignore"


def _relative(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()


def _first(message: str) -> str:
    return message.strip().splitlines()[0]


def _text(path: Path) -> str | None:
    return path.read_text(encoding="utf-8", errors="surrogateescape") if path.is_file() else None


def _put(path: Path, content: str | None) -> None:
    if content is None:
        path.unlink(missing_ok=True)
    else:
        write_bytes(path, content.encode("utf-8", errors="surrogateescape"))


def _link(source: Path, destination: Path) -> None:
    """A second name for the old table; a copy where the file system has no links."""
    try:
        os.link(source, destination)
    except OSError:
        part = destination.with_suffix(".part")
        shutil.copyfile(source, part)
        part.replace(destination)
