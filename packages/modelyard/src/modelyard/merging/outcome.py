"""What a merge driver comes to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The merged content, and whether a person has to go on; `message` then says how."""

    content: bytes
    conflict: bool = False
    message: str = ""


AGAIN = (
    "modelyard run --no-release ; git add --all ; git commit --no-edit ; "
    "modelyard run, which releases"
)
"""What to type after a merge whose result has to be worked out anew."""
