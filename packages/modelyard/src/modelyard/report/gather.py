"""Everything that a report is made from: the records, git's tags and history, and the runs' list.

Reading is all that happens here. What does not exist is None or empty, and its section says so;
what exists and cannot be read is an error that names the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import (
    AuditLine,
    ChampionRecord,
    Deployment,
    EvaluateRecord,
    GateRecord,
    IngestRecord,
    PackRecord,
    RunsRecord,
    Schema,
    SplitRecord,
    StudyRecord,
    TrainRecord,
    read_if_there,
    read_json,
)
from modelyard.registry import champion
from modelyard.render import messages
from modelyard.tools import git

Plain = dict[str, Any]
RUNS = "runs.json"
DIFFS = "diffs"
LOGS = "ci/logs"
LOG_LINES = 400
"""Of a log so many of its last lines stand in the page; the file is linked."""
LOGS_SHOWN = 12
DEPLOYMENTS_SHOWN = 20
COMMITS = 40


@dataclass(frozen=True)
class DataTag:
    """A data version as its tag tells it."""

    version: str
    commit: str
    when: str
    message: str
    rows: int | None
    md5: str


@dataclass(frozen=True)
class Log:
    """The tail of one job's log of a pipeline run."""

    name: str
    path: str
    text: str
    cut: bool


@dataclass(frozen=True)
class PipelineRun:
    """One `ci/logs/<run>/`: what its record says, and its jobs' logs."""

    name: str
    record: Plain
    logs: tuple[Log, ...]


@dataclass(frozen=True)
class Gathered:
    """The state of a project as its files tell it."""

    project: Project
    schema: Schema | None = None
    ingest: IngestRecord | None = None
    split: SplitRecord | None = None
    study: StudyRecord | None = None
    train: TrainRecord | None = None
    evaluation: EvaluateRecord | None = None
    pack: PackRecord | None = None
    gate: GateRecord | None = None
    champion: ChampionRecord | None = None
    audit: tuple[AuditLine, ...] = ()
    runs: RunsRecord = field(default_factory=RunsRecord)
    data_tags: tuple[DataTag, ...] = ()
    diffs: Mapping[str, Plain] = field(default_factory=dict)
    drift: Plain | None = None
    image: Plain | None = None
    image_check: Plain | None = None
    deployments: tuple[Deployment, ...] = ()
    pipelines: tuple[PipelineRun, ...] = ()
    commits: tuple[git.Commit, ...] = ()
    reports: tuple[str, ...] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)

    @property
    def run_id(self) -> str:
        """The run that the records on disk belong to, by their package; "" if unknown."""
        named = str(self.lineage.get("modelyard.run_id", ""))
        if named or self.pack is None:
            return named
        digest = self.pack.package_digest
        found = [run.run_id for run in self.runs.runs if run.package_digest == digest]
        if found:
            return found[-1]
        of_release = [line.run_id for line in self.audit if line.package_digest == digest]
        return of_release[-1] if of_release else ""

    @property
    def data_md5(self) -> str:
        """The md5 of the table that the records were made from; the working one where none was."""
        if self.ingest is not None:
            return self.ingest.source_md5
        return str(self.lineage.get("modelyard.data_md5", ""))

    @property
    def data_version(self) -> str:
        """The version of that table, which need not be the working one; "" where it has none."""
        named = [run.data_version for run in self.runs.runs if run.run_id == self.run_id]
        if named and named[-1]:
            return named[-1]
        tagged = [tag.version for tag in self.data_tags if tag.md5 and tag.md5 == self.data_md5]
        if tagged:
            return tagged[-1]
        working = str(self.lineage.get("modelyard.data_md5", ""))
        same = not working or working == self.data_md5
        return str(self.lineage.get("modelyard.data_version", "")) if same else ""

    @property
    def released_as(self) -> str:
        """The version that the records' package was last released as; "" where it never was."""
        if self.pack is None:
            return ""
        digest = self.pack.package_digest
        if self.champion is not None and self.champion.package_digest == digest:
            return self.champion.version
        moved = [line.to_version for line in self.audit if line.package_digest == digest]
        return moved[-1] if moved else ""

    @property
    def is_champion(self) -> bool:
        """Whether the records are those of the champion."""
        now, pack = self.champion, self.pack
        return bool(now and pack and now.package_digest == pack.package_digest)

    @property
    def run_commit(self) -> str:
        """The commit that the run was made at; the working one where the run is not known."""
        known = [run.commit for run in self.runs.runs if run.run_id == self.run_id and run.commit]
        return known[-1] if known else str(self.lineage.get("modelyard.commit", ""))


