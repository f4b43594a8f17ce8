"""What the tour visits: MLflow's page and the model's own server, on free ports of loopback."""

from __future__ import annotations

import json
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
from typing import Any
from urllib.parse import quote

from modelyard.tools import screen

PATIENCE = 420.0
"""Seconds that a server may take to answer first: MLflow's imports take a minute on a full machine,
and its worker's start another. The camera is not running yet."""


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
            env=os.environ,
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


def experiment(address: str) -> tuple[str, list[str]]:
    """The newest experiment of MLflow's page that has runs, and its finished parent runs."""
    body = _ask(address, "experiments/search", {"max_results": 50})
    for found in body.get("experiments", []):
        name = str(found["experiment_id"])
        runs = _ask(
            address,
            "runs/search",
            {"experiment_ids": [name], "filter": "tags.`modelyard.gate` != ''", "max_results": 20},
        ).get("runs", [])
        ids = [str(run["info"]["run_id"]) for run in runs]
        if ids:
            return name, ids
    return "", []


def runs_page(address: str, experiment: str, run: str = "") -> str:
    """Where MLflow's page shows an experiment's runs, or one of them."""
    return f"{address}/#/experiments/{experiment}/runs" + (f"/{run}" if run else "")


def compare_page(address: str, experiment: str, runs: Sequence[str]) -> str:
    """Where MLflow's page shows runs side by side."""
    chosen, where = quote(json.dumps(list(runs))), quote(json.dumps([experiment]))
    return f"{address}/#/compare-runs?runs={chosen}&experiments={where}"


def run_name(address: str, run: str) -> str:
    """What MLflow's page calls a run."""
    return str(_ask(address, f"runs/get?run_id={run}")["run"]["info"]["run_name"])


def _ask(address: str, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{address}/api/2.0/mlflow/{what}",
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found = json.loads(answer.read())
    return found if isinstance(found, dict) else {}
