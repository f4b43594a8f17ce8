"""Counters that all workers share: one anonymous memory map, one block a worker.

Each slot is a float64 that one worker writes and any worker reads, so that `/metrics` of whichever
worker answers tells of all. A map that is inherited through fork needs no file, which a read-only
container has no place for. A worker that is started anew goes on in the block of the one it
replaces: a counter never falls.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = 8
_DRAINING, _REFUSED, _CLOSING, _ENDED = 0, 1, 2, 3


class Board:
    """`workers` blocks of `slots` float64 counters each, and a few flags for all and for each."""

    def __init__(self, slots: int, workers: int = 1) -> None:
        self.slots = slots
        self.workers = workers
        self._first = HEADER + workers
        self._memory = mmap.mmap(-1, 8 * (self._first + slots * workers))
        self._cells = memoryview(self._memory).cast("d")

    def block(self, worker: int) -> memoryview[float]:
        """The counters of worker 0, 1, … as a view of doubles: adding to one takes no lock."""
        start = self._first + self.slots * worker
        return self._cells[start : start + self.slots]

    def totals(self) -> NDArray[np.float64]:
        """The counters summed over the workers, shape (slots,)."""
        cells = np.frombuffer(self._memory, dtype=np.float64)[self._first :]
        summed: Any = cells.reshape(self.workers, self.slots).sum(axis=0)
        found: NDArray[np.float64] = summed
        return found

    @property
    def draining(self) -> bool:
        """Whether the server was asked to end."""
        return self._cells[_DRAINING] != 0.0

    def drain(self) -> None:
        """Tell all workers that the server is to end."""
        self._cells[_DRAINING] = 1.0

    @property
    def closing(self) -> bool:
        """Whether no new connections are to be taken."""
        return self._cells[_CLOSING] != 0.0

    def close(self) -> None:
        """Tell all workers to take no new connections."""
        self._cells[_CLOSING] = 1.0

    def closed(self, worker: int) -> None:
        """Tell that a worker takes no new connections."""
        self._cells[HEADER + worker] = 1.0

    @property
    def all_closed(self) -> bool:
        """Whether every worker takes no new connections."""
        return all(self._cells[HEADER + worker] for worker in range(self.workers))

    @property
    def ended(self) -> bool:
        """Whether the workers were told to end."""
        return self._cells[_ENDED] != 0.0

    def end(self) -> None:
        """Tell a worker that is just being started that it is not wanted any more."""
        self._cells[_ENDED] = 1.0

    @property
    def refused(self) -> bool:
        """Whether a worker could not use the package."""
        return self._cells[_REFUSED] != 0.0

    def refuse(self) -> None:
        """Tell the parent that the package cannot be used, so that it does not try again."""
        self._cells[_REFUSED] = 1.0
