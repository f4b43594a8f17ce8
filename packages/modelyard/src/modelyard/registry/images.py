"""Which images were built, from which release: one line each, oldest first."""

from __future__ import annotations

import msgspec

from modelyard.project import Project
from modelyard.records import ImageRecord, write_bytes, write_json

FILE = "images.jsonl"


def known(project: Project) -> list[ImageRecord]:
    """Every image that was built here, oldest first."""
    path = project.records / FILE
    if not path.is_file():
        return []
    lines = path.read_bytes().splitlines()
    return [msgspec.json.decode(line, type=ImageRecord) for line in lines if line.strip()]


def note(project: Project, made: ImageRecord) -> None:
    """Write records/image.json and the history, where one image has one line."""
    write_json(project.record("image"), made)
    past = known(project)
    if any((entry.image_id, entry.reference) == (made.image_id, made.reference) for entry in past):
        return
    lines = [msgspec.json.encode(entry) for entry in (*past, made)]
    write_bytes(project.records / FILE, b"\n".join(lines) + b"\n")
