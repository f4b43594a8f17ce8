"""chart: charts/<name>/ of a project, kept up to date; what a person edited is not lost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from modelyard.errors import UsageError, capped
from modelyard.project import Project
from modelyard.records import write_bytes
from modelyard.render.chart import chart_files, chart_name, cloud_files, environment_files

KEPT = ".modelyard-chart.json"
"""In the chart's folder: the sha256 of each file as we wrote it last."""


@dataclass(frozen=True)
class ChartReport:
    """What was written, what was up to date, what a person had changed."""

    folder: Path
    written: tuple[str, ...]
    edited: tuple[str, ...]


def folder_of(project: Project) -> Path:
    """Where the project's chart lies."""
    return project.charts / chart_name(project.name)


def chart(project: Project, *, force: bool = False, dry_run: bool = False) -> ChartReport:
    """Write the chart, or bring it up to date.

    A file that we wrote and nobody changed is replaced; one that a person changed stays, unless
    `force`. The values of the environments are written once and never again.

    Raises:
        UsageError: files were changed by hand, and ours have changed too.
    """
    folder = folder_of(project)
    wanted = chart_files(project.name, project.settings.project.description)
    once = {**environment_files(project.name), **cloud_files(project.name)}
    known = _known(folder)
    written, edited, conflicts = list[str](), list[str](), list[str]()
    for name, text in wanted.items():
        there = _digest_of(folder / name)
        if there == _digest(text):
            continue
        ours = there is None or there == known.get(name)
        if not ours and not force:
            # Only where our file has moved on, too, is there something to decide.
            (edited if known.get(name) == _digest(text) else conflicts).append(name)
            continue
        written.append(name)
    missing = [name for name in once if not (folder / name).exists()]
    if conflicts:
        raise UsageError(
            f"{folder.relative_to(project.root)} has files that were changed by hand.",
            why=f"Changed here and in this version of modelyard: {capped(conflicts)}.",
            next_step="git diff ; keep your values in values-staging.yaml and "
            "values-production.yaml ; then: modelyard chart --force",
        )
    if not dry_run:
        for name in written:
            write_bytes(folder / name, wanted[name].encode())
        for name in missing:
            write_bytes(folder / name, once[name].encode())
        stale = set(known) - set(wanted)
        for name in stale:
            if _digest_of(folder / name) == known[name]:
                (folder / name).unlink()
        kept = {name: _digest(text) for name, text in wanted.items()}
        if kept != known:
            body = json.dumps(kept, indent=2, sort_keys=True) + "\n"
            write_bytes(folder / KEPT, body.encode())
    return ChartReport(folder, tuple(sorted([*written, *missing])), tuple(edited))


def _known(folder: Path) -> dict[str, str]:
    path = folder / KEPT
    found: dict[str, str] = json.loads(path.read_bytes()) if path.is_file() else {}
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _digest_of(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
