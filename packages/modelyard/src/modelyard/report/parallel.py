"""Parallel coordinates: each trial of a family as one line over its parameters and its score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from modelyard.records import StudyRecord, Trial
from modelyard.report.chart import GRID, INK
from modelyard.report.words import number, params

MOST_AXES = 9
MOST_LINES = 300
FEWEST = 3
WIDTH, HEIGHT, TOP, BOTTOM, SIDE = 1060, 300, 44, 26, 60


def draw(study: StudyRecord, colours: Mapping[str, str]) -> dict[str, str]:
    """`parallel-FAMILY` -> SVG, for each family with enough scored trials."""
    found = {}
    for family, colour in colours.items():
        trials = [t for t in study.trials if t.family == family and t.score is not None]
        names = list(dict.fromkeys(name for trial in trials for name in trial.params))
        if len(trials) >= FEWEST and names:
            found[f"parallel-{family}"] = _family(study, family, colour, trials[:MOST_LINES], names)
    return found


class _Axis:
    """One upright axis: numbers on a straight or logarithmic scale, or a list of names."""

    def __init__(self, name: str, values: Sequence[object], words: str = "") -> None:
        self.name = name
        numeric = [
            float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)
        ]
        self.names: list[str] = []
        self.log = False
        if len(numeric) != sum(v is not None for v in values):
            self.names = sorted({str(v) for v in values if v is not None})
            self.low, self.high = 0.0, float(max(1, len(self.names) - 1))
            return
        self.low, self.high = min(numeric), max(numeric)
        self.log = words.endswith("(log)") and self.low > 0
        if self.low == self.high:
            self.low, self.high = (
                self.low - (abs(self.low) or 1) / 2,
                self.high + (abs(self.high) or 1) / 2,
            )
            self.log = False

    def y(self, value: object) -> float:
        if self.names:
            place = float(self.names.index(str(value)))
        else:
            assert isinstance(value, int | float)
            place = float(value)
        low, high = self.low, self.high
        if self.log:
            place, low, high = math.log(place), math.log(low), math.log(high)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (place - low) / (high - low)

    def ends(self) -> list[tuple[float, str]]:
        if self.names:
            return [(self.y(name), name) for name in self.names[:8]]
        middle = math.sqrt(self.low * self.high) if self.log else (self.low + self.high) / 2
        return [(self.y(v), f"{v:.3g}") for v in (self.low, middle, self.high)]


def _family(
    study: StudyRecord, family: str, colour: str, trials: Sequence[Trial], names: list[str]
) -> str:
    words = study.spaces.get(family, {})
    axes = [
        _Axis(name, [trial.params.get(name) for trial in trials], words.get(name, ""))
        for name in names[: MOST_AXES - 1]
    ]
    axes.append(_Axis(study.metric, [trial.score for trial in trials]))
    step = (WIDTH - 2 * SIDE) / max(1, len(axes) - 1)
    xs = [SIDE + place * step for place in range(len(axes))]
    score = axes[-1]
    lines = []
    ranked = sorted(trials, key=lambda t: t.score or 0.0, reverse=study.direction == "minimize")
    for trial in ranked:
        given = [trial.params.get(axis.name) for axis in axes[:-1]] + [trial.score]
        if any(value is None for value in given):
            continue
        at = " ".join(
            f"{x:.1f},{axis.y(value):.1f}" for x, axis, value in zip(xs, axes, given, strict=True)
        )
        good = (HEIGHT - BOTTOM - score.y(trial.score)) / (HEIGHT - TOP - BOTTOM)
        good = good if study.direction == "maximize" else 1 - good
        tip = (
            f"trial {trial.number} · {study.metric} {number(trial.score)} · {params(trial.params)}"
        )
        lines.append(
            f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="{1 + 1.4 * good:.2f}" '
            f'opacity="{0.16 + 0.74 * good**2:.2f}" data-tip="{escape(tip)}"/>'
        )
    uprights = []
    for place, (x, axis) in enumerate(zip(xs, axes, strict=True)):
        last = place == len(axes) - 1
        marks = "".join(
            f'<text x="{x + (-7 if last else 7):.1f}" y="{y + 4:.1f}" font-size="11" '
            f'text-anchor="{"end" if last else "start"}" class="halo">{escape(text)}</text>'
            for y, text in axis.ends()
        )
        lift = 16 if place % 2 and len(axes) > 6 else 0
        uprights.append(
            f'<g class="upright" data-at="{place}"><path d="M{x:.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="{INK}" '
            f'stroke-width="{2 if last else 1}"/><rect x="{x - 11:.1f}" y="{TOP}" width="22" '
            f'height="{HEIGHT - TOP - BOTTOM}" fill="transparent"/>'
            f'<text x="{x:.1f}" y="{TOP - 10 - lift}" text-anchor="middle">{escape(axis.name)}</text>{marks}</g>'
        )
    label = (
        f"Parallel coordinates of {len(lines)} {family} trials: {', '.join(names)}, {study.metric}"
    )
    return (
        f'<svg role="img" aria-label="{escape(label)}" class="parallel" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-size="12" fill="{INK}"><rect x="0" y="{TOP}" width="{WIDTH}" height="{HEIGHT - TOP - BOTTOM}" '
        f'fill="none" stroke="{GRID}" stroke-width="0"/><g class="lines">{"".join(lines)}</g>{"".join(uprights)}</svg>'
    )
