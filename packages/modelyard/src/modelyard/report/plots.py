"""The report's pictures, drawn from the CSV files of evaluate and the records of study and runs."""

from __future__ import annotations

import math
from collections.abc import Sequence

from modelyard.project import Project
from modelyard.records import RunLine, RunsRecord, StudyRecord, Trial, read_if_there
from modelyard.report import curves, parallel
from modelyard.report.chart import GREY, GRID, INK, SERIES, Chart, Pair, around
from modelyard.report.words import metric_title, number

TOP_TRIALS = 12
FEW_OUTSIDE = 4
"""Up to this many marks outside a frame have their values written beside them."""


def draw(project: Project, runs: RunsRecord | None = None) -> dict[str, str]:
    """Draw what there is to draw.

    Args:
        runs: the runs' list, for the score over time.

    Returns:
        name -> SVG text, with transparent ground and the page's colours. Names: history, families,
        folds, spent, parallel-FAMILY, matters-FAMILY (from the study), runs, roc, pr, calibration,
        predictions, residuals, importance, threshold (from the CSV files). A missing record or CSV
        leaves its names out.
    """
    found: dict[str, str] = {}
    study = read_if_there(project.record("study"), StudyRecord)
    if study is not None and any(trial.score is not None for trial in study.trials):
        found["history"] = _history(study)
        found["families"] = _families(study)
        found["folds"] = _folds(study)
        found |= parallel.draw(study, by_family(study))
        for family, shares in study.importance.items():
            if shares:
                found[f"matters-{family}"] = _matters(family, shares, by_family(study)[family])
    if runs is not None:
        found |= of_runs(runs)
    return found | curves.draw(project)


# --- the study -----------------------------------------------------------------------------------


def _scored(study: StudyRecord) -> list[tuple[Trial, float]]:
    return [(trial, trial.score) for trial in study.trials if trial.score is not None]


def by_family(study: StudyRecord) -> dict[str, str]:
    """Family -> colour; the baseline is grey, as it is nobody's wish."""
    names = sorted({trial.family for trial in study.trials} - {"baseline"})
    colours = {name: SERIES[index % (len(SERIES) - 1)] for index, name in enumerate(names)}
    return colours | {"baseline": GREY}


