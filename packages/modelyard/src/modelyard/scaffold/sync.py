"""sync: the generated files as this version and modelyard.yaml would write them, edits kept.

Three ways: what was rendered last (`.rendered/`), the file as it is, what is rendered now.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelyard.errors import UsageError, capped
from modelyard.project import Project
from modelyard.records import write_bytes
from modelyard.registry.lock import hold
from modelyard.render.files import missing_lines
from modelyard.scaffold.generated import (
    RENDERED,
    RULES,
    SUFFIX,
    is_executable,
    rendered,
    texts,
)
from modelyard.scaffold.report import Stages
from modelyard.tools import git

State = Literal["new", "updated", "merged", "conflict", "removed", "current", "yours", "gone"]

CHANGES: tuple[State, ...] = ("new", "updated", "merged", "conflict", "removed")
"""The states of which `sync` writes something into the file."""


@dataclass(frozen=True)
class Change:
    """One file: what becomes of it.

    `content` is what it will hold (None: no such file), `base` what is remembered as rendered.
    """

    path: str
    state: State
    before: bytes | None
    content: bytes | None
    base: bytes | None
    remembers: bool = False

    @property
    def writes(self) -> bool:
        """Whether something is to be written, were it only the rendering that is remembered."""
        return self.state in CHANGES or self.remembers

    def diff(self) -> str:
        """What changes in the file, as a unified diff."""
        before, after = (
            (text or b"").decode("utf-8", "replace").splitlines(keepends=True)
            for text in (self.before, self.content)
        )
        return "".join(difflib.unified_diff(before, after, f"a/{self.path}", f"b/{self.path}"))


def compare(project: Project, stages: Stages) -> list[Change]:
    """What `sync` would do, file by file; nothing is written."""
    wanted = texts(project.settings, stages)
    found = [_one(project.root, path, text.encode()) for path, text in sorted(wanted.items())]
    root = project.root / RENDERED
    for path in sorted(root.rglob(f"*{SUFFIX}")) if root.is_dir() else ():
        name = path.relative_to(root).as_posix().removesuffix(SUFFIX)
        if path.is_file() and name not in wanted:
            found.append(_no_longer(project.root, name, path.read_bytes()))
    return found


def sync(project: Project, stages: Stages) -> list[Change]:
    """Write what `compare` finds.

    Killed at any moment, it can be run again: a file that holds the new rendering already merges to
    itself.

    Raises:
        UsageError: a file that would change has changes that are not committed, or is a link that
            leads out of the project.
        LockHeld: another modelyard command works here.
    """
    with hold(project, "modelyard sync"):
        changes = compare(project, stages)
        unsaved = set(git.changed_files(project.root))
        targets = {c.path: _target(project.root, c.path) for c in changes if c.state in CHANGES}
        own = project.root.resolve()
        risky = [
            c.path
            for c in changes
            if c.state in CHANGES
            and c.content != c.before
            and not unsaved.isdisjoint((c.path, targets[c.path].relative_to(own).as_posix()))
        ]
        if risky:
            raise UsageError(
                f"{capped(risky)} has changes that are not committed.",
                why="Merged into, they could not be told from what is rendered.",
                next_step="git commit your changes, then: modelyard sync",
            )
        for change in changes:
            if change.writes:
                _write(project.root, change)
    return changes


def _one(root: Path, path: str, new: bytes) -> Change:
    base, ours = _read(root / rendered(path)), _read(root / path)
    remembers = base != new
    if ours is None:
        if base is None:
            return Change(path, "new", None, new, new)
        # A person has taken the file away: it stays away.
        return Change(path, "gone", None, None, new, remembers)
    if git.unresolved(ours):
        # Of an earlier sync: nothing is merged into it before a person has chosen.
        return Change(path, "conflict", ours, ours, base)
    if ours == new:
        return Change(path, "current", ours, new, new, remembers)
    if base is None:
        lacking = missing_lines(ours.decode("utf-8", "replace"), new.decode())
        if path in RULES and lacking:
            gap = b"" if ours.endswith(b"\n") or not ours else b"\n"
            more = "\n".join(["# modelyard", *lacking]) + "\n"
            return Change(path, "merged", ours, ours + gap + more.encode(), new)
        if path in RULES:
            return Change(path, "current", ours, ours, new, True)
        return Change(path, "yours", ours, ours, None)
    if not remembers:
        return Change(path, "current", ours, ours, new)
    if ours == base:
        return Change(path, "updated", ours, new, new)
    content, conflicts = git.merge_file(ours, base, new)
    state: State = "conflict" if conflicts else "merged" if content != ours else "current"
    return Change(path, state, ours, content, new, True)


def _no_longer(root: Path, path: str, base: bytes) -> Change:
    """A file that is rendered no more, such as those of a service that was taken out."""
    ours = _read(root / path)
    if ours == base:
        return Change(path, "removed", ours, None, None)
    return Change(path, "gone" if ours is None else "yours", ours, ours, None, True)


def _write(root: Path, change: Change) -> None:
    path, kept = root / change.path, root / rendered(change.path)
    if change.state in CHANGES:
        if change.content is None:
            path.unlink(missing_ok=True)
        else:
            path = _target(root, change.path)
            write_bytes(path, change.content)
            if is_executable(change.path):
                path.chmod(0o755)
    if change.base is None:
        kept.unlink(missing_ok=True)
    else:
        write_bytes(kept, change.base)


def _target(root: Path, path: str) -> Path:
    """Where a file's content lies: through a link, as an editor would write it."""
    try:
        found = (root / path).resolve()
        fits = found.is_relative_to(root.resolve()) and not found.is_dir()
    except (OSError, RuntimeError):  # a link that leads to itself
        fits = False
    if not fits:
        raise UsageError(
            f"{path} is a link that leads to no file of this project.",
            why="What git does not keep here is not rendered into.",
            next_step=f"rm {path} ; modelyard sync",
        )
    return found


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
