"""Backwards: an earlier release takes over again; a recorded run is refitted from nothing."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def alias(project: Any, monkeypatch: pytest.MonkeyPatch) -> str:
    import mlflow

    monkeypatch.chdir(project.root)
    client = mlflow.MlflowClient(project.store, project.store)
    found = client.get_model_version_by_alias("churn", "champion")
    return str(found.tags["modelyard.package_digest"])


def kept(project: Any, version: int) -> Path:
    """This machine's copy of a released package."""
    digest = project.audit[version - 1]["package_digest"]
    folder: Path = project.root / ".modelyard/champions" / digest[:16]
    assert (folder / "manifest.json").is_file()
    return folder


def test_rollback_and_forward_again(
    project_of_two: Any, released: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_of_two
    first, second = (line["package_digest"] for line in project.audit)
    assert alias(project, monkeypatch) == second
    project.cli("rollback", "-m", "complaints from the branches")
    champion = project.record("champion")
    assert (champion["version"], champion["package_digest"]) == ("1", first)
    assert champion["value"] == released.record("champion")["value"]
    assert alias(project, monkeypatch) == first

    line = project.audit[-1]
    assert len(project.audit) == 3
    assert line["action"] == "rollback"
    assert (line["from_version"], line["to_version"]) == ("2", "1")
    assert line["why"] == "complaints from the branches"
    assert line["who"] == "Ada Example <ada@example.org>"
    assert line["when"] >= project.audit[1]["when"]
    assert project.git("status", "--porcelain") == ""
    assert project.git("log", "-1", "--format=%s").startswith("rollback: churn v2 to v1")
    assert [row["version"] for row in project.json("runs") if row["champion"]] == ["1"]

    # The champion that answers is the old one; a run does not undo what a person decided.
    project.cli("predict", project.table, "-o", project.root / "a.csv")
    released.cli("predict", project.table, "-o", project.root / "b.csv")
    assert (project.root / "a.csv").read_bytes() == (project.root / "b.csv").read_bytes()
    project.cli("run")
    assert project.record("champion")["version"] == "1"
    project.cli("rollback", "v2")
    assert project.record("champion")["package_digest"] == second
    assert alias(project, monkeypatch) == second
    assert "v2" in project.cli("rollback", "v2", code=2).stderr
    assert "v9" in project.cli("rollback", "v9", code=2).stderr


def test_there_is_nothing_before_the_first_release(project: Any) -> None:
    before = project.snapshot()
    assert "first release" in project.cli("rollback", code=2).stderr
    assert project.snapshot() == before


def spoil(path: Path) -> None:
    """Another byte in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("name", ["model.onnx", "golden.json", "manifest.json"])
def test_a_tampered_copy_is_fetched_again(project_of_two: Any, name: str) -> None:
    project = project_of_two
    path = kept(project, 1) / name
    sound = path.read_bytes()
    if name == "golden.json":
        path.unlink()  # half lost is no better
    else:
        spoil(path)
    project.cli("rollback", "v1")
    assert project.record("champion")["version"] == "1"
    assert path.read_bytes() == sound


@pytest.mark.parametrize("name", ["model.onnx", "golden.json"])
def test_a_tampered_package_is_refused(
    project_of_two: Any, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where this machine's copy, DVC's cache and the remote are all tampered with."""
    project = project_of_two
    path = kept(project, 1) / name
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    for place in (".dvc/cache", ".dvc-store"):
        spoil(project.root / place / "files/md5" / md5[:2] / md5[2:])
    spoil(path)
    before = project.snapshot()
    done = project.cli("rollback", code=1)
    assert "champion stays v2" in done.stderr
    assert name in done.stderr
    assert project.snapshot() == before
    assert alias(project, monkeypatch) == project.record("champion")["package_digest"]


def test_a_package_that_is_gone_here_is_fetched_from_its_tag(project_of_two: Any) -> None:
    project = project_of_two
    shutil.rmtree(project.root / ".modelyard")
    project.cli("rollback", "v1")
    assert project.record("champion")["version"] == "1"
    assert kept(project, 1)


def test_reproduce_ends_where_the_run_ended(project: Any) -> None:
    before = project.snapshot()
    digest = project.record("pack")["model_digest"]
    # What is cached must not help: the stages' outputs and DVC's memory of them are taken away.
    shutil.rmtree(project.root / "model")
    shutil.rmtree(project.root / "data/interim")
    shutil.rmtree(project.root / ".dvc/cache/runs", ignore_errors=True)
    said = project.cli("reproduce").stdout
    assert digest[:16] in said
    assert "✗" not in said
    assert "tune" not in said
    searched = project.cli("reproduce", "--search").stdout
    assert digest[:16] in searched
    assert "tune" in searched
    assert project.snapshot() == before
    assert not (project.root / ".modelyard/reproduce").exists()


def test_reproduce_says_so_when_it_does_not(project: Any) -> None:
    text = project.table.read_text()
    lines = text.splitlines()
    project.table.write_text("\n".join([*lines[:1], *lines[200:]]) + "\n")
    done = project.cli("reproduce", code=1)
    assert "✗ metrics" in done.stdout
    assert " became " in done.stdout
    assert "✗ model digest" in done.stdout
    assert json.loads(project.metrics)["roc_auc"] == project.record("champion")["value"]


def test_a_search_against_the_clock_is_not_said_to_repeat(project: Any) -> None:
    path = project.root / "records/study.json"
    study = json.loads(path.read_bytes()) | {"budget_seconds": 5.0, "trials_wanted": None}
    path.write_text(json.dumps(study))
    done = project.cli("reproduce", "--search", code=2)
    assert "clock" in done.stderr
    assert "tune.trials" in done.stderr
