"""The project's report: one self-contained page, made from the records alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from modelyard.errors import UsageError, nearest
from modelyard.models.metrics import METRICS
from modelyard.project import Project
from modelyard.records import (
    Comparison,
    EvaluateRecord,
    RunLine,
    Schema,
    Slice,
    StudyRecord,
    Trial,
    write_bytes,
)
from modelyard.report import graph, plots, words
from modelyard.report.gather import Gathered, gather

TEMPLATES = Path(__file__).parent / "templates"
TOP_TRIALS = 500
TOP_SLICES = 20
TOP_CLASSES = 20
TOP_CONFUSIONS = 15
LINEAGE_NAMES = {
    "commit": "Commit",
    "data_version": "Data version",
    "data_md5": "Data (md5)",
    "head": "Commit, now",
    "dirty": "Uncommitted changes",
    "branch": "Branch",
    "environment_lock": "Environment lock (sha256)",
    "dvc_lock": "dvc.lock (sha256)",
    "run_id": "MLflow run",
    "version": "modelyard",
    "python": "Python",
}

NOW = ("dirty", "branch", "environment_lock", "dvc_lock", "version", "python")
"""What the lineage has of the working tree and of the machine alone."""


def write(
    project: Project, extra: Mapping[str, Any], pictures: Mapping[str, str] | None = None
) -> Path:
    """Write `reports/index.html`, whole or not at all, and return its path.

    Args:
        project: whose records are read; each may be missing, its section then says so.
        extra: what no record holds. `lineage`: name -> text.
        pictures: what `plots.draw` gave, where it was called already.

    Raises:
        ModelyardError: a record is there and cannot be read.
    """
    path = project.reports / "index.html"
    write_bytes(path, page(project, extra, pictures).encode())
    return path


def page(
    project: Project, extra: Mapping[str, Any], pictures: Mapping[str, str] | None = None
) -> str:
    """The page as text; see `write`."""
    return _render(project, extra, pictures, "index.html.j2")


def _render(
    project: Project,
    extra: Mapping[str, Any],
    pictures: Mapping[str, str] | None,
    template: str,
    **more: str,
) -> str:
    state = gather(project, extra.get("lineage"))
    given = dict(pictures) if pictures is not None else plots.draw(project, state.runs)
    if pictures is not None and state.runs.runs and "runs" not in given:
        given |= plots.of_runs(state.runs)
    given |= {"lineage": graph.lineage(state), "git": graph.history(state.commits)}
    # All are ours: pictures escape their texts when they are drawn, style and script have none.
    drawn = {name: Markup(text) for name, text in given.items() if text}  # noqa: S704
    css = Markup((TEMPLATES / "report.css").read_text("utf-8"))  # noqa: S704
    script = Markup((TEMPLATES / "report.js").read_text("utf-8"))  # noqa: S704
    made = environment().get_template(template)
    return made.render(view(state), plots=drawn, css=css, script=script, **more)


SECTIONS = ("data", "experiments", "tuning", "results", "gate", "package", "operations", "lineage")
"""The page's parts, each a template of its own; a notebook shows them one by one."""


def fragment(project: Project, name: str, extra: Mapping[str, Any]) -> str:
    """One part of the page as a page of its own.

    Raises:
        UsageError: there is no such part.
        ModelyardError: a record is there and cannot be read.
    """
    if name not in SECTIONS:
        raise UsageError(
            f"The report has no part {name!r}{nearest(name, SECTIONS) or '.'}",
            why=f"Its parts: {', '.join(SECTIONS)}.",
            next_step='Project().section("tuning")',
        )
    return _render(project, extra, None, "fragment.html.j2", section=name)


