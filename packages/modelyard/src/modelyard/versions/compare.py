"""data diff: two versions' tables, row by row and column by column."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import DataInvalid, UsageError
from modelyard.project import Project
from modelyard.records import write_json
from modelyard.registry.data_versions import find, versions
from modelyard.tools import dvc
from modelyard.versions import content

if TYPE_CHECKING:
    import polars as pl

    from modelyard.tables.diff import TableDiff

WORKING = "working"
"""Names the working table where a version is asked for."""


def compare(project: Project, old: str, new: str) -> TableDiff:
    """Compare two versions (such as v1 and v2; `working` is the table as it lies there).

    Raises:
        UsageError: there is no such version.
        ToolFailed: neither the cache nor the remote holds one of the tables.
    """
    from modelyard.tables.diff import diff

    data = project.settings.data
    before, after = _table(project, old), _table(project, new)
    found = diff(before, after, id_column=data.id, target=data.target)
    if WORKING not in (old, new):
        # Versions never change, so what was found stays true: reports read it from here.
        names = [find(project, name).version for name in (old, new)]
        write_json(project.state / "diffs" / f"{names[0]}-{names[1]}.json", found)
    return found


def newest_two(project: Project) -> tuple[str, str]:
    """The two newest versions, older first.

    Raises:
        UsageError: there are fewer than two.
    """
    names = [version.version for version in versions(project)]
    if len(names) < 2:
        raise UsageError(
            f"There {'is one data version' if names else 'are no data versions'}; a comparison "
            "needs two.",
            why="Without arguments, the two newest are compared.",
            next_step="modelyard data add TABLE.csv -m MESSAGE",
        )
    return names[-2], names[-1]


def _table(project: Project, name: str) -> pl.DataFrame:
    """One version's table, every row, typed as ingest would type it."""
    if name == WORKING:
        return _typed(project, project.data)
    version = find(project, name)
    content.bring(project, version)
    kept = dvc.cached_file(project.root, version.md5)
    assert kept is not None
    # The cache's files have no suffix; a link of the right name is read like the table itself.
    place = project.state / "tmp" / f"{version.version}-{version.md5[:12]}"
    place.mkdir(parents=True, exist_ok=True)
    link = place / Path(version.path).name
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(kept)
        return _typed(project, link)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _typed(project: Project, path: Path) -> pl.DataFrame:
    from modelyard.tables.schema import apply, infer

    raw = content.read(project, path)
    data = project.settings.data
    try:
        schema = infer(raw.frame, data, delimiter=raw.delimiter)[1]
    except DataInvalid:
        # An old version need not fit today's settings: compared as it was read.
        return raw.frame
    return apply(raw.frame, schema, missing=data.missing, delimiter=raw.delimiter)
