"""The run's report from hand-made records: whole, partial, hostile, and for each task."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np
import pytest

from modelyard.errors import ModelyardError
from modelyard.models import points
from modelyard.project import Project, settings_from
from modelyard.records import (
    Check,
    Chosen,
    Column,
    Comparison,
    Deployment,
    EvaluateRecord,
    Finding,
    GateRecord,
    IngestRecord,
    Interval,
    PackRecord,
    RunLine,
    RunsRecord,
    Schema,
    Slice,
    SplitRecord,
    StudyRecord,
    TrainRecord,
    Trial,
    write_json,
)
from modelyard.report import html, notebook, plots, words
from modelyard.report.gather import gather

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Outline(HTMLParser):
    """Collects ids, headings, texts and outside references; fails on tags that do not match."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.headings: list[str] = []
        self.sources: list[str] = []
        self.captions = 0
        self.tables = 0
        self.text = ""

    def handle_starttag(self, tag, attrs) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        if "id" in values:
            self.ids.append(values["id"])
        for name in ("src", "href", "xlink:href"):
            if name in values:
                self.sources.append(values[name])
        self.captions += tag == "caption"
        self.tables += tag == "table"
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text += data


def outline(text: str) -> Outline:
    parser = Outline()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def empty(root: Path, name: str = "flights") -> Project:
    return Project(
        root,
        settings_from(
            {
                "project": {"name": name, "description": "Will a flight be late or cancelled?"},
                "data": {"path": "data/raw/flights.csv", "target": "late"},
            },
            "test",
        ),
    )


def study_of(seed: int = 0) -> StudyRecord:
    """Sixty trials of four families; the 41st is the best."""
    random = np.random.default_rng(seed)
    level = {"baseline": 0.5, "linear": 0.712, "forest": 0.741, "boosting": 0.762}
    trials = []
    for number in range(60):
        family = "baseline" if number == 0 else ("linear", "forest", "boosting")[number % 3]
        family = "boosting" if number > 25 and number % 4 else family
        score = level[family] + (0 if number == 0 else random.normal(0, 0.008) + number * 1e-4)
        score = 0.7874 if number == 40 else min(float(score), 0.786)
        pruned = number > 8 and number % 7 == 3
        folds = tuple((score + random.normal(0, 0.009, 2 if pruned else 5)).tolist())
        params = {"learning_rate": 0.0531234, "num_leaves": 31 + number, "extra_trees": False}
        trials.append(
            Trial(
                number=number,
                family="boosting" if number == 40 else family,
                params={} if number == 0 else params,
                state="failed" if number == 33 else "pruned" if pruned else "complete",
                score=None if number == 33 else score,
                folds=() if number == 33 else folds,
                seconds=0.4 + number / 30,
                iterations=120 if family == "boosting" else None,
                origin="default" if number < 9 else "search",
            )
        )
    return StudyRecord(
        metric="roc_auc",
        direction="maximize",
        mode="search",
        seed=0,
        folds=5,
        fold_kind="stratified",
        workers=2,
        threads=1,
        budget_seconds=60.0,
        trials_wanted=None,
        seconds=60.4,
        trials=tuple(trials),
        chosen=(Chosen(trial=40, family="boosting", params=trials[40].params, iterations=131),),
        score=0.7874,
        threshold=0.274,
    )


