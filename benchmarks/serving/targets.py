"""What the serving benchmark must show, each a figure, a limit and a verdict."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Paired = dict[str, float]
SLOW = ("mlflow", "BentoML", "MLServer")
OURS = "modelyard"
FAST_PEER = "FastAPI + onnxruntime"
EMPTY = "empty callable"
ONE_MANY, HUNDRED, BULK = "1 row × 16", "100 rows × 16", "10,000 rows × 1"


@dataclass(frozen=True)
class Target:
    """One line of the table; `least` says whether the figure must reach or stay below the limit."""

    name: str
    limit: float
    figure: Paired
    least: bool = True

    @property
    def kept(self) -> bool:
        """Whether the median keeps the limit."""
        middle = self.figure["median"]
        return middle >= self.limit if self.least else middle <= self.limit


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """Ratios of measurements that were taken in the same repetition: median, least, most."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def single(figure: float) -> Paired:
    """A figure that was measured once."""
    return {"median": figure, "min": figure, "max": figure}


def targets(body: dict[str, Any]) -> Iterator[Target]:
    """Every target whose two sides were measured."""
    shots, still = body["shots"], body["still"]

    def rates(name: str, case: str, key: str = "rate") -> list[float]:
        return [shot[key] for shot in shots[name][case]]

    def against(name: str, case: str) -> Paired:
        return paired(rates(OURS, case), rates(name, case))

    if OURS not in shots:
        return
    limits = (
        (ONE_MANY, "mlflow", 300.0),
        (ONE_MANY, "BentoML", 150.0),
        (ONE_MANY, "MLServer", 150.0),
        (ONE_MANY, FAST_PEER, 8.0),
        (ONE_MANY, EMPTY, 0.5),
        (HUNDRED, "mlflow", 40.0),
        (HUNDRED, FAST_PEER, 4.0),
    )
    for case, name, limit in limits:
        if case in shots.get(name, {}):
            yield Target(f"requests/s, {case}: ours / {name}", limit, against(name, case))
    slow = [name for name in SLOW if name in shots]
    if slow:
        best = [
            min(each) for each in zip(*(rates(n, ONE_MANY, "p99_ms") for n in slow), strict=True)
        ]
        ratio = paired(best, rates(OURS, ONE_MANY, "p99_ms"))
        yield Target(f"p99, {ONE_MANY}: best of {', '.join(slow)} / ours", 50.0, ratio)
    if BULK in shots[OURS]:
        ratio = paired([100 * rate for rate in rates(OURS, BULK)], rates(OURS, HUNDRED))
        yield Target("rows/s, ours: 10,000 rows × 1 / 100 rows × 16", 1.0, ratio)
    yield from _of_ours(body, paired)
    yield from _still(still)


def _of_ours(body: dict[str, Any], ratio: Callable[..., Paired]) -> Iterator[Target]:
    """Dialects and workers: sides that are both ours."""
    for case, sides in body.get("dialects", {}).items():
        plain = [shot["rate"] for shot in sides["/v1/predict"]]
        for path, found in sides.items():
            if path != "/v1/predict":
                figure = ratio([shot["rate"] for shot in found], plain)
                yield Target(f"requests/s, {case}: {path} / /v1/predict", 0.6, figure)
    for case, sides in body.get("workers", {}).items():
        one, two = ([shot["rate"] for shot in sides[number]] for number in ("1", "2"))
        yield Target(f"requests/s, {case}: two workers / one", 1.6, ratio(two, one))


def _still(still: dict[str, Any]) -> Iterator[Target]:
    """Start, memory, size: what does not depend on load."""
    ours = still[OURS]
    if "mlflow" in still:
        cold = statistics.median(ours["cold"]) / statistics.median(still["mlflow"]["cold"])
        yield Target("cold start: ours / mlflow", 1 / 20, single(cold), least=False)
    if FAST_PEER in still:
        cold = statistics.median(ours["cold"]) / statistics.median(still[FAST_PEER]["cold"])
        yield Target(f"cold start: ours / {FAST_PEER}", 1.0, single(cold), least=False)
    if "mlflow" in still:
        memory = ours["rss_mb"] / still["mlflow"]["rss_mb"]
        yield Target("memory of a worker: ours / mlflow", 1 / 4, single(memory), least=False)
    # The peers' own server files are no distributions; neither does our own one count here.
    packages = single(ours["packages"] - 1)
    name = f"distributions that modelyard-serve needs ({ours['packages']} with itself)"
    yield Target(name, 15, packages, least=False)
    yield Target("installed, MB", 160, single(ours["installed_mb"]), least=False)
