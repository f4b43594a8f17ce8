"""Processes by number and beginning: the number alone is used again."""

from __future__ import annotations

from pathlib import Path


def mark(process: int) -> str:
    """A process's number and when it began (Linux); empty if it is gone."""
    try:
        text = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()
    return "" if state == "Z" else f"{process} {rest[18]}"


def alive(marked: str) -> int | None:
    """The number of the process of this mark where it is there still, else None."""
    number = marked.partition(" ")[0]
    return int(number) if number and mark(int(number)) == marked else None
