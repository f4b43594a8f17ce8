"""A matplotlib figure -> SVG text for the inside of a page, in the page's own colours and font.

Colours are drawn as stand-ins and replaced by CSS variables (with a fallback), so that one picture
is right in light and in dark; texts stay texts, so that they can be read aloud and searched.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

# Stand-in -> CSS variable and fallback. The series are Okabe and Ito's, told apart by all eyes.
INK, GRID = "#010101", "#020202"
SERIES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c")
_VARIABLES = {
    INK: "var(--plot-ink, #767676)",
    GRID: "var(--plot-grid, #c9c9c9)",
    **{colour: f"var(--series-{index}, {colour})" for index, colour in enumerate(SERIES, 1)},
}
STYLE: Mapping[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.5,
    "axes.edgecolor": GRID,
    "axes.linewidth": 0.8,
    "axes.labelcolor": INK,
    "axes.titlesize": 9.5,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "figure.constrained_layout.use": True,
}


def style() -> Any:
    """The look of every plot, for `with style():` around drawing."""
    return rc_context(dict(STYLE))


def figure(width: float = 4.8, height: float = 3.1) -> tuple[Figure, Any]:
    """A transparent figure with one set of axes; sizes in inches."""
    made = Figure(figsize=(width, height))
    made.patch.set_alpha(0)
    axes = made.add_subplot()
    axes.patch.set_alpha(0)
    return made, axes


def text_of(made: Figure, name: str, label: str) -> str:
    """Render a figure.

    Args:
        made: the figure.
        name: unique on the page: every id inside is prefixed with it.
        label: what the picture shows, for who cannot see it.
    """
    out = io.StringIO()
    with rc_context({"svg.hashsalt": name}), warnings.catch_warnings():
        # A glyph that matplotlib's font lacks is drawn by the browser: texts stay texts.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        made.savefig(
            out, format="svg", metadata=dict.fromkeys(("Date", "Creator", "Format", "Type"))
        )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # matplotlib's stylesheet would reach the whole page; the page says the same for its plots.
    text = re.sub(r"<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    text = re.sub(r"font: ([\d.]+px) [^;\"]+", r"font-size: \1", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    text = re.sub(r'(<svg\b[^>]*?) width="[^"]+"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?) height="[^"]+"', r"\1", text, count=1)
    spoken = label.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    text = text.replace("<svg", f'<svg role="img" aria-label="{spoken}"', 1)
    return re.sub(r"\n\s*", "\n", text).strip()
