"""Load by wrk: cases, bodies in files, one measurement."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import flights
from dialects import Dialect
from servers import HERE, Running

BODIES = flights.CACHE / "bodies"


@dataclass(frozen=True)
class Case:
    """Rows a request, connections, and how many different bodies are sent in turn."""

    rows: int
    connections: int
    bodies: int

    @property
    def name(self) -> str:
        """As the tables call it."""
        return f"{self.rows:,} row{'s' * (self.rows > 1)} × {self.connections}"


ONE = Case(1, 1, 256)
MANY = Case(1, 16, 256)
HUNDRED = Case(100, 16, 32)
BULK = Case(10_000, 1, 4)
CASES = (ONE, MANY, HUNDRED, BULK)


@dataclass(frozen=True)
class Shot:
    """One measurement. `cpu_us` is the server's processor time a request, in microseconds."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def bodies(dialect: Dialect, case: Case) -> Path:
    """Write the case's bodies in this dialect, one a line; returns the file."""
    BODIES.mkdir(parents=True, exist_ok=True)
    rows = flights.sample(case.rows * case.bodies)
    path = BODIES / f"{dialect.name}-{case.rows}x{case.bodies}.jsonl"
    chunks = (rows[start : start + case.rows] for start in range(0, len(rows), case.rows))
    path.write_bytes(b"".join(dialect.text(chunk) + b"\n" for chunk in chunks))
    return path


def shoot(running: Running, dialect: Dialect, case: Case, file: Path, seconds: float) -> Shot:
    """Load one server for some seconds.

    Raises:
        SystemExit: wrk is not there or failed, or a request was not answered with 2xx.
    """
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed: apt-get install wrk")
    command = [
        *("wrk", "-t1", f"-c{case.connections}", f"-d{max(1, round(seconds))}s"),
        *("--timeout", "30s", "-s", str(HERE / "post.lua"), running.url + dialect.path),
        *("--", str(file), "application/json"),
    ]
    before, started = running.cpu(), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cpu, waited = running.cpu() - before, time.perf_counter() - started
    line = next((one for one in done.stdout.splitlines() if one.startswith("RESULT ")), None)
    if line is None:
        raise SystemExit(f"wrk failed after {waited:.0f} s:\n{done.stdout}{done.stderr}")
    running.settle()
    found = json.loads(line.removeprefix("RESULT "))
    if found["errors"] or not found["requests"]:
        raise SystemExit(f"{running.server.name}, {case.name}: {line}")
    return Shot(
        rate=found["requests"] / found["seconds"],
        p50_ms=found["p50_ms"],
        p99_ms=found["p99_ms"],
        cpu_us=cpu * 1e6 / found["requests"],
    )
