"""Who acts: the person whom a service's job runs for, else the one who commits here."""

from __future__ import annotations

import os

from modelyard.project import Project
from modelyard.tools import git

ACTORS = {
    "GitHub Actions": ("GITHUB_ACTIONS", ("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR")),
    "GitLab CI": ("GITLAB_CI", ("GITLAB_USER_LOGIN",)),
}
"""Service -> the variable that says that a job runs there, and those that name the person. git
knows nobody there."""


def person(project: Project) -> str:
    """The name for an audit line: `Name <address>`, or `login (service)`."""
    for service, (mark, names) in ACTORS.items():
        for name in names if os.environ.get(mark) == "true" else ():
            if login := os.environ.get(name, "").strip():
                return f"{login} ({service})"
    return git.user(project.root)
