"""What is told to MLflow and what comes back: plain frozen values, no type of MLflow's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # forms imports numpy, which light commands must not pay for
    from modelyard.forms import Value

KEY_TAG = "modelyard.key"
KIND_TAG = "modelyard.kind"
DIGEST_TAG = "modelyard.package_digest"


@dataclass(frozen=True)
class DatasetToLog:
    """The dataset that a run was trained on. `digest` is cut to the 36 characters MLflow keeps."""

    name: str
    digest: str
    source: str
    rows: int
    columns: int
    context: str = "training"


@dataclass(frozen=True)
class TrialToLog:
    """One trial, to become a child run. `folds` are its scores; times are in Unix seconds."""

    number: int
    family: str
    params: Mapping[str, Value]
    state: Literal["complete", "pruned", "failed", "stopped"]
    score: float | None
    folds: tuple[float, ...] = ()
    seconds: float = 0.0
    iterations: int | None = None
    origin: str = "search"
    message: str = ""
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class RunToLog:
    """One `modelyard run`, to become a parent run.

    `key` names the execution: a second call with the same key gives the same run. `metric` is the
    study's metric, the name of the trials' scores. `artifacts` maps a local file or folder to a
    folder of the run ("" is the top): a file keeps its name there, a folder's content lands there.
    """

    key: str
    name: str
    params: Mapping[str, Value] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[Path, str] = field(default_factory=dict)
    trials: tuple[TrialToLog, ...] = ()
    metric: str = "score"
    dataset: DatasetToLog | None = None
    started: float | None = None
    ended: float | None = None


@dataclass(frozen=True)
class RunInfo:
    """One run as it stands in the store. `started` in Unix seconds, `duration` in seconds."""

    run_id: str
    name: str
    started: float | None
    duration: float | None
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]


@dataclass(frozen=True)
class VersionInfo:
    """One version of a registered model. `created` in Unix seconds."""

    version: str
    run_id: str
    source: str
    created: float
    tags: Mapping[str, str]
    aliases: tuple[str, ...] = ()