def whole(root: Path, *, passed: bool = True, name: str = "flights") -> Project:
    """A project with every record, as a finished run leaves it."""
    project = empty(root, name)
    random = np.random.default_rng(1)
    y = (random.random(1553) < 0.18).astype(np.int64)
    p = 1 / (1 + np.exp(-(random.normal(-1.9, 0.8, len(y)) + 1.3 * y)))
    scores = np.stack([1 - p, p], axis=1)
    decided = (p >= 0.274).astype(np.int64)
    drops = {
        name: 0.06 / (place + 1) - 0.002
        for place, name in enumerate(
            ("sched_dep_time", "precip", "visib", "carrier", "temp", "wind_gust", "origin", "dest",
             "month", "distance", "a column with a name that is much longer than a plot's label")
        )
    }  # fmt: skip
    tables = points.classification(y, scores, decided, ("no", "yes"), "binary")
    for file, table in (tables | {"importance.csv": points.importance(drops)}).items():
        project.plots.mkdir(exist_ok=True)
        (project.plots / file).write_text(table.text())
    records = {
        "schema": Schema(
            task="binary",
            target="late",
            classes=("no", "yes"),
            positive="yes",
            columns=(
                Column(name="carrier", kind="category", distinct=12, levels=tuple("ABCDEFGHIJKL")),
                Column(
                    name="temp", kind="number", missing=12, distinct=90, minimum=-11.0, maximum=33.9
                ),
                Column(
                    name="time_hour",
                    kind="datetime",
                    role="time",
                    minimum="2013-01-01",
                    maximum="2013-04-30",
                ),
                Column(name="tailnum", kind="text", role="excluded", reason="95 % distinct: an id"),
                Column(name="late", kind="boolean", role="target", levels=("no", "yes")),
            ),
        ),
        "ingest": IngestRecord(
            source="data/raw/flights.csv",
            source_bytes=812_345,
            source_md5="0f343b0931126a20f133d67c2b018a3b",
            encoding="utf-8",
            delimiter=",",
            rows_read=7770,
            rows=7766,
            target_missing=4,
            duplicate_rows=3,
            class_counts={"no": 6337, "yes": 1429},
            findings=(
                Finding(
                    kind="missing",
                    column="wind_gust",
                    message="wind_gust is missing in 78 % of rows",
                    figure=0.78,
                ),
                Finding(
                    kind="id-like", column="tailnum", message="tailnum is nearly distinct: left out"
                ),
            ),
        ),
        "split": SplitRecord(
            kind="stratified",
            rows={"train": 5048, "valid": 1165, "test": 1553},
            seed=17,
            notes=("valid holds 17.9 % yes, the table 18.4 %",),
        ),
        "study": study_of(),
        "train": TrainRecord(
            members=study_of().chosen,
            rows=6213,
            width=21,
            seed=0,
            threads=2,
            seconds=1.31,
            graph_bytes=402_113,
            versions={"lightgbm": "4.7.0", "numpy": "2.4.0"},
        ),
        "evaluate": EvaluateRecord(
            metric="roc_auc",
            direction="maximize",
            rows=1553,
            confidence=0.95,
            resamples=1000,
            metrics={
                "log_loss": Interval(value=0.3961, low=0.3712, high=0.4208),
                "roc_auc": Interval(value=0.7823, low=0.7502, high=0.8122),
                "average_precision": Interval(value=0.4812, low=0.4301, high=0.5334),
                "accuracy": Interval(value=0.8124, low=0.7921, high=0.8311),
                "f1": Interval(value=0.4631, low=0.4202, high=0.5066),
            },
            baseline={
                "roc_auc": 0.5,
                "log_loss": 0.477,
                "average_precision": 0.184,
                "accuracy": 0.816,
                "f1": 0.0,
            },
            importance=drops,
            slices=(
                Slice(column="origin", level="JFK", rows=512, value=0.8011, baseline=0.5),
                Slice(column="carrier", level="EV", rows=266, value=0.7312, baseline=0.5),
                Slice(column="carrier", level="AS", rows=31, value=0.4511, baseline=0.5),
                Slice(column="origin", level="EWR", rows=530, value=0.7702, baseline=0.5),
            ),
            threshold=0.274,
            confusion=((1160, 107), (160, 126)),
            calibration_error=0.0213,
        ),
        "pack": PackRecord(
            model_digest="ab" * 32,
            package_digest="cd" * 32,
            package_bytes=518_000,
            parity_rows=2053,
            parity_difference=2.2e-16,
            parity_tolerance=1e-9,
            parity_mutated_rows=500,
        ),
        "gate": GateRecord(
            passed=passed,
            candidate_digest="cd" * 32,
            model_digest="ab" * 32,
            champion_digest="ef" * 32,
            metric="roc_auc",
            checks=(
                Check(
                    name="baseline",
                    passed=True,
                    figure=0.2823,
                    limit=0.0,
                    message="better than the baseline",
                ),
                Check(
                    name="champion",
                    passed=passed,
                    figure=0.0091,
                    limit=0.0,
                    message="roc_auc is not worse than champion v1",
                ),
            ),
            comparison=Comparison(
                metric="roc_auc",
                rows=1553,
                candidate=0.7823,
                champion=0.7732,
                improvement=0.0091,
                low=-0.0034,
                high=0.0213,
                confidence=0.95,
                resamples=1000,
                champion_version="1",
                champion_digest="ef" * 32,
            ),
        ),
    }
    for file, record in records.items():
        write_json(project.record(file), record)
    return project


def asking(project: Project, question: str) -> Project:
    """The same project with another question."""
    settings = project.settings
    asked = msgspec.structs.replace(settings.project, description=question)
    return replace(project, settings=msgspec.structs.replace(settings, project=asked))


LINEAGE = {
    "lineage": {
        "modelyard.commit": "9a7c1e0b3d",
        "modelyard.data_version": "v1",
        "modelyard.run_id": "0e1f2a",
        "host": "elsewhere",
    }
}


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
