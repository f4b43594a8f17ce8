"""Which package goes into an image: a release's, byte for byte as the gate judged it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from modelyard.errors import ModelyardError, UsageError
from modelyard.project import Project
from modelyard.records import ChampionRecord, GateRecord, read_if_there
from modelyard.registry import champion
from modelyard.tools import git


def release_of(project: Project, version: str = "") -> ChampionRecord:
    """The champion, or an earlier release by its version (`v1`, `model/v1`, `1`).

    Raises:
        ModelyardError: nothing was released yet.
        UsageError: there is no such release.
    """
    if not version:
        now = champion.current(project)
        if now is None:
            raise ModelyardError(
                "There is no release yet, so there is nothing to put into an image.",
                why="An image holds a package that the gate let through.",
                next_step="modelyard run",
            )
        return now
    number = version.removeprefix("model/").removeprefix("v")
    content = git.show(project.root, f"model/v{number}:records/champion.json")
    if content is None:
        found = [entry.name.removeprefix("model/") for entry in git.tags(project.root, "model/v*")]
        raise UsageError(
            f"There is no release {version!r}.",
            why=f"Releases here: {', '.join(found) or 'none'}.",
            next_step="modelyard runs",
        )
    return msgspec.json.decode(content, type=ChampionRecord)


def judged_package(project: Project, release: ChampionRecord) -> Path:
    """A folder with the release's package, whole, of the digest that the gate judged.

    Raises:
        ModelyardError: the gate judged other bytes than the release names; or the working package
            is the release's by its records, and was changed since; or it is nowhere.
    """
    verdict = _verdict(project, release)
    if verdict is None or not verdict.passed or verdict.candidate_digest != release.package_digest:
        raise ModelyardError(
            f"The gate has not let this package through: {release.package_digest[:12]}….",
            why=f"records/gate.json at git tag model/v{release.version} "
            + ("is not there." if verdict is None else f"judged {verdict.candidate_digest[:12]}…."),
            next_step="modelyard run",
        )
    working = read_if_there(project.record("gate"), GateRecord)
    if working is not None and working.candidate_digest == release.package_digest:
        fault = champion.fault(project.package, release.package_digest)
        if fault and project.package.exists():
            raise ModelyardError(
                "package/ is not what the gate judged; no image was built.",
                why=f"{fault}.",
                next_step="find out who changed it; dvc checkout package --force brings back "
                "what was judged",
            )
    return champion.package_of(project, release.version, release.package_digest)


def _verdict(project: Project, release: ChampionRecord) -> GateRecord | None:
    content = git.show(project.root, f"model/v{release.version}:records/gate.json")
    return msgspec.json.decode(content, type=GateRecord) if content else None
