"""The data versions that git's tags name, and which of them is at work."""

from __future__ import annotations

from dataclasses import dataclass, replace

import yaml

from modelyard.errors import ToolFailed, UsageError, capped, nearest
from modelyard.project import FILE, Project
from modelyard.render import messages
from modelyard.tools import dvc, git

PREFIX = "data/"


@dataclass(frozen=True)
class DataVersion:
    """One data version. `size` is the table's in bytes, `when` ISO 8601, `rows` None if not known.

    `path` is where the table lay in the project then; `current` marks the working one.
    """

    version: str
    tag: str
    commit: str
    when: str
    message: str
    md5: str
    size: int
    path: str
    rows: int | None = None
    current: bool = False


def versions(project: Project) -> list[DataVersion]:
    """Every data version, oldest first. A tag whose pointer cannot be read is left out.

    Raises:
        UsageError: the project is not in a git repository.
    """
    if not git.is_repo(project.root):
        raise UsageError(
            f"{project.root} is not in a git repository.",
            why="Data versions are git tags.",
            next_step="git init -b main ; git add . ; git commit -m 'Start'",
        )
    found = [
        version
        for tag in git.tags(project.root, f"{PREFIX}v*")
        if (version := _version(project, tag)) is not None
    ]
    working = dvc.pointer_md5(project.data_pointer)
    marked = next((v.tag for v in reversed(found) if v.md5 == working), None)
    return [replace(version, current=version.tag == marked) for version in found]


def current_version(project: Project) -> str | None:
    """The version (`vN`) whose pointer is the working one, the newest if several are."""
    return next((v.version for v in versions(project) if v.current), None)


def find(project: Project, name: str) -> DataVersion:
    """The version of this name: `v2`, `data/v2` or `2`.

    Raises:
        UsageError: there is none; names those that there are.
    """
    wanted = name.strip().removeprefix(PREFIX)
    if wanted.isdecimal():
        wanted = f"v{wanted}"
    known = versions(project)
    for version in known:
        if version.version == wanted:
            return version
    names = [version.version for version in known]
    raise UsageError(
        f"There is no data version {name!r}{nearest(wanted, names) or '.'}",
        why=f"There are: {capped(names)}." if names else "No data version was made yet.",
        next_step="modelyard data log" if names else "modelyard data add TABLE.csv -m MESSAGE",
    )


def pointer_at(project: Project, version: DataVersion) -> bytes:
    """The content of the .dvc file at the version's tag."""
    content = git.show(project.root, f"{version.tag}:{version.path}.dvc")
    if content is None:
        raise ToolFailed(
            f"{version.tag} has no {version.path}.dvc.",
            why="A data version is the pointer file at its git tag.",
            next_step="git fetch --tags",
        )
    return content


def _version(project: Project, tag: git.Tag) -> DataVersion | None:
    path = project.settings.data.path
    pointer = dvc.read_pointer(git.show(project.root, f"{tag.name}:{path}.dvc"))
    if pointer is None:
        path = _path_then(project, tag.name)
        pointer = dvc.read_pointer(git.show(project.root, f"{tag.name}:{path}.dvc"))
    if pointer is None:
        return None
    said = messages.read_data_version(tag.message)
    return DataVersion(
        version=tag.name.removeprefix(PREFIX),
        tag=tag.name,
        commit=tag.commit,
        when=tag.when,
        message=said.message,
        md5=pointer.md5,
        size=pointer.size,
        path=path,
        rows=said.rows,
    )


def _path_then(project: Project, rev: str) -> str:
    """Where modelyard.yaml of that revision says that the table lies."""
    try:
        tree = yaml.safe_load(git.show(project.root, f"{rev}:{FILE}") or b"")
        return str(tree["data"]["path"])
    except (yaml.YAMLError, KeyError, TypeError):
        return project.settings.data.path
