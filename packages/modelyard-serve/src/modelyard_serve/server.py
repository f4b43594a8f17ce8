"""The processes: a parent that holds the workers, and the workers that hold the model.

Granian is the HTTP server. The parent verifies the package's digests, marks the server as draining
when it is told to end, and starts a worker anew that died; each worker opens the package for itself
after the fork, so that no thread of onnxruntime's crosses it.
"""

from __future__ import annotations

import ctypes
import logging
import multiprocessing
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from granian import Granian
from granian.constants import HTTPModes, Interfaces, RuntimeModes
from granian.http import HTTP1Settings
from granian.log import LogLevels

from modelyard_serve.contract import Manifest, read_manifest, read_reference
from modelyard_serve.crew import Crew
from modelyard_serve.errors import ServeError, SettingsError
from modelyard_serve.settings import Settings, check_mask
from modelyard_serve.silence import sockets
from modelyard_serve.telemetry.board import Board
from modelyard_serve.telemetry.layout import Layout
from modelyard_serve.telemetry.log import Log, every

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from modelyard_serve.silence import Reads

KILL_AFTER = 30
"""Seconds that a worker has to end its requests before it is killed."""
CLOSING = 0.3
"""Seconds between the end of new connections and the end of the workers."""
CLOSED_AFTER = 3.0
"""Seconds in which every worker closes its door; one that just died never tells that it did."""
THREADS = 16
"""Threads of a worker. One answers at a time; the others are for bodies that are long in coming, so
that a client who stalls stops nobody (see `crew`)."""
UNUSED = 5
"""Seconds after which a thread that got no request ends: up to 40 MB are given back with it, as
measured after bodies of 10,000 rows."""
_WATCH = 0.05
_SO_ATTACH_FILTER = 26
_M_ARENA_MAX = -8
_WRAPPER = "_wsgi_call_wrap"


def serve(package: Path, settings: Settings) -> int:
    """Serve a package until a signal ends it; returns the exit code.

    Raises:
        PackageError: the package is not whole.
        SettingsError: the address cannot be listened at, or the mask names what is no column.
    """
    manifest = read_manifest(package)
    check_mask(settings, (feature.name for feature in manifest.features))
    _claim(settings)
    board = Board(Layout(manifest, read_reference(package)).size, settings.workers)
    log = Log(settings.log_level)
    # Workers inherit the board, so they must be forked, whatever Python's default is.
    multiprocessing.set_start_method("fork", force=True)
    server = _Server(board, settings, partial(_greet, log, manifest, settings))
    server.serve(target_loader=partial(_load, package, settings, board), wrap_loader=False)
    log.event("info", "stopped", model=manifest.name)
    return 1 if board.refused else 0


class _Server(Granian):  # type: ignore[misc,valid-type]
    """Granian with a drain: ready turns false first, then the workers end."""

    def __init__(self, board: Board, settings: Settings, greet: Callable[[], None]) -> None:
        super().__init__(
            "modelyard_serve",
            address=settings.host,
            port=settings.port,
            interface=Interfaces.WSGI,
            workers=settings.workers,
            blocking_threads=THREADS,
            blocking_threads_idle_timeout=UNUSED,
            runtime_threads=1,
            runtime_mode=RuntimeModes.st,
            http=HTTPModes.http1,
            websockets=False,
            # With pipeline_flush an answer that nobody reads is kept in memory, however long.
            http1_settings=HTTP1Settings(header_read_timeout=15_000, pipeline_flush=False),
            respawn_failed_workers=True,
            workers_kill_timeout=KILL_AFTER,
            log_level=LogLevels.debug if settings.log_level == "debug" else LogLevels.warning,
            log_dictconfig=_logging(settings),
        )
        self._board = board
        self._drain_seconds = settings.drain_seconds
        self.on_startup(greet)

    def _spawn_worker(self, idx: int, target: Any, callback_loader: Any) -> Any:
        return super()._spawn_worker(idx, target, partial(callback_loader, idx))

    def signal_handler_interrupt(self, number: int = signal.SIGTERM, *rest: Any) -> None:
        """SIGTERM drains before it ends; a second one, or Ctrl-C, ends at once."""
        if number != signal.SIGTERM or self._board.draining or self._drain_seconds == 0:
            self._board.drain()
            self._end()
            return
        self._board.drain()
        threading.Thread(target=self._end_softly, daemon=True).start()

    def _end_softly(self) -> None:
        """Answer as before for a while, then take no new connections, then end the workers."""
        time.sleep(self._drain_seconds)
        self._board.close()
        latest = time.monotonic() + CLOSED_AFTER
        while not self._board.all_closed and time.monotonic() < latest:
            time.sleep(_WATCH / 2)
        time.sleep(CLOSING)
        self._end()

    def _end(self) -> None:
        """Let Granian's loop end, which sends SIGTERM to the workers."""
        self._board.end()
        super().signal_handler_interrupt()


