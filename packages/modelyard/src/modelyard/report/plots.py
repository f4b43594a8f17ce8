"""The report's pictures, drawn from the CSV files of evaluate and the study's record."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from modelyard.project import Project
from modelyard.records import StudyRecord, Trial, read_if_there
from modelyard.report.svg import GRID, INK, SERIES, figure, style, text_of

TOP_FEATURES = 15
TOP_TRIALS = 12
Lines = list[dict[str, str]]


def draw(project: Project) -> dict[str, str]:
    """Draw what there is to draw.

    Returns:
        name -> SVG text, with transparent ground and the page's colours. Names: history, families,
        folds (from the study), roc, pr, calibration, predictions, residuals, importance (from the
        CSV of that name). A missing record or CSV leaves its names out.
    """
    found: dict[str, str] = {}
    with style():
        study = read_if_there(project.record("study"), StudyRecord)
        if study is not None and any(trial.score is not None for trial in study.trials):
            found["history"] = _history(study)
            found["families"] = _families(study)
            found["folds"] = _folds(study)
        for name, drawer in _FROM_CSV.items():
            lines = _read(project.plots / f"{name}.csv")
            if lines:
                found[name] = drawer(lines)
    return found


def _read(path: Path) -> Lines:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _column(lines: Lines, name: str) -> list[float]:
    return [float(line[name]) for line in lines]


def _grouped(lines: Lines, name: str) -> dict[str, Lines]:
    """Lines by the value of a column, in order of appearance; one group where there is none."""
    groups: dict[str, Lines] = {}
    for line in lines:
        groups.setdefault(line.get(name, ""), []).append(line)
    return groups


# --- the study -----------------------------------------------------------------------------------


def _scored(study: StudyRecord) -> list[tuple[Trial, float]]:
    return [(trial, trial.score) for trial in study.trials if trial.score is not None]


def _by_family(study: StudyRecord) -> dict[str, str]:
    """Family -> colour; the baseline is grey, as it is nobody's wish."""
    names = sorted({trial.family for trial in study.trials} - {"baseline"})
    colours = {name: SERIES[index % (len(SERIES) - 1)] for index, name in enumerate(names)}
    return colours | {"baseline": SERIES[-1]}


