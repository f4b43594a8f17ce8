"""How values are written for people: in the page, the card and the summary alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.models.metrics import METRICS


def number(value: float | int | str | None, digits: int = 4) -> str:
    """Four significant digits, thousands set apart; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return count(value)
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", "\u202f")
    if 0 < abs(value) < 1e-4:
        return f"{value:.1e}".replace("e-0", "e-").replace("-", "−")
    # Decimals in a column stand below each other; small ones would lose their digits.
    text = f"{value:.{digits}f}" if 0.1 <= abs(value) < 1 or not value else f"{value:.{digits}g}"
    return text.replace("-", "−")


def signed(value: float | None) -> str:
    """A difference, with its sign."""
    return "–" if value is None else ("+" if value >= 0 else "") + number(value)


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %" if value < 0.9995 else "100 %"


def level(confidence: float) -> str:
    """A confidence level as a percentage, without digits that say nothing."""
    return f"{100 * confidence:g} %"


def count(value: int) -> str:
    """A whole number, thousands set apart by a thin space."""
    return f"{value:,}".replace(",", "\u202f")


def size(value: int) -> str:
    """Bytes for people."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= step:
            return f"{value / step:.1f} {unit}"
    return f"{value} bytes"


def seconds(value: float | None) -> str:
    """A time for people."""
    if value is None:
        return "–"
    if value < 120:
        return f"{value:.1f} s" if value < 10 else f"{value:.0f} s"
    return f"{value / 60:.1f} min" if value < 7200 else f"{value / 3600:.1f} h"


def params(values: Mapping[str, Any]) -> str:
    """Parameters in one line."""
    shown = (
        f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    )
    return ", ".join(shown) or "no parameters"


def short(digest: str | None, length: int = 12) -> str:
    """The first digits of a digest."""
    return digest[:length] if digest else "–"


def metric_title(name: str) -> str:
    """A metric's name for people."""
    return METRICS[name].title if name in METRICS else name


def better(direction: str, new: float, old: float) -> float:
    """How much better `new` is than `old`, positive whichever way the metric runs."""
    return new - old if direction == "maximize" else old - new
