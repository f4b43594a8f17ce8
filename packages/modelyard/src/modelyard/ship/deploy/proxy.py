"""The door of a local endpoint: one port, and behind it the container that is live.

It runs as a program of its own with nothing but the standard library (`python proxy.py FOLDER`), so
that it outlives the command that started it. It reads `FOLDER/door.json` anew whenever that file
changes: a switch is one rename. A request that a container could not answer, because it was just
ending, goes to the one that is live now; a client sees one unbroken server.

door.json: {"listen": [host, port], "stable": port, "canary": port or null, "share": percent,
"shadow": bool, "pairs": path or null}. With a canary, `share` percent of the requests are answered
by it; with `shadow` none, but each is asked. `pairs` gets a line for each prediction of both.
"""

from __future__ import annotations

import http.client
import http.server
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from queue import Empty, Full, Queue
from typing import Any

TRIES = 40
"""A request is offered so often, a tenth of a second apart, before its client gets a 502."""
HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "proxy-connection",
    )
)
"""Headers that belong to one connection, not to the message (RFC 9110, 7.6.1)."""
LIMIT = 64 * 1024 * 1024
"""Largest body that is taken; the containers have their own, smaller limit."""
PREDICT = ("/v1/predict", "/invocations")
MIRRORS = 256
"""Mirrored requests that may wait: more are left out rather than slowing the answers."""


class Door:
    """What is behind the door now, read anew when its file changes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "door.json"
        self._seen = 0
        self._lock = threading.Lock()
        self.now: dict[str, Any] = {}
        self.look()

    def look(self) -> dict[str, Any]:
        """The present door."""
        changed = self.path.stat().st_mtime_ns
        if changed != self._seen:
            with self._lock:
                self.now = json.loads(self.path.read_bytes())
                self._seen = changed
        return self.now


class Mirror(threading.Thread):
    """Asks the other container the same, and writes down both answers."""

    def __init__(self, door: Door) -> None:
        super().__init__(daemon=True)
        self._door = door
        self._waiting: Queue[tuple[str, bytes, dict[str, str], int, bytes, float, str]] = Queue(
            MIRRORS
        )

    def ask(self, path: str, body: bytes, headers: dict[str, str], status: int, answer: bytes,
            seconds: float, who: str) -> None:  # fmt: skip
        """Take a request that was answered; it is left out where too many wait."""
        try:
            self._waiting.put_nowait((path, body, headers, status, answer, seconds, who))
        except Full:
            return

    def run(self) -> None:
        """Work until the process ends."""
        while True:
            try:
                path, body, headers, status, answer, seconds, who = self._waiting.get(timeout=1)
            except Empty:
                continue
            door = self._door.look()
            other = door.get("canary") if who == "stable" else door.get("stable")
            if not other or not door.get("pairs"):
                continue
            began = time.monotonic()
            try:
                code, _, said = _once(int(other), "POST", path, body, headers)
            except (OSError, http.client.HTTPException):
                code, said = 0, b""
            took = time.monotonic() - began
            ours = {"status": status, "seconds": seconds, "answer": _predictions(answer)}
            theirs = {"status": code, "seconds": took, "answer": _predictions(said)}
            pair = {"stable": ours, "canary": theirs} if who == "stable" else {
                "stable": theirs, "canary": ours}  # fmt: skip
            with Path(door["pairs"]).open("a", encoding="utf-8") as file:
                file.write(json.dumps(pair) + "\n")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 75
    door: Door
    mirror: Mirror

    def _serve(self) -> None:
        body = self._body()
        if body is None:
            return
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        headers["X-Forwarded-For"] = self.client_address[0]
        began = time.monotonic()
        for left in reversed(range(TRIES)):
            door = self.door.look()
            canary = bool(door.get("canary")) and not door.get("shadow")
            who = "canary" if canary and random.uniform(0, 100) < door["share"] else "stable"  # noqa: S311
            try:
                status, given, answer = _once(
                    int(door[who]), self.command, self.path, body, headers
                )
            except (OSError, http.client.HTTPException) as error:
                if left:
                    time.sleep(0.1)
                    continue
                self._problem(502, f"no container answers: {error}")
                return
            # A container that is ending says so; another one, or the next moment, answers.
            if status == 503 and left and self.path.startswith(PREDICT):
                time.sleep(0.1)
                continue
            self._answer(status, given, answer)
            if door.get("canary") and self.command == "POST" and self.path.startswith(PREDICT):
                seconds = time.monotonic() - began
                self.mirror.ask(self.path, body, headers, status, answer, seconds, who)
            return

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = _serve  # noqa: N815

    def _body(self) -> bytes | None:
        """The request's body, whole; None where it cannot be had and the client was told."""
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            parts, size = [], 0
            while length := int(self.rfile.readline().split(b";")[0], 16):
                size += length
                if size > LIMIT:
                    self._problem(413, "the body is too large for this door")
                    return None
                parts.append(self.rfile.read(length))
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return b"".join(parts)
        length = int(self.headers.get("Content-Length") or 0)
        if length > LIMIT:
            self._problem(413, "the body is too large for this door")
            return None
        return self.rfile.read(length)

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in HOP and name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _problem(self, status: int, detail: str) -> None:
        body = json.dumps({"title": "Bad gateway", "status": status, "detail": detail}).encode()
        self.close_connection = True
        self._answer(status, [("Content-Type", "application/problem+json")], body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: the containers write a line for each request."""


class _Pool(threading.local):
    """This thread's connections, one a port: a client's thread asks over the same one again."""

    def __init__(self) -> None:
        self.open: dict[int, http.client.HTTPConnection] = {}


_POOL = _Pool()


def _once(
    port: int, method: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    """Ask a container once. A kept connection that turns out to be closed is opened anew."""
    for fresh in (False, True):
        connection = None if fresh else _POOL.open.pop(port, None)
        kept = connection is not None
        if connection is None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            said = response.read()
        except (OSError, http.client.HTTPException):
            connection.close()
            if kept:
                continue
            raise
        if response.will_close:
            connection.close()
        else:
            _POOL.open[port] = connection
        return response.status, response.getheaders(), said
    raise OSError("unreachable")


def _predictions(answer: bytes) -> Any:
    """The part of an answer that two models can differ in."""
    try:
        said = json.loads(answer)
    except ValueError:
        return None
    if not isinstance(said, dict):
        return None
    return {key: said[key] for key in ("predictions", "probabilities") if key in said}


class Server(http.server.ThreadingHTTPServer):
    """A thread for each connection; they do not hold up the end."""

    daemon_threads = True
    request_queue_size = 512
    address_family = socket.AF_INET


def main(folder: Path) -> None:
    """Serve until SIGTERM."""
    door = Door(folder)
    mirror = Mirror(door)
    mirror.start()
    handler = type("Bound", (Handler,), {"door": door, "mirror": mirror})
    host, port = door.now["listen"]
    server = Server((host, port), handler)
    (folder / "door.pid").write_text(f"{os.getpid()} {port}", encoding="utf-8")
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
