"""Clients that fall silent in the middle of a body: who reads for them, and how they are let go.

A thread of the server waits in `read` for a body, and nothing tells it to give up: sixteen clients
that send half a body each would hold every thread for good. So each read is noted here, and where
one lasts too long, the connections on which nothing came for that long are closed for reading; the
waiting `read` then ends, and its client is told.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
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

    def read(self, stream: InputStream, size: int) -> bytes:
        """Read up to `size` bytes. Raises BodyError where the client was silent for too long."""
        thread = threading.get_ident()
        began = self._since[thread] = time.monotonic()
        try:
            found = stream.read(size)
        finally:
            del self._since[thread]
        if len(found) < size and time.monotonic() - began >= self._patience:
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
        descriptors = Path("/proc/self/fd")
        if not descriptors.is_dir():
            return 0
        ended = 0
        for entry in list(descriptors.iterdir()):
            try:
                with socket.socket(fileno=os.dup(int(entry.name))) as found:
                    if found.getsockname()[1] == port and _silent(found) >= self._patience:
                        found.shutdown(socket.SHUT_RD)
                        ended += 1
            except (OSError, IndexError, TypeError):
                continue  # no socket of ours, or closed meanwhile
        return ended


def _silent(connection: socket.socket) -> float:
    """Seconds since data came; raises OSError where it is no connection."""
    connection.getpeername()
    told = connection.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, 104)
    (milliseconds,) = struct.unpack_from("I", told, _LAST_DATA_RECEIVED)
    return float(milliseconds) / 1000
