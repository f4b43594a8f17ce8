"""What init reports, and what it is given of the line."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelyard.render.pipeline import StageSpec

Inferred = tuple[str, str, str]
"""What, its value, why."""

Stages = Callable[[str], Sequence[StageSpec]]


@dataclass(frozen=True)
class InitReport:
    """What was (or, in a dry run, would be) made.

    `files` are relative to `root`; `kept` are files that were there and stay as they are; `commits`
    and `tag` are empty in a dry run; `notes` are sentences for people.
    """

    root: Path
    name: str
    files: tuple[str, ...]
    inferred: tuple[Inferred, ...]
    commits: tuple[str, ...] = ()
    tag: str = ""
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
