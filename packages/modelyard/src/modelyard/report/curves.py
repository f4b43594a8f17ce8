"""The pictures of the test rows, drawn from the CSV files of evaluate."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

from modelyard.project import Project
from modelyard.records import EvaluateRecord, read_if_there
from modelyard.report.chart import GREY, INK, SERIES, Chart, Pair, around
from modelyard.report.words import number

TOP_FEATURES = 15
SMALL_FEATURES = 8
Lines = list[dict[str, str]]
Size = tuple[int, int]
WIDE: Size = (520, 330)
SMALL: Size = (340, 225)
"""Width and height in px; the small ones are for a narrow column of paper, whose type stays."""


def draw(project: Project, size: Size = WIDE) -> dict[str, str]:
    """Name -> SVG text: roc, pr, calibration, predictions, residuals, importance, threshold.

    A missing CSV leaves its name out.
    """
    read = {name: _read(project.plots / f"{name}.csv") for name in _FROM_CSV}
    found = {name: _FROM_CSV[name](lines, size) for name, lines in read.items() if lines}
    evaluation = read_if_there(project.record("evaluate"), EvaluateRecord)
    if evaluation is not None and evaluation.threshold is not None and read["pr"]:
        found["threshold"] = _threshold(read["pr"], evaluation)
    return found


def _read(path: Path) -> Lines:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _pairs(lines: Lines, x: str, y: str) -> list[Pair]:
    return [(float(line[x]), float(line[y])) for line in lines]


def _grouped(lines: Lines, name: str) -> dict[str, Lines]:
    """Lines by the value of a column, in order of appearance; one group where there is none."""
    groups: dict[str, Lines] = {}
    for line in lines:
        groups.setdefault(line.get(name, ""), []).append(line)
    return groups


def _curve(name: str, x: str, y: str, labels: tuple[str, str], lines: Lines, size: Size) -> str:
    said = f"{labels[1]} against {labels[0].lower()} on the test rows"
    chart = Chart(name, said, (-0.01, 1.01), (-0.01, 1.03), *labels, *size)
    if name == "roc":
        chart.line([(0, 0), (1, 1)], GREY, dash="2 5", width=1.4)
    for index, (group, points) in enumerate(_grouped(lines, "class").items()):
        tips = [
            f"threshold {float(line['threshold']):.3g}" for line in points if line.get("threshold")
        ]
        chart.line(
            _pairs(points, x, y),
            SERIES[index % len(SERIES)],
            name=group or labels[1],
            dash="" if index < len(SERIES) else "6 3",
            tips=tips,
        )
    return chart.svg()


def _roc(lines: Lines, size: Size) -> str:
    return _curve("roc", "fpr", "tpr", ("False positive rate", "True positive rate"), lines, size)


def _pr(lines: Lines, size: Size) -> str:
    return _curve("pr", "recall", "precision", ("Recall", "Precision"), lines, size)


def _threshold(lines: Lines, evaluation: EvaluateRecord) -> str:
    used = evaluation.threshold or 0.0
    rows = sorted(lines, key=lambda line: float(line["threshold"]))
    top = min(1.0, max(float(line["threshold"]) for line in rows) * 1.03)
    said = f"Precision and recall for each threshold; {used:.3g} is used"
    chart = Chart(
        "threshold", said, (0.0, top), (-0.01, 1.03), "Threshold", "Share", width=1060, height=300
    )
    chart.line(
        _pairs(rows, "threshold", "precision"), SERIES[0], name="Precision: of those flagged, right"
    )
    chart.line(
        _pairs(rows, "threshold", "recall"), SERIES[1], name="Recall: of those there are, flagged"
    )
    chart.line([(used, 0.0), (used, 1.0)], INK, dash="4 4", width=1.4)
    chart.words(used, 1.0, f"used: {used:.3g}", above=3)
    return chart.svg()


def _calibration(lines: Lines, size: Size) -> str:
    points = _pairs(lines, "predicted", "observed")
    top = min(1.0, 1.06 * max(0.05, *(value for point in points for value in point)))
    said = "Share found against probability said, in ten equal groups"
    labels = ("Probability said", "Share found")
    chart = Chart("calibration", said, (0.0, top), (0.0, top), *labels, *size)
    chart.line([(0, 0), (top, top)], GREY, dash="2 5", width=1.4)
    chart.line(points, SERIES[0])
    chart.dots(
        points,
        SERIES[0],
        radius=4.5,
        tips=[
            f"said {x:.3f}, found {y:.3f}, {line.get('rows', '')} rows"
            for (x, y), line in zip(points, lines, strict=True)
        ],
    )
    return chart.svg()


def _predictions(lines: Lines, size: Size) -> str:
    groups = _grouped(lines, "group")
    shares: dict[str, list[Pair]] = {}
    for group, some in groups.items():
        total = sum(float(line["rows"]) for line in some) or 1.0
        shares[group] = [(float(line["value"]), 100 * float(line["rows"]) / total) for line in some]
    xs = [x for some in shares.values() for x, _ in some]
    top = max(y for some in shares.values() for _, y in some)
    chart = Chart(
        "predictions",
        "Distribution of the predictions in each group",
        (min(xs), max(xs)),
        (0.0, 1.06 * top),
        "Prediction",
        "% of the group's rows",
        *size,
    )
    for index, (group, points) in enumerate(shares.items()):
        chart.area(points, SERIES[index % len(SERIES)])
        chart.line(points, SERIES[index % len(SERIES)], name=group)
    return chart.svg()


def _residuals(lines: Lines, size: Size) -> str:
    points = _pairs(lines, "predicted", "residual")
    chart = Chart(
        "residuals",
        "Residuals against predictions",
        around([x for x, _ in points]),
        around([y for _, y in points]),
        "Predicted",
        "Actual − predicted",
        *size,
    )
    chart.line([(chart.x[0], 0), (chart.x[1], 0)], GREY, dash="2 5", width=1.4)
    tips = [f"predicted {number(x)}, off by {number(y)}" for x, y in points]
    chart.dots(points, SERIES[0], radius=3, opacity=0.45, tips=tips)
    return chart.svg()


def _importance(lines: Lines, size: Size) -> str:
    small = size == SMALL
    top = lines[: SMALL_FEATURES if small else TOP_FEATURES]
    values = [float(line["importance"]) for line in top]
    said = ", ".join(line["feature"] for line in lines[:3])
    chart = Chart(
        "importance",
        f"Permutation importance; the most important are {said}",
        (min(0.0, *values), 1.05 * max([*values, 1e-9])),
        (-0.6, len(top) - 0.4),
        "Loss in the metric when shuffled",
        width=SMALL[0] if small else 1060,
        height=(68 if small else 80) + (20 if small else 26) * max(2, len(top)),
        y_names=[_short(line["feature"], 18 if small else 32) for line in top],
    )
    for place, (line, value) in enumerate(reversed(list(zip(top, values, strict=True)))):
        chart.bar(float(place), value, SERIES[0], tip=f"{line['feature']}: {number(value)}")
    return chart.svg()


def _short(name: str, most: int) -> str:
    return name if len(name) <= most else name[: most - 1] + "…"


_FROM_CSV: dict[str, Callable[[Lines, Size], str]] = {
    "roc": _roc,
    "pr": _pr,
    "calibration": _calibration,
    "predictions": _predictions,
    "residuals": _residuals,
    "importance": _importance,
}
