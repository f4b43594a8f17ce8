"""The small files of a project: ignore rules, attributes, README."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.render.engine import fill
from modelyard.render.pipeline import StageSpec
from modelyard.settings import Settings


def gitignore() -> str:
    """What git leaves out: local state, DVC's content, the MLflow store, generated pages."""
    return fill("gitignore.j2")


def dvcignore() -> str:
    """What DVC need not walk through."""
    return fill("dvcignore.j2")


def gitattributes(stages: Sequence[StageSpec]) -> str:
    """Hashed files keep their line endings; what stages write has its merge drivers."""
    names = [path for stage in stages for path in (*stage.plain_outs, *stage.metrics)]
    folders = [f"{path}/**" for stage in stages for path in stage.plots]
    return fill("gitattributes.j2", outputs=[*names, *folders])


def readme(settings: Settings, *, rows: int, columns: int) -> str:
    """The project's README: how to run it, what lies where, the verbs."""
    return fill("readme.md.j2", settings=settings, rows=rows, columns=columns)


def missing_lines(content: str, wanted: str) -> Sequence[str]:
    """The rules of `wanted` that `content` does not have, in order; comments do not count."""
    there = {line.strip() for line in content.splitlines()}
    return [
        line
        for line in wanted.splitlines()
        if line.strip() and not line.startswith("#") and line.strip() not in there
    ]
