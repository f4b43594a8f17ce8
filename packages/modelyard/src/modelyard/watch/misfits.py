"""Cells that do not fit the signature: gathered in a block, told with their rows in the table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec
import polars as pl

from modelyard.errors import SHOWN
from modelyard.tables.validation import Report, Violation

Kind = Literal["lost-column", "type", "infinite", "fraction", "unseen-category", "out-of-range"]

_WARNINGS = frozenset({"fraction", "unseen-category", "out-of-range"})


class Misfit(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which one column of a block does not fit.

    `rows` are the first such rows, ten at the most, counted from 0 in the block, with their cells
    as text; `of` is the block's height. `what` is the kind that was expected, the range, or how
    many categories are new.
    """

    kind: Kind
    column: str
    count: int = 1
    of: int = 0
    what: str = ""
    rows: tuple[tuple[int, str], ...] = ()

    def violation(self, start: int) -> Violation:
        """The misfit as the build half reports it; the block's first row is the table's `start`.

        The message counts rows from 1 over the table, `row` from 1 in the block.
        """
        kind = "type" if self.kind == "fraction" else self.kind
        return Violation(
            kind,
            self.column,
            f"{self.column}: {self._text()}" + self._examples(start),
            "warning" if self.kind in _WARNINGS else "error",
            self.rows[0][0] + 1 if self.rows else None,
            self.rows[0][1] if self.rows else None,
            self.count,
        )

    def _text(self) -> str:
        if self.kind == "lost-column":
            return "the column is not in the table"
        if self.kind == "type":
            return f"{self.count} of {self.of} values are no {self.what}"
        if self.kind == "infinite":
            return f"{self.count} values are infinite"
        if self.kind == "fraction":
            return f"{self.count} values are no whole numbers"
        if self.kind == "unseen-category":
            return f"{self.count} rows hold {self.what} categories that were never seen"
        return (
            f"{self.count} {'value lies' if self.count == 1 else 'values lie'} outside {self.what}"
        )

    def _examples(self, start: int) -> str:
        if not self.rows:
            return ""
        shown = "; ".join(f"row {row + start + 1}: {text!r}" for row, text in self.rows)
        more = self.count - len(self.rows)
        return f" ({shown}{f' and {more} more' if more else ''})"


def misfit(kind: Kind, series: pl.Series, hit: pl.Series, what: str = "") -> list[Misfit]:
    """The misfit of the rows where `hit` is true; none where there is no such row."""
    rows = hit.arg_true()
    if rows.is_empty():
        return []
    first = rows.head(SHOWN)
    return [
        Misfit(
            kind=kind,
            column=series.name,
            count=len(rows),
            of=len(series),
            what=what,
            rows=tuple(zip(first.to_list(), _shown(series.gather(first)), strict=True)),
        )
    ]


def report(misfits: Sequence[Misfit], start: int) -> Report:
    """A block's misfits, the errors first, as `Findings` takes them."""
    found = sorted((one.violation(start) for one in misfits), key=lambda one: one.severity)
    return Report(tuple(found), pl.DataFrame())


def _shown(series: pl.Series) -> list[str]:
    return [value if isinstance(value, str) else str(value) for value in series.to_list()]
