"""Counts what comes in by the package's bins, and what goes out by tenths of probability."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np

from modelyard_serve.encoding import Matrix
from modelyard_serve.served import Predicted
from modelyard_serve.telemetry.layout import SCORE_BINS, Layout

FOLD_AT = 256
"""Requests that are kept before their rows are counted: one by one costs ten times more."""


class Counting:
    """Keeps predictions and counts them into a block of the board, many at a time."""

    def __init__(
        self, layout: Layout, block: memoryview[float], features: tuple[tuple[int, bool], ...]
    ) -> None:
        self._layout = layout
        self._cells = np.asarray(block)
        self._kept: deque[Predicted] = deque()
        self._lock = threading.Lock()
        self._features = features
        self._places = [np.array(bins.places, dtype=np.intp) for bins in layout.bins]
        self._inner = [np.array(bins.inner) for bins in layout.bins]

    def add(self, found: Predicted) -> None:
        """Keep one request's rows to be counted."""
        kept = self._kept
        kept.append(found)
        if len(kept) >= FOLD_AT or len(found.labels) >= FOLD_AT:
            self.fold()

    def fold(self) -> None:
        """Count what was kept. Two threads may call it: one counts, the other waits."""
        with self._lock:
            self._fold()

    def _fold(self) -> None:
        taken: list[Predicted] = []
        while True:
            try:
                taken.append(self._kept.popleft())
            except IndexError:
                break
        if not taken:
            return
        self._inputs(np.concatenate([found.matrix for found in taken]))
        classes = self._layout.classes
        if classes:
            outputs = np.concatenate([found.outputs for found in taken])
            # Numbers near the largest can make a graph answer NaN, which is in no tenth.
            outputs = outputs[~np.isnan(outputs).any(axis=1)]
            tenths = np.clip((outputs * SCORE_BINS).astype(np.intp), 0, SCORE_BINS - 1)
            places = tenths + np.arange(len(classes)) * SCORE_BINS
            counted = np.bincount(places.ravel(), minlength=SCORE_BINS * len(classes))
            start = self._layout.scores
            self._cells[start : start + len(counted)] += counted
            where = {name: place for place, name in enumerate(classes)}
            labels = [where[label] for found in taken for label in found.labels]
            start = self._layout.predictions
            self._cells[start : start + len(classes)] += np.bincount(labels, minlength=len(classes))

    def _inputs(self, matrix: Matrix) -> None:
        for bins, places, inner in zip(self._layout.bins, self._places, self._inner, strict=True):
            column = matrix[:, bins.column]
            gone = np.isnan(column)
            present = column[~gone]
            if len(places):
                found = places[present.astype(np.intp)]
            else:
                found = np.searchsorted(inner, present, side="right")
            counted = np.bincount(found, minlength=bins.size).astype(np.float64)
            counted[bins.size - 1] += gone.sum()
            self._cells[bins.first : bins.first + bins.size] += counted
        for place, (column_at, category) in enumerate(self._features):
            if category:
                self._cells[self._layout.unseen + place] += (matrix[:, column_at] == 0).sum()
