"""Log lines of JSON on standard output, one object a line, written many at a time.

A request's line is put in a queue and written within WAIT seconds by a thread: a write for each
would cost more than the prediction. What a killed process (SIGKILL) had in the queue is lost; every
other end writes it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

WAIT = 0.1
MOST = 100_000
"""Lines that wait at most: where nobody reads the log, the oldest of them are lost."""
LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40}

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """One request's line. `ms` is the time within the application."""

    time: str
    level: str
    event: str
    method: str
    path: str
    status: int
    ms: float
    rows: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    request_id: str = ""
    trace_id: str = ""
    client: str = ""
    error: str = ""


class Log:
    """The server's log. Lines below `level` are not written."""

    def __init__(self, level: str = "info", descriptor: int | None = None) -> None:
        self.level = LEVELS[level]
        self._descriptor = sys.stdout.fileno() if descriptor is None else descriptor
        self._queue: deque[tuple[float, Line]] = deque(maxlen=MOST)
        self._second = (0, "")

    def request(self, line: Line, moment: float) -> None:
        """Put a request's line in the queue; its time is written when the line is."""
        self._queue.append((moment, line))

    def event(self, level: str, event: str, **facts: Any) -> None:
        """Write a line about the server itself, at once."""
        if LEVELS[level] >= self.level:
            head = {"time": self.stamp(time.time()), "level": level, "event": event}
            self._write(_encode(head | facts) + b"\n")

    def flush(self) -> None:
        """Write what is in the queue."""
        lines = []
        while True:
            try:
                moment, line = self._queue.popleft()
            except IndexError:
                break
            line.time = self.stamp(moment)
            lines.append(line)
        if lines:
            self._write(msgspec.json.Encoder().encode_lines(lines))

    def stamp(self, moment: float) -> str:
        """UTC, ISO 8601, to the millisecond; the text of the second is made once."""
        second = int(moment)
        known, text = self._second
        if known != second:
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
            self._second = (second, text)
        return f"{text}.{int((moment - second) * 1000):03d}Z"

    def _write(self, text: bytes) -> None:
        view = memoryview(text)
        while view:
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                time.sleep(0.005)  # a full pipe: its reader is slow
            except OSError:
                return  # nobody reads any more; the answers must go on


def every(seconds: float, work: Callable[[], None]) -> threading.Thread:
    """Call `work` again and again on a daemon thread; what it raises is logged, and it goes on."""

    def loop() -> None:
        while True:
            time.sleep(seconds)
            try:
                work()
            except Exception:
                logging.getLogger(__name__).exception("a defect in the background")

    thread = threading.Thread(target=loop, name="telemetry", daemon=True)
    thread.start()
    return thread


class JsonFormatter(logging.Formatter):
    """The same form for the lines of Python's logging, which the WSGI server uses."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as a line of JSON; an exception is a text in it, never lines of its own."""
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        facts: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": "log",
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            facts["exception"] = self.formatException(record.exc_info)
        return _encode(facts).decode()
