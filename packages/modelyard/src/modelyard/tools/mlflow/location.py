"""Where a store lies: the tracking URI, read without MLflow."""

from __future__ import annotations

import re
from pathlib import Path

SQLITE = "sqlite:///"


def sqlite_file(root: Path, uri: str) -> Path | None:
    """Return the file of a `sqlite:///` URI, a relative one under `root`; None for other URIs."""
    if not uri.startswith(SQLITE):
        return None
    return root.resolve() / uri.removeprefix(SQLITE).partition("?")[0]


def without_password(uri: str) -> str:
    """The URI as it may be shown and recorded."""
    return re.sub(r"//[^/@]*@", "//", uri)
