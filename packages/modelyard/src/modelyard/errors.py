"""Every error of the build half: what happened, why, the next command; and its exit code.

| code | meaning |
|---|---|
| 0 | ok |
| 1 | error |
| 2 | usage |
| 3 | the gate refused the candidate |
| 4 | the data is invalid |
| 130 | interrupted |
| 143 | terminated by SIGTERM; `run`, `stage` and `ci run` take it as Ctrl-C, 130 |
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

SHOWN = 10
"""A printed list is capped at this many entries and a count."""


class ModelyardError(Exception):
    """The root. `what` is one sentence, `why` its ground, `next_step` a command to type."""

    exit_code = 1
    name = "error"
    touched = True
    """Whether something outside the project may have been changed before it was raised."""

    def __init__(self, what: str, *, why: str = "", next_step: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.next_step = next_step

    def __str__(self) -> str:
        lines = [self.what]
        if self.why:
            lines.append(self.why)
        if self.next_step:
            lines.append(f"Next: {self.next_step}")
        return "\n".join(lines)


class UsageError(ModelyardError):
    """The command, an option, or a key of modelyard.yaml is not as it must be."""

    exit_code = 2
    name = "usage"
    touched = False


class GateRefused(ModelyardError):
    """The candidate is not good enough to become the champion."""

    exit_code = 3
    name = "gate-refused"


class DataInvalid(ModelyardError):
    """The table cannot be used, or does not fit the schema."""

    exit_code = 4
    name = "data-invalid"


class Interrupted(ModelyardError):
    """The person stopped the command."""

    exit_code = 130
    name = "interrupted"


class Terminated(KeyboardInterrupt):
    """SIGTERM came: everything is put in order as at Ctrl-C, which is why it is one."""

    exit_code = 143


class ToolFailed(ModelyardError):
    """git, DVC, MLflow or another tool refused; carries its own words."""

    name = "tool-failed"


class LockHeld(ModelyardError):
    """Another modelyard command works in this project."""

    name = "lock-held"


class NotAProject(ModelyardError):
    """There is no modelyard.yaml here or above."""

    exit_code = 2
    name = "not-a-project"


def closest(word: str, words: Iterable[str]) -> str | None:
    """Return the closest of `words`, or None where none is close."""
    lowered = {entry.lower(): entry for entry in words}
    found = difflib.get_close_matches(word.lower(), list(lowered), n=1, cutoff=0.5)
    return lowered[found[0]] if found else None


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ", did you mean X?" for the closest of `words`, or an empty string."""
    found = closest(word, words)
    return f", did you mean {found!r}?" if found is not None else ""


def capped(items: Iterable[object], shown: int = SHOWN) -> str:
    """Join at most `shown` items and say how many more there are."""
    pool = [str(item) for item in items]
    more = f" and {len(pool) - shown} more" if len(pool) > shown else ""
    return ", ".join(pool[:shown]) + more
