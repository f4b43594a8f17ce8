"""One worker's telemetry: counts and logs each answer, at a cost of microseconds."""

from __future__ import annotations

import atexit
import time
from typing import NamedTuple

from modelyard_serve.contract import read_reference
from modelyard_serve.served import Predicted, Served
from modelyard_serve.settings import Settings
from modelyard_serve.telemetry.board import Board
from modelyard_serve.telemetry.drift import Counting
from modelyard_serve.telemetry.layout import Layout
from modelyard_serve.telemetry.log import LEVELS, WAIT, Line, Log, every
from modelyard_serve.telemetry.metrics import Metrics
from modelyard_serve.telemetry.predictions import PredictionLog

HEALTH = frozenset({"/ping", "/health", "/v2/health/live", "/v2/health/ready", "/metrics"})
"""Routes that probes ask every few seconds: logged at the level debug only."""


class Event(NamedTuple):
    """One answered request. `seconds` is the time within the application."""

    route: str
    method: str
    path: str
    status: int
    seconds: float
    request_id: str
    trace_id: str = ""
    client: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    error: str = ""


class Telemetry:
    """Counts into the board, writes the log, and keeps the prediction log where one is wanted."""

    def __init__(
        self, served: Served, settings: Settings, board: Board | None = None, worker: int = 0
    ) -> None:
        self.layout = layout_of(served)
        self.board = Board(self.layout.size) if board is None else board
        self.log = Log(settings.log_level)
        self.metrics = Metrics(self.board, self.layout, served.manifest, served.version)
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
        self._requests = settings.log_level in ("debug", "info")
        self._probes = settings.log_level == "debug"
        atexit.register(self.flush)

    def start(self) -> None:
        """Write the queues from now on, a few times a second."""
        every(WAIT, self.flush)

    def rows(self, route: str, found: Predicted) -> None:
        """Count a part of a streamed answer."""
        self._cells[self.layout.at(self.layout.rows, route)] += len(found.labels)
        self._counting.add(found)

    def note(self, event: Event, found: Predicted | None = None, rows: int = 0) -> None:
        """Count and log one answer; `rows` are those that `rows()` counted already."""
        cells, layout = self._cells, self.layout
        route, status, seconds = event.route, event.status, event.seconds
        slot = self._slots.get((route, status))
        if slot is None:
            slot = self._slots[route, status] = layout.request(route, status)
        cells[slot] += 1.0
        cells[layout.bucket(route, seconds)] += 1.0
        cells[layout.at(layout.seconds, route)] += seconds
        moment = time.time()
        if found is not None:
            rows = len(found.labels)
            cells[layout.at(layout.rows, route)] += rows
            self._counting.add(found)
            if self._predictions is not None:
                self._predictions.add(self.log.stamp(moment), event.request_id, found)
        if self._requests and (self._probes or route not in HEALTH):
            level = "error" if status >= 500 and status != 503 else "info"
            self.log.request(
                Line(
                    "",
                    level,
                    "request",
                    event.method,
                    event.path,
                    status,
                    round(seconds * 1000, 3),
                    rows,
                    event.bytes_in,
                    event.bytes_out,
                    event.request_id,
                    event.trace_id,
                    event.client,
                    event.error,
                ),
                moment,
            )
        elif status >= 500 and self.log.level <= LEVELS["error"]:
            self.log.event("error", "request", path=event.path, status=status, error=event.error)

    def text(self) -> bytes:
        """The metrics of all workers, with this one's rows counted up to now."""
        self._counting.fold()
        return self.metrics.text()

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
