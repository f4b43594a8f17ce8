"""What the tour visits: MLflow's page and the model's own server, on free ports of loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from modelyard.tools import screen

PATIENCE = 420.0
"""Seconds that a server may take to answer first: MLflow's imports take a minute on a full machine,
and its worker's start another. The camera is not running yet."""

QUIET = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
"""MLflow's page without the processes that wait for jobs: they load it all once more each."""


def free_port() -> int:
    """A port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: Sequence[str], port: int, cwd: Path, log: Path) -> Iterator[str]:
    """Start a server; gives its address at once: `answers` waits for it."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **QUIET},
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        screen.end(process, group=True)


def answers(address: str, patience: float = PATIENCE) -> bool:
    """Wait until the address answers."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(urllib.error.URLError, OSError), urllib.request.urlopen(address, timeout=5):  # noqa: S310 - loopback
            return True
        time.sleep(0.3)
    return False


def mlflow(home: Path, port: int) -> list[str]:
    """The command of MLflow's page on a project's store."""
    program = Path(sys.executable).with_name("mlflow")
    return [
        str(program),
        "ui",
        "--backend-store-uri",
        f"sqlite:///{home}/mlflow.db",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--workers",
        "1",
    ]


def serve(port: int) -> list[str]:
    """The command of the champion's server."""
    return [str(Path(sys.executable).with_name("modelyard")), "serve", "--port", str(port)]


def folder(place: Path, port: int) -> list[str]:
    """The command of a server of plain files, so that no path of this machine is shown."""
    words = ["-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(place)]
    return [sys.executable, *words]
