"""The page of a run: its stages, green or red, with their logs; one file on its own."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from modelyard.ci.pipeline import EVENTS
from modelyard.ci.runs import Run

SHOWN = 200_000
"""Characters of a log's end that the page holds; the file beside it has all of it."""

COLOURS = re.compile("\x1b\\[[0-9;?]*[A-Za-z]")


def page(run: Run, place: Path) -> str:
    """The page as text; logs are read from `place`."""
    logs = {}
    for job in run.jobs:
        path = place / job.log
        if job.log and path.is_file():
            text = COLOURS.sub("", path.read_text(encoding="utf-8", errors="replace"))
            logs[job.name] = text[-SHOWN:]
    return _template().render(run=run, logs=logs, events=EVENTS)


@cache
def _template() -> Template:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    ).get_template("run.html.j2")
