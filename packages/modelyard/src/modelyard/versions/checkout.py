"""data checkout: the working table, byte for byte as a version had it."""

from __future__ import annotations

from dataclasses import replace

from modelyard.errors import UsageError
from modelyard.project import Project
from modelyard.records import write_bytes
from modelyard.registry.data_versions import DataVersion, find, pointer_at, versions
from modelyard.registry.lock import hold
from modelyard.tools import dvc
from modelyard.versions import content, transaction


def checkout(project: Project, version: str, *, force: bool = False) -> DataVersion:
    """Put the version's table and its pointer into the working tree; commits nothing.

    Args:
        force: drop changes of the working table that belong to no version.

    Raises:
        UsageError: there is no such version, or there are such changes.
        ToolFailed: neither the cache nor the remote holds the table, or the cache is damaged.
        LockHeld: another modelyard command works here.
    """
    with hold(project, "modelyard data checkout"):
        transaction.recover(project)
        wanted = find(project, version)
        pointer = pointer_at(project, wanted)
        here = dvc.file_md5(project.data) if project.data.is_file() else None
        if here is not None and not force:
            _refuse_unsaved(project, here)
        content.bring(project, wanted)
        # The table first: if this stops in between, its bytes are those of a known version.
        if here != wanted.md5:
            dvc.restore_file(project.root, wanted.md5, project.data)
        if wanted.path == project.settings.data.path:
            write_bytes(project.data_pointer, pointer)
        else:
            # The table lay elsewhere then: a pointer in its words, at its present place.
            text = pointer.decode().replace(
                f"path: {wanted.path.rpartition('/')[2]}", f"path: {project.data.name}"
            )
            write_bytes(project.data_pointer, text.encode())
        return replace(wanted, current=True)


def _refuse_unsaved(project: Project, here: str) -> None:
    kept = {version.md5 for version in versions(project)}
    pointer = dvc.pointer_md5(project.data_pointer)
    if here in kept or (here == pointer and dvc.cache_has(project.root, here)):
        return
    where = project.settings.data.path
    raise UsageError(
        f"{where} has changes that belong to no data version; they would be lost.",
        why=f"Its md5 is {here[:12]}.",
        next_step=f"modelyard data add {where} -m MESSAGE, or add --force to drop them",
    )
