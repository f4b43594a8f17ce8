"""The servers: environment, command, dialect; started, waited for, weighed, stopped."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import flights
import psutil
from dialects import MLFLOW, MLSERVER, ROWS, V1, Dialect, Rows

HERE = Path(__file__).parent
PEERS = HERE / "peers"
ENVIRONMENTS = flights.ROOT / ".cache/serving"
LOGS = flights.CACHE / "logs"
PATIENCE = 600.0
"""Seconds that a server may take to its first answer."""

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "BENTOML_DO_NOT_TRACK": "True",
    "ORT_DISABLE_TELEMETRY": "1",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Server:
    """One side: `command` gets its environment's bin folder and the port; `packed` is its venv."""

    name: str
    packed: str
    dialect: Dialect
    command: Callable[[Path, int], list[str]]
    more: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> Path:
        """The folder of its virtual environment."""
        return ENVIRONMENTS / self.packed


def inherited() -> dict[str, str]:
    """This process's environment; every side writes its bytecode, as Python does by itself."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | QUIET


class Running:
    """A server that was started; `cold` is the time from its start to its first good answer, s."""

    def __init__(self, server: Server, first: Rows) -> None:
        self.server = server
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        LOGS.mkdir(parents=True, exist_ok=True)
        self.log = LOGS / f"{server.name.replace(' ', '_')}.log"
        bins = server.environment / "bin"
        path = os.pathsep.join([str(bins), os.environ["PATH"]])
        more = {name: text.format(port=self.port) for name, text in server.more.items()}
        body = server.dialect.text(first)
        with self.log.open("wb") as log:
            started = time.perf_counter()
            self.process = subprocess.Popen(
                server.command(bins, self.port),
                cwd=PEERS,
                env={**inherited(), **more, "PATH": path},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            self._wait(body, started)
        except BaseException:
            self.stop()
            raise
        self.cold = time.perf_counter() - started

    def _wait(self, body: bytes, started: float) -> None:
        while True:
            try:
                self.post(self.server.dialect, body)
                return
            except OSError as error:
                if isinstance(error, urllib.error.HTTPError) and error.code not in (404, 503):
                    said = error.read().decode(errors="replace")[:2000]
                    raise SystemExit(f"{self.server.name} answers {error.code}: {said}") from None
                late = time.perf_counter() - started > PATIENCE
                if late or self.process.poll() is not None:
                    said = self.log.read_text(errors="replace")[-2000:]
                    raise SystemExit(f"{self.server.name} gives no answer:\n{said}") from None
            time.sleep(0.005)

    def post(self, dialect: Dialect, body: bytes) -> Any:
        """One request on a connection of its own; the decoded answer."""
        request = urllib.request.Request(
            self.url + dialect.path, body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def settle(self, still: float = 0.2) -> None:
        """Wait until the server has worked off what a load left in its queue."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            before = self.cpu()
            time.sleep(still)
            if self.cpu() - before < 0.1 * still:
                return

    def processes(self) -> list[psutil.Process]:
        """The started process and everything below it."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def cpu(self) -> float:
        """Processor seconds that the whole tree has used."""
        times = [process.cpu_times() for process in self.processes()]
        return float(sum(one.user + one.system for one in times))

    def memory(self) -> tuple[float, float]:
        """MB: the largest process's resident set (the worker), and the tree's proportional set."""
        processes = self.processes()
        largest = max(process.memory_info().rss for process in processes)
        return largest / 1e6, sum(one.memory_full_info().pss for one in processes) / 1e6

    def stop(self) -> None:
        """Ask the session to end, and make it end after ten seconds."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(10)
                if sign == signal.SIGTERM and not _alive(self.process.pid):
                    return


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _mlserver(bins: Path, port: int) -> list[str]:
    folder = flights.CACHE / "mlserver"
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": _free_port(),
        "metrics_port": _free_port(),
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": "flights",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(flights.CACHE / "pipeline.joblib")},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return [str(bins / "mlserver"), "start", str(folder)]


def _mlflow(bins: Path, port: int) -> list[str]:
    words = [str(bins / "mlflow"), "models", "serve", "-m", str(flights.CACHE / "mlflow_model")]
    return [*words, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]


def _uvicorn(module: str) -> Callable[[Path, int], list[str]]:
    return lambda bins, port: [
        str(bins / "uvicorn"),
        *("--port", str(port), "--workers", "1", "--no-access-log", f"{module}:app"),
    ]


def _bentoml(bins: Path, port: int) -> list[str]:
    return [str(bins / "bentoml"), "serve", "bentoml_service:Flights", "-p", str(port)]


def _ours(package: str) -> Callable[[Path, int], list[str]]:
    return lambda bins, port: [str(bins / "modelyard-serve"), str(flights.CACHE / package)]


def ours(workers: int = 1, name: str = "modelyard", package: str = "package_same") -> Server:
    """Our server with its default settings: access log, metrics and request ids are on."""
    more = {"PORT": "{port}", "HOST": "127.0.0.1", "WEB_CONCURRENCY": str(workers)}
    return Server(name, "modelyard", V1, _ours(package), more)


def _empty(bins: Path, port: int) -> list[str]:
    """The options of modelyard-serve itself, so that only what is served differs."""
    return [
        str(bins / "granian"),
        *("--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"),
        *("--http", "1", "--runtime-threads", "1"),
        *("--workers", "1", "--runtime-mode", "st", "--blocking-threads", "1", "empty:app"),
    ]


OURS = ours()
"""The peers' own trees (see folded.py)."""
OWN = ours(name="modelyard, its own trees", package="package")
EMPTY = Server("empty callable", "modelyard", V1, _empty)
ALL = (
    OURS,
    OWN,
    EMPTY,
    Server("mlflow", "mlflow", MLFLOW, _mlflow),
    Server("MLServer", "mlserver", MLSERVER, _mlserver),
    Server("BentoML", "bentoml", ROWS, _bentoml),
    Server("FastAPI + scikit-learn", "fastapi_sklearn", ROWS, _uvicorn("fastapi_sklearn")),
    Server("FastAPI + onnxruntime", "fastapi_onnx", ROWS, _uvicorn("fastapi_onnx")),
)
