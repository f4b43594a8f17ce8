"""The plots of a proposed change: the base's curve and this branch's in one picture.

Each is drawn twice: as a PNG, and as a chart of Markdown for a comment that takes no files.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

from modelyard.ci import marks
from modelyard.records import write_bytes

CURVES = {
    "roc": ("false positive rate", "true positive rate"),
    "pr": ("recall", "precision"),
    "calibration": ("predicted", "observed"),
}
"""Plot -> what stands on its axes."""

Points = list[tuple[float, float]]


def draw(plots: Path, at_base: Callable[[str], bytes | None], target: Path) -> list[Path]:
    """Draw every plot that there is into `target`; return the pictures, each beside its .md."""
    made = []
    for name, axes in CURVES.items():
        path = plots / f"{name}.csv"
        here = points(path.read_bytes() if path.is_file() else None)
        if not here:
            continue
        before = points(at_base(f"plots/{name}.csv"))
        file = target / f"{name}.png"
        write_bytes(file, _picture(name, axes, here, before))
        write_bytes(
            file.with_suffix(".md"), (marks.chart(name, axes, here, before) + "\n").encode()
        )
        made.append(file)
    return made


def points(content: bytes | None) -> Points:
    """The first two columns of numbers of a CSV; of several curves the first."""
    rows = list(csv.DictReader(io.StringIO((content or b"").decode("utf-8", "replace"))))
    if not rows:
        return []
    numbers = [name for name in rows[0] if name and all(_is_number(row[name]) for row in rows)]
    labels = [name for name in rows[0] if name and name not in numbers]
    first = [rows[0][name] for name in labels]
    kept = [row for row in rows if [row[name] for name in labels] == first]
    return [(float(r[numbers[0]]), float(r[numbers[1]])) for r in kept] if len(numbers) > 1 else []


def _is_number(text: str | None) -> bool:
    try:
        float(text or "")
    except ValueError:
        return False
    return True


def _picture(name: str, axes: tuple[str, str], here: Points, before: Points) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 3.2), dpi=110, layout="constrained")
    plot = figure.subplots()
    if name != "pr":
        plot.plot([0, 1], [0, 1], color="#999999", linewidth=0.8, linestyle=":")
    for label, line, style in (("base", before, "--"), ("here", here, "-")):
        if line:
            plot.plot(
                [x for x, _ in line],
                [y for _, y in line],
                style,
                label=label,
                color="#e69f00" if label == "base" else "#0072b2",
            )
    plot.set_xlabel(axes[0])
    plot.set_ylabel(axes[1])
    plot.set_title(name)
    plot.legend(frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
