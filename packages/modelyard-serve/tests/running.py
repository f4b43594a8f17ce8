"""A server of its own process on a free port, for tests that need a real one."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

COMMAND = Path(sys.executable).with_name("modelyard-serve")
READY_SECONDS = 30.0


def free_port() -> int:
    """A port that nobody listens at just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _hear_signals() -> None:
    """A shell without job control starts its children deaf to SIGINT, and they stay so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Answer:
    """Status, headers (lower case) and body of one answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def ask(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 30,
) -> Answer:
    """Send one request on a connection of its own; an iterable body is sent in chunks."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path, body=body, headers=dict(headers or {}))
        found = connection.getresponse()
        told = {name.lower(): value for name, value in found.getheaders()}
        return Answer(found.status, told, found.read())
    finally:
        connection.close()


class Running:
    """`modelyard-serve PACKAGE`; its output goes to files, so that no full pipe stops it."""

    def __init__(
        self,
        package: Path,
        folder: Path,
        *arguments: str,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.out, self.err = folder / "stdout.jsonl", folder / "stderr.txt"
        environ = {**os.environ, "PORT": str(self.port), **(settings or {})}
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(COMMAND), str(package), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environ,
                preexec_fn=_hear_signals,
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def ready(self) -> Running:
        """Wait until the server says that it is ready."""
        self.until(self.is_ready, READY_SECONDS)
        return self

    def is_ready(self) -> bool:
        """Whether /ping says 200 just now."""
        try:
            return ask(self.port, "GET", "/ping", seconds=5).status == 200
        except (OSError, http.client.HTTPException):
            return False

    def until(self, holds: Callable[[], bool], seconds: float) -> float:
        """Wait until something holds; returns how long it took. The server must live meanwhile."""
        began = time.monotonic()
        while not holds():
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}\n{self}")
            if time.monotonic() - began > seconds:
                raise AssertionError(f"nothing after {seconds} s\n{self}")
            time.sleep(0.02)
        return time.monotonic() - began

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """GET on a connection of its own."""
        return ask(self.port, "GET", path, headers=headers)

    def post(self, path: str, body: Any, kind: str = "application/json", **headers: str) -> Answer:
        """POST on a connection of its own; what is no bytes and no iterator is sent as JSON."""
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return ask(self.port, "POST", path, body, {"Content-Type": kind, **sent})

    def counters(self) -> dict[str, float]:
        """The samples of /metrics by their whole name with labels."""
        lines = self.get("/metrics").body.decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def count(self, family: str, **labels: str) -> float:
        """The sum over a counter's samples that carry the labels."""
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        return sum(
            value
            for name, value in self.counters().items()
            if re.match(rf"{family}(\{{|$)", name) and all(label in name for label in wanted)
        )

    def lines(self) -> list[dict[str, Any]]:
        """The log, a line an object: a line that is no JSON is an error."""
        return [json.loads(line) for line in self.out.read_text().splitlines()]

    def workers(self) -> list[int]:
        """The process ids of the workers that live."""
        mine = self.process.pid
        children = Path(f"/proc/{mine}/task/{mine}/children").read_text().split()
        return [int(child) for child in children if resident(int(child)) > 0]

    def terminate(self) -> None:
        """Send SIGTERM to the parent, as a container's runtime does."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        """Wait for the end; returns the exit code."""
        return self.process.wait(seconds)

    def end(self) -> None:
        """End the server, by force where it does not go."""
        if self.process.poll() is not None:
            return
        children = self.workers()
        self.terminate()
        self.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            for pid in (*children, self.process.pid):
                os.kill(pid, signal.SIGKILL)
            self.process.wait(15)

    def __str__(self) -> str:
        return f"{self.out.read_text()[-4000:]}\n{self.err.read_text()[-4000:]}"


def resident(pid: int) -> int:
    """The resident memory of a process in bytes; 0 where it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    found = re.search(r"^VmRSS:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0
