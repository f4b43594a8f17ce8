"""The serving benchmark: one model, our server, five peers, one run, interleaved, medians.

    python benchmarks/serving/run.py [--peers mlflow BentoML] [--seconds 5] [--reps 4] [--out FILE]

Needs wrk (apt-get install wrk) and, the first time, a package index for the peers' environments.
All servers are up at once and idle; one is measured at a time, in turn, in an order that changes
with the repetition. Ratios are of measurements of the same repetition: median (least to most).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import signal
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import environments
import flights
from dialects import INVOCATIONS, V1, V2, Dialect
from load import CASES, HUNDRED, MANY, Case, bodies, shoot
from servers import ALL, EMPTY, OURS, OWN, Running, Server, ours
from targets import paired, targets

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import measure

TOLERANCE = 1e-5
WARM = 3
"""Seconds of the round that does not count: a slow peer on a busy machine answers late."""
REST = 15
"""Seconds after the last request in which every side may give memory back before it is read."""
SHOTS = dict[str, dict[str, list[dict[str, float]]]]


def check(running: Running, dialect: Dialect) -> dict[str, float]:
    """Compare answers with the native model's, in bulk and row by row.

    Our own trees are held to their booster, all others to the pipeline. A single row in
    which a text is missing is only counted: mlflow and MLServer make a frame of it in which
    scikit-learn's imputer does not see the None.

    Raises:
        SystemExit: an answer differs by more than TOLERANCE.
    """
    own = running.server.packed == "modelyard"
    rows = flights.sample(300)
    native = running.server.name == OWN.name
    expected = environments.native() if native else environments.expected()
    found = dialect.pairs(running.post(dialect, dialect.text(rows)))
    bulk = _apart(found, expected)
    alone, strange = 0.0, 0
    for row, pair in list(zip(rows, expected, strict=True))[:100]:
        apart = _apart(dialect.pairs(running.post(dialect, dialect.text([row]))), [pair])
        if apart > TOLERANCE and any(row[name] is None for name in flights.CATEGORIES):
            strange += 1
        else:
            alone = max(alone, apart)
    name = f"{running.server.name} {dialect.path}"
    print(f"{name}: differs by {max(bulk, alone):.1e}", file=sys.stderr, end="")
    print(f"; {strange} of 100 single rows are wrong" if strange else "", file=sys.stderr)
    if not max(bulk, alone) <= TOLERANCE or (own and strange):
        raise SystemExit(f"{name} does not answer as the native model does")
    return {"difference": max(bulk, alone), "single_rows_wrong": strange}


def _apart(found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]]) -> float:
    pairs = zip(found, expected, strict=True)
    return max(abs(a - b) for one, two in pairs for a, b in zip(one, two, strict=True))


def weigh(server: Server, starts: int) -> dict[str, Any]:
    """Start a server some times; its cold starts, and what its environment weighs."""
    installed, packages = environments.weight(server.packed)
    cold = []
    for _ in range(starts):
        running = Running(server, flights.sample(1))
        cold.append(running.cold)
        running.stop()
    return {"cold": cold, "installed_mb": installed, "packages": packages}


def rounds(sides: dict[str, tuple[Running, Dialect]], case: Case, options: Any) -> SHOTS:
    """Measure each side once a repetition, after a warm-up that does not count."""
    files = {name: bodies(dialect, case) for name, (_, dialect) in sides.items()}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    for name, (running, dialect) in sides.items():
        shoot(running, dialect, case, files[name], WARM)
    for rep in range(options.reps):
        names = list(sides)
        for name in names[rep % len(names) :] + names[: rep % len(names)]:
            running, dialect = sides[name]
            shot = shoot(running, dialect, case, files[name], options.seconds)
            found[name].append(asdict(shot))
    return {case.name: found}


def measured(chosen: Sequence[Server], options: Any) -> dict[str, Any]:
    """Everything: starts, answers, load, memory, dialects, workers."""
    body: dict[str, Any] = {"shots": {}, "still": {}, "checks": {}}
    for server in chosen:
        quick = server.packed in ("modelyard", "fastapi_onnx")
        body["still"][server.name] = weigh(server, 3 if quick else 1)
    with contextlib.ExitStack() as stack:
        up = {server.name: _up(server, stack) for server in chosen}
        for name, running in up.items():
            body["still"][name]["cold"].append(running.cold)
            if name != EMPTY.name:
                body["checks"][name] = check(running, running.server.dialect)
        for case in CASES:
            sides = {n: (r, r.server.dialect) for n, r in up.items() if _answers(n, case)}
            for name, shots in rounds(sides, case, options)[case.name].items():
                body["shots"].setdefault(name, {})[case.name] = shots
            print(f"done: {case.name}", file=sys.stderr)
            save(body, options.out)  # what is measured is kept if a later part breaks off
        time.sleep(REST)
        for name, running in up.items():
            worker, tree = running.memory()
            body["still"][name] |= {"rss_mb": worker, "pss_mb": tree}
        if OURS.name in up:
            body |= _ours_alone(up[OURS.name], stack, options)
    return body


def _ours_alone(one: Running, stack: contextlib.ExitStack, options: Any) -> dict[str, Any]:
    """Our dialects against each other, and two workers against one."""
    for dialect in (INVOCATIONS, V2):
        check(one, dialect)
    spoken = {dialect.path: (one, dialect) for dialect in (V1, INVOCATIONS, V2)}
    two = _up(ours(2, "modelyard, 2 workers"), stack)
    sizes = {"1": (one, V1), "2": (two, V1)}
    return {
        "dialects": rounds(spoken, MANY, options) | rounds(spoken, HUNDRED, options),
        "workers": rounds(sizes, HUNDRED, options),
    }


def _up(server: Server, stack: contextlib.ExitStack) -> Running:
    running = Running(server, flights.sample(1))
    stack.callback(running.stop)
    return running


def _answers(name: str, case: Case) -> bool:
    """The empty callable says what a server costs; with large bodies it would say nothing."""
    return name != EMPTY.name or case.rows == 1


def report(body: dict[str, Any]) -> str:
    """The Markdown tables: figures, ratios, our own sides, targets."""
    parts = [_figures(body), _ratios(body), _own(body), _verdicts(body)]
    return "\n\n".join(part for part in parts if part)


def _figures(body: dict[str, Any]) -> str:
    head = ["one worker, requests/s (p50/p99 ms)", *(case.name for case in CASES)]
    head += ["CPU µs, 1 row × 16", "cold start, s", "worker RSS, MB", "all processes PSS, MB"]
    head += ["installed MB", "distributions"]
    lines = []
    for name, cases in body["shots"].items():
        line = [name]
        for case in CASES:
            shots = cases.get(case.name)
            line.append(_cell(shots) if shots else "–")
        still = body["still"][name]
        line.append(f"{_middle(cases[MANY.name], 'cpu_us'):,.0f}")
        line.append(f"{statistics.median(still['cold']):.2f}")
        line += [f"{still['rss_mb']:.0f}", f"{still['pss_mb']:.0f}"]
        line += [f"{still['installed_mb']:.0f}", str(still["packages"])]
        lines.append(line)
    return measure.markdown(head, lines)


def _ratios(body: dict[str, Any]) -> str:
    shots = body["shots"]
    if OURS.name not in shots:
        return ""
    lines = []
    for name in shots:
        if name == OURS.name:
            continue
        line = [name]
        for case in CASES:
            if case.name not in shots[name]:
                line.append("–")
                continue
            sides = ([s["rate"] for s in shots[n][case.name]] for n in (OURS.name, name))
            line.append(_ratio(paired(*sides)))
        lines.append(line)
    return measure.markdown(["ours / theirs, requests/s", *(case.name for case in CASES)], lines)


def _own(body: dict[str, Any]) -> str:
    lines = []
    for kind, title in (("dialects", ""), ("workers", "workers: ")):
        for case, sides in body.get(kind, {}).items():
            for side, shots in sides.items():
                cpu = f"{_middle(shots, 'cpu_us'):,.0f}"
                lines.append([case, f"{title}{side}", _cell(shots), cpu])
    head = ["ours", "", "requests/s (p50/p99 ms)", "CPU µs a request"]
    return measure.markdown(head, lines) if lines else ""


def _verdicts(body: dict[str, Any]) -> str:
    lines = []
    for target in body["targets"]:
        sign = "≥" if target["least"] else "≤"
        verdict = "kept" if target["kept"] else "**missed**"
        limit = f"{sign} {target['limit']:.3g}"
        lines.append([target["name"], limit, _ratio(target["figure"]), verdict])
    return measure.markdown(["target", "limit", "measured", "verdict"], lines) if lines else ""


def _cell(shots: Sequence[dict[str, float]]) -> str:
    rate = _middle(shots, "rate")
    shown = f"{rate:,.0f}" if rate >= 20 else f"{rate:.2g}"
    return f"{shown} ({_middle(shots, 'p50_ms'):.3g}/{_middle(shots, 'p99_ms'):.3g})"


def _ratio(figure: dict[str, float]) -> str:
    if figure["min"] == figure["max"]:
        return f"{figure['median']:.3g}"
    return f"{figure['median']:.3g} ({figure['min']:.3g}–{figure['max']:.3g})"


def _middle(shots: Sequence[dict[str, float]], key: str) -> float:
    return statistics.median(shot[key] for shot in shots)


def save(body: dict[str, Any], out: Path) -> None:
    """Write the figures with what the machine was like."""
    conditions = {
        "cores": os.cpu_count(),
        "load_at_end": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"conditions": conditions, **body})
    rounded = json.loads(text, parse_float=lambda digits: float(f"{float(digits):.6g}"))
    out.write_text(json.dumps(rounded, indent=1, ensure_ascii=False) + "\n")


def main() -> None:
    """Prepare, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [server.name for server in ALL]
    parser.add_argument("--peers", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load in a measurement")
    parser.add_argument("--reps", type=int, default=4)
    parser.add_argument("--out", type=Path, default=measure.RESULTS / "serving.json")
    parser.add_argument("--prepare", action="store_true", help="only environments and models")
    options = parser.parse_args()
    # A terminated run must stop its servers too.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    chosen = [server for server in ALL if server.name in options.peers]
    environments.models()
    for packed in {server.packed for server in chosen}:
        environments.prepare(packed)
    if options.prepare:
        return
    body = measured(chosen, options)
    body |= {"seconds": options.seconds, "reps": options.reps}
    body["targets"] = [asdict(one) | {"kept": one.kept} for one in targets(body)]
    print(report(body))
    save(body, options.out)
    print(f"\nwritten to {options.out}")


if __name__ == "__main__":
    main()
