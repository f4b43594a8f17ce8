"""Messages of the tags that modelyard makes, written and read in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modelyard.render.engine import fill


@dataclass(frozen=True)
class DataMessage:
    """What the tag of a data version says. `rows` is None for a tag made by hand."""

    message: str
    rows: int | None


def data_version(message: str, *, rows: int, md5: str, source: str) -> str:
    """The message of the tag data/vN. `source` is the name of the file that it came from."""
    return fill("data_version.txt.j2", message=message, rows=rows, md5=md5, source=source)


def read_data_version(text: str) -> DataMessage:
    """Read a tag's message."""
    found = re.search(r"^rows: (\d+)$", text, re.MULTILINE)
    return DataMessage(text.partition("\n")[0], int(found[1]) if found else None)


def md5_of(text: str) -> str:
    """The table's md5 in a data version's tag, or "" in one made by hand."""
    found = re.search(r"^md5: ([0-9a-f]{32})$", text, re.MULTILINE)
    return found[1] if found else ""
