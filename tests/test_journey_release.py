"""A release leads to its files from anywhere: what is tagged was pushed before."""

from __future__ import annotations

import shutil
import socket
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from modelyard import project as projects
from modelyard.registry import champion

pytestmark = pytest.mark.journey


def clone(project: Any, to: Path) -> Any:
    """A fresh clone whose default remote is the folder that the project pushes to."""
    project.git("clone", "--quiet", project.root, to)
    made = type(project)(to)
    store = project.root / ".dvc-store"
    made.tool("dvc", "remote", "modify", "--local", "local", "url", store)
    return made


def in_store(project: Any) -> int:
    return len([path for path in (project.root / ".dvc-store").rglob("*") if path.is_file()])


def test_every_release_comes_back_from_the_remote_alone(project_of_two: Any) -> None:
    project = project_of_two
    for lost in (".dvc/cache", ".modelyard/champions", "package"):
        shutil.rmtree(project.root / lost)
    here = projects.load(project.root)
    now = champion.current(here)
    assert now is not None
    assert now.version == "2"
    for line in champion.audit(here):
        found = champion.package_of(here, line.to_version, line.package_digest)
        assert champion.fault(found, line.package_digest) == ""
        assert found.is_relative_to(here.state / "champions")
    project.cli("predict", project.table, "-o", project.root / "scored.csv")


def test_a_clone_has_all_and_compares_with_the_champion(
    project_of_two: Any, tmp_path: Path
) -> None:
    project = project_of_two
    here = clone(project, tmp_path / "clone")
    released = here.record("champion")["package_digest"]
    here.cli("run", "-S", "tune.seed=11", "-S", "gate.margin=0.5")
    comparison = here.record("gate")["comparison"]
    assert comparison["champion_version"] == "2"
    assert comparison["champion_digest"] == released
    assert comparison["rows"] > 200
    assert here.audit[-1]["to_version"] == "3"

    other = clone(project, tmp_path / "other")
    other.tool("dvc", "pull")
    for name in ("data/raw", "data/interim", "model", "package"):
        files = sorted(path for path in (project.root / name).rglob("*") if path.is_file())
        assert files
        for path in files:
            twin = other.root / path.relative_to(project.root)
            assert twin.read_bytes() == path.read_bytes()
    # Its own is nothing but what it has just fetched: no stage is run.
    assert "Nothing to do" in other.cli("run").stdout


def test_without_a_remote_it_is_released_and_said_once(unreleased: Any) -> None:
    project = unreleased
    project.tool("dvc", "remote", "remove", "local")
    project.git("commit", "--quiet", "--all", "--message", "No remote")
    said = project.cli("run").stdout
    assert said.count("warning:") == 1
    assert "no DVC remote" in said
    assert "dvc remote add -d" in said
    assert project.git("tag", "--list", "model/*") == "model/v1"
    assert project.git("status", "--porcelain") == ""
    assert "warning:" not in project.cli("run").stdout
    # What it advises is enough to share the release afterwards.
    project.tool("dvc", "remote", "add", "-d", "local", project.root / ".dvc-store")
    project.tool("dvc", "push", "--all-tags")
    shutil.rmtree(project.root / ".dvc/cache")
    shutil.rmtree(project.root / ".modelyard")
    shutil.rmtree(project.root / "package")
    project.cli("predict", project.table, "-o", project.root / "scored.csv")


def test_a_remote_out_of_reach_costs_no_release(unreleased: Any) -> None:
    project = unreleased
    with socket.socket() as taken:  # bound and not listening: whoever calls is turned away
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/store"
        project.tool("dvc", "remote", "modify", "--local", "local", "url", url)
        done = project.cli("run", code=1)
    assert "Nothing was released" in done.stderr
    assert "'local'" in done.stderr
    assert "modelyard run" in done.stderr
    assert project.record("gate")["passed"]
    assert (project.root / "package/manifest.json").is_file()
    assert not (project.root / "records/champion.json").exists()
    assert project.git("tag", "--list", "model/*") == ""
    assert project.git("log", "-1", "--format=%s").startswith("data: v1")
    with sqlite3.connect(project.root / "mlflow.db") as store:
        assert store.execute("SELECT * FROM registered_model_aliases").fetchall() == []

    (project.root / ".dvc/config.local").unlink()
    said = project.cli("run").stdout
    assert "churn v1 is the champion" in said
    assert "tune" not in said.split("release:")[0]  # it goes on, and runs no stage again
    assert project.git("tag", "--list", "model/*") == "model/v1"
    assert [line["to_version"] for line in project.audit] == ["1"]
    assert in_store(project) >= 14


def test_what_the_cache_has_lost_is_pushed_from_the_working_tree(unreleased: Any) -> None:
    project = unreleased
    project.cli("run", "--no-release")
    shutil.rmtree(project.root / ".dvc/cache")
    project.cli("run")
    shutil.rmtree(project.root / ".modelyard/champions")
    shutil.rmtree(project.root / "package")
    project.cli("predict", project.table, "-o", project.root / "scored.csv")
