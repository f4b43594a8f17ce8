"""reports/m3-packaging: how the model was found, what its image holds, and that it was tried."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from modelyard.project import Project
from modelyard.records import (
    ImageCheckRecord,
    ImageRecord,
    StudyRecord,
    read_if_there,
    read_json,
    write_bytes,
)
from modelyard.report import html, plots

FOLDER = "m3-packaging"
PICTURE = "page.png"
TEMPLATE = "packaging.html.j2"


def write(
    project: Project, *, answers: Mapping[str, Any], log: Sequence[str], picture: str
) -> Path:
    """Write `reports/m3-packaging/index.html`, whole or not at all, and return its path.

    Args:
        answers: route -> what the endpoint in the container answered.
        log: the container's own lines.
        picture: why there is no picture of the page, or empty.

    Raises:
        ModelyardError: the image's records are missing or cannot be read.
    """
    path = project.reports / FOLDER / "index.html"
    write_bytes(path, page(project, answers=answers, log=log, picture=picture).encode())
    return path


def page(project: Project, *, answers: Mapping[str, Any], log: Sequence[str], picture: str) -> str:
    """The page as text; see `write`."""
    image = read_json(project.record("image"), ImageRecord)
    check = read_json(project.record("image-check"), ImageCheckRecord)
    study = read_if_there(project.record("study"), StudyRecord)
    css = Markup((html.TEMPLATES / "report.css").read_text("utf-8"))  # noqa: S704 - our own
    whole = sum(check.parts.values()) or 1
    drawn = {name: Markup(text) for name, text in plots.draw(project).items()}  # noqa: S704
    return (
        html.environment()
        .get_template(TEMPLATE)
        .render(
            project=project,
            css=css,
            plots=drawn,
            image=image,
            check=check,
            study=study,
            board=html.board(study) if study else None,
            parts=[(name, size, size / whole) for name, size in check.parts.items()],
            answers={
                route: json.dumps(said, ensure_ascii=False) for route, said in answers.items()
            },
            log=list(log),
            picture="" if picture else PICTURE,
            why_no_picture=picture,
            command=" ".join(word if " " not in word else f"'{word}'" for word in image.command),
        )
    )
