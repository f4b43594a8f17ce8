"""Whole projects for the journeys: built once by the real commands, copied for each test.

A project can be moved, so a copy of its folder is as good as the folder itself; that every journey
starts from such a copy is a test of it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CHURN = ROOT / "examples" / "churn" / "wa_churn.csv"
WHO = "Ada Example <ada@example.org>"
LONGEST = (
    "test_journey_demo.py",
    "test_interruption.py",
    "test_journey_image.py",
    "test_journey_tasks.py",
    "test_journey_merge.py",
    "test_deploy_local.py",
    "test_deploy_ecs.py",
    "test_journey_ci.py",
    "test_journey_podman.py",
)
"""Files that take minutes: begun first, so that no worker waits for the other at the end."""

SMALL = {
    "tune.trials": "3",
    "tune.budget": "null",
    "tune.families": "[linear, boosting]",
    "tune.folds": "2",
    "gate.margin": "0.03",
    "gate.resamples": "300",
}
"""A search of three trials, one a family; a margin that lets a little more data be released."""


@dataclass(frozen=True)
class Yard:
    """A folder and the commands that a person types in it."""

    root: Path

    def cli(self, *args: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a modelyard command here and check its exit code."""
        return self.tool("modelyard", *args, code=code)

    def tool(self, name: str, *args: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a program, that of this environment first, and check its exit code."""
        ours = Path(sys.executable).with_name(name)
        program = str(ours) if ours.exists() else name
        command = [program, *map(str, args)]
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True)
        assert done.returncode == code, (
            f"{name} {' '.join(command[1:])} ended with {done.returncode}, not {code}\n"
            f"{done.stdout}\n{done.stderr}"
        )
        return done

    def git(self, *args: str | Path) -> str:
        """Run git and return what it said."""
        return self.tool("git", *args).stdout.strip()

    def json(self, *args: str | Path) -> Any:
        """Run a modelyard command with --json and return its document."""
        said = self.cli(*args, "--json").stdout
        lines = said.splitlines()
        start = next(i for i, line in enumerate(lines) if line in ("{", "[", "[]", "{}"))
        return json.loads("\n".join(lines[start:]))

    def record(self, name: str) -> Any:
        """One of the stages' records."""
        return json.loads((self.root / "records" / f"{name}.json").read_bytes())

    @property
    def metrics(self) -> bytes:
        """metrics.json, byte for byte."""
        return (self.root / "metrics.json").read_bytes()

    @property
    def audit(self) -> list[dict[str, Any]]:
        """The audit's lines, oldest first."""
        lines = (self.root / "records/audit.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    @property
    def store(self) -> str:
        """The MLflow store; absolute, since MLflow keeps one connection for each such text."""
        return f"sqlite:///{self.root}/mlflow.db"

    @property
    def table(self) -> Path:
        """The working table."""
        return self.root / "data/raw/customers.csv"

    def edit(self, old: str, new: str, name: str = "modelyard.yaml") -> None:
        """Replace a text that occurs once in a file."""
        path = self.root / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def copy(self, to: Path) -> Yard:
        """The whole folder, elsewhere."""
        shutil.copytree(self.root, to, symlinks=True)
        return Yard(to)

    def snapshot(self) -> tuple[str, ...]:
        """What a command that fails must leave as it was."""
        kept = sorted(
            path
            for folder in ("data/raw", "records", "package")
            for path in (self.root / folder).rglob("*")
            if path.is_file()
        )
        files = [f"{path.relative_to(self.root)} {md5(path)}" for path in kept]
        return (self.git("status", "--porcelain"), self.git("show-ref"), *files)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first. (`--no-loadscope-reorder` lets the order stand.)"""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(LONGEST)))


def md5(path: Path) -> str:
    """The digest that DVC uses."""
    return hashlib.md5(path.read_bytes()).hexdigest()


def write_rows(path: Path, rows: int, change: dict[int, dict[str, str]] | None = None) -> Path:
    """The first rows of the churn table, with a customer's number; `change`: row -> new values."""
    with CHURN.open(newline="", encoding="utf-8") as source:
        reader = csv.DictReader(source)
        kept = [row for row, _ in zip(reader, range(rows), strict=False)]
        names = ["customer", *(reader.fieldnames or [])]
    for number, row in enumerate(kept):
        row["customer"] = f"C{number:05d}"
    for number, values in (change or {}).items():
        kept[number].update(values)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(kept)
    return path


@pytest.fixture(scope="session", autouse=True)
def own_world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """An identity for git, and nothing of the person's own settings."""
    config = tmp_path_factory.mktemp("git") / "config"
    config.write_text("[user]\n\tname = Ada Example\n\temail = ada@example.org\n")
    before = dict(os.environ)
    for name in [n for n in os.environ if n.startswith(("GIT_", "MLFLOW_", "MODELYARD_", "DVC_"))]:
        del os.environ[name]
    os.environ.update(
        GIT_CONFIG_GLOBAL=str(config),
        GIT_CONFIG_SYSTEM=os.devnull,
        MLFLOW_DISABLE_TELEMETRY="true",
        DO_NOT_TRACK="true",
        DVC_NO_ANALYTICS="true",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{before['PATH']}",
    )
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def yard_type() -> type[Yard]:
    """The class of a project's folder, for suites in folders of their own."""
    return Yard


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """customers.csv of 1,000 rows, and november.csv with 400 more and one of the old changed."""
    folder = tmp_path_factory.mktemp("tables")
    write_rows(folder / "customers.csv", 1000)
    write_rows(folder / "november.csv", 1400, {7: {"monthly_charges": "111.1"}})
    return folder


@pytest.fixture(scope="session")
def released(tmp_path_factory: pytest.TempPathFactory, tables: Path) -> Yard:
    """A project with one release. Only to be read: `project` is a copy to work on."""
    folder = tmp_path_factory.mktemp("released")
    settings = [part for key, value in SMALL.items() for part in ("-S", f"{key}={value}")]
    table = tables / "customers.csv"
    Yard(folder).cli("init", "churn", "--data", table, "--target", "churn", *settings)
    made = Yard(folder / "churn")
    made.cli("run", "-m", "the first model")
    return made


@pytest.fixture(scope="session")
def grown(released: Yard, tables: Path, tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """A project with two data versions and a release on each. Only to be read."""
    made = released.copy(tmp_path_factory.mktemp("grown") / "churn")
    made.cli("data", "add", tables / "november.csv", "-m", "November")
    made.cli("run", "-m", "retrained with November")
    return made


@pytest.fixture
def project(released: Yard, tmp_path: Path) -> Yard:
    """A copy of the project with one release."""
    return released.copy(tmp_path / "churn")


@pytest.fixture
def unreleased(project: Yard) -> Yard:
    """A project before its first release. What the stages gave is in DVC's cache."""
    project.git("tag", "--delete", "model/v1")
    project.git("reset", "--quiet", "--hard", "HEAD^")
    for name in ("mlflow.db", "mlflow.db-shm", "mlflow.db-wal"):
        (project.root / name).unlink(missing_ok=True)
    for name in ("mlartifacts", ".modelyard"):
        shutil.rmtree(project.root / name)
    shutil.rmtree(project.root / ".dvc-store")
    assert not (project.root / "records").exists()
    return project


@pytest.fixture
def project_of_two(grown: Yard, tmp_path: Path) -> Yard:
    """A copy of the project with two releases."""
    return grown.copy(tmp_path / "churn")


@pytest.fixture
def folder(tmp_path: Path) -> Yard:
    """An empty folder to work in."""
    return Yard(tmp_path)