def environment() -> Environment:
    """The templates with the ways of writing values."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "num": words.number,
        "signed": words.signed,
        "share": words.share,
        "level": words.level,
        "count": words.count,
        "size": words.size,
        "secs": words.seconds,
        "params": words.params,
        "short": words.short,
        "metric": words.metric_title,
        "stamp": _stamp,
        "facts": _facts,
    }
    return made


def view(state: Gathered) -> dict[str, Any]:
    """What the template shows: the records, and them in the order that a reader wants."""
    study, evaluation, gate, schema = state.study, state.evaluation, state.gate, state.schema
    return {
        "state": state,
        "project": state.project,
        "settings": state.project.settings,
        "schema": schema,
        "ingest": state.ingest,
        "split": state.split,
        "study": study,
        "train": state.train,
        "evaluation": evaluation,
        "pack": state.pack,
        "gate": gate,
        "champion": state.champion,
        "run_id": state.run_id,
        "lineage": _lineage(state),
        "board": board(study) if study else None,
        "gain": _gain(study) if study else [],
        "metric_rows": _metric_rows(evaluation) if evaluation else [],
        "slices": _slices(evaluation) if evaluation else [],
        "confusion": _confusion(evaluation, schema) if evaluation and schema else None,
        "interval": _interval(gate.comparison) if gate and gate.comparison else None,
        "runs": _runs(state),
        "off_axis": len([run for run in state.runs.runs if run.value is not None])
        - len(plots.of_newest_metric(state.runs)),
    }


def _runs(state: Gathered) -> list[dict[str, Any]]:
    """The runs, best first; those of the newest run's metric stand before others."""
    scored = [run for run in state.runs.runs if run.value is not None]
    newest = list(dict.fromkeys(run.metric for run in reversed(scored)))

    def place(run: RunLine) -> tuple[int, float]:
        known = METRICS.get(run.metric)
        smaller = (known.direction if known else state.runs.direction) == "minimize"
        value = run.value or 0.0
        return newest.index(run.metric), value if smaller else -value

    ranked = sorted(scored, key=place)
    now = state.champion.run_id if state.champion else None
    places: dict[str, int] = {}
    rows = []
    for run in ranked:
        places[run.metric] = places.get(run.metric, 0) + 1
        rows.append({"run": run, "place": places[run.metric], "champion": run.run_id == now})
    return rows


def board(study: StudyRecord) -> dict[str, Any]:
    """The trials that have a score, best first; the best of each family; how the others ended."""
    scored = [trial for trial in study.trials if trial.score is not None]
    sign = -1 if study.direction == "maximize" else 1
    ranked = sorted(
        scored, key=lambda t: (t.state != "complete", sign * (t.score or 0.0), t.number)
    )
    families: dict[str, Trial] = {}
    for trial in ranked:
        families.setdefault(trial.family, trial)
    ends: dict[str, int] = {}
    spent: dict[str, tuple[int, float]] = {}
    for trial in study.trials:
        ends[trial.state] = ends.get(trial.state, 0) + 1
        tried, time = spent.get(trial.family, (0, 0.0))
        spent[trial.family] = (tried + 1, time + trial.seconds)
    return {
        "families": list(families.values()),
        "top": ranked[:TOP_TRIALS],
        "more": max(0, len(ranked) - TOP_TRIALS),
        "unscored": len(study.trials) - len(scored),
        "ends": ends,
        "spent": spent,
        "chosen": {member.trial for member in study.chosen},
    }


def _gain(study: StudyRecord) -> list[dict[str, Any]]:
    """Baseline, each family's own default, the best trial, what was chosen: each with its distance
    from the default of the best family, and the seconds that it took."""
    complete = [t for t in study.trials if t.state == "complete" and t.score is not None]
    if not complete:
        return []
    pick = max if study.direction == "maximize" else min
    best = pick(complete, key=lambda t: t.score or 0.0)
    rows: list[tuple[str, str, Trial | None, float]] = []
    for trial in complete:
        if trial.family == "baseline":
            rows.append(("Baseline", "the dumbest model to beat", trial, trial.score or 0.0))
            break
    defaults: dict[str, Trial] = {}
    for trial in complete:
        if trial.origin == "default" and trial.family != "baseline":
            defaults.setdefault(trial.family, trial)
    for family, trial in defaults.items():
        rows.append((f"Default of {family}", "before any search", trial, trial.score or 0.0))
    rows.append(
        (
            f"Best trial: {best.family}",
            f"trial {best.number}, {best.origin}",
            best,
            best.score or 0.0,
        )
    )
    if len(study.chosen) > 1:
        rows.append(
            ("Blend that was chosen", f"{len(study.chosen)} trials, out of fold", None, study.score)
        )
    base = defaults.get(best.family)
    zero = base.score if base is not None and base.score is not None else None
    return [
        {
            "name": name,
            "note": note,
            "trial": trial,
            "score": score,
            "gain": None if zero is None else words.better(study.direction, score, zero),
            "base": base is not None and trial is base and not name.startswith("Best"),
        }
        for name, note, trial, score in rows
    ]


def _metric_rows(evaluation: EvaluateRecord) -> list[dict[str, Any]]:
    """Each metric with its interval and the baseline, the study's first; places in % of a scale."""
    names = sorted(evaluation.metrics, key=lambda name: name != evaluation.metric)
    rows = []
    for name in names:
        entry, plain = evaluation.metrics[name], evaluation.baseline.get(name)
        known = METRICS.get(name)
        top = 1.0 if known and known.bounded else 1.06 * max(entry.high, plain or 0.0, 1e-12)
        places = None
        if entry.low >= 0 and entry.high <= top:
            places = {
                "low": 100 * entry.low / top,
                "width": max(0.6, 100 * (entry.high - entry.low) / top),
                "value": 100 * entry.value / top,
                "baseline": None if plain is None or plain < 0 else 100 * plain / top,
            }
        smaller = bool(known and known.direction == "minimize")
        rows.append(
            {
                "name": name,
                "title": words.metric_title(name),
                "entry": entry,
                "baseline": plain,
                "smaller_is_better": smaller,
                "places": places,
                "main": name == evaluation.metric,
            }
        )
    return rows


