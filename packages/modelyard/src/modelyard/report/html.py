"""The run's report: one self-contained page, made from the records alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from modelyard.models.metrics import METRICS
from modelyard.project import Project
from modelyard.records import (
    ChampionRecord,
    Comparison,
    EvaluateRecord,
    GateRecord,
    IngestRecord,
    PackRecord,
    Schema,
    Slice,
    SplitRecord,
    StudyRecord,
    TrainRecord,
    Trial,
    read_if_there,
    write_bytes,
)
from modelyard.report import plots

TEMPLATES = Path(__file__).parent / "templates"
TOP_TRIALS = 15
TOP_SLICES = 20
TOP_CLASSES = 20
TOP_CONFUSIONS = 15
LINEAGE_NAMES = {
    "commit": "Commit",
    "dirty": "Uncommitted changes",
    "branch": "Branch",
    "data_version": "Data version",
    "data_md5": "Data (md5)",
    "environment_lock": "Environment lock (sha256)",
    "dvc_lock": "dvc.lock (sha256)",
    "run_id": "MLflow run",
    "version": "modelyard",
    "python": "Python",
}


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
    # Both are ours: pictures escape their texts when they are drawn, the stylesheet has none.
    pictures = plots.draw(project) if pictures is None else pictures
    drawn = {name: Markup(text) for name, text in pictures.items()}  # noqa: S704
    css = Markup((TEMPLATES / "report.css").read_text("utf-8"))  # noqa: S704
    template = environment().get_template("index.html.j2")
    return template.render(view(project, extra), plots=drawn, css=css)


def environment() -> Environment:
    """The templates of this folder, with the ways in which values are written."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    made.filters |= {
        "num": number,
        "share": share,
        "level": level,
        "count": count,
        "size": size,
        "params": params,
        "short": short,
        "metric": _metric_title,
    }
    return made


def view(project: Project, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What the template shows: the records, and them in the order that a reader wants."""
    study = read_if_there(project.record("study"), StudyRecord)
    evaluation = read_if_there(project.record("evaluate"), EvaluateRecord)
    gate = read_if_there(project.record("gate"), GateRecord)
    schema = read_if_there(project.record("schema"), Schema)
    return {
        "project": project,
        "settings": project.settings,
        "schema": schema,
        "ingest": read_if_there(project.record("ingest"), IngestRecord),
        "split": read_if_there(project.record("split"), SplitRecord),
        "study": study,
        "train": read_if_there(project.record("train"), TrainRecord),
        "evaluation": evaluation,
        "pack": read_if_there(project.record("pack"), PackRecord),
        "gate": gate,
        "champion": read_if_there(project.record("champion"), ChampionRecord),
        "lineage": _lineage(extra.get("lineage") or {}),
        "board": board(study) if study else None,
        "metric_rows": _metric_rows(evaluation) if evaluation else [],
        "slices": _slices(evaluation) if evaluation else [],
        "confusion": _confusion(evaluation, schema) if evaluation and schema else None,
        "interval": _interval(gate.comparison) if gate and gate.comparison else None,
    }


def board(study: StudyRecord) -> dict[str, Any]:
    """The trials that finished, best first; the best of each family; how the others ended."""
    scored = [
        trial for trial in study.trials if trial.state == "complete" and trial.score is not None
    ]
    sign = -1 if study.direction == "maximize" else 1
    ranked = sorted(scored, key=lambda trial: (sign * (trial.score or 0.0), trial.number))
    families: dict[str, Trial] = {}
    for trial in ranked:
        families.setdefault(trial.family, trial)
    ends: dict[str, int] = {}
    for trial in study.trials:
        ends[trial.state] = ends.get(trial.state, 0) + 1
    return {
        "families": list(families.values()),
        "top": ranked[:TOP_TRIALS],
        "more": max(0, len(ranked) - TOP_TRIALS),
        "ends": ends,
        "chosen": {member.trial for member in study.chosen},
    }


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
                "title": _metric_title(name),
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


def _lineage(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    plain = {str(key).removeprefix("modelyard."): str(value) for key, value in given.items()}
    known = [(title, plain[key]) for key, title in LINEAGE_NAMES.items() if plain.get(key)]
    return known + [(key, value) for key, value in plain.items() if key not in LINEAGE_NAMES]


def _metric_title(name: str) -> str:
    return METRICS[name].title if name in METRICS else name


# --- how values are written ----------------------------------------------------------------------


def number(value: float | int | str | None, digits: int = 4) -> str:
    """Four significant digits, thousands set apart; a dash for nothing."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return count(value)
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}".replace(",", "\u2009")
    if 0 < abs(value) < 1e-4:
        return f"{value:.1e}".replace("e-0", "e-").replace("-", "−")
    text = f"{value:.{digits}f}" if abs(value) < 1 else f"{value:.{digits}g}"
    return text.replace("-", "−")


def share(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %" if value < 0.9995 else "100 %"


def level(confidence: float) -> str:
    """A confidence level as a percentage, without digits that say nothing."""
    return f"{100 * confidence:g} %"


def count(value: int) -> str:
    """A whole number, thousands set apart by a thin space."""
    return f"{value:,}".replace(",", "\u2009")


def size(value: int) -> str:
    """Bytes for people."""
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= step:
            return f"{value / step:.1f} {unit}"
    return f"{value} bytes"


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
