"""init: a new project in a folder of its own, built beside it and moved there whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.errors import UsageError
from modelyard.render import messages
from modelyard.scaffold import advice
from modelyard.scaffold.adopt import adopt as adopt_folder
from modelyard.scaffold.generated import is_executable
from modelyard.scaffold.plan import Plan, plan, project_name
from modelyard.scaffold.report import InitReport, Stages
from modelyard.tools import dvc, git


def init(
    folder: str | Path,
    data: Path,
    target: str,
    *,
    stages: Stages,
    name: str | None = None,
    sections: Mapping[str, Mapping[str, Any]] | None = None,
    adopt: bool = False,
    dry_run: bool = False,
) -> InitReport:
    """Make a project from a table and a column to predict.

    Args:
        folder: the new folder; with `adopt`, a folder in a git repository.
        data: the table; it is copied to data/raw/, or to `sections`' data.path (with `adopt`, a
            table that lies in the folder already stays where it is).
        stages: `line.stages`.
        name: the project's name; the folder's by default.
        sections: section -> key -> value for modelyard.yaml, over what is inferred.
        adopt: work inside the git repository that is there; never overwrite a file.
        dry_run: report, and write nothing.

    Raises:
        UsageError: the folder is there and not empty, or (adopt) is in no git repository or holds
            files that the project needs with another content; the table does not exist.
        DataInvalid: the table cannot be read or learned from.
        ToolFailed: git or DVC refused. Nothing is left half-written in any of these cases.
    """
    root = Path(folder).absolute()
    sections = sections or {}
    name = name or sections.get("project", {}).get("name")
    call = advice.command(folder, data, adopt=adopt)
    if adopt:
        return adopt_folder(
            root,
            data,
            target,
            stages=stages,
            name=project_name(root, name),
            sections=sections,
            dry_run=dry_run,
            call=call,
        )
    name = project_name(root, name)
    _refuse_taken(root, name)
    path = str(sections.get("data", {}).get("path") or f"data/raw/{data.name}")
    made = plan(name, data, target, path=path, stages=stages, sections=sections, call=call)
    report = InitReport(
        root,
        name,
        tuple(sorted((*made.texts, ".dvc/config", path, f"{path}.dvc"))),
        made.inferred,
        notes=_notes(root),
    )
    if dry_run:
        return report
    root.parent.mkdir(parents=True, exist_ok=True)
    part = _part(root)
    try:
        part.mkdir()
        git.init(part)
        commits, tag = furnish(part, made, data)
        dvc.forget_state(part)
        if root.is_dir() and Path.cwd().is_relative_to(root.resolve()):
            # The caller stands in it: it is filled, for one that took its place would be another.
            for entry in sorted(part.iterdir()):
                entry.rename(root / entry.name)
        else:
            part.rename(root)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return InitReport(root, name, report.files, made.inferred, commits, tag, notes=report.notes)


def furnish(root: Path, made: Plan, data: Path) -> tuple[tuple[str, ...], str]:
    """Fill an empty git repository: files, DVC, the table, two commits and the tag data/v1."""
    git.install_drivers(root)
    dvc.init(root)
    for path, text in made.texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", newline="\n")
        if is_executable(path):
            (root / path).chmod(0o755)
    dvc.remote_add_default(root)
    first = git.commit(
        root,
        f"chore: set up the project {made.settings.project.name}",
        [*made.texts, ".dvc"],
    )
    table = root / made.settings.data.path
    table.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(data, table)
    md5 = dvc.add(root, table)
    dvc.push(root)
    second = git.commit(root, f"data: v1, {data.name}", [*_pointers(table)])
    text = messages.data_version(data.name, rows=made.rows, md5=md5, source=data.name)
    git.tag(root, "data/v1", text)
    return (first, second), "data/v1"


def _pointers(table: Path) -> list[Path]:
    """What DVC leaves for git beside a table."""
    names = (f"{table.name}.dvc", ".gitignore")
    return [table.with_name(name) for name in names if table.with_name(name).is_file()]


def _refuse_taken(root: Path, name: str) -> None:
    """Refuse a folder with anything in it; an empty one is as good as none."""
    if not root.exists():
        return
    if root.is_dir() and not any(root.iterdir()):
        return
    kind = "is not empty" if root.is_dir() else "is a file"
    step = (
        f"modelyard init ANOTHER-NAME …, or inside it: cd {root.name} && modelyard init --adopt …"
    )
    raise UsageError(
        f"{root} exists and {kind}.",
        why="A new project overwrites nothing.",
        next_step=step if root.is_dir() else "modelyard init ANOTHER-NAME …",
    )


def _part(root: Path) -> Path:
    """The folder beside `root` that is built first; those of processes that died are removed."""
    ending = ".modelyard-init"
    for old in root.parent.glob(f".{root.name}.*{ending}"):
        with suppress(ValueError, PermissionError):
            try:
                os.kill(int(old.name.removesuffix(ending).rpartition(".")[2]), 0)
            except ProcessLookupError:
                shutil.rmtree(old, ignore_errors=True)
    return root.with_name(f".{root.name}.{os.getpid()}{ending}")


def _notes(root: Path) -> tuple[str, ...]:
    """What a person should know of where the project lies, and of who commits."""
    parent = next(folder for folder in root.parents if folder.is_dir())
    notes = []
    top = git.toplevel(parent)
    if top is not None:
        notes.append(
            f"It lies inside the git repository {top} and is a repository of its own; to make it "
            "part of that one, use --adopt."
        )
    if not git.has_identity(parent):
        notes.append(
            f"git does not know who you are: commits are made as {git.user(parent)}. "
            "To change that: git config --global user.name NAME ; "
            "git config --global user.email ADDRESS"
        )
    return tuple(notes)
