"""The small files of a project: ignore rules, attributes, README."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.render.engine import fill
from modelyard.settings import Settings


def gitignore() -> str:
    """What git leaves out: local state, DVC's content, the MLflow store, generated pages."""
    return fill("gitignore.j2")


def dvcignore() -> str:
    """What DVC need not walk through."""
    return fill("dvcignore.j2")


def gitattributes() -> str:
    """Files whose bytes are hashed keep their line endings everywhere."""
    return fill("gitattributes.j2")


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
