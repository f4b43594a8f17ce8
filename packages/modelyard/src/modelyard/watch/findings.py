"""The misfits of a table that is read in blocks, gathered as if it had been read whole."""

from __future__ import annotations

from modelyard.errors import SHOWN
from modelyard.tables.validation import Report, Violation


class Findings:
    """Gathers violations block by block. Rows are counted from 1 over the whole table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._first: dict[tuple[str, str], tuple[Violation, int]] = {}
        self._count: dict[tuple[str, str], int] = {}
        self._blocks: dict[tuple[str, str], int] = {}

    def add(self, report: Report, start: int) -> None:
        """Take a block's report; its first row is the table's row `start`, from 0.

        Raises:
            DataInvalid: the block holds an error.
        """
        step = "mend the table, then run this again"
        where = f"{self.name} (rows from {start + 1:,})" if start else self.name
        report.raise_if_errors(where, next_step=step)
        for violation in report.warnings:
            key = (violation.kind, violation.column)
            self._first.setdefault(key, (violation, start))
            self._count[key] = self._count.get(key, 0) + violation.count
            self._blocks[key] = self._blocks.get(key, 0) + 1

    def warnings(self) -> tuple[str, ...]:
        """One line for each column and kind of misfit, ten at the most and a count."""
        lines = [self._line(key) for key in self._first]
        more = len(lines) - SHOWN
        return (*lines[:SHOWN], *([f"and {more} more warnings"] if more > 0 else []))

    def _line(self, key: tuple[str, str]) -> str:
        violation, start = self._first[key]
        if start == 0 and self._blocks[key] == 1:
            return violation.message
        what = {
            "unseen-category": "hold a category that was never seen",
            "out-of-range": "lie outside the training range",
        }.get(violation.kind, f"do not fit ({violation.kind})")
        row = f" (row {violation.row + start}: {violation.value!r}, …)" if violation.row else ""
        return f"{violation.column}: {self._count[key]} values {what}{row}"
