"""Plain words that every floor uses: a task, a parameter's value. Imports nothing."""

from __future__ import annotations

from typing import Literal

Task = Literal["binary", "multiclass", "regression"]
Value = str | int | float | bool | None
Params = dict[str, Value]
