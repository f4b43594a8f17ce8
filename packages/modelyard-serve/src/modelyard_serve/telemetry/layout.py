"""Which slot of the board counts what. Everything is fixed by the package: no label grows."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterator
from typing import NamedTuple

from modelyard_serve.contract import Manifest, Reference

ROUTES = (
    "/v1/predict",
    "/invocations",
    "/v2/models/{name}/infer",
    "/v1/explain",
    "/v1/what-if",
    "/v1/model",
    "/v2/models/{name}",
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/ping",
    "/health",
    "/version",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/",
    "other",
)
CODES = (200, 304, 400, 401, 404, 405, 406, 413, 415, 422, 429, 500, 503, 0)
"""The codes that are counted apart; 0 is any other."""
BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0,
)  # fmt: skip
"""Upper bounds of the latency's buckets, in seconds."""
SCORE_BINS = 10

_CODE_AT = {code: place for place, code in enumerate(CODES)}
_ROUTE_AT = {route: place for place, route in enumerate(ROUTES)}


class Bins(NamedTuple):
    """One feature's column and its bins: `size` slots from `first` on, missing values last."""

    name: str
    column: int
    first: int
    size: int
    inner: tuple[float, ...]
    places: tuple[int, ...]
    labels: tuple[str, ...]
    shares: tuple[float, ...]


class Layout:
    """Slots for requests, latencies, rows, predictions, score bins and the features' bins."""

    def __init__(self, manifest: Manifest, reference: Reference) -> None:
        self.classes = manifest.classes
        self.reference_rows = reference.rows
        self.requests = 0
        self.latency = self.requests + len(ROUTES) * len(CODES)
        self.seconds = self.latency + len(ROUTES) * (len(BUCKETS) + 1)
        self.rows = self.seconds + len(ROUTES)
        self.predictions = self.rows + len(ROUTES)
        self.scores = self.predictions + max(1, len(manifest.classes))
        self.features = self.scores + SCORE_BINS * len(manifest.classes)
        self.bins = tuple(_bins(manifest, reference, self.features))
        self.unseen = self.features + sum(bins.size for bins in self.bins)
        self.size = self.unseen + len(manifest.features)

    def request(self, route: str, status: int) -> int:
        """The slot of one route's answers with one code."""
        return _ROUTE_AT[route] * len(CODES) + _CODE_AT.get(status, len(CODES) - 1)

    def bucket(self, route: str, seconds: float) -> int:
        """The slot of one route's latencies about as long as this one."""
        place = bisect.bisect_left(BUCKETS, seconds)
        return self.latency + _ROUTE_AT[route] * (len(BUCKETS) + 1) + place

    def at(self, base: int, route: str) -> int:
        """The slot of `seconds` or `rows` for one route."""
        return base + _ROUTE_AT[route]


def _bins(manifest: Manifest, reference: Reference, first: int) -> Iterator[Bins]:
    """The bins of those features that the reference tells of, as columns of the matrix."""
    known = {column.name: column for column in reference.columns}
    column = 0
    for feature in manifest.features:
        start, column = column, column + feature.width
        told = known.get(feature.name)
        if told is None or not told.shares:
            continue
        inner: tuple[float, ...] = ()
        places: tuple[int, ...] = ()
        if feature.kind in ("category", "boolean"):
            levels = told.levels
            if not levels:
                continue
            other = len(levels)
            where = {level: place for place, level in enumerate(levels)}
            if feature.kind == "category":
                names = ("", *feature.levels)
                places = (other, *(where.get(level, other) for level in feature.levels))
            else:
                names = ("false", "true")
                spelled = feature.levels if len(feature.levels) == 2 else names
                places = tuple(
                    where.get(name, where.get(own, other))
                    for name, own in zip(names, spelled, strict=True)
                )
            labels = (*levels, "(other)")
        elif len(told.edges) > 2:
            if feature.kind == "datetime":
                if "days" not in feature.parts:
                    continue
                start += feature.parts.index("days")
            inner = told.edges[1:-1]
            labels = _ranges(inner)
        else:
            continue
        count = len(told.shares) + 1
        shares = (*(s * (1 - told.missing_share) for s in told.shares), told.missing_share)
        labels = _unlike((*labels, "(missing)"))
        yield Bins(feature.name, start, first, count, inner, places, labels, shares)
        first += count


def _unlike(labels: tuple[str, ...]) -> tuple[str, ...]:
    """A level may be spelled like a label of ours: Prometheus refuses a page that repeats one."""
    found: dict[str, None] = {}
    for label in labels:
        while label in found:
            label += "_"
        found[label] = None
    return tuple(found)


def _ranges(inner: tuple[float, ...]) -> tuple[str, ...]:
    for form in ("{:g}", "{!r}"):  # as exact as it takes to tell the bins apart
        ends = [form.format(edge) for edge in inner]
        between = [f"{low} to {high}" for low, high in itertools.pairwise(ends)]
        if len(set(between)) == len(between):
            break
    return (f"below {ends[0]}", *between, f"from {ends[-1]}")
