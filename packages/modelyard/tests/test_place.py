"""Which target an environment has."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from modelyard import project
from modelyard.errors import UsageError
from modelyard.records import Deployment
from modelyard.ship.deploy.place import place

TABLE = "project: {name: churn}\ndata: {path: a.csv, target: y}\n"
LINE = Deployment(
    number=1, action="deploy", outcome="live", environment="staging", target="local",
    where="here", who="Ada", when="2026-01-02T03:04:05+00:00", model="churn", version="v1",
    package_digest="one", image="churn:1", run_id="", commit="",
)  # fmt: skip


def made(root: Path, *lines: Deployment, more: str = "") -> project.Project:
    """A project with these releases."""
    (root / "modelyard.yaml").write_text(TABLE + more)
    here = project.load(root)
    here.deployments.parent.mkdir(exist_ok=True)
    here.deployments.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    return here


def test_what_stands_is_looked_for_where_it_was_brought_to(tmp_path: Path) -> None:
    failed = msgspec.structs.replace(LINE, number=2, outcome="failed", target="kubernetes")
    here = made(tmp_path, LINE, failed)
    assert place(here, "staging", standing=True).target == "local"
    assert place(here, "staging").target == "kubernetes", "a new deploy has the default"
    assert place(here, "staging", target="ecs", standing=True).target == "ecs"
    assert place(here, "production", standing=True).target == "kubernetes"


def test_what_the_project_declares_stands_above_what_was(tmp_path: Path) -> None:
    declared = "deploy: {environments: {staging: {target: kubernetes}}}\n"
    here = made(tmp_path, LINE, more=declared)
    assert place(here, "staging", standing=True).target == "kubernetes"


def test_an_environment_of_another_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'staging'"):
        place(made(tmp_path), "stagin")
