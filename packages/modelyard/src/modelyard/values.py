"""Plain words that every floor uses: a task, a parameter's value. Imports nothing."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Style = Literal["plain", "thousands", "comma"]
"""How text spells a number: 1234.5, 1,234.5 or 1.234,5."""
Value = str | int | float | bool | None
Params = dict[str, Value]
