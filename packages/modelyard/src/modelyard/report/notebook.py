"""What a notebook shows: parts of the report, pictures and tables, each with its `_repr_html_`."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from modelyard.errors import UsageError, capped, nearest
from modelyard.project import Project
from modelyard.report import html, plots
from modelyard.report.chart import plain
from modelyard.report.gather import Gathered, gather
from modelyard.report.words import metric_title, number


@dataclass(frozen=True)
class Part:
    """A part of the report. It stands in a frame: its style and script touch nothing else."""

    name: str
    page: str
    height: int = 640

    def _repr_html_(self) -> str:
        return (
            f'<iframe title="{escape(self.name)}" srcdoc="{escape(self.page)}" '
            f'style="width:100%;height:{self.height}px;border:1px solid '
            f'#d6d3cb;border-radius:8px"></iframe>'
        )


@dataclass(frozen=True)
class Picture:
    """One picture of the report. `svg` is the whole file, for `Path(...).write_text`."""

    name: str
    svg: str

    def _repr_svg_(self) -> str:
        return self.svg

    def _repr_html_(self) -> str:
        return (
            f"<div "
            f'style="max-width:62rem;background:#fff;padding:.6rem;border-radius:8px">{self.svg}</div>'
        )


def part(project: Project, name: str) -> Part:
    """One part of the report, such as `tuning`.

    Raises:
        UsageError: there is no such part.
    """
    return Part(name, html.fragment(project, name, {}))


def picture(project: Project, name: str) -> Picture:
    """One picture of the report, such as `history` or `roc`.

    Raises:
        UsageError: there is no such picture, or its record is not there yet.
    """
    drawn = plots.draw(project, gather(project).runs)
    if name not in drawn:
        raise UsageError(
            f"There is no picture {name!r}{nearest(name, drawn) or '.'}",
            why=f"There are: {capped(drawn, 20)}." if drawn else "No run has been made yet.",
            next_step="modelyard run" if not drawn else f'Project().plot("{next(iter(drawn))}")',
        )
    return Picture(name, plain(drawn[name]))


def overview(state: Gathered) -> str:
    """The project in a few lines of HTML: its champion, and the last evaluation."""
    now, evaluation = state.champion, state.evaluation
    rows = ""
    if evaluation is not None:
        for name, entry in evaluation.metrics.items():
            low, high = number(entry.low), number(entry.high)
            rows += (
                f"<tr><td>{escape(metric_title(name))}</td><td><b>{number(entry.value)}</b></td>"
                f"<td>{low} to {high}</td><td>{number(evaluation.baseline.get(name))}</td></tr>"
            )
        head = "".join(f"<th>{name}</th>" for name in ("metric", "value", "interval", "baseline"))
        rows = f"<table><tr>{head}</tr>{rows}</table>"
    champion = (
        f"champion v{escape(now.version)}, data {escape(now.data_version)}"
        if now
        else "no champion yet"
    )
    about = escape(state.project.settings.project.description)
    return f"<b>{escape(state.project.name)}</b> · {champion}<br>{about}{rows}"
