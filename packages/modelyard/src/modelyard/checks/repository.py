"""git and DVC: is this a repository, is its pipeline the one that the line describes?"""

from __future__ import annotations

from modelyard.checks.finding import Finding
from modelyard.project import Project
from modelyard.tools import git


def check(project: Project) -> list[Finding]:
    """Look for .git, .dvc, dvc.yaml, and at the state of the tree."""
    root = project.root
    if not git.is_repo(root):
        return [
            Finding(
                "repository",
                "error",
                f"{root} is not in a git repository",
                "git init -b main ; git add . ; git commit -m 'Start'",
            )
        ]
    findings = []
    changed = git.changed_files(root)
    if changed:
        findings.append(
            Finding(
                "repository",
                "warning",
                f"{len(changed)} files are changed: a run keeps them as a patch",
                "git status",
            )
        )
    else:
        findings.append(Finding("repository", "ok", f"clean, on {git.branch(root) or 'no branch'}"))
    if not (root / ".dvc").is_dir():
        findings.append(Finding("dvc", "error", "DVC is not set up here", "dvc init"))
    elif not (root / "dvc.yaml").is_file():
        findings.append(
            Finding("dvc", "error", "dvc.yaml is missing", "git checkout HEAD -- dvc.yaml")
        )
    else:
        findings.append(Finding("dvc", "ok", "dvc.yaml and .dvc are there"))
    return findings
