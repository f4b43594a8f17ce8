"""Where a result came from: commit, dirty patch, data version, lock hashes."""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import msgspec

from modelyard.project import Project
from modelyard.records import Column, Schema, read_if_there
from modelyard.registry.data_versions import current_version
from modelyard.tools import dvc, git

OWN_FILES = (
    "dvc.lock",
    "metrics.json",
    "records",
    "plots",
    "overrides.yaml",
)
"""What a run itself writes and git keeps: a change there does not make the tree dirty."""

ABOUT = ("MODEL_CARD.md", "SUMMARY.md")
"""What is written about a model; nothing is made from it: a change dirties nothing."""

_PART = re.compile(r"\.[^/]+\.\d+\.part(/|$)")


@dataclass(frozen=True)
class Lineage:
    """The state of the project's inputs. `patch` re-creates a dirty tree on top of `commit`."""

    commit: str
    dirty: bool
    patch: bytes
    branch: str
    data_version: str
    data_md5: str
    environment_hash: str
    pipeline_hash: str

    def tags(self) -> dict[str, str]:
        """The lineage as plain texts, for MLflow's tags and the report."""
        return {
            "modelyard.commit": self.commit,
            "modelyard.dirty": str(self.dirty).lower(),
            "modelyard.branch": self.branch,
            "modelyard.data_version": self.data_version,
            "modelyard.data_md5": self.data_md5,
            "modelyard.environment_lock": self.environment_hash,
            "modelyard.dvc_lock": self.pipeline_hash,
            "modelyard.version": version("modelyard"),
            "modelyard.python": platform.python_version(),
        }


def collect(project: Project) -> Lineage:
    """Look at git, DVC and the lock files."""
    root = project.root
    changed = [path for path in git.changed_files(root) if not _own(path)]
    return Lineage(
        commit=git.head(root) or "",
        dirty=bool(changed),
        patch=git.diff_patch(root, exclude=(*OWN_FILES, *ABOUT)) if changed else b"",
        branch=git.branch(root) or "",
        data_version=data_version(project) or "",
        data_md5=dvc.pointer_md5(project.data_pointer) or "",
        environment_hash=_digest(project.environment_lock),
        pipeline_hash=_digest(root / "dvc.lock"),
    )


def after_run(project: Project, before: Lineage) -> Lineage:
    """The same inputs, with dvc.lock as the run left it."""
    return replace(before, pipeline_hash=_digest(project.root / "dvc.lock"))


def data_version(project: Project) -> str | None:
    """The version `vN` whose pointer is the working one, the newest if several are."""
    return current_version(project) if git.is_repo(project.root) else None


def of_package(project: Project) -> dict[str, str]:
    """What the manifest carries; not part of the model's digest, for a model may be made twice."""
    root = project.root
    return {
        "commit": git.head(root) or "",
        "dirty": str(any(not _own(path) for path in git.changed_files(root))).lower(),
        "data_version": data_version(project) or "",
        "data_md5": dvc.pointer_md5(project.data_pointer) or "",
        "environment_lock": _digest(project.environment_lock),
        "study": _digest(project.record("study")),
        **split_identity(project),
        "modelyard": version("modelyard"),
    }


def split_identity(project: Project) -> dict[str, str]:
    """Names for how rows are dealt; models of one identity were trained on the same side.

    Where rows are known by their content, another set of columns deals them all anew, and so may
    columns that are read otherwise (numbers that became texts): both have a name of their own.
    """
    data, split = project.settings.data, project.settings.split
    parts = [split, data.id, data.group, sorted(data.exclude), data.target]
    found = {"split": hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]}
    schema = read_if_there(project.record("schema"), Schema)
    if schema is not None and split.kind != "time" and not (data.id or data.group):
        left_out = {*data.exclude, data.target}
        columns = sorted((c for c in schema.columns if c.name not in left_out), key=_by_name)
        found["split_columns"] = _short([column.name for column in columns])
        found["split_kinds"] = _short([_HASHED_AS.get(c.kind, "words") for c in columns])
    return found


_HASHED_AS = {"number": "number", "integer": "number", "datetime": "moment"}
"""Kinds with keys of their own; most values, not all, keep theirs where a column becomes text."""


def _by_name(column: Column) -> str:
    return column.name


def _short(parts: list[str]) -> str:
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:16]


def dealt_anew(project: Project, before: Mapping[str, str]) -> bool:
    """Whether rows are dealt otherwise than for a model of this lineage, as far as it says."""
    now = split_identity(project)
    return any(before.get(key, value) not in ("", value) for key, value in now.items())


def _own(path: str) -> bool:
    # pack asks while it writes its package under a temporary name, which git would call a change.
    if _PART.match(path):
        return True
    return any(path == own or path.startswith(own + "/") for own in (*OWN_FILES, *ABOUT))


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
