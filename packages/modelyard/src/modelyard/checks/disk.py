"""Room on the disk for the next run."""

from __future__ import annotations

import os
import shutil

from modelyard.checks.finding import Finding
from modelyard.project import Project

FLOOR = 1_000_000_000
"""Bytes below which a run is likely to fail."""


def check(project: Project) -> list[Finding]:
    """Compare what is free with a few copies of the table, and try to write."""
    size = project.data.stat().st_size if project.data.is_file() else 0
    wanted = max(FLOOR, 5 * size)
    free = shutil.disk_usage(project.root).free
    if not os.access(project.root, os.W_OK):
        return [
            Finding("disk", "error", f"{project.root} cannot be written to", "chmod u+w the folder")
        ]
    if free < wanted:
        return [
            Finding(
                "disk",
                "warning",
                f"{free / 1e9:.1f} GB are free, a run may need {wanted / 1e9:.1f} GB",
                "dvc gc --workspace ; or free some space",
            )
        ]
    return [Finding("disk", "ok", f"{free / 1e9:.0f} GB are free")]