def _claim(settings: Settings) -> None:
    """Raise SettingsError where the address cannot be had.

    Granian's sockets share a port (SO_REUSEPORT): without this a second server of the same user
    would start at a port that is in use and take a part of its requests.
    """
    host, port = settings.host, settings.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except socket.gaierror as error:
        raise SettingsError(f"HOST={host}: give an IP address, such as 0.0.0.0 or ::") from error
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(f"cannot listen at {host}, port {port}: {why}; set PORT") from error


def _load(package: Path, settings: Settings, board: Board, worker: int) -> WSGIApplication:
    """Open the package in a worker. What cannot be used ends the server, not only the worker."""
    # Until Granian sets the worker's own handlers it has the parent's, which would not end it. And
    # Ctrl-C, which a terminal sends to the whole group, is for the parent alone.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.setpgid(0, 0)
    if board.ended:
        time.sleep(1)  # the parent's SIGTERM comes now, or it came before this process heard it
        raise SystemExit(0)
    # glibc gives each of many threads a heap of its own, which keeps what it once took: 8 MB here.
    if limit := getattr(ctypes.CDLL(None), "mallopt", None):
        limit(_M_ARENA_MAX, 2)
    # Imported here: the parent needs neither onnxruntime nor Flask.
    from modelyard_serve.app import create_app, give_back
    from modelyard_serve.front import Front

    try:
        app = create_app(package, settings, board=board, worker=worker)
    except ServeError as error:
        board.refuse()
        Log(settings.log_level).event("error", "refused", title=error.title, detail=error.detail)
        sys.stderr.write(f"modelyard-serve: {error.title}: {error.detail}\n")
        raise SystemExit(1) from error
    telemetry = app.extensions["modelyard.telemetry"]
    telemetry.start()
    application: WSGIApplication = app.wsgi_app
    assert isinstance(application, Front)
    watch = partial(_watch, board, worker, settings.port, os.getppid(), [], application.reads)
    every(_WATCH, watch)
    crew = Crew()
    if _answers_by(crew):
        crew.watch(idle=give_back)
    else:
        told = "this Granian has no place for it; all threads answer at once, which is slower"
        telemetry.log.event("warning", "no_crew", error=told)
    telemetry.log.event("info", "ready", worker=worker)
    return application


def _answers_by(crew: Crew) -> bool:
    """Put the crew around Granian's own wrapper of a WSGI callable, in this process.

    The wrapper is no part of Granian's interface, but the only place that is reached after an
    answer was sent; returns False where it is not found, for the server works without a crew too.
    """
    module = sys.modules[Granian.__module__]
    wrap = getattr(module, _WRAPPER, None)
    if wrap is None:
        return False
    setattr(module, _WRAPPER, lambda *given: crew.runs(wrap(*given)))
    return True


def _watch(
    board: Board, worker: int, port: int, parent: int, done: list[str], reads: Reads
) -> None:
    """In a worker: close the door when the server ends, let go of who stalls, outlive no parent."""
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
    if reads.overdue():
        reads.end_silent(port)
    if board.closing and not done:
        done.append("closed")
        _take_no_more(port)
        board.closed(worker)


def _take_no_more(port: int) -> None:
    """Drop what new clients send to this process's listening sockets.

    Closing them would reset connections that were made but not yet accepted, with the requests
    in them. So a filter drops every packet for the listener (SO_ATTACH_FILTER, Linux): what is in
    the queue is accepted and answered, and a new client is refused when the socket is closed.
    """
    drop = ctypes.create_string_buffer(struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF: return 0
    program = struct.pack("HL", 1, ctypes.addressof(drop))
    for found in sockets():
        with suppress(OSError, IndexError, TypeError):  # without filters closing must do
            listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            if listens and found.getsockname()[1] == port:
                found.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def _greet(log: Log, manifest: Manifest, settings: Settings) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    shown = "127.0.0.1" if settings.host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
    address = f"http://{shown}:{settings.port}"
    log.event("info", "listening", address=address, model=manifest.name, workers=settings.workers)
    if sys.stderr.isatty():
        sys.stderr.write(f"{manifest.name} at {address} (Ctrl-C ends it)\n")


class _Meant(logging.Filter):
    """Drops Granian's advice about more threads than processors: ours wait for bodies."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is worth telling."""
        return "Python threads" not in record.getMessage()


def _logging(settings: Settings) -> dict[str, Any]:
    """Granian's own lines in our form; it tells of its workers at info, which is a debug here."""
    level = "DEBUG" if settings.log_level == "debug" else "WARNING"
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "modelyard_serve.telemetry.log.JsonFormatter"}},
        "filters": {"meant": {"()": _Meant}},
        "handlers": {
            "console": {
                "filters": ["meant"],
                "class": "logging.StreamHandler",
                "formatter": "json",
                "stream": "ext://sys.stdout",
            }
        },
        "loggers": {
            "_granian": {"handlers": ["console"], "level": level, "propagate": False},
            "granian.access": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        },
        "root": {"handlers": ["console"], "level": "WARNING"},
    }
