"""The merge drivers: what git asks when two branches changed a file that the line writes.

git gives three files and takes the merged one in place of ours; see docs/how-it-works/ci.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import UsageError, nearest
from modelyard.merging import champion, lock, output
from modelyard.merging.outcome import Outcome
from modelyard.records import write_bytes


@dataclass(frozen=True)
class Sides:
    """The three files that git hands over, and the path that they are versions of."""

    base: Path
    ours: Path
    theirs: Path
    path: str


KINDS: dict[str, Callable[[bytes, bytes, bytes, str], Outcome]] = {
    "lock": lock.merge,
    "champion": champion.merge,
    "output": output.merge,
}
"""Kind -> what merges it: base, ours, theirs, path."""


def merge(kind: str, sides: Sides) -> Outcome:
    """Merge one file; what comes out is written to `sides.ours`, as git wants it.

    Raises:
        UsageError: there is no such kind.
    """
    if kind not in KINDS:
        raise UsageError(
            f"There is no merge driver {kind!r}{nearest(kind, KINDS) or '.'}",
            why="git runs what `modelyard git setup` has told it.",
            next_step="modelyard git setup",
        )
    base, ours, theirs = (path.read_bytes() for path in (sides.base, sides.ours, sides.theirs))
    found = KINDS[kind](base, ours, theirs, sides.path)
    if found.content != ours:
        write_bytes(sides.ours, found.content)
    return found


__all__ = ["KINDS", "Outcome", "Sides", "merge"]
