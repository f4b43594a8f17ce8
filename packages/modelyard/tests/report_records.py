"""A project with hand-made records, and how its report's page is read."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import numpy as np

from modelyard.models import points
from modelyard.project import Project, settings_from
from modelyard.records import (
    Check,
    Chosen,
    Column,
    Comparison,
    EvaluateRecord,
    Finding,
    GateRecord,
    IngestRecord,
    Interval,
    PackRecord,
    Schema,
    Slice,
    SplitRecord,
    StudyRecord,
    TrainRecord,
    Trial,
    write_json,
)

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
