"""What the stable pods were asked, asked of the canary again: the agreement on live traffic."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from modelyard.ship.deploy.figures import Figures, Pairs, compare
from modelyard.tools import kubernetes as tool

TAIL = """
import glob, sys
since, most, lines = sys.argv[1], int(sys.argv[2]), []
for name in sorted(glob.glob("/var/log/predictions/*.jsonl")):
    with open(name, encoding="utf-8") as file:
        lines += [line for line in file if line[9:28] >= since]
sys.stdout.writelines(lines[-most:])
"""
"""Run in a pod by the image's Python, which needs no shell: the last lines since a moment. A line
begins {"time":"2026-…, so its characters 9 to 28 are the moment to the second."""

YEARS = range(1972, 2040)


def replay(
    cluster: tool.Cluster, selector: str, service: str, since: float, most: int, key: str = ""
) -> tuple[Figures, Pairs]:
    """Ask the canary what the stable pods answered since a moment (Unix seconds), with an API key.

    Returns:
        The canary's figures over these requests, and how far it agrees.
    """
    moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    logged: list[dict[str, Any]] = []
    for pod in tool.pods(cluster, selector):
        if pod.track == "stable" and pod.ready:
            done = cluster.kubectl(
                "exec", pod.name, "--", "python3", "-c", TAIL, moment, str(most), check=False
            )
            logged += [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    if not logged:
        return Figures(), Pairs()
    rows = [row_of(entry["input"]) for entry in logged[-most:]]
    stable = {"predictions": [entry["prediction"] for entry in logged[-most:]]}
    if "probabilities" in logged[0]:
        stable["probabilities"] = [entry["probabilities"] for entry in logged[-most:]]
    port = int(cluster.get("service", service)[0]["spec"]["ports"][0]["port"])
    with cluster.forward(f"svc/{service}", port) as way:
        return _ask(way.url, rows, stable, key)


def row_of(logged: dict[str, Any]) -> dict[str, Any]:
    """A row as it can be asked again: the log holds a moment's parts, not the moment."""
    return {
        name: _moment(value) if isinstance(value, dict) else value for name, value in logged.items()
    }


def fetch(url: str, key: str = "") -> str:
    """A page as text, asked for with an API key where there is one."""
    request = urllib.request.Request(url, headers=_with(key))  # noqa: S310 - our own port-forward
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        text: str = answer.read().decode("utf-8")
        return text


def _moment(parts: dict[str, float | None]) -> str | None:
    """A moment with these parts; where the year is not among them, one whose weekday fits."""
    if any(value is None for value in parts.values()):
        return None
    if "days" in parts:
        return (datetime(1970, 1, 1) + timedelta(days=float(parts["days"] or 0))).isoformat()
    hour = timedelta(hours=float(parts.get("hour") or 0))
    years = [int(parts["year"] or 0)] if "year" in parts else list(YEARS)
    best = datetime(years[0], 1, 1)
    most = -1
    for year in years:
        first = datetime(year, 1, 1)
        for candidate in _days(year, parts) or [first]:
            fits = sum(
                (
                    parts.get("weekday") in (None, candidate.weekday()),
                    parts.get("dayofyear") in (None, (candidate - first).days + 1),
                    parts.get("day") in (None, candidate.day),
                )
            )
            if fits > most:
                best, most = candidate, fits
    return (best + hour).isoformat()


def _days(year: int, parts: dict[str, float | None]) -> list[datetime]:
    if parts.get("dayofyear"):
        return [datetime(year, 1, 1) + timedelta(days=int(parts["dayofyear"] or 1) - 1)]
    month = int(parts.get("month") or 1)
    wanted = [int(parts["day"] or 1)] if "day" in parts else list(range(1, 8))
    found = []
    for day in wanted:
        try:
            found.append(datetime(year, month, day))
        except ValueError:
            continue  # 29 February, in a year that has none
    return found


def _with(key: str) -> dict[str, str]:
    return {"X-API-Key": key} if key else {}


def _ask(
    url: str, rows: list[dict[str, Any]], stable: dict[str, Any], key: str
) -> tuple[Figures, Pairs]:
    figures, pairs = Figures(), Pairs()
    for start in range(0, len(rows), 100):
        part = slice(start, start + 100)
        body = json.dumps({"rows": rows[part]}).encode()
        began = time.monotonic()
        try:
            request = urllib.request.Request(  # noqa: S310 - our own port-forward
                f"{url}/v1/predict", body, {"Content-Type": "application/json", **_with(key)}
            )
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
                said: Any = json.load(answer)
        except urllib.error.HTTPError as error:
            said = None
            figures = figures.plus(Figures(1.0, float(error.code >= 500)))
        else:
            figures = figures.plus(Figures(1.0, 0.0, time.monotonic() - began))
        pairs = pairs.plus(compare({key: value[part] for key, value in stable.items()}, said))
    return figures, pairs
