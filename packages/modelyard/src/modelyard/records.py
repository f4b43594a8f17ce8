"""One frozen record a stage: the JSON that it writes and that later stages and reports read."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from modelyard.errors import ModelyardError
from modelyard.values import Params, Style, Task

T = TypeVar("T")
ColumnKind = Literal["number", "integer", "boolean", "category", "datetime", "text"]
Role = Literal["feature", "target", "id", "time", "group", "excluded"]


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The root of every record."""


class Column(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One column of the dataset. Numbers' ranges are in the column's unit, datetimes' in ISO text.

    `levels` are a category's spellings (sorted by frequency, then name) or a boolean's two
    spellings, false first. `style` is how text spells a number, see the package's signature.
    `reason` says why a column is excluded or got its kind.
    """

    name: str
    kind: ColumnKind
    role: Role = "feature"
    missing: int = 0
    distinct: int = 0
    levels: tuple[str, ...] = ()
    minimum: float | str | None = None
    maximum: float | str | None = None
    mean: float | None = None
    time_format: str | None = None
    style: Style = "plain"
    reason: str = ""


class Schema(Record, frozen=True, kw_only=True):
    """Columns, types, ranges and categories of the dataset (`records/schema.json`).

    `missing` are the spellings of a missing value that a person declared (`data.missing`).
    """

    task: Task
    target: str
    classes: tuple[str, ...] = ()
    positive: str | None = None
    missing: tuple[str, ...] = ()
    columns: tuple[Column, ...]

    @property
    def features(self) -> tuple[Column, ...]:
        """The columns that the model takes; a time that is a number is order only, no feature."""
        return tuple(
            c
            for c in self.columns
            if (c.role == "feature" and c.kind != "text")
            or (c.role == "time" and c.kind == "datetime")
        )

    def column(self, name: str) -> Column | None:
        """The column of this name, or None."""
        return next((column for column in self.columns if column.name == name), None)


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that a person should know of the data."""

    kind: Literal[
        "missing",
        "constant",
        "duplicates",
        "id-like",
        "high-cardinality",
        "leakage",
        "imbalance",
        "target-missing",
        "text",
        "few-rows",
    ]
    column: str | None = None
    message: str
    figure: float = 0.0


class IngestRecord(Record, frozen=True, kw_only=True):
    """What came in, and its quality (`records/ingest.json`)."""

    source: str
    source_bytes: int
    source_md5: str
    encoding: str
    delimiter: str
    rows_read: int
    rows: int
    target_missing: int
    duplicate_rows: int
    class_counts: dict[str, int] = {}
    findings: tuple[Finding, ...] = ()


class SplitRecord(Record, frozen=True, kw_only=True):
    """How many rows stand on each side (`records/split.json`)."""

    kind: str
    rows: dict[str, int]
    class_counts: dict[str, dict[str, int]] = {}
    seed: int
    cuts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration tried. `score` is the mean over `folds` of the study's metric."""

    number: int
    family: str
    params: Params
    state: Literal["complete", "pruned", "failed", "stopped"]
    score: float | None
    folds: tuple[float, ...] = ()
    seconds: float = 0.0
    iterations: int | None = None
    origin: Literal["default", "search", "grid", "champion"] = "search"
    message: str = ""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the candidate: a family, its parameters, its weight in the ensemble."""

    trial: int
    family: str
    params: Params
    weight: float = 1.0
    iterations: int | None = None


class StudyRecord(Record, frozen=True, kw_only=True):
    """A study's outcome (`records/study.json`): enough to refit without searching again.

    `importance` is family -> parameter -> its share in how the scores of that family differ.
    """

    metric: str
    direction: Literal["maximize", "minimize"]
    mode: Literal["search", "grid"]
    seed: int
    folds: int
    fold_kind: str
    workers: int
    threads: int
    budget_seconds: float | None
    trials_wanted: int | None
    seconds: float
    resumed_trials: int = 0
    trials: tuple[Trial, ...]
    chosen: tuple[Chosen, ...]
    score: float
    threshold: float | None = None
    spaces: dict[str, dict[str, str]] = {}
    importance: dict[str, dict[str, float]] = {}


class TrainRecord(Record, frozen=True, kw_only=True):
    """The refit (`records/train.json`)."""

    members: tuple[Chosen, ...]
    rows: int
    width: int
    seed: int
    threads: int
    seconds: float
    graph_bytes: int
    versions: dict[str, str] = {}


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A metric with its bootstrap confidence interval."""

    value: float
    low: float
    high: float


class Slice(msgspec.Struct, frozen=True, kw_only=True):
    """The metric on the test rows of one category of one column."""

    column: str
    level: str
    rows: int
    value: float
    baseline: float


class EvaluateRecord(Record, frozen=True, kw_only=True):
    """The candidate on the held-out test rows (`records/evaluate.json`)."""

    metric: str
    direction: Literal["maximize", "minimize"]
    rows: int
    confidence: float
    resamples: int
    metrics: dict[str, Interval]
    baseline: dict[str, float]
    importance: dict[str, float] = {}
    slices: tuple[Slice, ...] = ()
    threshold: float | None = None
    confusion: tuple[tuple[int, ...], ...] = ()
    calibration_error: float | None = None


class PackRecord(Record, frozen=True, kw_only=True):
    """What was packed, and the parity that was found (`records/pack.json`)."""

    model_digest: str
    package_digest: str
    package_bytes: int
    parity_rows: int
    parity_difference: float
    parity_tolerance: float
    parity_mutated_rows: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of the gate."""

    name: str
    passed: bool
    figure: float | None
    limit: float | None
    message: str


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Candidate against champion on the same held-out rows; positive means better."""

    metric: str
    rows: int
    candidate: float
    champion: float
    improvement: float
    low: float
    high: float
    confidence: float
    resamples: int
    champion_version: str
    champion_digest: str


class GateRecord(Record, frozen=True, kw_only=True):
    """The verdict (`records/gate.json`)."""

    passed: bool
    candidate_digest: str
    model_digest: str
    champion_digest: str | None
    metric: str
    checks: tuple[Check, ...]
    comparison: Comparison | None = None
    champion_rule: str = "not_worse"


class ChampionRecord(Record, frozen=True, kw_only=True):
    """The released model (`records/champion.json`)."""

    model: str
    version: str
    package_digest: str
    model_digest: str
    run_id: str
    data_version: str
    data_md5: str
    commit: str
    metric: str
    value: float
    since: str


class AuditLine(Record, frozen=True, kw_only=True):
    """One move of the champion (`records/audit.jsonl`)."""

    action: Literal["release", "rollback"]
    who: str
    when: str
    why: str
    model: str
    from_version: str | None
    to_version: str
    package_digest: str
    run_id: str


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A package of the image, with the sha256 of the file that it was installed from."""

    name: str
    version: str
    file: str
    sha256: str
    bytes: int


class ImageRecord(Record, frozen=True, kw_only=True):
    """An image that was built (`records/image.json`, and a line of `records/images.jsonl`).

    `image_id` is the digest of its configuration; `layers` are those of the unpacked layers, base
    first: equal inputs give equal layers. `command` builds it again, without modelyard.
    """

    reference: str
    image_id: str
    layers: tuple[str, ...]
    size: int
    minimal: bool
    engine: str
    builder: str
    platform: str
    python: str
    base: str
    base_id: str
    epoch: int
    version: str
    package_digest: str
    model_digest: str
    run_id: str
    data_version: str
    data_md5: str
    commit: str
    wheels: tuple[Wheel, ...]
    labels: dict[str, str]
    sbom: str
    command: tuple[str, ...]
    seconds: float
    built: str


class ImageCheckRecord(Record, frozen=True, kw_only=True):
    """What `image verify` found inside the running container (`records/image-check.json`).

    Sizes are in bytes. `parts` are unpacked sizes by part, `layers` of the engine's own count.
    `difference` is the largest between the container's scores and the project's own.
    """

    reference: str
    image_id: str
    passed: bool
    checks: tuple[Check, ...]
    parts: dict[str, int]
    packages: dict[str, str]
    size: int
    compressed: int | None
    user: str
    golden_rows: int
    rows: int
    difference: float
    ready_seconds: float
    memory: int
    sbom: str
    health: dict[str, Any]
    log: tuple[str, ...]
    flags: tuple[str, ...]
    checked: str


class Deployment(Record, frozen=True, kw_only=True, omit_defaults=True):
    """One line of `records/deployments.jsonl`: what an environment was asked to run, and did.

    `where` is the context and namespace, the cluster and region, or the engine; `revision` is that
    target's own number. `outcome` failed means that the one before it serves on.
    """

    number: int
    action: Literal["deploy", "rollback", "canary", "promote", "abort"]
    outcome: Literal["live", "failed"]
    environment: str
    target: Literal["kubernetes", "ecs", "local"]
    where: str
    who: str
    when: str
    model: str
    version: str
    package_digest: str
    image: str
    run_id: str
    commit: str
    revision: str = ""
    url: str = ""
    seconds: float = 0.0
    why: str = ""
    figures: dict[str, float] = {}


class RunLine(msgspec.Struct, frozen=True, kw_only=True):
    """One run as the tracking store holds it."""

    run_id: str
    name: str
    started: str
    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    cv: float | None = None
    seconds: float | None = None
    family: str = ""
    data_version: str = ""
    gate: str = ""
    version: str | None = None
    commit: str = ""
    model_digest: str = ""
    package_digest: str = ""


class RunsRecord(Record, frozen=True, kw_only=True):
    """The store's runs after the last run, oldest first (`.modelyard/runs.json`)."""

    direction: Literal["maximize", "minimize"] = "maximize"
    runs: tuple[RunLine, ...] = ()


def write_json(path: Path, record: Any) -> None:
    """Write a record as indented JSON: to a temporary file first, then renamed over `path`."""
    text = msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"
    write_bytes(path, text)


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_json(path: Path, kind: type[T]) -> T:
    """Read a record.

    Raises:
        ModelyardError: the file is missing or is not such a record.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise ModelyardError(
            f"{path.name} is missing.",
            why=f"{path} has not been written yet.",
            next_step="modelyard run",
        ) from error
    except msgspec.DecodeError as error:
        raise ModelyardError(
            f"{path.name} cannot be read.", why=str(error), next_step="modelyard run"
        ) from error


def read_if_there(path: Path, kind: type[T]) -> T | None:
    """Read a record, or return None where the file does not exist."""
    return read_json(path, kind) if path.is_file() else None
