"""One worker's telemetry: counts and logs each answer, at a cost of microseconds."""

from __future__ import annotations

import atexit
import bisect
import threading
import time
from typing import TYPE_CHECKING

from modelyard_serve.contract import read_reference
from modelyard_serve.served import Predicted, Served
from modelyard_serve.settings import Settings
from modelyard_serve.telemetry.board import Board
from modelyard_serve.telemetry.drift import Counting
from modelyard_serve.telemetry.layout import BUCKETS, ROUTES, Layout
from modelyard_serve.telemetry.log import LEVELS, WAIT, Line, Log, every
from modelyard_serve.telemetry.predictions import PredictionLog

if TYPE_CHECKING:
    from modelyard_serve.telemetry.metrics import Metrics

HEALTH = frozenset({"/ping", "/health", "/v2/health/live", "/v2/health/ready", "/metrics"})
"""Routes that probes ask every few seconds: logged at the level debug only."""


class Telemetry:
    """Counts into the board, writes the log, and keeps the prediction log where one is wanted."""

    def __init__(
        self, served: Served, settings: Settings, board: Board | None = None, worker: int = 0
    ) -> None:
        self.layout = layout_of(served)
        self.board = Board(self.layout.size) if board is None else board
        self.log = Log(settings.log_level)
        self._served = served
        self._metrics: Metrics | None = None
        self._cells = self.board.block(worker)
        spans: list[tuple[int, bool]] = []
        at = 0
        for feature in served.manifest.features:
            spans.append((at, feature.kind == "category"))
            at += feature.width
        self._counting = Counting(self.layout, self._cells, tuple(spans))
        self._predictions = (
            PredictionLog(settings, served.manifest, served.version, worker)
            if settings.prediction_log
            else None
        )
        self._slots: dict[tuple[str, int], int] = {}
        layout = self.layout
        self._at = {
            route: (
                layout.at(layout.seconds, route),
                layout.at(layout.rows, route),
                layout.bucket(route, 0.0),
            )
            for route in ROUTES
        }
        # A worker's threads count into the same cells, and adding is reading and writing.
        self._counts = threading.Lock()
        self._requests = settings.log_level in ("debug", "info")
        self._probes = settings.log_level == "debug"
        atexit.register(self.flush)

    def start(self) -> None:
        """Write the queues from now on, a few times a second."""
        every(WAIT, self.flush)

    def rows(self, route: str, found: Predicted, request_id: str, start: int) -> None:
        """Count and keep a part of a streamed answer, whose first row has the number `start`."""
        with self._counts:
            self._cells[self.layout.at(self.layout.rows, route)] += len(found.labels)
        self._counting.add(found)
        if self._predictions is not None:
            self._predictions.add(self.log.stamp(time.time()), request_id, found, start)

    def note(self, route: str, seconds: float, line: Line, found: Predicted | None = None) -> None:
        """Count and log one answer, which took `seconds` within the application.

        `line.rows` are those that `rows()` counted already.
        """
        cells, status = self._cells, line.status
        slot = self._slots.get((route, status))
        if slot is None:
            slot = self._slots[route, status] = self.layout.request(route, status)
        at_seconds, at_rows, first_bucket = self._at[route]
        bucket = first_bucket + bisect.bisect_left(BUCKETS, seconds)
        rows = 0 if found is None else len(found.labels)
        with self._counts:
            cells[slot] += 1.0
            cells[bucket] += 1.0
            cells[at_seconds] += seconds
            cells[at_rows] += rows
        moment = time.time()
        if found is not None:
            line.rows = rows
            self._counting.add(found)
            if self._predictions is not None:
                self._predictions.add(self.log.stamp(moment), line.request_id, found)
        failed = status >= 500 and status != 503
        if self._requests and (self._probes or route not in HEALTH):
            if failed:
                line.level = "error"
            self.log.request(line, moment)
        elif failed and self.log.level <= LEVELS["error"]:
            self.log.event(
                "error", "request", method=line.method, path=line.path, status=status,
                request_id=line.request_id, error=line.error,
            )  # fmt: skip

    def text(self) -> bytes:
        """The metrics of all workers, with this one's rows counted up to now."""
        self._counting.fold()
        if self._metrics is None:
            # Imported when it is first asked for: a tenth of a cold start, and 4 MB.
            from modelyard_serve.telemetry.metrics import Metrics

            served = self._served
            self._metrics = Metrics(self.board, self.layout, served.manifest, served.version)
        return self._metrics.text()

    def flush(self) -> None:
        """Count and write what is queued."""
        self._counting.fold()
        self.log.flush()
        if self._predictions is not None:
            try:
                self._predictions.flush()
            except OSError as error:
                # A full disk must not stop the answers; it is told once for each try.
                self.log.event("error", "prediction_log", error=str(error))


def layout_of(served: Served) -> Layout:
    """The board's layout for one model."""
    return Layout(served.manifest, read_reference(served.scorer.package))
