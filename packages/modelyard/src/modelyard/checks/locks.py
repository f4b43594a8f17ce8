"""The lock files: the environment's and DVC's."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

import yaml

from modelyard.checks.finding import Finding
from modelyard.errors import LockHeld
from modelyard.project import Project
from modelyard.registry.lock import hold


def check(project: Project) -> list[Finding]:
    """Compare requirements.lock with what is installed; read dvc.lock."""
    return [_environment(project), _pipeline(project)]


def _environment(project: Project) -> Finding:
    path = project.environment_lock
    if not path.is_file():
        return Finding(
            "lock", "warning", f"{path.name} is missing", "modelyard init --adopt writes it"
        )
    different = []
    for name, wanted in re.findall(r"^([\w.-]+)==(\S+)", path.read_text(), re.MULTILINE):
        try:
            found = version(name)
        except PackageNotFoundError:
            found = "missing"
        if found != wanted:
            different.append(f"{name} {wanted} (here: {found})")
    if different:
        shown = ", ".join(different[:5]) + (" …" if len(different) > 5 else "")
        return Finding(
            "lock",
            "warning",
            f"{len(different)} packages differ from {path.name}: {shown}",
            f"pip install -r {path.name}",
        )
    return Finding("lock", "ok", f"the environment is that of {path.name}")


def _pipeline(project: Project) -> Finding:
    path = project.root / "dvc.lock"
    if not path.is_file():
        return Finding("dvc.lock", "ok", "written by the first run")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        stages = tree["stages"]
    except (yaml.YAMLError, KeyError, TypeError, UnicodeDecodeError) as error:
        try:
            with hold(project, "modelyard doctor"):
                pass
        except LockHeld as held:
            return Finding(
                "dvc.lock", "warning", f"it is being written: {held.why}", "modelyard doctor, later"
            )
        message = str(error).splitlines()[0]
        return Finding(
            "dvc.lock",
            "error",
            f"dvc.lock cannot be read ({message})",
            "git checkout HEAD -- dvc.lock ; modelyard run",
        )
    return Finding("dvc.lock", "ok", f"{len(stages)} stages are recorded")
