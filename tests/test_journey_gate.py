"""The gate says no: an exit code, a record, a tracked run, and the champion where it was."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def standing(project: Any) -> tuple[Any, ...]:
    """What a refusal must not move."""
    return project.record("champion"), project.audit, project.git("tag", "--list")


def test_a_broken_limit_is_refused(project: Any) -> None:
    before = standing(project)
    done = project.cli("run", "-S", "gate.limits.roc_auc.min=0.99", code=3)
    assert "0.99" in done.stderr
    assert "roc_auc" in done.stderr
    assert "Traceback" not in done.stderr
    gate = project.record("gate")
    assert not gate["passed"]
    (broken,) = [check for check in gate["checks"] if not check["passed"]]
    assert (broken["name"], broken["limit"]) == ("limit:roc_auc", 0.99)
    assert broken["figure"] == pytest.approx(json.loads(project.metrics)["roc_auc"], abs=1e-9)
    assert standing(project) == before
    assert sorted(row["gate"] for row in project.json("runs")) == ["passed", "refused"]
    # Without the limit the same candidate passes, and is the champion that it was.
    project.cli("run")
    assert project.record("gate")["passed"]
    assert standing(project) == before


def test_a_worse_challenger_is_refused(project: Any) -> None:
    before = standing(project)
    kept = {"female", "paperless_billing", "phone_service"}
    others = [
        column["name"]
        for column in project.record("schema")["columns"]
        if column["name"] not in kept | {"churn", "customer"}
    ]
    done = project.cli("run", "-S", f"data.exclude={json.dumps(others)}", code=3)
    assert "is worse than champion v1" in done.stderr
    gate = project.record("gate")
    compared = gate["comparison"]
    assert compared["champion_version"] == "1"
    assert compared["champion"] == before[0]["value"]
    assert compared["rows"] == project.record("evaluate")["rows"]
    assert compared["candidate"] == pytest.approx(json.loads(project.metrics)["roc_auc"], abs=1e-9)
    assert compared["low"] < compared["improvement"] < compared["high"] < -0.03
    assert standing(project) == before
    refused = next(row for row in project.json("runs") if row["gate"] == "refused")
    assert not refused["champion"]
    assert refused["value"] < before[0]["value"]
    # The champion, not the refused candidate, answers.
    scored = project.root / "scored.csv"
    project.cli("predict", project.table, "-o", scored)
    manifest = json.loads((project.root / "package/manifest.json").read_bytes())
    assert len(manifest["features"]) == 3
    probabilities = {line.rsplit(",", 1)[1] for line in scored.read_text().splitlines()[1:]}
    assert len(probabilities) > 8, "three boolean columns have at most eight answers"
    # And the line goes back to the released model without computing it again.
    project.cli("run")
    assert project.record("pack")["package_digest"] == before[0]["package_digest"]
    assert standing(project) == before


def test_a_challenger_that_is_not_worse_passes(grown: Any, released: Any) -> None:
    compared = grown.record("gate")["comparison"]
    assert compared["champion_version"] == "1"
    assert compared["champion_digest"] == released.record("champion")["package_digest"]
    assert compared["high"] >= -0.03
    assert compared["rows"] == grown.record("evaluate")["rows"]
    assert grown.record("champion")["version"] == "2"
