"""Plots made of Markdown, for a comment that cannot carry files.

GitHub and GitLab both draw Mermaid. Its `xychart-beta` knows lines over evenly spaced places and
nothing else: curves are read off at such places, and intervals are drawn as text.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence

from modelyard.records import Interval

PLACES = 21
"""Evenly spaced places, from the curve's first point to its last, at which it is read off."""

WIDTH = 36
"""Characters of an interval's scale."""

BASE, HERE, DIAGONAL = "#e69f00", "#0072b2", "#999999"
"""The colours of the pictures, for Mermaid; they differ in lightness too."""

Points = Sequence[tuple[float, float]]


def chart(name: str, axes: tuple[str, str], here: Points, before: Points) -> str:
    """A curve of numbers between 0 and 1, the base's beside it, as a fenced Mermaid chart.

    Mermaid has no legend: the line above it says which is which.
    """
    drawn = [("base, orange", BASE, before)] if before else []
    drawn.append(("this branch, blue", HERE, here))
    if name != "pr":
        drawn.insert(0, ("", DIAGONAL, ((0.0, 0.0), (1.0, 1.0))))
    said = " · ".join(label for label, _, _ in drawn if label)
    colours = ", ".join(colour for _, colour, _ in drawn)
    theme = f'{{"themeVariables": {{"xyChart": {{"plotColorPalette": "{colours}"}}}}}}'
    low, high = min(x for x, _ in here), max(x for x, _ in here)
    if low == high:
        low, high = 0.0, 1.0
    lines = [f"    line [{', '.join(_read_off(line, low, high))}]" for _, _, line in drawn]
    return "\n".join(
        [
            f"**{name}**: {said}",
            "",
            "```mermaid",
            f"%%{{init: {theme}}}%%",
            "xychart-beta",
            f'    x-axis "{axes[0]}" {low:.3g} --> {high:.3g}',
            f'    y-axis "{axes[1]}" 0 --> 1',
            *lines,
            "```",
        ]
    )


def _read_off(points: Points, low: float, high: float) -> list[str]:
    """The curve's heights at the places, straight lines between its points.

    Where a curve steps upright its middle counts; beyond its ends, the end.
    """
    heights: dict[float, list[float]] = {}
    for x, y in points:
        heights.setdefault(x, []).append(y)
    steps = sorted((x, (min(ys) + max(ys)) / 2) for x, ys in heights.items())
    return [f"{_height(steps, low + (high - low) * n / (PLACES - 1)):.3f}" for n in range(PLACES)]


def _height(steps: Points, x: float) -> float:
    if x <= steps[0][0]:
        return steps[0][1]
    for (left, low), (right, high) in itertools.pairwise(steps):
        if x <= right:
            return low + (high - low) * (x - left) / (right - left)
    return steps[-1][1]


def intervals(
    names: Sequence[str], here: Mapping[str, Interval], before: Mapping[str, Interval]
) -> Iterator[str]:
    """Every metric's interval here over the base's, each pair on a scale of its own, as text."""
    rows = [(name, here[name], before.get(name)) for name in names if _drawable(here[name])]
    rows = [(name, now, old if old and _drawable(old) else None) for name, now, old in rows]
    if not rows:
        return
    long = max(len(name) for name, _, _ in rows)
    yield "```text"
    for name, now, old in rows:
        both = [now, old] if old else [now]
        low, high = min(each.low for each in both), max(each.high for each in both)
        ends = f"{low:.4g} … {high:.4g}"
        bar = _bar(old, low, high) if old else "–"
        yield f"{name:<{long}}  base  {bar:<{WIDTH}}  {ends}"
        yield f"{'':<{long}}  here  {_bar(now, low, high)}".rstrip()
    yield "```"


def _drawable(found: Interval) -> bool:
    return all(map(math.isfinite, (found.value, found.low, found.high))) and (
        found.low <= found.value <= found.high
    )


def _bar(found: Interval, low: float, high: float) -> str:
    def place(value: float) -> int:
        return round((value - low) / (high - low) * (WIDTH - 1)) if high > low else WIDTH // 2

    left, middle, right = place(found.low), place(found.value), place(found.high)
    bar = [" "] * left + ["─"] * (right - left + 1)
    bar[left], bar[right] = "├", "┤"
    bar[middle] = "●"
    return "".join(bar)
