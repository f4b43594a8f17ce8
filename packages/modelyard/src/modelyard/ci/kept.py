"""What a run leaves in `ci/logs/<run>/`, and what a later run takes of it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from modelyard.ci import junit, page
from modelyard.ci.runs import LATEST, JobRun, Run, folder
from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import read_json, write_bytes, write_json
from modelyard.tools.processes import alive

KILLED = "the run was killed"


def write(place: Path, run: Run) -> None:
    """The record and the page, as far as the run has come."""
    write_json(place / "run.json", run)
    write_bytes(place / "index.html", page.page(run, place).encode())


def end(place: Path, run: Run) -> None:
    """The record and the page of a run that has ended, its JUnit file, and the link to it."""
    write(place, run)
    cases = tuple(_case(job, place) for job in run.jobs)
    junit.write(place / "junit.xml", [junit.Suite(f"{run.project} pipeline", cases)])
    link = place.parent / LATEST
    part = link.with_name(f".{LATEST}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    part.symlink_to(place.name)
    part.replace(link)


def artifacts(project: Project, now: Run, name: str, owner: str) -> Path | None:
    """The newest artifacts of this name that `owner` left when it succeeded, or None.

    Only those of a run of the same file, event and commit as the run that asks for them: a service
    passes nothing on from one pipeline to another.
    """
    for place, run in _earlier(project):
        same = (run.file, run.event, run.commit) == (now.file, now.event, now.commit)
        good = any(job.name == owner and job.state == "success" for job in run.jobs)
        found = place / "artifacts" / name
        if same and good and found.is_dir():
            return found
    return None


def end_killed(project: Project) -> None:
    """End the records of runs that were killed. The project's lock is held: none is running."""
    for place, run in _earlier(project):
        if run.state == "running":
            jobs = tuple(_cut(job) for job in run.jobs)
            end(place, msgspec.structs.replace(run, state="canceled", jobs=jobs))


def _cut(job: JobRun) -> JobRun:
    if job.state == "running":
        if (group := alive(job.process)) is not None:
            with suppress(ProcessLookupError):  # it ended meanwhile
                os.killpg(group, signal.SIGKILL)
        return msgspec.structs.replace(job, state="canceled", reason=KILLED, process="")
    if job.state == "waiting":
        return msgspec.structs.replace(job, state="skipped", reason=KILLED)
    return job


def _earlier(project: Project) -> Iterator[tuple[Path, Run]]:
    """The runs of this machine whose records can be read, newest first."""
    for path in sorted(folder(project).glob("*/run.json"), reverse=True):
        if path.parent.name != LATEST:
            with suppress(ModelyardError):  # of another version, or by another hand: not ours
                yield path.parent, read_json(path, Run)


def _case(job: JobRun, place: Path) -> junit.Case:
    state = {"success": "passed", "failed": "failed", "canceled": "failed"}.get(
        job.state, "skipped"
    )
    text = ""
    if job.log and (place / job.log).is_file():
        text = (place / job.log).read_text(encoding="utf-8", errors="replace")[-4000:]
    return junit.Case(
        f"{job.stage}: {job.name}",
        state,  # type: ignore[arg-type]
        job.seconds,
        job.reason or job.state,
        text,
    )
