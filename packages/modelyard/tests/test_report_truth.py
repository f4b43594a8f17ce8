"""What report, card and summary say is so of the model they speak of, whatever came after it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import yaml
from report_records import LINEAGE, outline, whole

from modelyard.project import Project
from modelyard.records import (
    AuditLine,
    ChampionRecord,
    EvaluateRecord,
    Interval,
    RunLine,
    RunsRecord,
    Slice,
    read_json,
    write_json,
)
from modelyard.report import card, chart, html, plots, reasons, summary
from modelyard.report.gather import DataTag, Gathered, gather

PACKAGE = "cd" * 32
MD5 = "0f343b0931126a20f133d67c2b018a3b"
ADDED = {"modelyard.data_version": "v2", "modelyard.data_md5": "9" * 32}


def run_line(number: int, metric: str, value: float, **more: str) -> RunLine:
    return RunLine(
        run_id=f"run{number}" * 8, name=f"forest-{number}", started=f"2026-01-0{number}T10:00:00",
        metric=metric, value=value, low=value - 0.01, high=value + 0.01, gate="passed", **more,
    )  # fmt: skip


def with_runs(project: Project, *runs: RunLine) -> Project:
    project.state.mkdir(exist_ok=True)
    write_json(project.state / "runs.json", RunsRecord(runs=runs))
    return project


def tag(version: str, md5: str) -> DataTag:
    return DataTag(version, "c" * 40, "2026-01-01T10:00:00", "rows", 900, md5)


def test_data_that_was_added_since_is_not_the_model_s(tmp_path: Path) -> None:
    project = with_runs(
        whole(tmp_path),
        run_line(1, "roc_auc", 0.78, package_digest=PACKAGE, data_version="v1"),
    )
    state = gather(project, ADDED)
    assert (state.data_version, state.data_md5) == ("v1", MD5)
    text = card.write(state)[0].read_text(encoding="utf-8")
    assert "data version v1" in text
    assert f"`{MD5}`" in text
    assert "v2" not in text
    header = yaml.safe_load(text.split("---\n")[1])
    assert header["model-index"][0]["results"][0]["dataset"]["name"] == "flights v1"
    assert "data v1" in summary._data(state, {})["foot"]
    assert "9" * 32 not in html.page(project, {"lineage": ADDED})


def test_a_commit_that_came_since_is_not_the_run_s(tmp_path: Path) -> None:
    line = run_line(1, "roc_auc", 0.78, package_digest=PACKAGE, commit="a" * 40)
    project = with_runs(whole(tmp_path), line)
    for head in ("c" * 40, "a" * 40):
        lineage = {"modelyard.commit": head, "modelyard.branch": "feat/x"}
        told = dict(html._lineage(gather(project, lineage)))
        assert told["Commit"] == "a" * 40
        if head == "a" * 40:
            assert (told["Branch"], told.get("Commit, now")) == ("feat/x", None)
        else:
            assert (told["Branch, now"], told["Commit, now"]) == ("feat/x", head)


def test_without_the_runs_the_version_is_that_of_the_tag_with_the_same_md5(tmp_path: Path) -> None:
    state = gather(whole(tmp_path), ADDED)
    assert state.data_version == ""
    tagged = replace(state, data_tags=(tag("v1", MD5), tag("v2", "9" * 32)))
    assert tagged.data_version == "v1"


def rolled_back(tmp_path: Path) -> Gathered:
    """v1 and v2 were released, then v1 again; the records are v2's."""
    project = whole(tmp_path)
    lines = [
        AuditLine(action=action, who="Ada", when="2026-01-03T10:00:00", why="", model="flights",
                  from_version=before, to_version=after, package_digest=digest, run_id="r")
        for action, before, after, digest in (
            ("release", None, "1", "ef" * 32),
            ("release", "1", "2", PACKAGE),
            ("rollback", "2", "1", "ef" * 32),
        )
    ]  # fmt: skip
    project.audit.write_bytes(b"\n".join(map(msgspec.json.encode, lines)) + b"\n")
    write_json(
        project.record("champion"),
        ChampionRecord(model="flights", version="1", package_digest="ef" * 32, model_digest="aa",
                       run_id="r", data_version="v1", data_md5=MD5, commit="c" * 40,
                       metric="roc_auc", value=0.7732, since="2026-01-03T10:00:00"),
    )  # fmt: skip
    return gather(project, LINEAGE["lineage"])


def test_after_a_rollback_the_figures_are_said_to_be_another_version_s(tmp_path: Path) -> None:
    state = rolled_back(tmp_path)
    assert "results: v2 · champion: v1" in outline(html.page(state.project, LINEAGE)).text
    text = card.write(state)[0].read_text(encoding="utf-8")
    assert "released as v2 (the champion is v1, another model)" in text
    assert 'load_model("models:/flights/2")' in text
    assert summary._data(state, {})["release"] == "v2 · champion: v1"


