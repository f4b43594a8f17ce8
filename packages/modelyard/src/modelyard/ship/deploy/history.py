"""What every environment was asked to run: records/deployments.jsonl, git tags, MLflow's tags."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import msgspec

from modelyard.errors import ModelyardError, ToolFailed
from modelyard.project import Project
from modelyard.records import Deployment, write_bytes
from modelyard.ship.deploy.target import Say
from modelyard.ship.track import open_store
from modelyard.tools import git, mlflow


def lines(project: Project, environment: str | None = None) -> list[Deployment]:
    """Every line, oldest first; of one environment where it is named.

    Raises:
        ModelyardError: a line cannot be read, such as what a merge left in the file.
    """
    if not project.deployments.is_file():
        return []
    found = [
        _read(project, place, line)
        for place, line in enumerate(project.deployments.read_bytes().splitlines(), start=1)
        if line.strip()
    ]
    return [line for line in found if environment in (None, line.environment)]


def _read(project: Project, place: int, line: bytes) -> Deployment:
    try:
        return msgspec.json.decode(line, type=Deployment)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        name = project.deployments.relative_to(project.root).as_posix()
        shown = line.decode("utf-8", "replace").strip()[:60]
        raise ModelyardError(
            f"Line {place} of {name} cannot be read.",
            why=f"It is {shown!r}: {error}",
            next_step=f"mend that line, or take the file as it was committed: "
            f"git checkout HEAD -- {name}",
        ) from error


def live(project: Project, environment: str) -> Deployment | None:
    """The line of what an environment serves now."""
    good = [
        line
        for line in lines(project, environment)
        if line.outcome == "live" and line.action not in ("canary", "abort")
    ]
    return good[-1] if good else None


def before(project: Project, environment: str) -> Deployment | None:
    """The last line of another release than the one that is live; None where there is none."""
    now = live(project, environment)
    if now is None:
        return None
    return next(
        (
            line
            for line in reversed(lines(project, environment))
            if line.outcome == "live"
            and line.action not in ("canary", "abort")
            and line.package_digest != now.package_digest
        ),
        None,
    )


def note(project: Project, line: Deployment, say: Say) -> Deployment:
    """Append a line, commit it, tag it, tell MLflow. What the endpoint does is not undone by these.

    MLflow and git are told last, and where one of them refuses, a warning is said: the rollout is a
    fact by now, and the line in the file is its record.
    """
    past = lines(project)
    line = msgspec.structs.replace(line, number=len(past) + 1)
    _write(project, [*past, line])
    relative = project.deployments.relative_to(project.root).as_posix()
    try:
        git.add(project.root, [relative])
        git.commit(
            project.root,
            f"{line.action}: {line.model} {line.version} to {line.environment}"
            + (" failed" if line.outcome == "failed" else ""),
            [relative],
        )
        if line.outcome == "live":
            git.tag(
                project.root,
                f"deploy/{line.environment}/{line.number}",
                f"{line.action} of {line.model} {line.version} to {line.environment} "
                f"({line.where})\n\nimage {line.image}\npackage {line.package_digest}\n{line.url}",
            )
    except ToolFailed as error:
        say(f"warning: git did not take the record: {error.what} {error.why}")
    _tell_mlflow(project, line, say)
    return line


def _write(project: Project, every: Sequence[Deployment]) -> None:
    write_bytes(project.deployments, b"\n".join(msgspec.json.encode(e) for e in every) + b"\n")


def _tell_mlflow(project: Project, line: Deployment, say: Say) -> None:
    """The model's version carries what serves where."""
    if line.outcome != "live" or line.action in ("canary", "abort"):
        return
    tags = {
        f"modelyard.deployed.{line.environment}": line.when,
        f"modelyard.endpoint.{line.environment}": line.url or line.where,
        "modelyard.image": line.image,
    }
    try:
        store = open_store(project)
        mlflow.tag_version(
            store,
            project.model_name,
            line.package_digest,
            tags,
            f"modelyard.deployed.{line.environment}",
        )
    except ToolFailed as error:
        with contextlib.suppress(BrokenPipeError):
            say(f"warning: MLflow did not take the tags: {error.what} {error.why}")
