"""The run's report from hand-made records: whole, partial, hostile, and for each task."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from report_records import LINEAGE, asking, empty, outline, whole

from modelyard.errors import ModelyardError
from modelyard.models import points
from modelyard.records import (
    Column,
    Deployment,
    Interval,
    RunLine,
    RunsRecord,
    Slice,
    write_json,
)
from modelyard.report import html, notebook, plots, words
from modelyard.report.gather import gather


def test_the_page_says_what_the_records_say(tmp_path: Path) -> None:
    path = html.write(whole(tmp_path), LINEAGE)
    assert path == tmp_path / "reports/index.html"
    text = path.read_text(encoding="utf-8")
    found = outline(text)
    for said in ("0.7823", "0.7502", "7\u202f766", "gate passed", "JFK", "2.2e−16", "9a7c1e0b3d",
                  "abababab", "wind_gust is", "60 trials", "Average precision"):  # fmt: skip
        assert said in found.text, said
    assert found.text.index("AS") < found.text.index("JFK")
    assert len(text) < 3_000_000


def test_the_page_is_whole_by_itself_and_readable_by_all(tmp_path: Path) -> None:
    text = html.write(whole(tmp_path), LINEAGE).read_text(encoding="utf-8")
    found = outline(text)
    assert len(found.ids) == len(set(found.ids))
    assert all(source.startswith("#") for source in found.sources)
    assert {source[1:] for source in found.sources} <= set(found.ids)
    assert found.headings[0] == "h1"
    assert found.headings.count("h1") == 1
    assert found.captions == found.tables
    assert text.count("<script") == 1
    assert "@import" not in text
    assert "url(http" not in text
    assert "prefers-color-scheme: dark" in text
    pictures = re.findall(r"<svg [^>]*>", text)
    assert len(pictures) >= 9
    assert all('role="img"' in picture and "aria-label=" in picture for picture in pictures)


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    project = whole(tmp_path)
    first = html.write(project, LINEAGE).read_bytes()
    assert html.write(project, LINEAGE).read_bytes() == first


def test_pictures_take_the_page_s_colours(tmp_path: Path) -> None:
    drawn = plots.draw(whole(tmp_path))
    assert set(drawn) == {"history", "families", "folds", "roc", "pr", "calibration",
                          "predictions", "importance", "threshold", "parallel-boosting",
                          "parallel-forest", "parallel-linear"}  # fmt: skip
    for name, text in drawn.items():
        assert "var(--plot-ink" in text, name
        assert "<style" not in text, name
        assert not re.search(r"#(000000|ffffff|010101|020202)\b", text), name
        assert "<text" in text, name


def test_an_empty_project_s_report_says_what_is_missing(tmp_path: Path) -> None:
    text = html.write(empty(tmp_path), {}).read_text(encoding="utf-8")
    found = outline(text)
    for record in ("ingest", "study", "evaluate", "pack", "gate"):
        assert f"records/{record}.json" in found.text
    assert "not judged yet" in found.text
    assert "lineage was not handed" in found.text


@pytest.mark.parametrize(
    "gone", ["schema", "ingest", "split", "study", "train", "evaluate", "pack", "gate"]
)
def test_any_record_may_be_missing(tmp_path: Path, gone: str) -> None:
    project = whole(tmp_path)
    project.record(gone).unlink()
    outline(html.page(project, LINEAGE))


def test_a_refused_gate_is_seen_first(tmp_path: Path) -> None:
    found = outline(html.page(whole(tmp_path, passed=False), LINEAGE))
    assert "gate refused" in found.text
    assert "✗ failed" in found.text
    assert "tune.budget=10m" in found.text


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    project = whole(tmp_path)
    evil = "<script>alert('$x^2$')</script> & \"quotes\""
    drops = {evil: 0.3, "$\\frac{broken": 0.1, "naïve 列": 0.05}
    (project.plots / "importance.csv").write_text(points.importance(drops).text(), encoding="utf-8")
    record = html.view(gather(project))["evaluation"]
    changed = msgspec.structs.replace(
        record, slices=(Slice(column=evil, level=evil, rows=40, value=0.4, baseline=0.5),)
    )
    write_json(project.record("evaluate"), changed)
    text = html.page(project, {"lineage": {evil: evil}})
    assert "<script>alert" not in text
    assert "列" in outline(text).text


def test_multiclass_with_many_classes_and_regression(tmp_path: Path) -> None:
    project = whole(tmp_path)
    random = np.random.default_rng(2)
    classes = tuple(f"class {i}" for i in range(30))
    y = random.integers(0, 30, 600)
    scores = random.random((600, 30)) + 2 * np.eye(30)[y] * random.random((600, 1))
    scores /= scores.sum(axis=1, keepdims=True)
    decided = scores.argmax(axis=1)
    for file, table in points.classification(y, scores, decided, classes, "multiclass").items():
        (project.plots / file).write_text(table.text())
    state = html.view(gather(project))
    cells = np.bincount(y * 30 + decided, minlength=900).reshape(30, 30)
    write_json(
        project.record("schema"),
        msgspec.structs.replace(state["schema"], task="multiclass", classes=classes),
    )
    write_json(
        project.record("evaluate"),
        msgspec.structs.replace(
            state["evaluation"], confusion=tuple(map(tuple, cells.tolist())), threshold=None
        ),
    )
    assert "The most frequent mistakes" in outline(html.page(project, {})).text

    for path in project.plots.iterdir():
        path.unlink()
    values = random.normal(200_000, 40_000, 700)
    for file, table in points.regression(values, values + random.normal(0, 9000, 700)).items():
        (project.plots / file).write_text(table.text())
    write_json(
        project.record("evaluate"),
        msgspec.structs.replace(
            state["evaluation"],
            metric="rmse",
            direction="minimize",
            metrics={
                "rmse": Interval(value=19_927.3, low=17_100.0, high=23_400.9),
                "r2": Interval(value=-0.1, low=-0.3, high=0.1),
            },
            baseline={"rmse": 79_000.0},
            confusion=(),
            threshold=None,
            calibration_error=None,
            slices=(Slice(column="a", level="b", rows=31, value=90_000.0, baseline=79_000.0),),
        ),
    )
    found = outline(html.page(project, {}))
    assert "19\u202f927" in found.text
    assert "the baseline is better" in found.text
    assert "residuals" in plots.draw(project)


def test_a_broken_record_is_named_and_no_page_is_left(tmp_path: Path) -> None:
    project = whole(tmp_path)
    project.record("study").write_text("{")
    with pytest.raises(ModelyardError, match=r"study\.json cannot be read"):
        html.write(project, {})
    assert not project.reports.exists()


def test_numbers_are_written_for_people() -> None:
    assert words.number(None) == "–"
    assert words.number(0.78231) == "0.7823"
    assert words.number(-12.3456) == "−12.35"
    assert words.number(1234567) == "1\u202f234\u202f567"
    assert words.number(2.2e-16) == "2.2e−16"
    assert words.number(0.0) == "0.0000"
    assert words.size(402_113) == "402.1 kB"


def test_every_part_stands_alone_for_a_notebook(tmp_path: Path) -> None:
    project = whole(tmp_path)
    for name in html.SECTIONS:
        outline(html.fragment(project, name, LINEAGE))
    shown = notebook.part(project, "tuning")._repr_html_()
    assert shown.startswith("<iframe")
    assert "&lt;svg" in shown
    picture = notebook.picture(project, "roc")
    assert "var(" not in picture.svg
    assert 'xmlns="http://www.w3.org/2000/svg"' in picture._repr_svg_()
    assert "0.7823" in notebook.overview(gather(project))
    with pytest.raises(ModelyardError, match="did you mean 'roc'"):
        notebook.picture(project, "rox")
    with pytest.raises(ModelyardError, match="did you mean 'tuning'"):
        notebook.part(project, "tuningg")


def test_deployments_are_told_newest_first(tmp_path: Path) -> None:
    project = whole(tmp_path)
    first = Deployment(
        number=1, action="deploy", outcome="live", environment="staging", target="kubernetes",
        where="kind-ml/churn", who="Ada <a@b.c>", when="2026-01-02T03:04:05+00:00", model="flights",
        version="1", package_digest="ab" * 32, image="registry.example/churn@sha256:1", run_id="r",
        commit="c" * 40, url="https://staging.example",
    )  # fmt: skip
    second = msgspec.structs.replace(first, number=2, outcome="failed", why="ImagePullBackOff")
    lines = [msgspec.json.encode(first), b"{broken", msgspec.json.encode(second)]
    project.deployments.write_bytes(b"\n".join(lines) + b"\n")
    text = outline(html.page(project, {})).text
    assert "https://staging.example" in text
    assert text.index("ImagePullBackOff") < text.index("✓ live")


def test_pictures_carry_their_values(tmp_path: Path) -> None:
    project = whole(tmp_path)
    study = gather(project).study
    assert study is not None
    history = plots.draw(project)["history"]
    scored = [trial for trial in study.trials if trial.score is not None]
    assert history.count("<circle") >= len(scored)
    left, top, right, floor = map(float, re.search(r'data-frame="([^"]+)"', history)[1].split())
    low, high = map(float, re.search(r'data-y="([^"]+)"', history)[1].split())
    best = re.search(r'<circle cx="([\d.]+)" cy="([\d.]+)"[^>]*data-tip="trial 40 ', history)
    assert best is not None
    # A mark's place, read back by the axes' scales, is the record's value.
    read = low + (floor - float(best[2])) / (floor - top) * (high - low)
    assert read == pytest.approx(0.7874, abs=2e-4)
    assert left < float(best[1]) < right
    # What lies outside the frame is seen to: an arrow, with its value where they are few.
    outside = [trial.score for trial in scored if not low <= trial.score <= high]
    assert outside
    assert history.count("↓") == len(outside)
    if len(outside) <= plots.FEW_OUTSIDE:
        assert f"↓ {outside[0]:.3g}" in history


def test_runs_pipelines_image_and_releases_appear_with_their_records(tmp_path: Path) -> None:
    project = whole(tmp_path)
    page = outline(html.page(project, {}))
    assert "No pipeline has left its logs" in page.text
    assert "Nothing has been released" in page.text
    runs = tuple(
        RunLine(run_id=f"run{n}" * 8, name=f"boosting-{n}", started=f"2026-01-0{n}T10:00:00",
                metric="roc_auc", value=0.7 + n / 100, low=0.68, high=0.8, gate=gate,
                family="boosting", data_version=f"v{n}", commit="c" * 40,
                version=version, package_digest=f"{n}" * 64)
        for n, gate, version in ((1, "passed", "1"), (2, "refused", None))
    )  # fmt: skip
    write_json(project.state / "runs.json", RunsRecord(runs=runs))
    log = project.root / "ci/logs/2026-01-02-push"
    log.mkdir(parents=True)
    (log / "run.json").write_text(
        '{"id": "2026-01-02-push", "state": "failed", "jobs": [{"name": "gate", "stage": "judge",'
        ' "state": "failed", "seconds": 3.5, "reason": "exit code 3"}]}'
    )
    (log / "gate.log").write_text("refused <b>by</b> the gate\n" * 500)
    write_json(
        project.record("image"),
        {"reference": "flights:2", "image_id": "sha256:" + "9" * 64, "size": 180_000_000,
         "package_digest": "1" * 64},
    )  # fmt: skip
    project.audit.write_text(
        '{"action":"rollback","who":"Ada <a@b>","when":"2026-01-03T10:00:00","why":"it was slow",'
        '"model":"flights","from_version":"2","to_version":"1","package_digest":"11","run_id":"r"}\n'
    )
    text = html.page(project, {})
    found = outline(text)
    for said in ("boosting-1", "exit code 3", "flights:2", "180.0 MB", "rolled back to v1",
                 "it was slow", "refused <b>by</b>", "data v2"):  # fmt: skip
        assert said in found.text, said
    assert "<b>by</b>" not in text
    assert 'class="graph"' in text


def test_a_broken_record_of_another_part_is_named(tmp_path: Path) -> None:
    project = whole(tmp_path)
    project.record("image").write_text("[1, 2]")
    with pytest.raises(ModelyardError, match=r"image\.json cannot be read"):
        html.page(project, {})
    project.record("image").unlink()
    (project.state / "runs.json").parent.mkdir(parents=True, exist_ok=True)
    (project.state / "runs.json").write_text("{")
    with pytest.raises(ModelyardError, match=r"runs\.json cannot be read"):
        html.page(project, {})


def test_five_hundred_columns_and_other_scripts(tmp_path: Path) -> None:
    title = "هل ستتأخر الرحلة؟ 航班会延误吗"
    project = asking(whole(tmp_path), title)
    schema = gather(project).schema
    assert schema is not None
    columns = tuple(
        Column(name=f"列_{n}", kind="number", minimum=0.0, maximum=1.0) for n in range(500)
    )
    write_json(project.record("schema"), msgspec.structs.replace(schema, columns=columns))
    text = html.page(project, LINEAGE)
    found = outline(text)
    assert title in found.text
    assert f'dir="auto">{title}' in text
    assert "the first 200" in found.text
    assert len(text.encode()) < 3_000_000