def test_a_candidate_beside_a_champion_is_told_apart(tmp_path: Path) -> None:
    state = rolled_back(tmp_path)
    state.project.audit.unlink()
    state = gather(state.project, LINEAGE["lineage"])
    assert "results: candidate · champion: v1" in outline(html.page(state.project, {})).text
    text = card.write(state)[0].read_text(encoding="utf-8")
    assert "This loads the champion, v1: another model" in text


def test_runs_of_two_metrics_share_no_axis_and_no_ranks(tmp_path: Path) -> None:
    project = with_runs(
        whole(tmp_path), run_line(1, "roc_auc", 0.8364), run_line(2, "log_loss", 0.41)
    )
    runs = gather(project).runs
    picture = plots.of_runs(runs)["runs"]
    assert "0.41" in picture
    assert "0.8364" not in picture
    text = html.page(project, {})
    said = outline(text).text
    assert "Not drawn, being of another metric: 1 run." in said
    assert "Test log_loss" not in said
    assert [row["place"] for row in html.view(gather(project))["runs"]] == [1, 1]
    assert "<td>ROC AUC</td>" in text


def test_families_that_the_budget_stopped_are_not_called_untried(tmp_path: Path) -> None:
    state = gather(whole(tmp_path))
    assert state.study is not None
    trials = tuple(
        msgspec.structs.replace(trial, state="stopped", score=None)
        if trial.family in ("forest", "linear")
        else trial
        for trial in state.study.trials
    )
    study = msgspec.structs.replace(state.study, trials=trials)
    said = reasons.family(replace(state, study=study))
    assert said.endswith("; forest and linear did not finish within the budget.")
    unscored = sum(trial.score is None for trial in trials)
    write_json(state.project.record("study"), study)
    page = outline(html.page(state.project, {})).text
    assert f"that have a score; {unscored} of 60 have none" in page
    alone = tuple(trial for trial in trials if trial.family in ("boosting", "baseline"))
    study = msgspec.structs.replace(study, trials=alone)
    assert reasons.family(replace(state, study=study)).endswith("; no other family was tried.")


def test_only_slices_worse_than_the_whole_are_weak(tmp_path: Path) -> None:
    project = whole(tmp_path)
    found = reasons.worst(read_json(project.record("evaluate"), EvaluateRecord), 8)
    assert [part.level for part in found] == ["AS", "EV", "EWR"]
    weak = [line for line in reasons.limits(gather(project)) if line.startswith("Weakest")]
    assert [line.split(":")[0] for line in weak] == [
        "Weakest where carrier is AS", "Weakest where origin is EWR",
    ]  # fmt: skip
    record = msgspec.structs.replace(
        read_json(project.record("evaluate"), EvaluateRecord),
        metric="rmse", direction="minimize",
        metrics={"rmse": Interval(value=28_528.0, low=27_000.0, high=30_000.0)},
        slices=(
            Slice(column="town", level="A", rows=300, value=28_431.0, baseline=80_000.0),
            Slice(column="town", level="B", rows=300, value=28_013.0, baseline=80_000.0),
        ),
    )  # fmt: skip
    write_json(project.record("evaluate"), record)
    state = gather(project)
    assert not [line for line in reasons.limits(state) if line.startswith("Weakest")]
    assert "None of the slices does worse than all rows together: 2 were" in card._slices(state)


def test_names_in_the_card_show_as_they_are() -> None:
    assert card._code("x|pipe<b>") == "`x|pipe<b>`"
    assert card._code("a`b") == "``a`b``"
    assert card._code("`a") == "`` `a ``"
    assert "<!--" not in card._code("<!-- /modelyard: data -->")
    assert card._text(r"b\c*_x_*") == r"b\\c\*\_x\_\*"
    assert card._text("wind_gust | <b>") == r"wind_gust \| &lt;b>"


def test_wide_ticks_have_room_beside_the_axis_title() -> None:
    drawn = chart.Chart("r", "residuals", (0.0, 1.0), (-60_000.0, 60_000.0), "x", "residual")
    left = int(drawn.svg().split('data-frame="')[1].split()[0])
    assert left - 8 - chart.GLYPH * len("−50 000") >= 22


def test_print_keeps_all_rows() -> None:
    css = (html.TEMPLATES / "report.css").read_text(encoding="utf-8")
    assert "nth-child(n+26)" not in css


@pytest.mark.parametrize("high", [0.5, 1, 3, 12.4, 13, 70, 1234])
def test_whole_ticks_are_whole_and_stand_evenly(high: float) -> None:
    """An axis of trials said 0, 2, 5, 8, 10: steps of 2.5, rounded."""
    found = chart.ticks(0, high, 6, whole=True)
    assert found[0] == 0
    assert all(value == int(value) for value in found)
    assert len({b - a for a, b in pairwise(found)}) <= 1
    assert len(found) <= 8