def _focus(values: Sequence[float], maximize: bool) -> tuple[float, float]:
    """Limits that show the better three quarters well; what lies outside sits on the edge."""
    good = np.sort(np.array(values))
    best, quarter = (
        (good[-1], good[len(good) // 4]) if maximize else (good[0], good[-1 - len(good) // 4])
    )
    spread = max(abs(best - quarter), abs(best) * 1e-3, 1e-9)
    low, high = (quarter - spread, best + 0.25 * spread)
    return (low, high) if maximize else (best - 0.25 * spread, quarter + spread)


def _history(study: StudyRecord) -> str:
    made, axes = figure(9.6, 2.9)
    maximize = study.direction == "maximize"
    scored = _scored(study)
    low, high = _focus([score for _, score in scored], maximize)
    best = (np.maximum if maximize else np.minimum).accumulate(
        [s for t, s in scored if t.state != "pruned"] or [scored[0][1]]
    )
    at = [t.number for t, _ in scored if t.state != "pruned"] or [scored[0][0].number]
    axes.step(
        [*at, scored[-1][0].number], [*best, best[-1]], where="post", color=INK, label="best so far"
    )
    for family, colour in _by_family(study).items():
        for pruned in (False, True):
            points = [
                (trial.number, float(np.clip(score, low, high)))
                for trial, score in scored
                if trial.family == family and (trial.state == "pruned") == pruned
            ]
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    linestyle="none",
                    marker="o",
                    markersize=5,
                    color=colour,
                    markerfacecolor="none" if pruned else colour,
                    label=f"{family} (pruned)" if pruned else family,
                )
    axes.set(ylim=(low, high), xlabel="trial", ylabel=study.metric)
    axes.margins(x=0.02)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    label = f"{study.metric} of each trial by number; the best is {study.score:.4g}"
    return text_of(made, "history", label)


def _families(study: StudyRecord) -> str:
    colours = _by_family(study)
    maximize = study.direction == "maximize"
    groups: dict[str, list[float]] = {}
    for trial, score in _scored(study):
        if trial.state == "complete":
            groups.setdefault(trial.family, []).append(score)
    pick = max if maximize else min
    names = sorted(groups, key=lambda name: pick(groups[name]), reverse=not maximize)
    made, axes = figure(4.7, 0.75 + 0.42 * max(2, len(names)))
    for place, name in enumerate(names):
        values, best = groups[name], pick(groups[name])
        axes.plot(values, [place] * len(values), "o", color=colours[name], alpha=0.35, markersize=5)
        axes.plot([best], [place], "D", color=colours[name], markersize=7)
        axes.annotate(
            f"{best:.4g}", (best, place), xytext=(0, 7), textcoords="offset points",
            ha="center", fontsize=8.5,
        )  # fmt: skip
    axes.set(yticks=range(len(names)), yticklabels=names, xlabel=study.metric)
    axes.set_ylim(-0.5, len(names) - 0.3)
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    said = ", ".join(f"{name} {pick(groups[name]):.4g}" for name in names)
    return text_of(made, "families", f"Best {study.metric} of each family: {said}")


def _folds(study: StudyRecord) -> str:
    colours = _by_family(study)
    maximize = study.direction == "maximize"
    whole = [(t, s) for t, s in _scored(study) if t.state == "complete" and t.folds]
    whole = sorted(whole, key=lambda pair: pair[1], reverse=maximize)[:TOP_TRIALS][::-1]
    made, axes = figure(4.7, 0.75 + 0.21 * max(4, len(whole)))
    for place, (trial, score) in enumerate(whole):
        colour = colours[trial.family]
        axes.plot([min(trial.folds), max(trial.folds)], [place] * 2, color=GRID, linewidth=1.2)
        axes.plot(
            trial.folds, [place] * len(trial.folds), "o", color=colour, alpha=0.45, markersize=4
        )
        axes.plot([score], [place], "|", color=INK, markersize=9, markeredgewidth=1.8)
    axes.set(
        yticks=range(len(whole)),
        yticklabels=[f"{trial.family} {trial.number}" for trial, _ in whole],
        xlabel=f"{study.metric}, each fold and the mean",
    )
    axes.grid(visible=False, axis="y")
    return text_of(made, "folds", f"{study.metric} in each fold for the best {len(whole)} trials")


# --- the test rows -------------------------------------------------------------------------------


def _curve(name: str, x: str, y: str, labels: tuple[str, str], lines: Lines) -> str:
    made, axes = figure()
    groups = _grouped(lines, "class")
    for index, (group, points) in enumerate(groups.items()):
        colour = SERIES[index % len(SERIES)]
        dash = "-" if index < len(SERIES) else "--"
        axes.plot(_column(points, x), _column(points, y), dash, color=colour, label=group or None)
    if name == "roc":
        axes.plot([0, 1], [0, 1], ":", color=INK, linewidth=1)
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.03), xlabel=labels[0], ylabel=labels[1])
    if len(groups) > 1:
        axes.legend(fontsize=8, ncols=1 + len(groups) // 7)
    return text_of(made, name, f"{labels[1]} against {labels[0].lower()} on the test rows")


def _roc(lines: Lines) -> str:
    return _curve("roc", "fpr", "tpr", ("False positive rate", "True positive rate"), lines)


def _pr(lines: Lines) -> str:
    return _curve("pr", "recall", "precision", ("Recall", "Precision"), lines)


def _calibration(lines: Lines) -> str:
    made, axes = figure()
    said, found = _column(lines, "predicted"), _column(lines, "observed")
    top = min(1.0, 1.06 * max(*said, *found, 0.05))
    axes.plot([0, top], [0, top], ":", color=INK, linewidth=1)
    axes.plot(said, found, "o-", color=SERIES[0], markersize=5)
    axes.set(xlabel="Probability said", ylabel="Share found", xlim=(0, top), ylim=(0, top))
    return text_of(made, "calibration", "Share found against probability said, in ten equal groups")


def _predictions(lines: Lines) -> str:
    made, axes = figure()
    for index, (group, points) in enumerate(_grouped(lines, "group").items()):
        middles, rows = _column(points, "value"), np.array(_column(points, "rows"))
        share = 100 * rows / max(1.0, rows.sum())
        colour = SERIES[index % len(SERIES)]
        axes.fill_between(middles, share, step="mid", color=colour, alpha=0.25, linewidth=0)
        axes.step(middles, share, where="mid", color=colour, linewidth=1.4, label=group)
    axes.set(xlabel="Prediction", ylabel="% of the group's rows")
    axes.set_ylim(bottom=0)
    axes.legend()
    return text_of(made, "predictions", "Distribution of the predictions in each group")


def _residuals(lines: Lines) -> str:
    made, axes = figure()
    axes.axhline(0, color=INK, linewidth=1, linestyle=":")
    axes.plot(
        _column(lines, "predicted"), _column(lines, "residual"), "o", color=SERIES[0],
        alpha=0.4, markersize=3.5, markeredgewidth=0,
    )  # fmt: skip
    axes.set(xlabel="Predicted", ylabel="Actual − predicted")
    return text_of(made, "residuals", "Residuals against predictions")


def _importance(lines: Lines) -> str:
    top = lines[:TOP_FEATURES][::-1]
    names = [_short(line["feature"]) for line in top]
    made, axes = figure(9.6, 0.7 + 0.24 * max(3, len(top)))
    axes.barh(range(len(top)), _column(top, "importance"), color=SERIES[0], height=0.62)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set(yticks=range(len(top)), yticklabels=names, xlabel="Loss in the metric when shuffled")
    axes.grid(visible=False, axis="y")
    said = ", ".join(line["feature"] for line in lines[:3])
    return text_of(made, "importance", f"Permutation importance; the most important are {said}")


def _short(name: str) -> str:
    return name if len(name) <= 32 else name[:31] + "…"


_FROM_CSV: dict[str, Callable[[Lines], str]] = {
    "roc": _roc,
    "pr": _pr,
    "calibration": _calibration,
    "predictions": _predictions,
    "residuals": _residuals,
    "importance": _importance,
}
