"""Kills, Ctrl-C and two runs at once: nothing is lost, doubled or left half-written."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import polars as pl
import psutil
import pytest

from modelyard import line

pytestmark = pytest.mark.journey

PROGRAM = str(Path(sys.executable).with_name("modelyard"))
TRIALS = 8
SMALL = (
    *("-S", f"tune.trials={TRIALS}", "-S", "tune.families=[linear, boosting]"),
    *("-S", "tune.folds=2", "-S", "gate.resamples=200"),
)
PATIENCE = 600.0
"""Seconds after which a test gives up waiting for a state: a safety net, not a measurement."""


def call(folder: Path, *command: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert code is None or done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def git(folder: Path, *words: str) -> str:
    return call(folder, "git", *words).stdout.strip()


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 400 rows in which nothing was run yet."""
    folder = tmp_path_factory.mktemp("interrupted")
    draw = random.Random(7)
    lines = ["age,income,plan,churn"]
    for _ in range(400):
        age, income, plan = (
            draw.randint(18, 80),
            round(draw.gauss(3000, 800), 1),
            draw.choice("abc"),
        )
        score = (age - 50) / 15 + (income - 3000) / 900 + (plan == "a") + draw.gauss(0, 0.7)
        lines.append(f"{age},{income},{plan},{'yes' if score > 0.3 else 'no'}")
    (folder / "customers.csv").write_text("\n".join(lines) + "\n")
    call(folder, PROGRAM, "init", "small", "--data", "customers.csv", "--target", "churn")
    return folder / "small"


@pytest.fixture(scope="module")
def whole(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project after a run that nobody interrupted, not released yet."""
    copy = tmp_path_factory.mktemp("whole") / "small"
    shutil.copytree(fresh, copy, symlinks=True)
    call(copy, PROGRAM, "run", "--no-release", *SMALL)
    return copy


@pytest.fixture(scope="module")
def released(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same project after its release."""
    copy = tmp_path_factory.mktemp("released") / "small"
    shutil.copytree(whole, copy, symlinks=True)
    call(copy, PROGRAM, "run", *SMALL)
    return copy


@contextmanager
def running(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """`modelyard run` in a process group of its own; nothing of it outlives the block."""
    with (folder / ".modelyard-output").open("w+") as output:
        started = subprocess.Popen(
            [PROGRAM, "run", *SMALL, *options],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            # Started in the background, this process may ignore Ctrl-C: its child must not.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        try:
            yield started
        finally:
            with suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            started.wait()
            (folder / ".modelyard-output").unlink()


def said(folder: Path) -> str:
    return (folder / ".modelyard-output").read_text()


def until(true: Callable[[], Any], what: str, run: subprocess.Popen[str] | None = None) -> None:
    """Wait for a state; a run that ended before it came fails the test."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert run is None or run.poll() is None, f"the run ended before {what}"
        assert time.monotonic() < end, f"{what} did not come"
        time.sleep(0.002)


def alive(group: int) -> list[str]:
    """The processes of a group that still run."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline", "status"]):
        with suppress(ProcessLookupError, psutil.Error):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.info["cmdline"] or ["?"]))
    return found


def working(run: subprocess.Popen[str], stage: str) -> bool:
    """Whether the stage's process is there."""
    with suppress(psutil.Error):
        for process in psutil.Process(run.pid).children(recursive=True):
            with suppress(psutil.Error):
                if process.cmdline()[-2:] == ["stage", stage]:
                    return True
    return False


def finished_trials(folder: Path) -> int:
    return len(list(folder.glob(".modelyard/studies/*/oof-*.npy")))


# What shows that a stage is in the middle of its work: its process, or a file as it is written.
MOMENTS: dict[str, Callable[[Path, subprocess.Popen[str]], Any]] = {
    "ingest": lambda root, run: [*root.glob("data/interim/.table*"), *root.glob("data/interim/t*")],
    "split": lambda root, run: [*root.glob("data/interim/.split*"), *root.glob("data/interim/s*")],
    "tune": lambda root, run: finished_trials(root) >= 2,
    "train": lambda root, run: [*root.glob(".model.*.part/*"), *root.glob("model/*")],
    "evaluate": lambda root, run: [*root.glob("plots/*")],
    "pack": lambda root, run: [*root.glob(".package.*.part/*"), *root.glob("package/*")],
    "gate": lambda root, run: working(run, "gate"),
}


