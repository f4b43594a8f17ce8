"""What the benchmarks share: processes measured in turn, medians, ratios, tables, result files."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FLIGHTS = ROOT / "examples/flights"
RESULTS = Path(__file__).with_name("results")
BIN = Path(sys.executable).parent

UNITS = {"seconds": "wall clock, s", "cpu": "processor, s", "peak_mb": "peak memory, MB"}

QUIET = {
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "1",
    "GIT_AUTHOR_NAME": "Bench",
    "GIT_AUTHOR_EMAIL": "bench@example.org",
    "GIT_COMMITTER_NAME": "Bench",
    "GIT_COMMITTER_EMAIL": "bench@example.org",
}


@dataclass(frozen=True)
class Spent:
    """What one process and its children took: wall clock, processor, the largest process.

    The kernel counts the measuring process's own memory into a child's peak: keep that one small.
    """

    seconds: float
    cpu: float
    peak_mb: float


def environment() -> dict[str, str]:
    """This process's environment with our programs first on the PATH, and nothing sent home.

    Every side writes its bytecode, as Python does unless it is told otherwise: the round that does
    not count leaves it there.
    """
    path = os.pathsep.join([str(BIN), os.environ.get("PATH", "")])
    return {**_inherited(), **QUIET, "PATH": path}


def _inherited() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def run(command: Sequence[str], cwd: Path | None = None) -> Spent:
    """Run a command and wait for it; its output is shown where it fails.

    Raises:
        SystemExit: the command failed.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{said.decode(errors='replace')}")
    return Spent(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def in_turn(
    sides: Mapping[str, Sequence[str]], rounds: int, cwd: Path | None = None
) -> dict[str, list[Spent]]:
    """Measure each command once a round, after one round that does not count."""
    found: dict[str, list[Spent]] = {name: [] for name in sides}
    for number in range(rounds + 1):
        for name, command in sides.items():
            spent = run(command, cwd)
            if number:
                found[name].append(spent)
    return found


def medians(rounds: Sequence[Spent], keys: Sequence[str] = tuple(UNITS)) -> dict[str, float]:
    """The median of each figure."""
    return {key: statistics.median(getattr(spent, key) for spent in rounds) for key in keys}


def compare(
    found: Mapping[str, Sequence[Spent]],
    ours: str,
    bare: str,
    keys: Sequence[str] = ("seconds", "cpu"),
) -> tuple[dict[str, Any], list[list[str]]]:
    """Medians of both sides with the ratios, and the same as rows of a table."""
    middle = {name: medians(found[name], keys) for name in (bare, ours)}
    ratios = {key: middle[ours][key] / middle[bare][key] for key in keys}
    body = {"medians": middle, "ratios": ratios, "rounds": len(found[ours])}
    rows = [
        [UNITS[key], f"{middle[bare][key]:.3g}", f"{middle[ours][key]:.3g}", f"{ratios[key]:.2f}"]
        for key in keys
    ]
    return body, rows


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save(name: str, body: Mapping[str, Any]) -> None:
    """Write benchmarks/results/NAME.json, with what the machine was like."""
    RESULTS.mkdir(exist_ok=True)
    conditions = {
        "cores": os.cpu_count(),
        "load_at_end": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {one: version(one) for one in ("modelyard", "polars", "dvc", "lightgbm")},
    }
    path = RESULTS / f"{name}.json"
    path.write_text(_short(json.dumps({"conditions": conditions, **body})) + "\n")
    print(f"\nwritten to benchmarks/results/{path.name}")


def _short(text: str) -> str:
    """The same JSON with figures of at most five digits after the point."""
    return json.dumps(
        json.loads(text, parse_float=lambda digits: round(float(digits), 5)), indent=1
    )


def write_table_head(source: Path, rows: int, target: Path) -> None:
    """Copy the header and the first rows of a CSV without quoted newlines."""
    with source.open(encoding="utf-8") as reader, target.open("w", encoding="utf-8") as writer:
        for number, line in enumerate(reader):
            if number > rows:
                break
            writer.write(line)
