"""Who answers: one of a worker's threads at a time, and another where that one is held up.

A worker has several threads so that a client who stalls in the middle of a body stops nobody. All
of them at work at once hinder each other: whoever lets go of the interpreter's lock, to read a
body or in numpy, waits in line for it again, and a request is passed around. So a thread that has
answered rests while another is at work. It is called back where those at work have been at their
requests for longer than `PATIENCE`, be it that they wait for bodies or that they compute many rows
(docs/adr/0012).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

PATIENCE = 0.005
"""Seconds at one request after which another thread takes the next ones."""
CALM = 0.05
"""Seconds between two looks when nothing was asked lately."""
QUIET = 20
"""Looks without a request after which all threads wait for the next one."""
REFUSED = 400
"""The status from which on an answer may have come without a look at the body."""
IDLE = 150
"""Looks without a request, about seven seconds, after which the process is put in order."""

Runner = Callable[[Any, dict[str, Any]], Any]
"""Granian's own: takes its protocol and the request's scope; the answer is sent when it returns."""


class Crew:
    """The threads of one worker. Any of them, and a watching one, may call it at any time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: dict[int, float] = {}
        self._held: set[int] = set()
        self._working = 0  # at a request, and not held up
        self._answered = 0  # since the last look
        self._doors: list[threading.Lock] = []

    @property
    def resting(self) -> int:
        """How many threads rest."""
        return len(self._doors)

    def runs(self, runner: Runner) -> Runner:
        """`runner` by this crew: its thread may rest between the answer and the return."""

        def run(protocol: Any, scope: dict[str, Any]) -> Any:
            self._begin()
            try:
                found = runner(protocol, scope)
            except BaseException:
                self._end()  # Granian answers for it when this is raised on
                raise
            # A body that was not read holds its connection until this returns. Only what was asked
            # by POST and is answered well was read for sure.
            read = found < REFUSED and scope.get("REQUEST_METHOD") == "POST"
            if self._end() and read:
                self._rest()
            return found

        return run

    def look(self) -> bool:
        """Call a thread back where all at work are held up; returns whether anything goes on."""
        latest = time.monotonic() - PATIENCE
        with self._lock:
            for thread, began in self._since.items():
                if began < latest and thread not in self._held:
                    self._held.add(thread)
                    self._working -= 1
            answered, self._answered = self._answered, 0
            if self._held and not self._working and not answered and self._doors:
                self._doors.pop().release()
            return bool(answered or self._since)

    def wake(self) -> None:
        """Call all threads back, to wait for the next request."""
        with self._lock:
            while self._doors:
                self._doors.pop().release()

    def watch(self, idle: Callable[[], None]) -> threading.Thread:
        """Look again and again, on a daemon thread; `idle` is called when requests have ended."""

        def loop() -> None:
            quiet = 0
            while True:
                time.sleep(PATIENCE if quiet < QUIET else CALM)
                quiet = 0 if self.look() else quiet + 1
                if quiet == QUIET:
                    self.wake()
                elif quiet == IDLE:
                    try:
                        idle()
                    except Exception:  # without this loop a client who stalls would stop all
                        logging.getLogger(__name__).exception("a defect in the background")

        thread = threading.Thread(target=loop, name="crew", daemon=True)
        thread.start()
        return thread

    def _begin(self) -> None:
        with self._lock:
            self._since[threading.get_ident()] = time.monotonic()
            self._working += 1

    def _end(self) -> bool:
        """Whether another thread is at work, so that this one may rest."""
        me = threading.get_ident()
        with self._lock:
            del self._since[me]
            self._answered += 1
            if me in self._held:
                self._held.remove(me)
            else:
                self._working -= 1
            return self._working > 0

    def _rest(self) -> None:
        """Wait behind a door of one's own, unless the last one at work has left meanwhile."""
        door = threading.Lock()
        with self._lock:
            if not self._working:
                return
            door.acquire()
            self._doors.append(door)
        door.acquire()
