"""Small pipelines in small projects, for the tests of `ci run`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from modelyard import project
from modelyard.ci.pipeline import Setting
from modelyard.tools import git

YAML = """\
project: {name: churn}
data: {path: data/raw/a.csv, target: y}
"""
GITLAB = """\
stages: [lint, train, smoke]
default:
  before_script: [echo before]
.base:
  variables: {WORD: base}
lint:
  extends: .base
  stage: lint
  script: ["echo word=$WORD job=$CI_JOB_NAME ci=$CI", "test -z \\"$(git status --porcelain)\\""]
train:
  stage: train
  needs: [lint]
  script: [mkdir out, echo weights > out/model, echo rest > junk]
  artifacts: {paths: [out/*]}
smoke:
  stage: smoke
  needs: [train]
  script: [cat out/model, test ! -e junk]
"""


def a_project(folder: Path, **files: str) -> project.Project:
    folder.mkdir(exist_ok=True)
    git.init(folder)
    texts = {"modelyard.yaml": YAML, ".gitignore": "/ci/\n/.modelyard/\n", ".gitlab-ci.yml": GITLAB}
    for name, text in (texts | files).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git.add(folder, ["."])
    git.commit(folder, "feat: start", ["."])
    return project.load(folder)


def gitlab_of(**scripts: str) -> str:
    """A pipeline whose stages are jobs of one command each."""
    lines = [f"stages: [{', '.join(scripts)}]"]
    for name, script in scripts.items():
        lines += [f"{name}:", f"  stage: {name}", f"  script: [{json.dumps(script)}]"]
    return "\n".join(lines) + "\n"


def states(run: Any) -> dict[str, str]:
    return {job.name: job.state for job in run.jobs}


def setting(event: str = "push", branch: str = "main", **variables: str) -> Setting:
    return Setting(event, branch, "main", "0" * 40, variables)  # type: ignore[arg-type]
