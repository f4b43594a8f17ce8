"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of the doctor. `fix` is a command or an edit; empty where all is well."""

    name: str
    state: Literal["ok", "warning", "error"]
    message: str
    fix: str = ""
