"""lint: what git keeps of a project can be read, and the generated files are up to date."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import yaml

from modelyard import line, records, strict_yaml
from modelyard.checks.finding import Finding
from modelyard.errors import ModelyardError, capped
from modelyard.project import Project, load
from modelyard.scaffold import sync
from modelyard.tools import git

RECORDS: dict[str, type[records.Record]] = {
    "schema": records.Schema,
    "ingest": records.IngestRecord,
    "split": records.SplitRecord,
    "study": records.StudyRecord,
    "train": records.TrainRecord,
    "evaluate": records.EvaluateRecord,
    "pack": records.PackRecord,
    "gate": records.GateRecord,
    "champion": records.ChampionRecord,
    "image": records.ImageRecord,
    "image-check": records.ImageCheckRecord,
}
"""The record of each stage, and the champion's."""

LARGE = 5_000_000
"""Bytes from which a file belongs to DVC and not to git."""

_MARKER = re.compile(rb"^(<{7}|>{7}|\|{7}) ", re.MULTILINE)


def lint(start: Path | None = None) -> list[Finding]:
    """Every check; a project file that cannot be read ends it: nothing else makes sense then."""
    try:
        project = load(start)
    except ModelyardError as error:
        said = f"{error.what} {error.why}".strip()
        return [Finding("modelyard.yaml", "error", said, error.next_step)]
    tracked = git.tracked_files(project.root)
    found = [Finding("modelyard.yaml", "ok", f"{project.name}: every key is known and makes sense")]
    for name, check in (
        ("files", _texts(project, tracked)),
        ("records", _records(project)),
        ("size", _large(project, tracked)),
    ):
        problems = list(check)
        found += problems or [Finding(name, "ok", _well(name, tracked))]
    return [*found, *_generated(project)]


def _well(name: str, tracked: list[str]) -> str:
    return {
        "files": f"{len(tracked)} files in git: they can be read, no markers of a merge",
        "records": "every record can be read",
        "size": f"none above {LARGE / 1e6:.0f} MB: tables and models are with DVC",
    }[name]


def _texts(project: Project, tracked: list[str]) -> Iterator[Finding]:
    for name in tracked:
        path = project.root / name
        kind = name.rpartition(".")[2]
        if kind not in ("yml", "yaml", "dvc", "lock", "json", "jsonl", "py", "md") and (
            path.name not in ("Makefile", ".gitattributes", ".gitignore")
        ):
            continue
        if not path.is_file():
            continue  # deleted and not committed yet: git status says so
        content = path.read_bytes()
        if (found := _MARKER.search(content)) and not name.startswith("tests/"):
            at = content.count(b"\n", 0, found.start()) + 1
            yield Finding("files", "error", f"{name}:{at}: a marker of a merge", f"edit {name}")
            continue
        if problem := _unreadable(kind, name, content):
            yield Finding("files", "error", f"{name}: {problem}", f"edit {name}")


def _unreadable(kind: str, name: str, content: bytes) -> str:
    if re.match(r"charts/[^/]+/templates/", name):
        return ""  # Helm's templates become YAML when they are rendered
    try:
        if kind in ("yml", "yaml", "dvc") or name == "dvc.lock":
            list(strict_yaml.load_all(content))
        elif kind == "json":
            json.loads(content)
        elif kind == "jsonl":
            [json.loads(entry) for entry in content.splitlines() if entry.strip()]
        elif kind == "py":
            compile(content, name, "exec", dont_inherit=True)
    except (yaml.YAMLError, ValueError, SyntaxError) as error:
        return " ".join(str(error).split())
    return ""


def _records(project: Project) -> Iterator[Finding]:
    for name, kind in RECORDS.items():
        try:
            records.read_if_there(project.record(name), kind)
        except ModelyardError as error:
            yield Finding("records", "error", f"records/{name}.json: {error.why}", error.next_step)
    if project.audit.is_file():
        for number, entry in enumerate(project.audit.read_bytes().splitlines(), start=1):
            try:
                msgspec.json.decode(entry, type=records.AuditLine)
            except msgspec.DecodeError as error:
                yield Finding(
                    "records",
                    "error",
                    f"records/audit.jsonl:{number}: {error}",
                    "git checkout HEAD -- records/audit.jsonl",
                )


def _large(project: Project, tracked: list[str]) -> Iterator[Finding]:
    sizes = {n: (project.root / n).stat().st_size for n in tracked if (project.root / n).is_file()}
    large = [f"{name} ({size / 1e6:.0f} MB)" for name, size in sizes.items() if size > LARGE]
    if large:
        yield Finding(
            "size",
            "error",
            f"git keeps {capped(large)}",
            "git rm --cached FILE ; dvc add FILE",
        )


def _generated(project: Project) -> list[Finding]:
    drift = [c.path for c in sync.compare(project, line.stages) if c.state in sync.CHANGES]
    if drift:
        return [
            Finding(
                "generated",
                "error",
                f"not as modelyard.yaml and this version would write them: {capped(drift)}",
                "modelyard sync ; git commit",
            )
        ]
    return [Finding("generated", "ok", "the generated files are up to date")]
