"""Can this store be used? Asked with the standard library, before MLflow's slow import."""

from __future__ import annotations

import importlib.util
import re
import socket
import sqlite3
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from modelyard.errors import ToolFailed, capped
from modelyard.tools.mlflow.location import sqlite_file, without_password

LOCK_WAIT_SECONDS = 2.0
REACH_SECONDS = 5.0
_DATABASE_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_REVISION = re.compile(r"""^revision\b[^=\n]*=\s*["'](\w+)["']""", re.MULTILINE)
_DOWN_REVISION = re.compile(r"""^down_revision\b[^=\n]*=\s*["'](\w+)["']""", re.MULTILINE)


def preflight(root: Path, uri: str) -> None:
    """Refuse a tracking store that cannot be used; a store that does not exist yet is fine.

    Args:
        root: the project's root; a relative `sqlite:///` path starts there.
        uri: the tracking URI.

    Raises:
        ToolFailed: the database is locked, read-only, not MLflow's, or of another version; the
            server does not answer; or the URI is of a kind that MLflow no longer takes.
    """
    database = sqlite_file(root, uri)
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if database is not None:
        _check_sqlite(database, uri)
    elif scheme in ("http", "https"):
        _check_server(uri)
    elif scheme in _DATABASE_PORTS and parts.hostname:
        _check_port(parts.hostname, parts.port or _DATABASE_PORTS[scheme])
    elif scheme in ("", "file"):
        raise ToolFailed(
            f"The tracking store {uri!r} is a folder.",
            why="MLflow no longer writes file stores; its own default is a SQLite file.",
            next_step="set track.uri to sqlite:///mlflow.db in modelyard.yaml",
        )


def known_revisions() -> tuple[frozenset[str], frozenset[str]]:
    """Return every schema revision that the installed MLflow knows, and its newest one(s)."""
    spec = importlib.util.find_spec("mlflow")
    if spec is None or not spec.submodule_search_locations:
        raise ToolFailed(
            "MLflow is not installed.",
            why="Runs are recorded with it.",
            next_step="pip install modelyard",
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "store/db_migrations/versions"
    known: set[str] = set()
    superseded: set[str] = set()
    for file in folder.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        known.update(_REVISION.findall(text))
        superseded.update(_DOWN_REVISION.findall(text))
    return frozenset(known), frozenset(known - superseded)


def _check_sqlite(database: Path, uri: str) -> None:
    if not database.is_file() or database.stat().st_size == 0:
        return
    try:
        connection = sqlite3.connect(
            f"{database.as_uri()}?mode=rw", uri=True, timeout=LOCK_WAIT_SECONDS
        )
    except sqlite3.Error as error:
        raise _unreadable(database, error) from error
    try:
        # Asks for the write lock and gives it back: a reader alone would not notice a writer.
        connection.execute("BEGIN IMMEDIATE")
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        found = set()
        if "alembic_version" in tables:
            found = {
                row[0] for row in connection.execute("SELECT version_num FROM alembic_version")
            }
        connection.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "busy" in str(error):
            raise _locked(database) from error
        raise _unreadable(database, error) from error
    except sqlite3.DatabaseError as error:
        raise ToolFailed(
            f"{database.name} is not a SQLite database.",
            why=f"{database}: {error}",
            next_step=f"move {database.name} aside; the next run creates a new store",
        ) from error
    finally:
        connection.close()
    if tables:
        _check_revision(database, uri, found)


def _check_revision(database: Path, uri: str, found: set[str]) -> None:
    if not found:
        raise ToolFailed(
            f"{database.name} is a SQLite database, but not an MLflow store.",
            why="It holds tables and no schema revision of MLflow's.",
            next_step="set track.uri in modelyard.yaml to another file",
        )
    known, newest = known_revisions()
    if unknown := found - known:
        raise ToolFailed(
            f"The MLflow store {database.name} was written by a newer MLflow.",
            why=f"Its schema revision {capped(sorted(unknown))} is unknown to the installed one.",
            next_step="pip install --upgrade mlflow",
        )
    if found != newest:
        raise ToolFailed(
            f"The MLflow store {database.name} was written by an older MLflow.",
            why=f"Its schema revision is {capped(sorted(found))}, the installed MLflow needs "
            f"{capped(sorted(newest))}.",
            next_step=f"cp {database.name} {database.name}.bak && mlflow db upgrade {uri}",
        )


def _locked(database: Path) -> ToolFailed:
    holders = _holders(database)
    who = (
        f"It is open in {capped(holders)}."
        if holders
        else "Look for another modelyard command, a running `mlflow ui` or a database browser."
    )
    return ToolFailed(
        f"The MLflow store {database.name} is locked.",
        why=f"Another program has been writing to it for {LOCK_WAIT_SECONDS:.0f} s. {who}",
        next_step=f"fuser -v {database}",
    )


def _holders(database: Path) -> list[str]:
    """Name the processes that have the file open, as far as this user may see them."""
    found = []
    for process in psutil.process_iter(["pid", "name"]):
        try:
            if any(file.path == str(database) for file in process.open_files()):
                found.append(f"{process.info['name']} (process {process.info['pid']})")
        except (psutil.Error, OSError):
            continue
    return found


def _unreadable(database: Path, error: sqlite3.Error) -> ToolFailed:
    return ToolFailed(
        f"The MLflow store {database.name} cannot be opened for writing.",
        why=f"{database}: {error}",
        next_step=f"ls -l {database}",
    )


def _check_server(uri: str) -> None:
    try:
        urllib.request.urlopen(f"{uri.rstrip('/')}/health", timeout=REACH_SECONDS).close()  # noqa: S310
    except urllib.error.HTTPError:
        return  # it answers; whether it lets us in, MLflow will say
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise _unreachable(without_password(uri), reason) from error


def _check_port(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise _unreachable(f"{host}:{port}", error) from error


def _unreachable(where: str, reason: object) -> ToolFailed:
    return ToolFailed(
        f"The tracking server {where} does not answer.",
        why=str(reason),
        next_step="start the server, or unset MLFLOW_TRACKING_URI to use the project's own store",
    )
