"""The tracking store: opened, created whole, and kept portable.

A SQLite store in the project keeps its artifact locations relative to the project's root
(`mlartifacts/1/...`), so that the folder may be moved or zipped. MLflow makes the location absolute
when an experiment is created and derives those of runs and models from it, so one row is corrected
after the creation and everything below follows. The price: relative locations count from the
working directory, hence every conversation with MLflow runs inside `Store.session`, and `mlflow ui`
is to be started in the project's root.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import chdir, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import ToolFailed
from modelyard.tools.mlflow.location import SQLITE, sqlite_file
from modelyard.tools.mlflow.preflight import preflight
from modelyard.tools.mlflow.vendor import load

ARTIFACTS = "mlartifacts"
BUSY_SECONDS = 20.0
_URI = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True)
class Store:
    """An open tracking store and one experiment in it. `uri` is absolute."""

    uri: str
    root: Path
    experiment: str
    experiment_id: str
    database: Path | None = None

    @contextmanager
    def session(self) -> Iterator[Any]:
        """Yield MLflow's client, with the working directory and MLflow's globals set to this store.

        Both are put back at the end. They belong to the process: one session at a time, no threads.

        Raises:
            ToolFailed: MLflow refused; carries its words.
        """
        with _talk(self.root, self.uri) as client:
            yield client

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other modelyard processes out of a local store; nothing for a server."""
        if self.database is None:
            yield
        else:
            with _locked(self.root, self.database):
                yield


def open_store(root: Path, uri: str, experiment: str) -> Store:
    """Open the tracking store, creating it and the experiment where they do not exist.

    Several processes may do this at once on one SQLite file: the first creates it, whole, the
    others wait. Call `preflight` before, for better words about a store that cannot be used.

    Args:
        root: the project's root.
        uri: the tracking URI; a relative `sqlite:///` path starts at `root`.
        experiment: the experiment's name.

    Raises:
        ToolFailed: MLflow refused, or the disk did.
    """
    root = root.resolve()
    database = sqlite_file(root, uri)
    if database is None:
        preflight(root, uri)  # one that has died meanwhile: MLflow would try again for minutes
        with _talk(root, uri) as client:
            return Store(uri, root, experiment, _experiment_id(client, experiment))
    uri = f"{SQLITE}{database}"
    database.parent.mkdir(parents=True, exist_ok=True)
    with _locked(root, database):
        _create_once(root, database)
        with _talk(root, uri) as client:
            number = _experiment_id(client, experiment)
        if database.is_relative_to(root):
            _make_portable(database, root, number)
    return Store(uri, root, experiment, number, database)


def prepare(root: Path, uri: str) -> None:
    """Create a local store's tables where there are none: seconds that `open_store` then saves.

    May be called from a thread: it touches no global of MLflow's. A server is left alone.

    Raises:
        ToolFailed: as `open_store`.
    """
    root = root.resolve()
    if database := sqlite_file(root, uri):
        load("mlflow.tracking")
        database.parent.mkdir(parents=True, exist_ok=True)
        with _locked(root, database):
            _create_once(root, database)


def _create_once(root: Path, database: Path) -> None:
    if not database.is_file() or database.stat().st_size == 0:
        _create(root, database)


@contextmanager
def _talk(root: Path, uri: str) -> Iterator[Any]:
    mlflow = load()
    before = os.environ.get(_URI)
    with _translated(), chdir(root):
        # The registry asks the global URI even where the client has its own, so both are set.
        mlflow.set_tracking_uri(uri)
        try:
            yield mlflow.MlflowClient(tracking_uri=uri)
        finally:
            mlflow.set_tracking_uri(None)
            if before is not None:
                os.environ[_URI] = before


@contextmanager
def _translated() -> Iterator[None]:
    """Say MLflow's and the disk's errors as ours."""
    errors = load("mlflow.exceptions")
    try:
        yield
    except errors.MlflowException as error:
        raise ToolFailed(
            "MLflow refused.", why=_short(error), next_step="modelyard doctor"
        ) from error
    except (OSError, sqlite3.Error) as error:
        raise ToolFailed(
            "The MLflow store could not be written or read.",
            why=_short(error),
            next_step="df -h . ; modelyard doctor",
        ) from error


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 500 else text[:499] + "…"


@contextmanager
def _locked(root: Path, database: Path) -> Iterator[None]:
    """Hold the store's file lock; the system drops it when the process dies."""
    with _beside(root, database, "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _beside(root: Path, database: Path, ending: str) -> Path:
    """A file of the store's that nobody need see: in the project's own folder where it is there."""
    within = database.is_relative_to(root)
    folder = root / ".modelyard" if within else database.parent
    folder.mkdir(parents=True, exist_ok=True)
    return folder / (f"{database.name}.{ending}" if within else f".{database.name}.{ending}")


def _create(root: Path, database: Path) -> None:
    """Create the tables in a file apart and rename: a kill in between leaves nothing half."""
    temporary = _beside(root, database, f"{os.getpid()}.part")
    for left in temporary.parent.glob(_beside(root, database, "*.part*").name):
        left.unlink()  # of a killed process: we hold the lock, so nobody writes to it
    store = load("mlflow.store.tracking.sqlalchemy_store")
    try:
        with _translated():
            tables = store.SqlAlchemyStore(f"{SQLITE}{temporary}", str(root / ARTIFACTS))
            tables.engine.dispose()
            temporary.replace(database)
    finally:
        temporary.unlink(missing_ok=True)
        temporary.with_name(f"{temporary.name}-journal").unlink(missing_ok=True)


def _experiment_id(client: Any, name: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        errors = load("mlflow.exceptions")
        # Another machine may have created it on the same server between the two calls.
        with suppress(errors.MlflowException):
            return str(client.create_experiment(name))
        found = client.get_experiment_by_name(name)
        if found is None:
            return str(client.create_experiment(name))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _make_portable(database: Path, root: Path, number: str) -> None:
    """Make our experiment's location, and that of the unused default one, relative to the root."""
    statement = (
        "UPDATE experiments SET artifact_location = ? || experiment_id "
        "WHERE experiment_id = ? AND substr(artifact_location, 1, ?) = ? "
        "AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.experiment_id = experiments.experiment_id)"
    )
    prefix = f"{root}/"
    with _translated(), closing(sqlite3.connect(database, timeout=BUSY_SECONDS)) as connection:
        absolute = connection.execute(
            "SELECT experiment_id FROM experiments "
            "WHERE experiment_id IN (0, ?) AND substr(artifact_location, 1, ?) = ?",
            (int(number), len(prefix), prefix),
        ).fetchall()
        with connection:
            for (which,) in absolute:
                connection.execute(statement, (f"{ARTIFACTS}/", which, len(prefix), prefix))