def nothing_half(folder: Path) -> None:
    """Whatever stands under its own name can be read whole."""
    for path in [
        *folder.glob("records/*.json"),
        *folder.glob("*.json"),
        *folder.glob("model/*.json"),
    ]:
        assert read(path) is not None
    for path in folder.glob("data/interim/[a-z]*.parquet"):
        assert pl.read_parquet(path).height == 400
    manifest = folder / "package/manifest.json"
    assert manifest.is_file() or not manifest.parent.exists()


def leftovers(folder: Path) -> list[str]:
    skipped = (".git", ".dvc", ".dvc-store", "mlartifacts")
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*.part*")
        if path.relative_to(folder).parts[0] not in skipped
    ]


def same_trials(folder: Path, expected: Path) -> None:
    """The study has the trials of the one that nobody interrupted: none lost, none doubled."""
    study, other = read(folder / "records/study.json"), read(expected / "records/study.json")
    keys = ("number", "family", "params", "state", "score", "folds")
    found, wanted = ([[t[k] for k in keys] for t in r["trials"]] for r in (study, other))
    assert len(found) == TRIALS
    assert found == wanted
    assert study["chosen"] == other["chosen"]


def same_result(folder: Path, expected: Path) -> None:
    """The trials, the model and the figures are those of the run that nobody interrupted."""
    same_trials(folder, expected)
    digest = read(folder / "records/pack.json")["model_digest"]
    assert digest == read(expected / "records/pack.json")["model_digest"]
    assert (folder / "metrics.json").read_bytes() == (expected / "metrics.json").read_bytes()


def released_once(folder: Path, version: str = "1") -> None:
    """One audit line, one tag, one registered version, one release commit, a clean tree."""
    lines = (folder / "records/audit.jsonl").read_text().splitlines()
    assert [json.loads(entry)["to_version"] for entry in lines] == [version]
    assert json.loads(lines[0])["from_version"] is None
    assert git(folder, "tag", "--list", "model/*").split() == [f"model/v{version}"]
    subjects = git(folder, "log", "--format=%s").splitlines()
    assert len([subject for subject in subjects if subject.startswith("release: ")]) == 1
    assert git(folder, "rev-parse", f"model/v{version}^{{commit}}") == git(
        folder, "rev-parse", "HEAD"
    )
    assert git(folder, "status", "--porcelain") == ""
    with sqlite3.connect(folder / "mlflow.db") as store:
        versions = store.execute("SELECT version FROM model_versions").fetchall()
        aliases = store.execute("SELECT alias, version FROM registered_model_aliases").fetchall()
        parents = store.execute(
            "SELECT COUNT(DISTINCT run_uuid) FROM tags WHERE key = 'modelyard.package_digest' "
            "AND run_uuid IN (SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active')"
        ).fetchone()
        unfinished = store.execute(
            "SELECT status FROM runs WHERE lifecycle_stage = 'active' AND status = 'RUNNING'"
        ).fetchall()
    assert [str(found) for (found,) in versions] == [version]
    assert [(name, str(found)) for name, found in aliases] == [("champion", version)]
    assert parents == (1,)
    assert unfinished == []


def test_killed_in_every_stage_and_run_again(fresh: Path, whole: Path, tmp_path: Path) -> None:
    here = tmp_path / "small"
    shutil.copytree(fresh, here, symlinks=True)
    assert list(MOMENTS) == [stage.name for stage in line.STAGES]
    for stage, moment in MOMENTS.items():
        with running(here) as run:
            until(lambda r=run, m=moment: m(here, r), f"{stage} at work", run)
            os.killpg(run.pid, signal.SIGKILL)
            assert run.wait() == -signal.SIGKILL
            until(lambda r=run: not alive(r.pid), "the end of the group")
        nothing_half(here)
        if stage == "tune":
            # Once more, and only the parent: the stage and its workers must notice by themselves.
            before = finished_trials(here)
            with running(here) as run:
                until(lambda b=before: finished_trials(here) > b, "one more trial", run)
                run.kill()
                run.wait()
                until(lambda r=run: not alive(r.pid), f"the end of {alive(run.pid)}")
            nothing_half(here)
    call(here, PROGRAM, "run", *SMALL)
    assert read(here / "records/study.json")["resumed_trials"] >= 3
    same_result(here, whole)
    released_once(here)
    assert leftovers(here) == []
    assert "Nothing to do" in call(here, PROGRAM, "run", *SMALL).stdout


