"""Ranges and distinct values of all columns, each computed in one pass over the table."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import polars as pl

EXACT_ROWS = 200_000
"""Above so many rows the distinct values of a column that is no category are an estimate, from so
many evenly spaced rows: nothing is decided on it."""

_UNLIKE = 0.95


class Stats:
    """Statistics of a typed table. `counts` are the text columns whose texts were counted."""

    def __init__(self, frame: pl.DataFrame, counts: Mapping[str, pl.DataFrame | None]) -> None:
        ranged = [
            name
            for name, dtype in frame.schema.items()
            if dtype.is_numeric() or dtype == pl.Datetime("us")
        ]
        numeric = [name for name in ranged if frame.schema[name].is_numeric()]
        self._known = {n: table.height for n, table in counts.items() if table is not None}
        rest = [name for name in frame.columns if name not in self._known]
        self._step = -(-frame.height // EXACT_ROWS)
        looked = pl.DataFrame([frame[name].gather_every(max(1, self._step)) for name in rest])
        self._distinct = _row(looked, rest, pl.col(rest).drop_nulls().n_unique())
        self._present = _row(looked, rest, pl.col(rest).count())
        self._low = _row(frame, ranged, pl.col(ranged).min())
        self._high = _row(frame, ranged, pl.col(ranged).max())
        self._mean = _row(frame, numeric, pl.col(numeric).mean())

    def distinct(self, series: pl.Series) -> int:
        """Different values of a column, missing not counted."""
        name = series.name
        present = len(series) - series.null_count()
        if name in self._known or present == 0:
            return self._known.get(name, 0)
        if name in self._low and self._low[name] == self._high[name]:
            return 1
        found, looked = self._distinct[name], self._present[name]
        assert isinstance(found, int)
        assert isinstance(looked, int)
        # Different in nearly every row that was looked at: so it will be in the others.
        whole = self._step > 1 and found >= _UNLIKE * looked
        return max(1, min(round(found * present / max(1, looked)) if whole else found, present))

    def range(self, name: str) -> tuple[float | str | None, float | str | None, float | None]:
        """Minimum, maximum (moments in ISO text) and mean."""
        mean = self._mean.get(name)
        return (
            _plain(self._low.get(name)),
            _plain(self._high.get(name)),
            mean if isinstance(mean, float) else None,
        )


def _row(frame: pl.DataFrame, names: list[str], expression: pl.Expr) -> dict[str, object]:
    return frame.select(expression).row(0, named=True) if names else {}


def _plain(value: object) -> float | str | None:
    if isinstance(value, datetime):
        return value.isoformat()
    return float(value) if isinstance(value, int | float) else None
