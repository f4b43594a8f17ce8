"""Two branches that both ran the line are merged, by git, with the project's merge drivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def branch(yard: Any, name: str, old: str, new: str) -> None:
    """A branch from main that changes modelyard.yaml, runs, and commits everything."""
    yard.git("switch", "--quiet", "--create", name, "main")
    yard.edit(old, new)
    yard.cli("run", "--no-release")
    yard.git("add", "--all")
    yard.git("commit", "--quiet", "-m", name)


def test_branches_that_ran_different_stages_merge_without_conflict(
    project: Any, tmp_path: Path
) -> None:
    project.git("branch", "--move", "--force", "main")
    branch(project, "feat/gate", "limits: {}", "limits: {roc_auc: {min: 0.6}}")
    branch(project, "feat/encoding", "  types: {}\n", "  types: {}\n  encoding: utf-8\n")
    clone = type(project)(tmp_path / "clone")
    project.git("clone", "--quiet", ".", clone.root)
    clone.git("switch", "--quiet", "feat/gate")
    clone.git("switch", "--quiet", "feat/encoding")
    for yard in (project, clone):
        if yard is clone:
            assert "modelyard doctor --fix" in yard.tool("modelyard", "doctor", code=1).stdout
            assert (
                "fixed: merge driver modelyard-lock" in yard.cli("doctor", "--fix", code=1).stdout
            )
        yard.git("merge", "--no-ff", "--no-edit", "feat/gate")
        assert yard.git("status", "--porcelain") == ""
    assert "up to date" in project.tool("dvc", "status").stdout
    assert "Nothing to do" in project.cli("run").stdout
    assert (clone.root / "dvc.lock").read_bytes() == (project.root / "dvc.lock").read_bytes()


def test_branches_that_ran_one_stage_say_to_run_it_again(project: Any) -> None:
    project.git("branch", "--move", "--force", "main")
    branch(project, "feat/limit", "limits: {}", "limits: {roc_auc: {min: 0.6}}")
    branch(project, "feat/margin", "margin: 0.03", "margin: 0.04")
    said = project.tool("git", "merge", "--no-ff", "--no-edit", "feat/limit", code=1)
    assert "both sides ran gate. Next: modelyard run --no-release" in said.stderr
    assert project.git("diff", "--name-only", "--diff-filter=U") == "dvc.lock"
    assert "gate" in project.tool("dvc", "status").stdout
    # Without --no-release too: a merge that is under way cannot be released.
    project.edit("resamples: 300", "resamples: 301")
    assert "a merge is under way" in project.cli("run").stdout
    project.git("add", "--all")
    project.git("commit", "--no-edit", "--quiet")
    assert "up to date" in project.tool("dvc", "status").stdout
    assert {check["limit"] for check in project.record("gate")["checks"]} >= {0.6}
    assert "Nothing to do" in project.cli("run").stdout