@pytest.mark.parametrize(
    ("what", "shows"),
    [
        ("tracking", lambda root: "track:" in said(root)),
        ("the registered version", lambda root: rows(root, "model_versions")),
        ("the champion's record", lambda root: (root / "records/champion.json").exists()),
        ("the commit", lambda root: b"release: " in head_log(root)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_killed_while_tracking_or_releasing_it_is_released_once(
    whole: Path, tmp_path: Path, what: str, shows: Callable[[Path], bool]
) -> None:
    here = tmp_path / "small"
    shutil.copytree(whole, here, symlinks=True)
    with running(here) as run:
        until(lambda: shows(here), what, run)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    nothing_half(here)
    call(here, PROGRAM, "run", *SMALL)
    released_once(here)


def rows(folder: Path, table: str) -> bool:
    """Whether the store has a row in a table; asked without waiting for its writer."""
    with suppress(sqlite3.Error):
        store = sqlite3.connect(f"file:{folder}/mlflow.db?mode=ro", uri=True, timeout=0)
        try:
            return bool(store.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        finally:
            store.close()
    return False


def head_log(folder: Path) -> bytes:
    path = folder / ".git/logs/HEAD"
    return path.read_bytes() if path.is_file() else b""


@pytest.mark.parametrize("lost", ["audit", "tag", "commit"])
def test_a_release_cut_between_two_steps_is_completed(
    released: Path, tmp_path: Path, lost: str
) -> None:
    """The states that a kill leaves for a few milliseconds, put back by hand."""
    here = tmp_path / "small"
    shutil.copytree(released, here, symlinks=True)
    git(here, "tag", "--delete", "model/v1")
    if lost in ("commit", "audit"):
        git(here, "reset", "--quiet", "--mixed", "HEAD^")
    if lost == "audit":
        (here / "records/audit.jsonl").unlink()
    call(here, PROGRAM, "run", *SMALL)
    released_once(here)


def test_two_runs_at_once_then_ctrl_c_then_again(fresh: Path, whole: Path, tmp_path: Path) -> None:
    here = tmp_path / "small"
    shutil.copytree(fresh, here, symlinks=True)
    with running(here) as run:
        until(lambda: finished_trials(here) >= 1, "a trial", run)
        second = call(here, PROGRAM, "run", code=1)
        assert second.stdout == ""
        assert "Another modelyard command is at work in this project." in second.stderr
        assert f"`modelyard run` (process {run.pid}) holds the lock since" in second.stderr
        assert re.search(r"^  next: ", second.stderr, re.MULTILINE)
        assert run.poll() is None
        os.killpg(run.pid, signal.SIGINT)  # what a terminal sends to all of its programs
        assert run.wait(PATIENCE) == 130
        until(lambda: not alive(run.pid), f"the end of {alive(run.pid)}")
        end = said(here)
        assert "Stopped. Run the command again: it goes on where it was." in end
        assert "Traceback" not in end
    nothing_half(here)
    call(here, PROGRAM, "stage", "tune")
    assert read(here / "records/study.json")["resumed_trials"] >= 1
    same_trials(here, whole)


def test_a_signal_to_the_parent_alone_ends_the_stage_too(fresh: Path, tmp_path: Path) -> None:
    """As a service manager sends it; Ctrl-C goes to the whole group, and DVC ignores it."""
    here = tmp_path / "small"
    shutil.copytree(fresh, here, symlinks=True)
    with running(here) as run:
        until(lambda: working(run, "tune"), "tune at work", run)
        run.send_signal(signal.SIGTERM)
        assert run.wait(PATIENCE) == 130
        until(lambda: not alive(run.pid), f"the end of {alive(run.pid)}")
        assert "Traceback" not in said(here)


def test_a_lock_whose_holder_died_is_free(fresh: Path, tmp_path: Path) -> None:
    here = tmp_path / "small"
    shutil.copytree(fresh, here, symlinks=True)
    with running(here) as run:
        until(lambda: (here / ".modelyard/lock").is_file(), "the lock", run)
        until(lambda: "modelyard run" in (here / ".modelyard/lock").read_text(), "a name", run)
        run.kill()
    missing = call(here, PROGRAM, "rollback", code=2)  # it asks for the lock before it looks
    assert "Nothing was released yet." in missing.stderr
