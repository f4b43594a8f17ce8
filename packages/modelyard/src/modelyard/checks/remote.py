"""DVC's remote: is there one, and has DVC what it needs to reach it, here and in the pipelines?"""

from __future__ import annotations

import re
from importlib.metadata import version

from modelyard.checks.finding import Finding
from modelyard.project import Project
from modelyard.tools import dvc


def check(project: Project) -> list[Finding]:
    """Look at the default remote's URL; nothing is asked over the network."""
    root = project.root
    name = dvc.default_remote(root)
    if name is None:
        return [
            Finding(
                "remote",
                "warning",
                "there is no DVC remote: releases stay on this machine",
                "dvc remote add -d NAME URL ; dvc push --all-tags",
            )
        ]
    where = f"{name!r} at {dvc.remote_url(root) or 'no URL'}"
    plugin = dvc.remote_plugin(root)
    if dvc.missing_plugin(root):
        assert plugin is not None
        message = f"the DVC remote {where} needs {plugin}, which is not installed"
        return [Finding("remote", "error", message, dvc.install_plugin(plugin))]
    if plugin and not _is_pinned(project, plugin):
        return [
            Finding(
                "remote",
                "warning",
                f"{project.environment_lock.name} does not name {plugin}: the pipelines cannot "
                f"reach the DVC remote {where}",
                f"echo {plugin}=={version(plugin)} >> {project.environment_lock.name}",
            )
        ]
    return [Finding("remote", "ok", f"the DVC remote is {where}")]


def _is_pinned(project: Project, plugin: str) -> bool:
    """Whether requirements.lock names the plugin; where there is no such file, nothing is said."""
    path = project.environment_lock
    return not path.is_file() or bool(re.search(rf"^{plugin}==", path.read_text(), re.MULTILINE))
