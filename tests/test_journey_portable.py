"""A project can be moved; and what a person types can be called from Python."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def test_a_zipped_project_opens_elsewhere(
    grown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    packed = grown.copy(tmp_path / "before" / "churn")
    archive = shutil.make_archive(str(tmp_path / "churn"), "zip", packed.root)
    shutil.rmtree(packed.root)
    shutil.unpack_archive(archive, tmp_path / "after" / "a new name")
    project = type(grown)(tmp_path / "after" / "a new name")

    assert len(project.json("runs")) == 2
    assert "Nothing to do" in project.cli("run").stdout
    project.cli("predict", project.table, "-o", project.root / "scored.csv")
    assert len((project.root / "scored.csv").read_text().splitlines()) == 1401

    monkeypatch.chdir(project.root)
    client = mlflow.MlflowClient(project.store, project.store)
    experiment = client.get_experiment_by_name("churn")
    assert experiment is not None
    assert not Path(experiment.artifact_location).is_absolute()
    opened = 0
    for line in project.audit:
        top = client.list_artifacts(line["run_id"])
        assert top
        for entry in top:
            local = Path(client.download_artifacts(line["run_id"], entry.path))
            files = [local] if local.is_file() else [p for p in local.rglob("*") if p.is_file()]
            opened += sum(bool(path.read_bytes() or path.suffix == ".csv") for path in files)
    assert opened > 40
    mlflow.set_tracking_uri(project.store)
    try:
        for version in ("1", "2"):
            assert mlflow.pyfunc.load_model(f"models:/churn/{version}").metadata.signature
    finally:
        mlflow.set_tracking_uri(None)


def test_no_file_of_git_or_the_store_names_the_folder(released: Any) -> None:
    place = str(released.root.parent).encode()
    assert place not in (released.root / "mlflow.db").read_bytes()
    for name in released.git("ls-files").splitlines():
        assert place not in (released.root / name).read_bytes(), name
    for path in (released.root / "mlartifacts").rglob("*"):
        if path.is_file():
            assert place not in path.read_bytes(), path


def test_a_command_works_from_a_folder_inside(project: Any) -> None:
    inside = type(project)(project.root / "records")
    assert "Nothing to do" in inside.cli("run").stdout
    inside.cli("predict", "../data/raw/customers.csv", "-o", "../scored.parquet")
    assert (project.root / "scored.parquet").is_file()


def test_python_gives_what_the_commands_give(project_of_two: Any, tmp_path: Path) -> None:
    import msgspec

    from modelyard import Project

    typed = project_of_two
    called = Project(typed.root)
    assert called.settings.tune.trials == 3
    plain = lambda value: json.loads(json.dumps(msgspec.to_builtins(value, enc_hook=str)))  # noqa: E731

    assert plain(called.runs()) == typed.json("runs")
    assert plain(called.data_log()) == typed.json("data", "log")
    shown = typed.json("data", "diff", "v1", "v2")
    difference = called.data_diff("v1", "v2")
    assert shown.pop("schema_changes") == plain(difference.schema_changes)
    assert plain(difference) == shown
    assert plain(called.trace("model/v1")) == typed.json("trace", "model/v1")
    typed.cli("predict", typed.table, "-o", tmp_path / "typed.csv")
    called.predict(typed.table, tmp_path / "called.csv")
    assert (tmp_path / "typed.csv").read_bytes() == (tmp_path / "called.csv").read_bytes()
    board = called.leaderboard()
    assert board.height == 3
    assert board["roc_auc"].to_list() == sorted(board["roc_auc"].to_list(), reverse=True)

    nothing = called.run()
    assert nothing.ran == ()
    assert nothing.champion is not None
    assert nothing.champion.version == "2"
    assert called.run(gate={"resamples": 200}).ran == ("gate",)
    assert called.rollback(why="from a notebook").version == "1"
    assert typed.audit[-1]["why"] == "from a notebook"
    found = called.reproduce()
    assert found.same_metrics
    assert found.same_model


def test_python_raises_what_the_commands_end_with(project: Any, tmp_path: Path) -> None:
    from modelyard import Project
    from modelyard.errors import DataInvalid, GateRefused, NotAProject, UsageError

    called = Project(project.root)
    with pytest.raises(NotAProject):
        Project(tmp_path)
    with pytest.raises(GateRefused, match=r"0\.99"):
        called.run(gate={"limits": {"roc_auc": {"min": 0.99}}})
    with pytest.raises(UsageError):
        called.trace("nothing of the kind")
    (tmp_path / "few.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataInvalid):
        called.data_add(tmp_path / "few.csv", "not ours")
