"""The raw table: there, tracked, unchanged, and kept in the cache."""

from __future__ import annotations

from modelyard.checks.finding import Finding
from modelyard.project import Project
from modelyard.tools import dvc


def check(project: Project) -> list[Finding]:
    """Compare the working table with its pointer and the cache."""
    data = project.settings.data.path
    pointer = dvc.pointer_md5(project.data_pointer)
    # Named: a bare `dvc pull` stops at the stages' outputs, which no remote need have.
    pull = f"dvc pull {project.data_pointer.relative_to(project.root)}"
    if pointer is None:
        return [
            Finding(
                "data",
                "error",
                f"{data} is not a data version yet",
                f"modelyard data add {data} -m 'First version'",
            )
        ]
    in_cache = dvc.cache_has(project.root, pointer)
    if not project.data.is_file():
        fix = "dvc checkout" if in_cache else pull
        return [Finding("data", "error", f"{data} is missing from the working tree", fix)]
    if dvc.file_md5(project.data) != pointer:
        return [
            Finding(
                "data",
                "warning",
                f"{data} differs from the recorded version",
                f"modelyard data add {data} -m '…', or: modelyard data checkout VERSION --force",
            )
        ]
    if not in_cache:
        return [
            Finding(
                "data",
                "warning",
                "DVC's cache does not hold the working version: it cannot be reverted to",
                f"{pull}, or: dvc commit",
            )
        ]
    return [Finding("data", "ok", f"{data} is {pointer[:12]}, in the cache")]
