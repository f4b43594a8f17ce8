"""Clients that fall silent in the middle of a body: who reads for them, and how they are let go.

A thread of the server waits in `read` for a body, and nothing tells it to give up: sixteen clients
that send half a body each would hold every thread for good. So each read is noted here, and where
one lasts too long, the connections on which nothing came for that long are closed for reading; the
waiting `read` then ends, and its client is told.
"""

from __future__ import annotations

import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard_serve.errors import BodyError

if TYPE_CHECKING:
    from _typeshed.wsgi import InputStream

_LAST_DATA_RECEIVED = 8 + 11 * 4
"""Where struct tcp_info of Linux has the milliseconds since data came last."""
_TCP_INFO = 11


class Reads:
    """The reads that wait just now. `patience` is in seconds."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._since: dict[int, float] = {}
        self._ended = -1.0

    def read(self, stream: InputStream, size: int) -> bytes:
        """Read up to `size` bytes. Raises BodyError where the client was silent for too long."""
        thread = threading.get_ident()
        began = self._since[thread] = time.monotonic()
        try:
            found = stream.read(size)
        finally:
            del self._since[thread]
        # A body may also come slowly, or end without having told its length: that is no silence.
        long = time.monotonic() - began >= 0.9 * self._patience
        if len(found) < size and long and self._ended > began:
            raise BodyError(f"nothing came for {self._patience:g} s after {len(found):,} bytes")
        return found

    def overdue(self) -> bool:
        """Whether a read waits for longer than the patience."""
        oldest = min(list(self._since.values()), default=None)
        return oldest is not None and time.monotonic() - oldest >= self._patience

    def end_silent(self, port: int) -> int:
        """Close for reading what came in at `port` and says nothing; returns how many.

        Connections kept alive that are as silent are closed too, as they may be at any time.
        """
        ended = 0
        for found in sockets():
            try:
                if found.getsockname()[1] == port and _silent(found) >= self._patience:
                    self._ended = time.monotonic()
                    found.shutdown(socket.SHUT_RD)
                    ended += 1
            except (OSError, IndexError, TypeError):
                continue  # no socket of ours, or closed meanwhile
        return ended


def sockets() -> Iterator[socket.socket]:
    """This process's sockets (Linux), each as a descriptor of its own that is closed after it."""
    descriptors = Path("/proc/self/fd")
    for entry in list(descriptors.iterdir()) if descriptors.is_dir() else []:
        try:
            number = int(entry.name)
            if not stat.S_ISSOCK(os.fstat(number).st_mode):
                continue  # as a socket it would be refused, and its copy never closed
            found = socket.socket(fileno=os.dup(number))
        except OSError:
            continue  # closed meanwhile
        with found:
            yield found


def _silent(connection: socket.socket) -> float:
    """Seconds since data came; raises OSError where it is no connection."""
    connection.getpeername()
    told = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 104)
    (milliseconds,) = struct.unpack_from("I", told, _LAST_DATA_RECEIVED)
    return float(milliseconds) / 1000
