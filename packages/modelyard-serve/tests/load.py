"""Clients that ask without a pause over connections that they keep, and count what happens."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from types import TracebackType

JSON = {"Content-Type": "application/json"}


class Load:
    """`clients` threads that post one body again and again until the load is stopped.

    A connection that the server closed while it was idle is opened anew and the request sent once
    more, as every client of HTTP/1.1 does (RFC 9112, section 9.3.1); `counts["retried"]` tells how
    often. Whatever else goes wrong with a request that was sent is a lost request. A connection
    that is refused is no lost request: the server has gone.
    """

    def __init__(self, port: int, path: str, body: bytes, clients: int = 4) -> None:
        self.port, self.path, self.body = port, path, body
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self._stop = threading.Event()
        self._gone = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> Load:
        """Stop asking, and wait for the answers that are under way."""
        self._stop.set()
        return self.join()

    def join(self) -> Load:
        """Wait until every client is refused, or has been stopped."""
        for thread in self._threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in self._threads), "a client waits for ever"
        return self

    @property
    def answered(self) -> int:
        """Requests answered with 200."""
        return self.counts["200"]

    def until(self, answered: int, seconds: float = 30) -> None:
        """Wait until so many more requests are answered."""
        goal, began = self.answered + answered, time.monotonic()
        while self.answered < goal:
            assert time.monotonic() - began < seconds, (self.counts, self.errors[:5])
            time.sleep(0.01)

    def _run(self) -> None:
        connection: http.client.HTTPConnection | None = None
        used = False
        while not self._stop.is_set():
            if connection is None:
                connection, used = (
                    http.client.HTTPConnection("127.0.0.1", self.port, timeout=30),
                    False,
                )
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    self.counts["refused"] += 1
                    return
                except OSError as error:
                    self._lost("connect", error)
                    connection = None
                    continue
            try:
                connection.request("POST", self.path, body=self.body, headers=JSON)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                idle = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
                if used and isinstance(error, idle):
                    self.counts["retried"] += 1
                else:
                    self._lost("request", error)
                connection.close()
                connection = None
                continue
            self.counts[str(answer.status)] += 1
            used = True
            if answer.will_close:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _lost(self, what: str, error: Exception) -> None:
        self.counts["lost"] += 1
        self.errors.append(f"{what}: {error!r}")
