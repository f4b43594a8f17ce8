"""Clones, three-way merges, and the merge drivers that a clone of a project knows."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from modelyard.errors import ToolFailed
from modelyard.tools.git.core import _call, _config, _git_path, toplevel

DRIVERS = {
    "modelyard-lock": "dvc.lock, stage by stage",
    "modelyard-champion": "the champion's record and the audit",
    "modelyard-output": "what the stages write",
}
"""The merge drivers that .gitattributes names, each with what it merges."""


def install_drivers(folder: Path) -> list[str]:
    """Tell this clone how to run the merge drivers; return those that it did not know yet.

    git keeps such commands in a clone's own settings and takes none from a repository: every clone
    is told once.
    """
    missing = missing_drivers(folder)
    for name in missing:
        _call(folder, ["config", f"merge.{name}.name", DRIVERS[name]])
        _call(folder, ["config", f"merge.{name}.driver", _driver(name)])
    return missing


def missing_drivers(folder: Path) -> list[str]:
    """The merge drivers that this clone does not know, or knows otherwise."""
    return [name for name in DRIVERS if _config(folder, f"merge.{name}.driver") != _driver(name)]


def _driver(name: str) -> str:
    # git runs it at the root of the repository; %O %A %B are temporary files, %P is the real path.
    return f"modelyard git merge {name.removeprefix('modelyard-')} %O %A %B %P"


def is_merging(folder: Path) -> bool:
    """Whether a merge has begun here and is not committed."""
    return _git_path(folder, "MERGE_HEAD").is_file()


def merge_base(folder: Path, one: str, other: str) -> str | None:
    """The newest commit that both stand on, or None where there is none."""
    found = _call(folder, ["merge-base", one, other], check=False)
    return found.stdout.decode().strip() if found.returncode == 0 else None


_SIDES = ("yours", "before", "modelyard")
"""Names of the sides in the markers of a conflict."""


def merge_file(ours: bytes, base: bytes, theirs: bytes) -> tuple[bytes, int]:
    """Merge three versions of a file line by line: the text, and how many places conflict.

    A place that conflicts holds both sides between markers.
    """
    with tempfile.TemporaryDirectory(prefix="modelyard-merge-") as scratch:
        folder = Path(scratch)
        for name, content in zip(_SIDES, (ours, base, theirs), strict=True):
            (folder / name).write_bytes(content)
        labels = [part for name in _SIDES for part in ("-L", name)]
        found = _call(folder, ["merge-file", "-p", "--diff3", *labels, *_SIDES], check=False)
    if found.returncode > 127:
        raise ToolFailed(
            "git merge-file failed.",
            why=found.stderr.decode("utf-8", "replace").strip(),
            next_step="git --version",
        )
    return found.stdout, found.returncode


def unresolved(text: bytes) -> bool:
    """Whether a text holds a place between the markers of `merge_file`."""
    lines = text.splitlines()
    return f"<<<<<<< {_SIDES[0]}".encode() in lines and f">>>>>>> {_SIDES[-1]}".encode() in lines


def tracked_files(folder: Path) -> list[str]:
    """The files under the folder that git keeps, sorted."""
    text = _call(folder, ["ls-files", "-z"]).stdout
    return sorted(os.fsdecode(name) for name in text.split(b"\0") if name)


def subject(folder: Path, rev: str) -> str:
    """The first line of a commit's message."""
    text = _call(folder, ["log", "-1", "--format=%s", rev]).stdout
    return text.decode("utf-8", "replace").strip()


def drop_locks(folder: Path, *, since: float) -> list[Path]:
    """Remove the lock files that a git left which was killed; returns them.

    For a caller whose own git died. Nothing is removed while any git works in the repository, nor
    where that cannot be seen (without /proc).

    Args:
        since: Unix time; older locks are somebody else's.
    """
    top = Path(os.fsdecode(_call(folder, ["rev-parse", "--absolute-git-dir"]).stdout.rstrip(b"\n")))
    inner = (*top.glob("*.lock"), *(top / "refs").rglob("*.lock"))
    found = [path for path in inner if path.stat().st_mtime >= since]
    if not found or _git_works(toplevel(folder) or folder):
        return []
    for path in found:
        path.unlink(missing_ok=True)
    return found


def _git_works(root: Path) -> bool:
    """Whether a git runs in this folder or below it; true where no one can say."""
    processes = Path("/proc")
    if not (processes / "self/comm").is_file():
        return True
    for entry in processes.iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                here = (entry / "cwd").readlink()
                if (entry / "comm").read_text() == "git\n" and here.is_relative_to(root):
                    return True
    return False


def clone(source: Path, target: Path, rev: str, branch: str | None) -> None:
    """A clean clone of `source` at a commit, on a branch of that name, its tags included.

    The objects are borrowed from the source: it takes little time and room, and must not outlive
    it.
    """
    _call(
        source,
        ["clone", "--quiet", "--shared", "--no-checkout", "--", str(source), str(target)],
    )
    if branch is None:
        _call(target, ["checkout", "--quiet", "--detach", rev])
    else:
        _call(target, ["checkout", "--quiet", "-B", branch, rev])