def _focus(values: Sequence[float], maximize: bool) -> Pair:
    """Limits that show the better three quarters well; what lies outside sits on the edge."""
    good = sorted(values)
    best, quarter = (
        (good[-1], good[len(good) // 4]) if maximize else (good[0], good[-1 - len(good) // 4])
    )
    spread = max(abs(best - quarter), abs(best) * 1e-3, 1e-9)
    low, high = (quarter - spread, best + 0.25 * spread)
    return (low, high) if maximize else (best - 0.25 * spread, quarter + spread)


def _tip(trial: Trial, metric: str) -> str:
    said = f"trial {trial.number} · {trial.family} · {metric} {number(trial.score)}"
    return f"{said} · {trial.origin} · {trial.seconds:.1f} s" + (
        f" · {trial.state}" if trial.state != "complete" else ""
    )


def _history(study: StudyRecord) -> str:
    scored, maximize = _scored(study), study.direction == "maximize"
    low, high = _focus([score for _, score in scored], maximize)
    last = max(trial.number for trial, _ in scored)
    label = f"{study.metric} of each trial by number; the best is {study.score:.4g}"
    chart = Chart(
        "history",
        label,
        (-0.5, last + 0.5),
        (low, high),
        "trial",
        metric_title(study.metric),
        width=1060,
        height=330,
        x_whole=True,
    )
    best, steps = None, []
    for trial, score in scored:
        if trial.state == "complete":
            better = best is None or (score > best if maximize else score < best)
            best = score if better else best
        if best is not None:
            steps.append((float(trial.number), min(high, max(low, best))))
    if steps:
        steps.append((last + 0.5, steps[-1][1]))
        chart.line(steps, INK, name="best so far", step=True, width=1.6)
    for family, colour in by_family(study).items():
        for pruned in (False, True):
            some = [
                (t, s) for t, s in scored if t.family == family and (t.state == "pruned") == pruned
            ]
            chart.dots(
                [(float(t.number), min(high, max(low, s))) for t, s in some],
                colour,
                name=f"{family} (pruned)" if pruned else family,
                hollow=pruned,
                radius=4.5,
                tips=[_tip(t, study.metric) for t, _ in some],
            )
    outside = [(t, s) for t, s in scored if not low <= s <= high]
    for trial, score in outside:
        arrow, edge, above = ("↓", low, 9) if score < low else ("↑", high, -17)
        value = f" {score:.3g}" if len(outside) <= FEW_OUTSIDE else ""
        chart.words(float(trial.number), edge, arrow + value, above=above)
    return chart.svg()


def _families(study: StudyRecord) -> str:
    colours, maximize = by_family(study), study.direction == "maximize"
    groups: dict[str, list[tuple[Trial, float]]] = {}
    for trial, score in _scored(study):
        if trial.state == "complete":
            groups.setdefault(trial.family, []).append((trial, score))
    pick = max if maximize else min
    tops = {name: pick(score for _, score in some) for name, some in groups.items()}
    names = sorted(groups, key=lambda name: tops[name], reverse=maximize)
    said = ", ".join(f"{name} {tops[name]:.4g}" for name in names)
    every = [score for some in groups.values() for _, score in some]
    chart = Chart(
        "families",
        f"Best {study.metric} of each family: {said}",
        around(every, 0.1),
        (-0.6, len(names) - 0.4),
        metric_title(study.metric),
        height=100 + 46 * len(names),
        y_names=names,
    )
    for place, name in enumerate(reversed(names)):
        some = groups[name]
        chart.dots(
            [(score, float(place)) for _, score in some],
            colours[name],
            opacity=0.45,
            tips=[_tip(trial, study.metric) for trial, _ in some],
        )
        chart.dots(
            [(tops[name], float(place))],
            colours[name],
            radius=6,
            tips=[f"{name}: best {number(tops[name])}"],
        )
        chart.words(tops[name], place, number(tops[name]), above=11)
    return chart.svg()


def _folds(study: StudyRecord) -> str:
    colours, maximize = by_family(study), study.direction == "maximize"
    whole = [(t, s) for t, s in _scored(study) if t.state == "complete" and t.folds]
    whole = sorted(whole, key=lambda pair: pair[1], reverse=maximize)[:TOP_TRIALS]
    names = [f"{trial.family} {trial.number}" for trial, _ in whole]
    every = [fold for trial, _ in whole for fold in trial.folds] or [0.0, 1.0]
    chart = Chart(
        "folds",
        f"{study.metric} in each fold for the best {len(whole)} trials",
        around(every),
        (-0.6, len(names) - 0.4),
        f"{metric_title(study.metric)}: each fold, and the mean",
        height=100 + 24 * max(2, len(names)),
        y_names=names,
    )
    for place, (trial, score) in enumerate(reversed(whole)):
        level = float(place)
        chart.line([(min(trial.folds), level), (max(trial.folds), level)], GRID, width=1.4)
        chart.dots(
            [(fold, level) for fold in trial.folds],
            colours[trial.family],
            radius=3.6,
            opacity=0.55,
            tips=[f"fold {n}: {number(fold)}" for n, fold in enumerate(trial.folds, 1)],
        )
        chart.dots([(score, level)], INK, radius=4.6, tips=[_tip(trial, study.metric)])
    return chart.svg()


def _matters(family: str, shares: dict[str, float], colour: str) -> str:
    names = sorted(shares, key=lambda name: -shares[name])[: curves.TOP_FEATURES]
    said = ", ".join(names[:3])
    chart = Chart(
        f"matters-{family}",
        f"Parameters of {family} by their weight in the score: {said}",
        (0.0, 1.05 * max([*shares.values(), 1e-9])),
        (-0.6, len(names) - 0.4),
        "share of the score's variation",
        height=86 + 26 * max(2, len(names)),
        y_names=names,
    )
    for place, name in enumerate(reversed(names)):
        chart.bar(float(place), shares[name], colour, tip=f"{name}: {100 * shares[name]:.0f} %")
    return chart.svg()


# --- the runs ------------------------------------------------------------------------------------


def of_runs(runs: RunsRecord) -> dict[str, str]:
    """The score over time, where a run has one."""
    return {"runs": _runs(runs)} if any(run.value is not None for run in runs.runs) else {}


def of_newest_metric(runs: RunsRecord) -> list[RunLine]:
    """The runs that share one axis: those with a score, of the metric of the newest."""
    scored = [run for run in runs.runs if run.value is not None]
    return [run for run in scored if run.metric == scored[-1].metric]


def _runs(runs: RunsRecord) -> str:
    scored = of_newest_metric(runs)
    bounds = [
        v
        for run in scored
        for v in (run.low, run.value, run.high)
        if v is not None and math.isfinite(v)
    ]
    metric = scored[-1].metric
    chart = Chart(
        "runs",
        f"Test {metric} of each run, oldest first, with its interval",
        (-0.5, len(scored) - 0.5),
        around(bounds, 0.12),
        "run, oldest first",
        metric_title(metric),
        width=1060,
        height=300,
        x_whole=True,
    )
    chart.line([(float(n), run.value or 0.0) for n, run in enumerate(scored)], GRID, width=1.6)
    for n, run in enumerate(scored):
        if run.low is not None and run.high is not None:
            chart.line([(float(n), run.low), (float(n), run.high)], SERIES[0], width=1.6)
    for kind, colour, hollow in (
        ("released", SERIES[2], False),
        ("passed", SERIES[0], False),
        ("refused", SERIES[5], True),
    ):
        some = [(n, run) for n, run in enumerate(scored) if _ended(run.gate, run.version) == kind]
        chart.dots(
            [(float(n), run.value or 0.0) for n, run in some],
            colour,
            name=kind,
            radius=6,
            hollow=hollow,
            tips=[
                f"{run.started} · {run.name} · {run.metric} {number(run.value)} "
                f"({number(run.low)} to "
                f"{number(run.high)}) · data {run.data_version or 'unversioned'}"
                + (f" · released as v{run.version}" if run.version else "")
                for _, run in some
            ],
        )
        for n, run in some:
            if run.version:
                chart.words(
                    float(n),
                    run.high if run.high is not None else run.value or 0.0,
                    f"v{run.version}",
                )
    return chart.svg()


def _ended(gate: str, version: str | None) -> str:
    return "released" if version else "refused" if gate == "refused" else "passed"
