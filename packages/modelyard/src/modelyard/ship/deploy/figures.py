"""What two tracks did on live traffic, and what follows from it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from modelyard.ship.deploy.target import Canary
from modelyard.ship.golden import differences

PREDICT = frozenset(("/v1/predict", "/invocations", "/v2/models/{name}/infer"))
"""The routes whose requests count: probes and pages say nothing of a model."""
_LINE = re.compile(r"^(\w+?)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Figures:
    """One track over the canary's time. `buckets` are cumulative counts by upper bound."""

    requests: float = 0.0
    errors: float = 0.0
    seconds: float = 0.0
    buckets: dict[float, float] = field(default_factory=dict)

    @property
    def error_share(self) -> float:
        """Errors of the server among the requests."""
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float:
        """The upper bound of the bucket that holds this quantile of the latencies, in seconds."""
        total = max(self.buckets.values(), default=0.0)
        for bound in sorted(self.buckets):
            if total and self.buckets[bound] >= share * total:
                return bound
        return 0.0

    def minus(self, before: Figures) -> Figures:
        """What came since."""
        return Figures(
            self.requests - before.requests,
            self.errors - before.errors,
            self.seconds - before.seconds,
            {key: value - before.buckets.get(key, 0.0) for key, value in self.buckets.items()},
        )

    def plus(self, other: Figures) -> Figures:
        """Both pods' together."""
        keys = {*self.buckets, *other.buckets}
        return Figures(
            self.requests + other.requests,
            self.errors + other.errors,
            self.seconds + other.seconds,
            {key: self.buckets.get(key, 0.0) + other.buckets.get(key, 0.0) for key in keys},
        )


@dataclass(frozen=True)
class Pairs:
    """Rows that both models were asked for."""

    rows: int = 0
    same: int = 0
    worst: float = 0.0

    @property
    def agreement(self) -> float:
        """Share of the rows whose class (or value, within 10 %) is the same."""
        return self.same / self.rows if self.rows else 0.0

    def plus(self, other: Pairs) -> Pairs:
        """Both together."""
        return Pairs(self.rows + other.rows, self.same + other.same, max(self.worst, other.worst))


@dataclass(frozen=True)
class Verdict:
    """Whether the canary is promoted, and every reason for and against."""

    passed: bool
    reasons: tuple[str, ...]
    figures: dict[str, float]


def read_metrics(text: str) -> Figures:
    """The counters of the predict routes in a page of Prometheus' text form."""
    requests = errors = seconds = 0.0
    buckets: dict[float, float] = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found is None:
            continue
        name, labels = found[1], dict(_LABEL.findall(found[2] or ""))
        if labels.get("route") not in PREDICT:
            continue
        value = float(found[3])
        if name == "modelyard_requests_total":
            requests += value
            errors += value if labels.get("code", "").startswith("5") else 0.0
        elif name == "modelyard_request_seconds_sum":
            seconds += value
        elif name == "modelyard_request_seconds_bucket":
            bound = float(labels["le"].replace("+Inf", "inf"))
            buckets[bound] = buckets.get(bound, 0.0) + value
    return Figures(requests, errors, seconds, buckets)


def compare(stable: Any, canary: Any) -> Pairs:
    """Two answers to one request: how many rows have the same prediction."""
    if not isinstance(stable, dict) or not isinstance(canary, dict):
        return Pairs()
    ours, theirs = stable.get("predictions"), canary.get("predictions")
    if not isinstance(ours, list) or not isinstance(theirs, list) or len(ours) != len(theirs):
        return Pairs()
    rows = same = 0
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        rows += 1
        if isinstance(a, int | float) and isinstance(b, int | float):
            same += abs(a - b) <= 0.1 * max(abs(a), abs(b), 1e-9)
            worst = max(worst, abs(a - b))
        else:
            same += a == b
    one, two = stable.get("probabilities"), canary.get("probabilities")
    if isinstance(one, list) and isinstance(two, list):
        try:
            worst = max(worst, *differences(two, one, relative=False))
        except (TypeError, ValueError):
            worst = math.inf
    return Pairs(rows, same, worst)


def read_pairs(lines: Iterable[str]) -> tuple[Figures, Figures, Pairs]:
    """proxy.py's pairs: both tracks' figures and their agreement. A line cut off is passed over."""
    tracks = {"stable": [0.0, 0.0], "canary": [0.0, 0.0]}
    times: dict[str, list[float]] = {"stable": [], "canary": []}
    pairs = Pairs()
    for line in lines:
        try:
            pair = json.loads(line)
        except ValueError:
            continue
        for who, seen in tracks.items():
            seen[0] += 1
            status = pair[who]["status"]
            seen[1] += status >= 500 or status == 0
            times[who].append(pair[who]["seconds"])
        pairs = pairs.plus(compare(pair["stable"]["answer"], pair["canary"]["answer"]))
    made = {}
    for who, (requests, errors) in tracks.items():
        ordered = sorted(times[who])
        buckets = {value: float(place + 1) for place, value in enumerate(ordered)}
        made[who] = Figures(requests, errors, sum(ordered), buckets)
    return made["stable"], made["canary"], pairs


def judge(stable: Figures, canary: Figures, pairs: Pairs, rules: Canary) -> Verdict:
    """Promote only what showed enough, and was worse in nothing."""
    ours, theirs = stable.quantile(0.95), canary.quantile(0.95)
    checks = [
        (
            canary.requests >= rules.least,
            f"{canary.requests:.0f} requests to the canary (at least {rules.least})",
        ),
        (
            canary.error_share <= rules.most_errors,
            f"{canary.error_share:.2%} errors (at most {rules.most_errors:.2%}; "
            f"stable has {stable.error_share:.2%})",
        ),
        (
            # Below 20 ms the buckets and the noise are wider than what could be said of it.
            theirs <= max(ours * rules.slower, 0.02),
            f"p95 {theirs * 1000:.0f} ms (stable {ours * 1000:.0f} ms, at most "
            f"{rules.slower:g} times that)",
        ),
        (
            pairs.rows >= rules.least and pairs.agreement >= rules.agreement,
            f"{pairs.agreement:.1%} of {pairs.rows} rows predicted alike "
            f"(at least {rules.agreement:.1%} of {rules.least})",
        ),
    ]
    return Verdict(
        all(passed for passed, _ in checks),
        tuple(f"{'✓' if passed else '✗'} {text}" for passed, text in checks),
        {
            "canary_requests": canary.requests,
            "canary_errors": canary.errors,
            "canary_p95": theirs,
            "stable_p95": ours,
            "agreement_rows": float(pairs.rows),
            "agreement": pairs.agreement,
        },
    )
