"""doctor: each planted fault is named, with a fix; where the fix is a command, it mends."""

from __future__ import annotations

import fcntl
import shutil
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def examined(project: Any, code: int) -> dict[str, dict[str, str]]:
    """Findings that are not ok, by name."""
    import json

    said = project.cli("doctor", "--json", code=code).stdout
    return {found["name"]: found for found in json.loads(said) if found["state"] != "ok"}


def test_a_healthy_project(project: Any) -> None:
    assert examined(project, 0) == {}
    said = project.cli("doctor").stdout
    assert "fix:" not in said
    assert len(said.splitlines()) >= 10


def test_a_store_of_another_name_is_looked_at_too(project: Any) -> None:
    settings = project.root / "modelyard.yaml"
    settings.write_text(settings.read_text().replace("sqlite:///mlflow.db", "sqlite:///runs.db"))
    assert "mlflow" not in examined(project, 0)
    (project.root / "runs.db").write_text("this is no database, however long it may be " * 40)
    assert "runs.db" in examined(project, 1)["mlflow"]["message"]


def test_the_table_is_missing(project: Any) -> None:
    content = project.table.read_bytes()
    project.table.unlink()
    found = examined(project, 1)["data"]
    assert "customers.csv is missing" in found["message"]
    assert found["fix"] == "dvc checkout"
    project.tool("dvc", "checkout")
    assert project.table.read_bytes() == content
    assert "data" not in examined(project, 0)


def test_the_cache_is_deleted(project: Any) -> None:
    shutil.rmtree(project.root / ".dvc/cache")
    found = examined(project, 0)["data"]
    assert found["state"] == "warning"
    assert "cache" in found["message"]
    command = found["fix"].partition(",")[0].split()
    assert command[:2] == ["dvc", "pull"]
    project.tool(*command)
    assert "data" not in examined(project, 0)
    # The stages' outputs are lost to DVC: they are made again, and are what they were.
    before, metrics = project.record("champion"), project.metrics
    project.cli("run")
    assert project.metrics == metrics
    assert project.record("pack")["model_digest"] == before["model_digest"]
    assert project.record("champion") == before
    assert len(project.audit) == 1
    assert "Nothing to do" in project.cli("run").stdout


def test_table_and_cache_are_gone(project: Any) -> None:
    """The default remote in the project still has them: the run fetches what it needs."""
    content = project.table.read_bytes()
    shutil.rmtree(project.root / ".dvc/cache")
    project.table.unlink()
    assert examined(project, 1)["data"]["fix"].startswith("dvc pull")
    project.cli("run")
    assert project.table.read_bytes() == content
    assert "data" not in examined(project, 0)


def test_dvc_lock_is_broken(project: Any) -> None:
    (project.root / "dvc.lock").write_text("schema: '2.0'\nstages:\n  ingest: {cmd: [unclosed\n")
    found = examined(project, 1)["dvc.lock"]
    assert "cannot be read" in found["message"]
    assert found["fix"].startswith("git checkout HEAD -- dvc.lock")
    with (project.root / ".modelyard/lock").open("a+") as file:  # as a run that is at work
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "it is being written" in examined(project, 0)["dvc.lock"]["message"]
    stopped = project.cli("run", code=1)
    assert "dvc.lock" in stopped.stderr
    project.git("checkout", "HEAD", "--", "dvc.lock")
    assert examined(project, 0) == {}
    assert "Nothing to do" in project.cli("run").stdout


def test_the_store_is_corrupt(project: Any) -> None:
    path = project.root / "mlflow.db"
    path.write_bytes(b"this was a database once " * 400)
    found = examined(project, 1)["mlflow"]
    assert "mlflow.db" in found["message"]
    assert found["fix"]
    assert "mlflow.db" in project.cli("runs", code=1).stderr
    assert path.read_bytes().startswith(b"this was")


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("  folds: 2\n", "  foldz: 2\n", "'folds'"),
        ("tune:\n", "tunes:\n", "'tune'"),
        ("  folds: 2\n", "  folds: [2\n", "YAML"),
    ],
)
def test_the_project_file_is_wrong(project: Any, old: str, new: str, named: str) -> None:
    project.edit(old, new)
    found = examined(project, 1)["project"]
    assert named in found["message"]
    assert "modelyard.yaml" in found["fix"]
    assert named in project.cli("run", code=2).stderr


def test_the_pipeline_file_is_missing(project: Any) -> None:
    (project.root / "dvc.yaml").unlink()
    found = examined(project, 1)["dvc"]
    assert "dvc.yaml is missing" in found["message"]
    assert "dvc.yaml" in project.cli("run", code=2).stderr
    command = found["fix"].split()
    project.tool(command[0], *command[1:])
    assert examined(project, 0) == {}


def test_the_environment_is_another(project: Any) -> None:
    path = project.root / "requirements.lock"
    lines = path.read_text().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("polars=="))
    lines[place] = "polars==0.0.1"
    path.write_text("\n".join(lines) + "\n")
    found = examined(project, 0)["lock"]
    assert found["state"] == "warning"
    assert "polars 0.0.1" in found["message"]
    assert found["fix"] == "pip install -r requirements.lock"


def test_no_project_and_no_repository(folder: Any, project: Any) -> None:
    empty = folder.root / "empty"
    empty.mkdir()
    assert "modelyard init" in examined(type(folder)(empty), 1)["project"]["fix"]
    shutil.rmtree(project.root / ".git")
    found = examined(project, 1)["repository"]
    assert "git repository" in found["message"]
    assert found["fix"].startswith("git init")
