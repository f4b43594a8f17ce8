"""The one-page summary: SUMMARY.md holds its words, reports/summary.pdf is the page.

The words are generated from records until the author changes them (see kept.py); figures and plot
always come from the records. The page is exactly one: type and gaps shrink a little where the words
need it, and too many words are refused with the longest section named.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modelyard.errors import UsageError
from modelyard.records import write_bytes
from modelyard.report import curves, kept, reasons, words
from modelyard.report.chart import plain
from modelyard.report.gather import Gathered, evaluated
from modelyard.report.kept import Merged
from modelyard.tools import typst

FILE = "SUMMARY.md"
PDF = "summary.pdf"
TEMPLATE = Path(__file__).parent / "templates" / "summary.typ"
TITLES = {
    "what-was-done": "What was done",
    "why-this-model": "Why this model",
    "why-this-tuning": "What the search cost and gained",
    "why-this-threshold": "Where the decision is cut",
    "how-it-was-judged": "How it was judged",
    "limits": "What it cannot do",
}
SIZES = (11.8, 11.2, 10.6, 10.0, 9.4, 8.8, 8.2, 7.6)
"""Sizes of type in points, tried in turn until everything stands on one page."""

ROOMY = 9.4
"""From this size of type on, a second picture stands under the first where there is room for it."""

FIGURES = 7
_SPACES = re.compile(r"[ \t]*\n[ \t]*")


def write(state: Gathered) -> tuple[Path, Merged]:
    """Write SUMMARY.md and `reports/summary.pdf`.

    Raises:
        ModelyardError: there has been no run yet.
        UsageError: the words do not fit on one page.
        ToolFailed: Typst is missing.
    """
    evaluated(state)
    source = state.project.root / FILE
    old = source.read_text(encoding="utf-8") if source.is_file() else None
    parts = sections(state)
    fresh = (
        f"# {state.project.name}: summary\n\n<!-- The words of reports/summary.pdf. Edit a "
        f"section and it is yours; empty it to have\n"
        "it written from the records again. `modelyard summary` makes the page. -->\n\n"
        + "\n\n".join(
            f"## {TITLES[name]}\n\n{kept.section(name, text)}" for name, text in parts.items()
        )
        + "\n"
    )
    merged = kept.merge(old, parts, fresh)
    said = kept.texts(merged.text)
    pdf = _fit(state, {name: said[name] for name in TITLES if said.get(name)})
    write_bytes(source, merged.text.encode())
    path = state.project.reports / PDF
    write_bytes(path, pdf)
    return path, merged


def sections(state: Gathered) -> dict[str, str]:
    """Section -> its default words, every number from a record."""
    found = {
        "what-was-done": f"{reasons.question(state)}\n\n{reasons.data(state)}",
        "why-this-model": reasons.family(state),
        "why-this-tuning": reasons.tuning(state),
        "why-this-threshold": reasons.threshold(state),
        "how-it-was-judged": reasons.result(state),
        "limits": " ".join(reasons.limits(state)[:4]) or "The records name no weakness.",
    }
    return {name: text for name, text in found.items() if text}


def _fit(state: Gathered, said: dict[str, str]) -> bytes:
    template = TEMPLATE.read_text(encoding="utf-8")
    data, files = _data(state, said), {}
    pictures = _pictures(state)
    for place, (_, picture) in enumerate(pictures):
        files[f"plot-{place}.svg"] = picture.encode()
    titles = [title for title, _ in pictures]
    roomy = [(titles, size) for size in SIZES if size >= ROOMY and len(titles) > 1]
    for shown, size in (*roomy, *((titles[:1], size) for size in SIZES)):
        pdf, pages = typst.typeset(template, data | {"size": size, "plots": shown}, files)
        if pages == 1:
            return pdf
    longest = max(said, key=lambda name: len(said[name]))
    raise UsageError(
        "The summary does not fit on one page.",
        why=f"Its longest section, {longest}, has {len(said[longest])} characters.",
        next_step=f"shorten {FILE}, then: modelyard summary",
    )


def _pictures(state: Gathered) -> list[tuple[str, str]]:
    """Titles and pictures: the one that says most of the model's answers, and what it looks at."""
    drawn = curves.draw(state.project, curves.SMALL)
    held = f"On {words.count(evaluated(state).rows)} held-out rows"
    first = [name for name in ("roc", "residuals", "calibration", "predictions") if name in drawn]
    found = [(held, drawn[name]) for name in first[:1]]
    if "importance" in drawn:
        found.append(("What it looks at", drawn["importance"]))
    return [(title, plain(picture, "Libertinus Serif")) for title, picture in found]


def _data(state: Gathered, said: dict[str, str]) -> dict[str, Any]:
    """The page's content; the template holds no figure of its own."""
    evaluation, settings = evaluated(state), state.project.settings
    main = evaluation.metrics[evaluation.metric]
    names = sorted(evaluation.metrics, key=lambda name: name != evaluation.metric)[:FIGURES]
    gate = state.gate
    study = state.study
    families = [
        [trial.family, words.number(trial.score), words.seconds(trial.seconds)]
        for trial in (reasons.best_of_families(study) if study else [])
    ][:6]
    return {
        "name": state.project.name,
        "lead": settings.project.description or f"Predict {settings.data.target}.",
        "verdict": "not judged"
        if gate is None
        else "gate passed"
        if gate.passed
        else "gate refused",
        "good": bool(gate and gate.passed),
        "release": _release(state),
        "metric": words.metric_title(evaluation.metric),
        "value": words.number(main.value),
        "interval": f"{words.level(evaluation.confidence)} interval {words.number(main.low)} "
        f"to {words.number(main.high)}",
        "baseline": words.number(evaluation.baseline.get(evaluation.metric)),
        "figures": [
            [
                words.metric_title(name),
                words.number(evaluation.metrics[name].value),
                f"{words.number(evaluation.metrics[name].low)} to "
                f"{words.number(evaluation.metrics[name].high)}",
                words.number(evaluation.baseline.get(name)),
            ]
            for name in names
        ],
        "families": families,
        "family_metric": words.metric_title(study.metric) if study else "",
        "sections": [[TITLES[name], _paragraphs(text)] for name, text in said.items()],
        "foot": " · ".join(
            text
            for text in (
                f"run {words.short(state.run_id)}" if state.run_id else "",
                f"data {state.data_version}" if state.data_version else "",
                f"commit {words.short(state.run_commit)}" if state.run_commit else "",
                f"package {words.short(state.pack.package_digest)}" if state.pack else "",
            )
            if text
        ),
    }


def _release(state: Gathered) -> str:
    """What the figures are those of, and the champion where it is another model."""
    now, own = state.champion, state.released_as
    if now is None:
        return "candidate"
    if state.is_champion:
        return f"champion v{now.version}"
    return f"{f'v{own}' if own else 'candidate'} · champion: v{now.version}"


def _paragraphs(text: str) -> list[str]:
    """A section's paragraphs; a line break inside one is a space, as in Markdown."""
    return [_SPACES.sub(" ", part.strip()) for part in re.split(r"\n\s*\n", text) if part.strip()]
