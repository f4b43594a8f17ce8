"""The counters in Prometheus' text form, made when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from modelyard_serve.contract import Manifest
from modelyard_serve.telemetry.board import Board
from modelyard_serve.telemetry.layout import BUCKETS, CODES, ROUTES, SCORE_BINS, Layout

_FLOOR = 1e-4
_LEAST_ROWS = 100
"""Below this many rows a feature's drift is not told; above, an alarm is an index over chance."""
Totals = NDArray[np.float64]


class _Collector(Collector):
    def __init__(self, board: Board, layout: Layout, manifest: Manifest, version: str) -> None:
        self.board, self.layout, self.manifest, self.version = board, layout, manifest, version

    def collect(self) -> Iterator[Metric]:
        totals = self.board.totals()
        yield self._info()
        yield self._ready()
        yield self._requests(totals)
        yield self._latency(totals)
        yield self._rows(totals)
        yield from self._predictions(totals)
        yield from self._features(totals)

    def _info(self) -> Metric:
        names = ["name", "version", "task", "model_digest", "data_version", "commit"]
        info = GaugeMetricFamily("modelyard_model_info", "The model that is served.", labels=names)
        manifest = self.manifest
        lineage = manifest.lineage
        info.add_metric(
            [
                manifest.name,
                self.version,
                manifest.task,
                manifest.model_digest,
                lineage.get("data_version", ""),
                lineage.get("commit", ""),
            ],
            1,
        )
        return info

    def _ready(self) -> Metric:
        ready = 0.0 if self.board.draining else 1.0
        return GaugeMetricFamily("modelyard_ready", "1, or 0 while the server drains.", value=ready)

    def _requests(self, totals: Totals) -> Metric:
        family = CounterMetricFamily(
            "modelyard_requests", "Requests answered.", labels=["route", "code"]
        )
        for route in ROUTES:
            for code in CODES:
                count = totals[self.layout.request(route, code)]
                if count:
                    family.add_metric([route, str(code) if code else "other"], count)
        return family

    def _latency(self, totals: Totals) -> Metric:
        family = HistogramMetricFamily(
            "modelyard_request_seconds",
            "Time from the request's arrival at the application to its answer.",
            labels=["route"],
        )
        for place, route in enumerate(ROUTES):
            start = self.layout.latency + place * (len(BUCKETS) + 1)
            counts = np.cumsum(totals[start : start + len(BUCKETS) + 1])
            if counts[-1]:
                names = [*(str(bound) for bound in BUCKETS), "+Inf"]
                buckets = list(zip(names, counts.tolist(), strict=True))
                seconds = float(totals[self.layout.at(self.layout.seconds, route)])
                family.add_metric([route], buckets, seconds)
        return family

    def _rows(self, totals: Totals) -> Metric:
        family = CounterMetricFamily("modelyard_rows", "Rows scored.", labels=["route"])
        for route in ROUTES:
            if count := totals[self.layout.at(self.layout.rows, route)]:
                family.add_metric([route], count)
        return family

    def _predictions(self, totals: Totals) -> Iterator[Metric]:
        layout = self.layout
        if not layout.classes:
            return
        family = CounterMetricFamily(
            "modelyard_predictions", "Rows by the class predicted.", labels=["class"]
        )
        scores = CounterMetricFamily(
            "modelyard_scores", "Rows by a class's probability, in tenths.", labels=["class", "bin"]
        )
        for place, name in enumerate(layout.classes):
            family.add_metric([name], totals[layout.predictions + place])
            for tenth in range(SCORE_BINS):
                count = totals[layout.scores + place * SCORE_BINS + tenth]
                scores.add_metric([name, f"{tenth / 10:.1f}"], count)
        yield family
        yield scores

    def _features(self, totals: Totals) -> Iterator[Metric]:
        counts = CounterMetricFamily(
            "modelyard_feature_values", "Values by the package's bins.", labels=["feature", "bin"]
        )
        unseen = CounterMetricFamily(
            "modelyard_feature_unseen", "Categories unknown to the model.", labels=["feature"]
        )
        drift = GaugeMetricFamily(
            "modelyard_feature_psi",
            f"Population stability index against training, from {_LEAST_ROWS} rows on.",
            labels=["feature"],
        )
        chance = GaugeMetricFamily(
            "modelyard_feature_psi_chance",
            "What the index stays below by chance alone, but for one case in a thousand.",
            labels=["feature"],
        )
        before = self.layout.reference_rows
        for bins in self.layout.bins:
            found = totals[bins.first : bins.first + bins.size]
            for label, count in zip(bins.labels, found.tolist(), strict=True):
                counts.add_metric([bins.name, label], count)
            rows = float(found.sum())
            if rows >= _LEAST_ROWS:
                expected, actual = np.array(bins.shares), found / rows
                used = int(((expected > 0) | (actual > 0)).sum())
                floor = max(_FLOOR, 0.5 / max(1.0, min(before, rows)))
                drift.add_metric([bins.name], _psi(expected, actual, floor))
                chance.add_metric([bins.name], _chance(used, before, rows))
        for place, feature in enumerate(self.manifest.features):
            if feature.kind == "category":
                unseen.add_metric([feature.name], totals[self.layout.unseen + place])
        yield counts
        yield unseen
        yield drift
        yield chance


class Metrics:
    """`text()` is the page that Prometheus reads."""

    def __init__(self, board: Board, layout: Layout, manifest: Manifest, version: str) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Collector(board, layout, manifest, version))

    def text(self) -> bytes:
        """The metrics of all workers in Prometheus' text form."""
        return generate_latest(self._registry)


def _psi(expected: Totals, actual: Totals, floor: float) -> float:
    before, after = np.maximum(expected, floor), np.maximum(actual, floor)
    return float(((after - before) * np.log(after / before)).sum())


def _chance(bins: int, before: float, after: float) -> float:
    """The index of equal distributions follows a chi-square: its quantile at 0.999.

    Wilson and Hilferty's (1931); a quarter on top, since nearly empty bins have longer tails.
    """
    degrees = max(1, bins - 1)
    spread = 2 / (9 * degrees)
    quantile = degrees * (1 - spread + 3.0902 * math.sqrt(spread)) ** 3
    return 1.25 * float(quantile) * (1 / max(1.0, before) + 1 / max(1.0, after))