def gather(project: Project, lineage: Mapping[str, Any] | None = None) -> Gathered:
    """Read what there is.

    Args:
        lineage: what the caller knows of commit, data version and run (`Lineage.tags()`).

    Raises:
        ModelyardError: a record is there and cannot be read.
    """
    repo = git.is_repo(project.root)

    def record(name: str, kind: Any) -> Any:
        return read_if_there(project.record(name), kind)

    return Gathered(
        project=project,
        schema=record("schema", Schema),
        ingest=record("ingest", IngestRecord),
        split=record("split", SplitRecord),
        study=record("study", StudyRecord),
        train=record("train", TrainRecord),
        evaluation=record("evaluate", EvaluateRecord),
        pack=record("pack", PackRecord),
        gate=record("gate", GateRecord),
        champion=record("champion", ChampionRecord),
        audit=tuple(champion.audit(project)),
        runs=read_if_there(project.state / RUNS, RunsRecord) or RunsRecord(),
        data_tags=_data_tags(project) if repo else (),
        diffs={
            path.stem: _plain(path) or {} for path in sorted((project.state / DIFFS).glob("*.json"))
        },
        drift=_plain(project.record("drift")),
        image=_plain(project.record("image")),
        image_check=_plain(project.record("image-check")),
        deployments=_deployments(project),
        pipelines=_pipelines(project),
        commits=tuple(git.history(project.root, COMMITS)) if repo else (),
        reports=_reports(project),
        lineage={str(key): str(value) for key, value in (lineage or {}).items()},
    )


def _plain(path: Path) -> Plain | None:
    """A record whose shape belongs to another part of the house, as it stands."""
    if not path.is_file():
        return None
    try:
        body = msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ModelyardError(
            f"{path.name} cannot be read.",
            why=str(error),
            next_step=f"rm {path.relative_to(path.parents[1])}, then write it anew",
        ) from error
    if not isinstance(body, dict):
        raise ModelyardError(
            f"{path.name} cannot be read.",
            why="It holds no record: a JSON object was expected.",
            next_step=f"rm {path.relative_to(path.parents[1])}, then write it anew",
        )
    return body


def _data_tags(project: Project) -> tuple[DataTag, ...]:
    found = []
    for tag in git.tags(project.root, "data/v*"):
        said = messages.read_data_version(tag.message)
        found.append(
            DataTag(
                version=tag.name.removeprefix("data/"),
                commit=tag.commit,
                when=tag.when,
                message=said.message,
                rows=said.rows,
                md5=messages.md5_of(tag.message),
            )
        )
    return tuple(found)


def _deployments(project: Project) -> tuple[Deployment, ...]:
    """What environments were asked to run, newest first; a line that cannot be read is none."""
    found: list[Deployment] = []
    if project.deployments.is_file():
        for line in reversed(project.deployments.read_bytes().splitlines()):
            with suppress(msgspec.MsgspecError):
                found.append(msgspec.json.decode(line, type=Deployment))
    return tuple(found[:DEPLOYMENTS_SHOWN])


def _pipelines(project: Project) -> tuple[PipelineRun, ...]:
    """The newest runs under ci/logs, newest first."""
    root = project.root / LOGS
    if not root.is_dir():
        return ()
    folders = [entry for entry in root.iterdir() if entry.is_dir() and entry.name != "latest"]
    folders.sort(key=lambda entry: entry.name, reverse=True)
    found = []
    for folder in folders[:LOGS_SHOWN]:
        record: Plain = {}
        for name in ("run.json", "record.json", "summary.json"):
            record = _plain(folder / name) or record
        logs = tuple(
            _log(project, path)
            for path in sorted(folder.rglob("*"))
            if path.suffix in (".log", ".txt")
        )
        found.append(PipelineRun(folder.name, record, logs[:LOGS_SHOWN]))
    return tuple(found)


def _log(project: Project, path: Path) -> Log:
    lines = path.read_bytes().decode("utf-8", "replace").splitlines()
    return Log(
        name=path.stem,
        path=path.relative_to(project.root).as_posix(),
        text="\n".join(line[:500] for line in lines[-LOG_LINES:]),
        cut=len(lines) > LOG_LINES,
    )


def _reports(project: Project) -> tuple[str, ...]:
    """Other finished reports beside this page: each step's own, and the summary."""
    found = []
    for folder, patterns in ((project.reports, ("*/*.html", "*/*.md", "*.pdf")),):
        for pattern in patterns:
            found += [p.relative_to(folder).as_posix() for p in sorted(folder.glob(pattern))]
    return tuple(dict.fromkeys(found))


def evaluated(state: Gathered) -> EvaluateRecord:
    """The evaluation, which a card and a summary cannot do without.

    Raises:
        ModelyardError: there has been no run yet.
    """
    return state.evaluation or read_json(state.project.record("evaluate"), EvaluateRecord)