def _slices(evaluation: EvaluateRecord) -> list[dict[str, Any]]:
    """The worst first, each with its distance from the whole; positive is better."""
    sign = 1 if evaluation.direction == "maximize" else -1
    overall = evaluation.metrics.get(evaluation.metric)

    def gap(entry: Slice) -> float:
        return sign * (entry.value - (overall.value if overall else 0.0))

    ranked = sorted(evaluation.slices, key=lambda entry: (gap(entry), entry.column, entry.level))
    widest = max((abs(gap(entry)) for entry in ranked), default=0.0) or 1.0
    return [
        {
            "entry": entry,
            "gap": gap(entry),
            "width": 50 * abs(gap(entry)) / widest,
            "loses": sign * (entry.value - entry.baseline) < 0,
        }
        for entry in ranked[:TOP_SLICES]
    ]


def _confusion(evaluation: EvaluateRecord, schema: Schema) -> dict[str, Any] | None:
    """A shaded table, or with many classes the most frequent mistakes."""
    cells = evaluation.confusion
    if not cells or len(cells) != len(schema.classes):
        return None
    if len(cells) <= TOP_CLASSES:
        lines = [
            (name, [(rows, rows / max(1, sum(line))) for rows in line], sum(line))
            for name, line in zip(schema.classes, cells, strict=True)
        ]
        return {"classes": schema.classes, "lines": lines, "mistakes": None}
    mistakes = sorted(
        (
            (-cells[a][b], schema.classes[a], schema.classes[b], sum(cells[a]))
            for a in range(len(cells))
            for b in range(len(cells))
            if a != b and cells[a][b]
        ),
    )[:TOP_CONFUSIONS]
    listed = [(actual, said, -rows, total) for rows, actual, said, total in mistakes]
    return {"classes": schema.classes, "lines": None, "mistakes": listed}


def _interval(comparison: Comparison) -> dict[str, float]:
    """Where the interval stands on a line whose middle is "no difference", in %."""
    half = 1.25 * max(abs(comparison.low), abs(comparison.high), 1e-12)

    def place(value: float) -> float:
        return min(100.0, max(0.0, 50 + 50 * value / half))

    low, high = place(comparison.low), place(comparison.high)
    return {"low": low, "width": max(0.6, high - low), "value": place(comparison.improvement)}


def _lineage(state: Gathered) -> list[tuple[str, str]]:
    """The lineage of the run that made the records, whatever has been added or committed since."""
    if not state.lineage:
        return []
    plain = {key.removeprefix("modelyard."): value for key, value in state.lineage.items()}
    plain |= {"data_version": state.data_version, "data_md5": state.data_md5}
    names = dict(LINEAGE_NAMES)
    if state.run_commit != plain.get("commit"):
        # These are the working tree's, which has gone on.
        names |= {key: f"{names[key]}, now" for key in NOW}
        plain |= {"commit": state.run_commit, "head": plain.get("commit", "")}
    known = [(title, plain[key]) for key, title in names.items() if plain.get(key)]
    return known + [(key, value) for key, value in plain.items() if key not in names]


def _stamp(text: str) -> str:
    """An ISO time to the minute."""
    return text[:16].replace("T", " ")


def _facts(body: Mapping[str, Any], depth: int = 0) -> list[tuple[str, str]]:
    """A record of another part of the house as names and texts, nested names joined."""
    found: list[tuple[str, str]] = []
    for key, value in body.items():
        name = str(key).replace("_", " ")
        if isinstance(value, Mapping) and depth < 2:
            found += [(f"{name} · {inner}", text) for inner, text in _facts(value, depth + 1)]
        elif isinstance(value, bool):
            found.append((name, "yes" if value else "no"))
        elif isinstance(value, int | float):
            big = "bytes" in name or name.endswith("size")
            text = words.size(value) if big and isinstance(value, int) else words.number(value)
            found.append((name, text))
        elif isinstance(value, list):
            plain = [str(entry) for entry in value if not isinstance(entry, list | Mapping)]
            text = ", ".join(plain[:8]) + (f" and {len(plain) - 8} more" if len(plain) > 8 else "")
            found.append((name, text or f"{len(value)} entries"))
        elif value not in (None, ""):
            found.append((name, str(value)[:300]))
    return found[:40]
