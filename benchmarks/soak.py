"""A soak: the server at full load for a while; its memory must stay flat and nothing may fail.

    python benchmarks/soak.py [--seconds 600] [--workers 1] [--clients 8] [--package FOLDER]

Every client asks in turn what clients ask: one row, a hundred rows, the other dialects, a table, a
stream, bodies that are refused, probes and the metrics. Target: after a fifth of the time for
warming up, the workers' resident memory grows by at most 5 %, and no request fails.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packages/modelyard-serve/tests"))

from running import Running, resident

ROOT = Path(__file__).resolve().parents[1]
GROWTH = 0.05
JSON, CSV, NDJSON = "application/json", "text/csv", "application/x-ndjson"


class Request(NamedTuple):
    """One kind of request and the status that it must have."""

    method: str
    path: str
    body: bytes
    kind: str
    status: int
    often: int = 1


class Result(NamedTuple):
    """What a soak gave: requests by status, failures, and memory in bytes over time."""

    answered: dict[int, int]
    failures: list[str]
    seconds: float
    memory: list[int]

    @property
    def growth(self) -> float:
        """The mean of the last fifth over that of the second fifth, less one."""
        fifth = max(1, len(self.memory) // 5)
        early, late = self.memory[fifth : 2 * fifth], self.memory[-fifth:]
        return (sum(late) / len(late)) / (sum(early) / len(early)) - 1


def requests(package: Path) -> list[Request]:
    """The mix, made of the package's golden rows; every request as often as it says."""
    rows: list[dict[str, Any]] = json.loads((package / "golden.json").read_bytes())["rows"]
    manifest = json.loads((package / "manifest.json").read_bytes())
    names = [feature["name"] for feature in manifest["features"]]
    rows = [{name: row.get(name) for name in names} for row in rows]
    hundred = (rows * 100)[:100]
    values = [[row[name] for name in names] for row in hundred]
    tensors = []
    for feature in manifest["features"]:
        cells = [row[feature["name"]] for row in hundred]
        kind = "FP64" if feature["kind"] in ("number", "integer") else "BYTES"
        if feature["kind"] == "boolean":
            kind = "BOOL"
        tensor = {"name": feature["name"], "datatype": kind, "shape": [100], "data": cells}
        tensors.append(tensor)
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in hundred) * 20
    wrong = {**rows[0], names[0]: [1, 2]}
    found = [
        Request("POST", "/v1/predict", _json({"rows": rows[:1]}), JSON, 200, 20),
        Request("POST", "/v1/predict", _json({"rows": hundred}), JSON, 200, 4),
        Request("POST", "/v1/predict", lines, NDJSON, 200),
        Request("POST", "/v1/predict", _json({"rows": [wrong]}), JSON, 422, 2),
        Request("POST", "/v1/predict", b'{"rows": [', JSON, 400, 2),
        Request("POST", "/v1/predict", b"%", "image/png", 415),
        Request(
            "POST",
            "/invocations",
            _json({"dataframe_split": {"columns": names, "data": values}}),
            JSON,
            200,
            4,
        ),
        Request(
            "POST",
            f"/v2/models/{manifest['name']}/infer",
            _json({"inputs": tensors}),
            JSON,
            200,
            2,
        ),
        Request("POST", "/v1/explain", _json({"row": rows[0]}), JSON, 200),
        Request("GET", "/ping", b"", JSON, 200, 2),
        Request("GET", "/metrics", b"", JSON, 200),
        Request("GET", "/nowhere", b"", JSON, 404),
        Request("GET", "/", b"", JSON, 200),
    ]
    return [request for request in found for _ in range(request.often)]


def soak(server: Running, mix: Sequence[Request], seconds: float, clients: int) -> Result:
    """Ask without a pause for so many seconds, and sample the workers' memory meanwhile."""
    counts: Counter[int] = Counter()
    failures: list[str] = []
    ends = time.monotonic() + seconds

    def client(number: int) -> None:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        turn = number * 7
        while time.monotonic() < ends and len(failures) < 20:
            request = mix[turn % len(mix)]
            turn += 1
            try:
                connection.request(
                    request.method, request.path, request.body, {"Content-Type": request.kind}
                )
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, HTTPException) as error:
                failures.append(f"{request.method} {request.path}: {error!r}")
                connection.close()
                continue
            counts[answer.status] += 1
            if answer.status != request.status:
                failures.append(f"{request.method} {request.path}: {answer.status} {text[:300]!r}")
        connection.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    workers = server.workers()
    memory: list[int] = []
    began = time.monotonic()
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(min(1.0, seconds / 100))
        memory.append(sum(resident(pid) for pid in workers))
    if server.workers() != workers:
        failures.append("a worker was replaced")
    return Result(dict(counts), failures, time.monotonic() - began, memory)


def main() -> int:
    """Run the soak, print what it found; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--package", type=Path, default=ROOT / "contract/format-1")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"WEB_CONCURRENCY": str(options.workers)}
        with Running(options.package, Path(scratch), settings=settings) as server:
            server.ready()
            server.until(lambda: len(server.workers()) == options.workers, 30)
            found = soak(server, requests(options.package), options.seconds, options.clients)
            server.terminate()
            code = server.wait(60)
            told = [line for line in server.lines() if line["level"] == "error"]
    answered = sum(found.answered.values())
    peak = max(found.memory) / 2**20
    print(
        f"{answered:,} requests in {found.seconds:.0f} s ({answered / found.seconds:,.0f} a second)"
    )
    print("by status: " + ", ".join(f"{s}: {n:,}" for s, n in sorted(found.answered.items())))
    print(f"memory of {options.workers} worker(s): at most {peak:.0f} MB, {found.growth:+.1%}")
    print(f"failures: {len(found.failures)}; errors in the log: {len(told)}; exit code {code}")
    for failure in found.failures[:10]:
        print(f"  {failure}")
    for line in told[:3]:
        print("  " + re.sub(r"\s+", " ", json.dumps(line))[:1000])
    good = not found.failures and not told and code == 0 and found.growth <= GROWTH
    print("as wanted" if good else "TARGET MISSED")
    return 0 if good else 1


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


if __name__ == "__main__":
    sys.exit(main())
