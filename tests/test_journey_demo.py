"""The story that `make run` tells, with a short search."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def test_the_story_is_true(folder: Any) -> None:
    said = folder.cli("demo", "flights", "--budget", "25s").stdout
    project = type(folder)(folder.root / "flights")

    merges = project.git("log", "--merges", "--format=%s").splitlines()
    assert len(merges) == 2
    for merge in project.git("log", "--merges", "--format=%H").splitlines():
        assert len(project.git("rev-list", "--parents", "-n1", merge).split()) == 3
        body = project.git("log", "-1", "--format=%b", merge)
        assert "Why:" in body
        assert "Evidence:" in body
    assert project.git("branch", "--show-current") == "main"
    tags = project.git("tag", "--list").splitlines()
    assert tags == ["data/v1", "data/v2", "model/v1", "model/v2"]
    assert project.git("status", "--porcelain") == ""

    first, second = project.audit
    assert (first["to_version"], second["from_version"], second["to_version"]) == ("1", "1", "2")
    # Fair: the comparison is on the rows that neither was trained on, and the gate passed on it.
    gate = json.loads(project.git("show", "model/v2:records/gate.json"))
    assert gate["comparison"]["champion_digest"] == first["package_digest"]
    assert gate["comparison"]["improvement"] > 0
    assert json.loads((project.root / "records/drift.json").read_bytes())["verdict"] != "none"

    figures = re.findall(r"v(\d) \(trained on data v\d\): roc_auc (0\.\d+)", said)
    autumn = {version: float(value) for version, value in figures}
    assert autumn["2"] > autumn["1"] > 0.5
    exact = [line for line in said.splitlines() if "every figure exactly as before" in line]
    assert len(exact) == 2
    assert "NOT as before" not in said
    assert "✗" not in said
    assert project.metrics.decode().strip() == project.git("show", "model/v2:metrics.json")
    assert project.json("data", "log")[0]["current"]
    for place in ("reports/index.html", "package/manifest.json", "mlflow.db"):
        assert (project.root / place).is_file(), place
    assert "Next:" in said

    # A second demonstration does not touch the first; nor a folder that is none.
    assert "--replace" in folder.cli("demo", "flights", code=2).stderr
    (folder.root / "mine").mkdir()
    (folder.root / "mine/thesis.txt").write_text("mine")
    folder.cli("demo", "mine", "--replace", code=2)
    assert (folder.root / "mine/thesis.txt").read_text() == "mine"
