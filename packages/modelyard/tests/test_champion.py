"""The champion: which folder is its package, byte for byte; which came before; who moved it."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from modelyard import project
from modelyard.errors import ModelyardError
from modelyard.records import AuditLine, ChampionRecord, write_json
from modelyard.registry import champion
from modelyard.ship.person import person
from modelyard.ship.rollback import rollback
from modelyard.tools import git


def package(folder: Path) -> str:
    """Two files and their manifest; returns its digest."""
    folder.mkdir()
    files = {"model.onnx": b"graph" * 100, "golden.json": b"{}"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps({"format": 1, "files": digests}).encode()
    (folder / "manifest.json").write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def test_a_whole_package_has_no_fault(tmp_path: Path) -> None:
    assert champion.fault(tmp_path / "p", package(tmp_path / "p")) == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: (p / "model.onnx").write_bytes(b"graph" * 99 + b"grapf"), "model.onnx was"),
        (lambda p: (p / "golden.json").unlink(), "golden.json cannot be read"),
        (lambda p: (p / "manifest.json").unlink(), "manifest.json cannot be read"),
        (lambda p: (p / "manifest.json").write_text("{}"), "manifest.json has digest"),
        (lambda p: (p / "more.bin").write_bytes(b"x"), "more.bin is not of the package"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "p"
    digest = package(folder)
    spoil(folder)
    assert champion.fault(folder, digest).startswith(said)
    assert champion.fault(tmp_path / "nowhere", digest).startswith("manifest.json cannot be read")


def moves(here: project.Project, *pairs: tuple[str | None, str]) -> None:
    lines = [
        AuditLine(
            action="release",
            who="Ada",
            when=f"2026-01-0{day}T00:00:00+00:00",
            why="",
            model="churn",
            from_version=before,
            to_version=after,
            package_digest=after * 64,
            run_id="r",
        )
        for day, (before, after) in enumerate(pairs, start=1)
    ]
    here.audit.parent.mkdir(exist_ok=True)
    here.audit.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    now = ChampionRecord(
        model="churn",
        version=pairs[-1][1],
        package_digest=pairs[-1][1] * 64,
        model_digest="m",
        run_id="r",
        data_version="v1",
        data_md5="d",
        commit="c",
        metric="roc_auc",
        value=0.9,
        since=lines[-1].when,
    )
    write_json(here.record("champion"), now)


@pytest.mark.parametrize(
    ("past", "wanted"),
    [
        ([(None, "1"), ("1", "2")], "1"),
        # Two branches released from v1, and were merged: v2 was live before v3.
        ([(None, "1"), ("1", "2"), ("1", "3")], "2"),
        # Rolled back once: again is forward to what was left.
        ([(None, "1"), ("1", "2"), ("2", "1")], "2"),
    ],
)
def test_a_rollback_goes_to_what_was_the_champion_before(
    tmp_path: Path, past: list[tuple[str | None, str]], wanted: str
) -> None:
    git.init(tmp_path)
    (tmp_path / "modelyard.yaml").write_text(
        "project: {name: churn}\ndata: {path: data/raw/a.csv, target: y}\n"
    )
    here = project.load(tmp_path)
    moves(here, *past)
    # The packages are not there, which is how it tells the one that it looked for.
    with pytest.raises(ModelyardError, match=f"The package of v{wanted} cannot be used"):
        rollback(here)


HUB = {"GITHUB_ACTIONS": "true", "GITHUB_ACTOR": "ada"}


@pytest.mark.parametrize(
    ("variables", "who"),
    [
        ({}, "Grace <grace@example.org>"),
        (HUB | {"GITHUB_TRIGGERING_ACTOR": "bob"}, "bob (GitHub Actions)"),
        (HUB, "ada (GitHub Actions)"),
        ({"GITLAB_CI": "true", "GITLAB_USER_LOGIN": "ada"}, "ada (GitLab CI)"),
        # A variable that is left over from somewhere else makes no job of a service.
        ({"GITHUB_ACTOR": "ada", "GITLAB_USER_LOGIN": "ada"}, "Grace <grace@example.org>"),
    ],
)
def test_an_audit_line_names_the_person_whom_a_job_runs_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], who: str
) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "GITHUB_ACTOR", "GITHUB_TRIGGERING_ACTOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    git.init(tmp_path)
    for key, value in (("name", "Grace"), ("email", "grace@example.org")):
        subprocess.run(["git", "config", f"user.{key}", value], cwd=tmp_path, check=True)
    (tmp_path / "modelyard.yaml").write_text(
        "project: {name: churn}\ndata: {path: data/raw/a.csv, target: y}\n"
    )
    assert person(project.load(tmp_path)) == who
