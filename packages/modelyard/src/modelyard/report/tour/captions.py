"""Captions: what is said, when; as SubRip text."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

LINE = 96
"""Characters of a line of captions."""


@dataclass(frozen=True)
class Caption:
    """One caption; times in seconds from the film's start."""

    start: float
    end: float
    text: str


def srt(captions: Sequence[Caption]) -> str:
    """The captions as a SubRip file."""
    blocks = []
    for number, caption in enumerate(captions, 1):
        text = "\n".join(textwrap.wrap(caption.text, LINE))
        blocks.append(f"{number}\n{_time(caption.start)} --> {_time(caption.end)}\n{text}\n")
    return "\n".join(blocks)


def _time(seconds: float) -> str:
    whole = round(max(0.0, seconds) * 1000)
    hours, rest = divmod(whole, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    return f"{hours:02}:{minutes:02}:{rest // 1000:02},{rest % 1000:03}"
