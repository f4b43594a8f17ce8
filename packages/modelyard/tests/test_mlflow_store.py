"""The tracking store: created whole, relative inside, refused with good words."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelyard.errors import ToolFailed
from modelyard.tools.mlflow import RunToLog, log_run, open_store, preflight, prepare, search_runs
from modelyard.tools.mlflow.preflight import known_revisions
from modelyard.tools.mlflow.vendor import load

URI = "sqlite:///mlflow.db"
FORK = multiprocessing.get_context("fork")


def rows(database: Path, query: str) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True
    )


def test_importing_the_tool_imports_neither_mlflow_nor_numpy(tmp_path: Path) -> None:
    code = (
        "import sys, modelyard.tools.mlflow as tool; "
        "from pathlib import Path; tool.preflight(Path('.'), 'sqlite:///mlflow.db'); "
        "print([n for n in ('mlflow', 'numpy', 'pandas', 'sqlalchemy') if n in sys.modules])"
    )
    done = python(code, tmp_path)
    assert done.stdout.strip() == "[]", done.stderr
    assert not list(tmp_path.iterdir())


def test_the_first_store_is_created_without_a_word(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; from modelyard.tools.mlflow import *; "
        f"store = open_store(Path('.'), {URI!r}, 'churn'); "
        "log_run(store, RunToLog(key='k', name='first', metrics={'roc_auc': 0.5})); "
        "import os; os.environ['MLFLOW_DISABLE_TELEMETRY'] == 'true' or exit(9)"
    )
    done = python(code, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".modelyard", "mlflow.db"]


def test_locations_are_relative_and_the_process_is_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere:1")
    here = Path.cwd()
    root = tmp_path / "a projé ct"
    root.mkdir()
    store = open_store(root, URI, "churn")
    again = open_store(root, URI, "churn")
    assert again == store
    assert store.database == root / "mlflow.db"
    found = dict(rows(root / "mlflow.db", "SELECT name, artifact_location FROM experiments"))
    assert found == {"Default": "mlartifacts/0", "churn": f"mlartifacts/{store.experiment_id}"}
    assert Path.cwd() == here
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://elsewhere:1"
    assert load().get_tracking_uri() == "http://elsewhere:1"


def test_a_store_outside_the_project_keeps_absolute_locations(tmp_path: Path) -> None:
    root, other = tmp_path / "project", tmp_path / "shared" / "runs.db"
    root.mkdir()
    store = open_store(root, f"sqlite:///{other}", "churn")
    assert store.database == other
    locations = rows(other, "SELECT artifact_location FROM experiments")
    assert all(str(location).startswith("/") for (location,) in locations)


def test_a_deleted_experiment_comes_back(tmp_path: Path) -> None:
    store = open_store(tmp_path, URI, "churn")
    with store.session() as client:
        client.delete_experiment(store.experiment_id)
    assert open_store(tmp_path, URI, "churn").experiment_id == store.experiment_id
    assert log_run(store, RunToLog(key="k", name="n"))


def _first_start(root: Path, number: int, gate: object) -> None:
    gate.wait()  # type: ignore[attr-defined]
    store = open_store(root, URI, "churn")
    log_run(store, RunToLog(key=f"key-{number}", name=f"run {number}", params={"n": number}))


def test_eight_processes_start_together_on_no_store(tmp_path: Path) -> None:
    load("mlflow.store.tracking.sqlalchemy_store")
    gate = FORK.Barrier(8)
    workers = [FORK.Process(target=_first_start, args=(tmp_path, n, gate)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * 8
    found = search_runs(open_store(tmp_path, URI, "churn"))
    assert sorted(run.params["n"] for run in found) == [str(n) for n in range(8)]
    assert {run.status for run in found} == {"FINISHED"}


def test_a_kill_while_the_store_is_created_leaves_nothing_half(tmp_path: Path) -> None:
    load("mlflow.store.tracking.sqlalchemy_store")
    worker = FORK.Process(target=open_store, args=(tmp_path, URI, "churn"))
    worker.start()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        part = next(tmp_path.glob(".modelyard/mlflow.db.*.part"), None)
        if part is not None and part.stat().st_size > 0:
            break
        time.sleep(0.005)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    assert not (tmp_path / "mlflow.db").exists()
    preflight(tmp_path, URI)
    open_store(tmp_path, URI, "churn")
    preflight(tmp_path, URI)
    assert not list(tmp_path.rglob("*mlflow.db.*.part*"))


def test_a_store_that_was_prepared_in_a_thread_is_opened_as_it_is(tmp_path: Path) -> None:
    thread = threading.Thread(target=prepare, args=(tmp_path, URI))
    thread.start()
    thread.join(120)
    made = (tmp_path / "mlflow.db").stat()
    assert open_store(tmp_path, URI, "churn").experiment_id
    assert (tmp_path / "mlflow.db").stat().st_ino == made.st_ino
    prepare(tmp_path, URI)
    assert (tmp_path / "mlflow.db").stat().st_ino == made.st_ino
    prepare(tmp_path / "elsewhere", "http://127.0.0.1:9")  # a server is left alone
    assert not (tmp_path / "elsewhere").exists()


def refused(root: Path, uri: str = URI) -> ToolFailed:
    with pytest.raises(ToolFailed) as caught:
        preflight(root, uri)
    assert caught.value.why
    assert caught.value.next_step
    return caught.value


def fake_store(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES (?)", (revision,))
    connection.commit()
    connection.close()


def test_preflight_accepts_no_store_and_a_current_one(tmp_path: Path) -> None:
    preflight(tmp_path, URI)
    (tmp_path / "mlflow.db").touch()
    preflight(tmp_path, URI)
    open_store(tmp_path, URI, "churn")
    preflight(tmp_path, URI)


def test_preflight_names_who_holds_a_locked_store(tmp_path: Path) -> None:
    fake_store(tmp_path / "mlflow.db", next(iter(known_revisions()[1])))
    holder = sqlite3.connect(tmp_path / "mlflow.db")
    holder.execute("BEGIN EXCLUSIVE")
    error = refused(tmp_path)
    assert "locked" in error.what
    assert f"process {os.getpid()}" in error.why
    holder.rollback()
    holder.close()
    preflight(tmp_path, URI)


def test_preflight_refuses_binary_garbage(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"\x00not a database" * 100)
    assert "not a SQLite database" in refused(tmp_path).what


def test_preflight_refuses_another_programs_database(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("CREATE TABLE customers (id INTEGER)")
    connection.commit()
    connection.close()
    assert "not an MLflow store" in refused(tmp_path).what


def test_preflight_refuses_a_newer_store(tmp_path: Path) -> None:
    open_store(tmp_path, URI, "churn")
    connection = sqlite3.connect(tmp_path / "mlflow.db")
    connection.execute("UPDATE alembic_version SET version_num = 'ffff00001111'")
    connection.commit()
    connection.close()
    error = refused(tmp_path)
    assert "newer" in error.what
    assert "ffff00001111" in error.why
    assert error.next_step == "pip install --upgrade mlflow"


def test_preflight_refuses_an_older_store(tmp_path: Path) -> None:
    fake_store(tmp_path / "mlflow.db", "451aebb31d03")
    error = refused(tmp_path)
    assert "older" in error.what
    assert "mlflow db upgrade sqlite:///mlflow.db" in error.next_step


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_preflight_refuses_file_stores(tmp_path: Path, uri: str) -> None:
    assert "sqlite:///mlflow.db" in refused(tmp_path, uri).next_step


@pytest.mark.parametrize("scheme", ["http://me:secret@", "postgresql+psycopg2://me:secret@"])
def test_preflight_says_that_nobody_answers(tmp_path: Path, scheme: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        error = refused(tmp_path, f"{scheme}127.0.0.1:{port}/runs")
    assert f"127.0.0.1:{port}" in error.what
    assert "secret" not in str(error)
