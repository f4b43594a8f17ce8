"""Pictures as SVG: readable as they stand, and with what the page's script needs to bring them alive.

A chart's marks are circles and polylines whose coordinates are its points; the frame carries the
scale of each axis, so that the script can read a value under the pointer, and zoom, without a
second copy of the data. Colours are CSS variables with a fallback, so that one picture is right in
light, in dark, and (see `plain`) in a PDF.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

INK, GRID = "var(--plot-ink, #5b6470)", "var(--plot-grid, #d6d3cb)"
# Okabe and Ito's colours, told apart by all eyes; grey is for the baseline.
_HUES = ("#0072b2", "#d98a00", "#009e73", "#b8578e", "#3b9fdb", "#c25100", "#8c8c8c")
SERIES = tuple(f"var(--series-{place}, {hue})" for place, hue in enumerate(_HUES, 1))
GREY = SERIES[-1]
GLYPH = 6.6
"""Mean width of a character at 12 px: labels are placed by it, none is cut by it."""

Pair = tuple[float, float]


def plain(svg: str, font: str = "DejaVu Sans") -> str:
    """The picture with the fallback colours, for readers that know no CSS variables."""
    svg = re.sub(r"var\(--[\w-]+, (#[0-9a-f]+)\)", r"\1", svg)
    return svg.replace(
        "<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ' + f'font-family="{font}" ', 1
    )


def ticks(low: float, high: float, wanted: int = 5, *, whole: bool = False) -> list[float]:
    """Round values within low..high, about `wanted` of them; whole numbers where asked for."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low]
    raw = span / max(1, wanted)
    power = 10 ** math.floor(math.log10(raw))
    nice = (1, 2, 5, 10) if whole else (1, 2, 2.5, 5, 10)
    step = power * next(m for m in nice if raw <= m * power * 1.0000001)
    if whole:
        step = max(1.0, step)
    first = math.ceil(low / step - 1e-9)
    return [place * step for place in range(first, math.floor(high / step + 1e-9) + 1)]


def around(values: Sequence[float], part: float = 0.06) -> Pair:
    """Limits with a little room on both sides."""
    low, high = min(values), max(values)
    room = part * (high - low) or max(abs(high) * 0.05, 1e-6)
    return low - room, high + room


def _step(found: Sequence[float], within: Pair) -> float:
    """How far the ticks stand apart; with a single one, what the axis spans."""
    return found[1] - found[0] if len(found) > 1 else abs(within[1] - within[0]) or 1


def tick_text(value: float, step: float) -> str:
    """A tick's value with the digits that its step needs."""
    if abs(value) >= 1e5 or (value and abs(value) < 1e-3 and step < 1e-3):
        return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("-", "−")
    digits = max(0, min(6, -math.floor(math.log10(step) + 1e-9))) if step > 0 else 2
    if round(step * 10**digits, 9) % 1:
        digits += 1
    return f"{value:,.{digits}f}".replace(",", "\u202f").replace("-", "−")


