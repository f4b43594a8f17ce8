"""init --adopt: a project inside a git repository that is there, without overwriting anything."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from modelyard.errors import UsageError, capped
from modelyard.project import FILE, OVERRIDES
from modelyard.records import write_bytes
from modelyard.render import messages
from modelyard.render.files import missing_lines
from modelyard.scaffold.generated import RULES, is_executable, rendered
from modelyard.scaffold.plan import Plan, plan
from modelyard.scaffold.report import Inferred, InitReport, Stages
from modelyard.settings import CiSection
from modelyard.tools import dvc, git

NEEDED = (FILE, OVERRIDES, "dvc.yaml")
"""Files that must say what we would write; with another content they are conflicts."""


@dataclass
class Changes:
    """What will be written, what stays, and what speaks against it."""

    texts: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    copy: bool = True


def adopt(
    root: Path,
    data: Path,
    target: str,
    *,
    stages: Stages,
    name: str,
    sections: Mapping[str, Mapping[str, Any]],
    dry_run: bool,
    call: str,
) -> InitReport:
    """See `init`: the same, in a folder of a git repository.

    A README, a requirements.lock, a DVC set-up and remote that are there are kept. Ignore files get
    the lines that they lack. Everything else that exists with another content is a conflict, and
    with one conflict nothing is written.
    """
    if not root.is_dir() or not git.is_repo(root):
        raise UsageError(
            f"{root} is not in a git repository.",
            why="--adopt sets modelyard up inside a repository that is there.",
            next_step="git init -b main, or without --adopt: modelyard init NAME …",
        )
    root, table = Path(os.path.normpath(root)), Path(os.path.normpath(data.absolute()))
    sections, found, said = _of_repository(root, sections)
    inside = table.is_relative_to(root)
    path = table.relative_to(root).as_posix() if inside else f"data/raw/{data.name}"
    made = plan(name, data, target, path=path, stages=stages, sections=sections, call=call)
    inferred = (*made.inferred, *found)
    changes = _compare(root, made, table, inside)
    changes.notes += said
    if changes.conflicts:
        raise UsageError(
            f"{len(changes.conflicts)} files are in the way; nothing was written.",
            why=capped(changes.conflicts),
            next_step="move them away or commit your changes to them, then run this again",
        )
    new = [*changes.texts, *([path] if changes.copy else []), f"{path}.dvc"]
    if not dvc.is_set_up(root):
        new.append(".dvc/config")
    files = tuple(sorted(file for file in new if file not in changes.kept))
    kept, notes = tuple(sorted(changes.kept)), tuple(changes.notes)
    done = not (changes.texts or changes.copy) and (root / f"{path}.dvc").is_file()
    if done:
        files, notes = (), (*notes, "Everything is in place already.")
    if dry_run or done:
        return InitReport(root, name, files, inferred, kept=kept, notes=notes)
    commits, tag = _carry_out(root, made, data, changes)
    return InitReport(root, name, files, inferred, commits, tag, kept, notes)


def _of_repository(
    root: Path, sections: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Mapping[str, Any]], list[Inferred], list[str]]:
    """The sections with what the repository says of pipelines; what was inferred; notes."""
    told, known = dict(sections.get("ci", {})), _there(root)
    inferred: list[Inferred] = []
    notes: list[str] = []
    if "branch" not in told:
        of_origin = git.origin_branch(root)
        branch = known.get("branch") or of_origin or git.branch(root) or ""
        if branch != CiSection().branch and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]*", branch):
            told["branch"] = branch
            why = "origin's branch" if branch == of_origin else "the branch that is checked out"
            inferred.append(("ci.branch", branch, why))
    top = git.toplevel(root)
    if top is not None and top.resolve() != root.resolve():
        services = told.setdefault("services", known.get("services", []))
        place = root.resolve().relative_to(top.resolve()).as_posix()
        notes.append(
            ("The pipelines here are read by no service" if services else "No pipeline is written")
            + f": GitHub and GitLab read them only at the repository's root, {top}. Write one "
            f"there that runs the verbs of {place}/Makefile: "
            f"cd {place} && make lint test data train."
        )
    return {**sections, **({"ci": told} if told else {})}, inferred, notes


def _there(root: Path) -> dict[str, Any]:
    """The ci section of a modelyard.yaml that is there: to adopt again changes nothing."""
    try:
        tree = yaml.safe_load((root / FILE).read_text(encoding="utf-8"))
        return dict(tree["ci"])
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
        return {}


def _compare(root: Path, made: Plan, table: Path, inside: bool) -> Changes:
    """Decide for every file whether it is new, kept, added to, or in the way."""
    changes = Changes(copy=not inside)
    dirty = set(git.changed_files(root))
    passed: set[str] = set()
    for name, text in made.texts.items():
        path = root / name
        if name in passed:
            continue
        if not path.exists():
            changes.texts[name] = text
            continue
        there = path.read_text(encoding="utf-8", errors="replace")
        lacking = missing_lines(there, text) if name in RULES else []
        if there == text or (name in RULES and not lacking):
            changes.kept.append(name)
        elif name in RULES and name in dirty:
            changes.conflicts.append(f"{name} (has changes that are not committed)")
        elif name in RULES:
            gap = "" if there.endswith("\n") or not there else "\n"
            changes.texts[name] = there + gap + "# modelyard\n" + "\n".join(lacking) + "\n"
        elif name in NEEDED:
            changes.conflicts.append(f"{name} (exists with another content)")
        else:
            changes.kept.append(name)
            changes.notes.append(f"{name} is yours and stays as it is.")
            # Without a rendering to compare with, `sync` leaves it alone too.
            changes.texts.pop(rendered(name), None)
            passed.add(rendered(name))
    path = root / made.settings.data.path
    if not inside and path.exists():
        if path.is_file() and dvc.file_md5(path) == dvc.file_md5(table):
            changes.copy = False
        else:
            changes.conflicts.append(f"{made.settings.data.path} (exists with another content)")
    if inside and git.is_tracked(root, made.settings.data.path):
        changes.conflicts.append(
            f"{made.settings.data.path} (git keeps it, DVC is to: git rm --cached "
            f"{made.settings.data.path} && git commit -m 'Hand the table to DVC')"
        )
    return changes


def _carry_out(root: Path, made: Plan, data: Path, changes: Changes) -> tuple[tuple[str, ...], str]:
    """Write, commit and tag; on any failure put everything back as it was."""
    table = root / made.settings.data.path
    pointer = table.with_name(table.name + ".dvc")
    beside = table.with_name(".gitignore")
    touched = [root / name for name in changes.texts] + [pointer, beside]
    if dvc.is_set_up(root):
        touched.append(root / ".dvc/config")
    before = {path: path.read_bytes() if path.is_file() else None for path in touched}
    homes = {home for path in (table, *touched) for home in path.parents if not home.exists()}
    folders = sorted(homes, key=lambda home: len(home.parts), reverse=True)
    new_dvc, head = not dvc.is_set_up(root), git.head(root)
    paths = [path.relative_to(root).as_posix() for path in touched]
    made_commits: list[str] = []
    # Repeating this is harmless, and without the attributes it has no effect: it is not taken back.
    git.install_drivers(root)
    try:
        if new_dvc:
            dvc.init(root, subdir=git.toplevel(root) != root.resolve())
            paths += [".dvc", ".dvcignore"]
        for name, text in changes.texts.items():
            write_bytes(root / name, text.encode())
            if is_executable(name):
                (root / name).chmod(0o755)
        if dvc.default_remote(root) is None:
            dvc.remote_add_default(root)
            paths.append(".dvc/config")
        made_commits.append(
            git.commit(
                root,
                f"chore: set up modelyard for {made.settings.project.name}",
                sorted({*changes.texts, *(p for p in paths if p.startswith(".dvc"))}),
            )
        )
        if changes.copy:
            table.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(data, table)
        md5 = dvc.add(root, table)
        dvc.push(root, [str(pointer.relative_to(root))])
        number = git.next_number(root, "data/v")
        where = [p for p in (pointer, beside) if p.exists()]
        made_commits.append(
            git.commit(
                root,
                f"data: v{number}, {data.name}",
                [path.relative_to(root).as_posix() for path in where],
            )
        )
        text = messages.data_version(data.name, rows=made.rows, md5=md5, source=data.name)
        git.tag(root, f"data/v{number}", text)
    except BaseException:
        for commit in reversed(made_commits):
            if commit != head:
                git.undo_commit(root, commit, paths)
        for path, content in before.items():
            path.unlink(missing_ok=True) if content is None else write_bytes(path, content)
        if changes.copy:
            table.unlink(missing_ok=True)
        if new_dvc:
            shutil.rmtree(root / ".dvc", ignore_errors=True)
            shutil.rmtree(root / dvc.STORE, ignore_errors=True)
            if ".dvcignore" in changes.texts:
                (root / ".dvcignore").unlink(missing_ok=True)
            git.unstage(root, [".dvc", ".dvcignore"])
        for folder in folders:
            with suppress(OSError):
                folder.rmdir()
        raise
    return tuple(made_commits), f"data/v{number}"
