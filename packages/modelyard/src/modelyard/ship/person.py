"""Who acts: the person whom a service's job runs for, else the one who commits here."""

from __future__ import annotations

import os

from modelyard.project import Project
from modelyard.tools import git

ACTORS = {
    "GitHub Actions": ("GITHUB_TRIGGERING_ACTOR", "GITHUB_ACTOR"),
    "GitLab CI": ("GITLAB_USER_LOGIN",),
}
"""Service -> the variables of its jobs that name the person. git knows nobody there."""


def person(project: Project) -> str:
    """The name for an audit line: `Name <address>`, or `login (service)`."""
    for service, names in ACTORS.items():
        for name in names:
            if login := os.environ.get(name, "").strip():
                return f"{login} ({service})"
    return git.user(project.root)