@dataclass
class Chart:
    """One plot with two linear axes. Sizes in px of a picture that is scaled to its place.

    `x` and `y` are the values at the ends of the axes. With `y_names` the vertical axis is a list
    of names, from the top.
    """

    name: str
    label: str
    x: Pair
    y: Pair
    x_label: str = ""
    y_label: str = ""
    width: int = 520
    height: int = 330
    y_names: Sequence[str] = ()
    zoom: bool = True
    x_whole: bool = False
    _marks: list[str] = field(default_factory=list)
    _legend: list[tuple[str, str, bool]] = field(default_factory=list)

    def __post_init__(self) -> None:
        widest = max((len(name) for name in self.y_names), default=0)
        self._left = int(24 + GLYPH * widest) if self.y_names else max(64, self._room())
        self._top, self._right, self._bottom = 14, 18, 46

    def _room(self) -> int:
        """What the widest tick takes, and the axis' title beside it."""
        up = ticks(*self.y)
        step = _step(up, self.y)
        return int(32 + GLYPH * max(len(tick_text(value, step)) for value in up))

    def at(self, x: float, y: float) -> Pair:
        """Where a point stands, in px."""
        wide, high = self.width - self._left - self._right, self.height - self._top - self._bottom
        px = self._left + wide * (x - self.x[0]) / ((self.x[1] - self.x[0]) or 1)
        py = self.height - self._bottom - high * (y - self.y[0]) / ((self.y[1] - self.y[0]) or 1)
        return round(px, 1), round(py, 1)

    def line(
        self,
        points: Sequence[Pair],
        colour: str,
        *,
        name: str = "",
        dash: str = "",
        step: bool = False,
        width: float = 2,
        tips: Sequence[str] = (),
    ) -> None:
        """A line through points; with a name it stands in the legend and answers the pointer."""
        placed = [self.at(x, y) for x, y in points]
        if step:
            placed = [p for a, b in pairwise(placed) for p in (a, (b[0], a[1]))]
            placed += [self.at(*points[-1])] if points else []
        text = " ".join(f"{x:g},{y:g}" for x, y in placed)
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        said = f' data-name="{escape(name)}"' if name else ""
        if tips:
            said += f' data-tips="{escape(json.dumps(list(tips), ensure_ascii=False))}"'
        self._marks.append(
            f'<polyline points="{text}" fill="none" stroke="{colour}" stroke-width="{width:g}"'
            f' stroke-linejoin="round"{extra}{said}/>'
        )
        if name:
            self._legend.append((name, colour, False))

    def dots(
        self,
        points: Sequence[Pair],
        colour: str,
        *,
        name: str = "",
        radius: float = 4,
        hollow: bool = False,
        opacity: float = 1,
        tips: Sequence[str] = (),
        legend: bool = True,
    ) -> None:
        """Points; `tips` are the words that the pointer finds on each."""
        for place, (x, y) in enumerate(points):
            px, py = self.at(x, y)
            fill = (
                f'fill="none" stroke="{colour}" stroke-width="1.6"'
                if hollow
                else f'fill="{colour}"'
            )
            tip = tips[place] if place < len(tips) else name
            said = f' data-tip="{escape(tip)}"' if tip else ""
            shade = f' opacity="{opacity:g}"' if opacity < 1 else ""
            self._marks.append(
                f'<circle cx="{px:g}" cy="{py:g}" r="{radius:g}" {fill}{shade}{said}/>'
            )
        if name and legend and points:
            self._legend.append((name, colour, True))

    def bar(
        self, place: float, x: float, colour: str, *, tip: str = "", thick: float = 0.62
    ) -> None:
        """A lying bar from nought to x on the line of a name."""
        x0, y0 = self.at(min(0.0, x), place + thick / 2)
        x1, y1 = self.at(max(0.0, x), place - thick / 2)
        self._marks.append(
            f'<rect x="{x0:g}" y="{min(y0, y1):g}" width="{max(0.8, x1 - x0):.1f}" rx="2.5"'
            f' height="{abs(y1 - y0):.1f}" fill="{colour}" data-tip="{escape(tip)}"/>'
        )

    def area(self, points: Sequence[Pair], colour: str) -> None:
        """The ground under a line, lightly filled."""
        base = max(self.y[0], 0.0)
        shape = [(points[0][0], base), *points, (points[-1][0], base)]
        text = " ".join(f"{x:g},{y:g}" for x, y in (self.at(*point) for point in shape))
        self._marks.append(
            f'<polyline points="{text}" fill="{colour}" opacity=".18" stroke="none"/>'
        )

    def words(self, x: float, y: float, text: str, *, above: float = 9) -> None:
        """A small text over a point."""
        px, py = self.at(x, y)
        self._marks.append(
            f'<text x="{px:g}" y="{py - above:g}" text-anchor="middle" fill="{INK}">'
            f"{escape(text)}</text>"
        )

    def _axes(self) -> list[str]:
        out = []
        left, right = self._left, self.width - self._right
        floor = self.height - self._bottom
        across = ticks(*self.x, 6 if self.width > 420 else 4, whole=self.x_whole)
        step = _step(across, self.x)
        for value in across:
            px, _ = self.at(value, self.y[0])
            out.append(
                f'<g class="tick x"><path d="M{px:g} {self._top}V{floor}" stroke="{GRID}" stroke-width=".7"/>'
                f'<text x="{px:g}" y="{floor + 17}" text-anchor="middle">{tick_text(value, step)}</text></g>'
            )
        if self.y_names:
            for place, name in enumerate(self.y_names):
                _, py = self.at(self.x[0], self._line(place))
                out.append(
                    f'<text x="{left - 9}" y="{py + 4:g}" text-anchor="end" class="name">{escape(name)}</text>'
                )
        else:
            up = ticks(*self.y)
            step = _step(up, self.y)
            for value in up:
                _, py = self.at(self.x[0], value)
                out.append(
                    f'<g class="tick y"><path d="M{left} {py:g}H{right}" stroke="{GRID}" stroke-width=".7"/>'
                    f'<text x="{left - 8}" y="{py + 4:g}" text-anchor="end">{tick_text(value, step)}</text></g>'
                )
        out.append(f'<path d="M{left} {floor}H{right}" stroke="{GRID}" stroke-width="1.2"/>')
        if self.x_label:
            out.append(
                f'<text x="{(left + right) / 2:g}" y="{self.height - 8}" text-anchor="middle">{escape(self.x_label)}</text>'
            )
        if self.y_label:
            middle = (self._top + floor) / 2
            out.append(
                f'<text transform="translate(14 {middle:g}) rotate(-90)" text-anchor="middle">{escape(self.y_label)}</text>'
            )
        return out

    def _line(self, place: int) -> float:
        return len(self.y_names) - 1 - place

    def svg(self) -> str:
        """The picture."""
        top, legend = self._top, self._legend_marks()
        floor = self.height - self._bottom
        frame = (
            f'data-frame="{self._left} {top} {self.width - self._right} {floor}" '
            f'data-x="{self.x[0]:.10g} {self.x[1]:.10g}" data-y="{self.y[0]:.10g} {self.y[1]:.10g}" '
            f'data-xlabel="{escape(self.x_label)}" data-ylabel="{escape(self.y_label)}"'
        )
        if self.zoom and not self.y_names:
            frame += ' data-zoom="1"'
        clip = f"clip-{self.name}"
        wide, high = self.width - self._left - self._right, floor - top
        extra = 22 * math.ceil(len(legend) / max(1, self._per_row())) if legend else 0
        return (
            f'<svg role="img" aria-label="{escape(self.label)}" class="chart" {frame} '
            f'viewBox="0 {-extra} {self.width} {self.height + extra}" font-size="12" fill="{INK}">'
            f'<clipPath id="{clip}"><rect x="{self._left - 6}" y="{top - 6}" width="{wide + 12}" height="{high + 12}"/></clipPath>'
            f'{"".join(legend)}<g class="axes">{"".join(self._axes())}</g>'
            f'<g class="marks" clip-path="url(#{clip})">{"".join(self._marks)}</g></svg>'
        )

    def _per_row(self) -> int:
        widest = max((len(name) for name, _, _ in self._legend), default=1)
        return max(1, int((self.width - 20) / (28 + GLYPH * widest)))

    def _legend_marks(self) -> list[str]:
        if len(self._legend) < 2:
            return []
        row = self._per_row()
        widest = max(len(name) for name, _, _ in self._legend)
        rows = math.ceil(len(self._legend) / row)
        out = []
        for place, (name, colour, dot) in enumerate(self._legend):
            px = self._left + (place % row) * (28 + GLYPH * widest)
            py = -22 * (rows - place // row) + 14
            mark = (
                f'<circle cx="{px + 8:g}" cy="{py}" r="4.5" fill="{colour}"/>'
                if dot
                else f'<path d="M{px:g} {py}h16" stroke="{colour}" stroke-width="3"/>'
            )
            out.append(f'<g>{mark}<text x="{px + 22:g}" y="{py + 4}">{escape(name)}</text></g>')
        return out
