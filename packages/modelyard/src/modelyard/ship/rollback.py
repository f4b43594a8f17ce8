"""rollback: an earlier release becomes the champion again, after its package was checked."""

from __future__ import annotations

import msgspec

from modelyard.errors import ModelyardError, UsageError, capped
from modelyard.project import Project
from modelyard.records import ChampionRecord, write_json
from modelyard.registry import champion
from modelyard.registry.lock import hold
from modelyard.ship.release import ALIAS, note, now_text, present
from modelyard.ship.track import open_store
from modelyard.tools import git, mlflow
from modelyard_serve.errors import ServeError
from modelyard_serve.scorer import Scorer

MOVED = ("records/champion.json", "records/audit.jsonl")


def rollback(project: Project, version: str = "", *, why: str = "") -> ChampionRecord:
    """Check the old package, then move alias, record and audit to it.

    Args:
        version: `v1` or `1`; the champion before the present one where empty.

    Raises:
        UsageError: there is no such release, or it is the champion already.
        ModelyardError: the old package is gone, or no longer gives its golden answers.
    """
    with hold(project, "modelyard rollback"):
        now = champion.current(project)
        lines = champion.audit(project)
        if now is None or not lines:
            raise UsageError(
                "Nothing was released yet.",
                why="The audit of releases is empty.",
                next_step="modelyard run",
            )
        wanted = version.removeprefix("model/").removeprefix("v") or _before(project, now)
        target = next((line for line in lines if line.to_version == wanted), None)
        if target is None:
            known = capped(dict.fromkeys(f"v{line.to_version}" for line in lines))
            raise UsageError(
                f"There is no release v{wanted}.",
                why=f"Released were: {known}.",
                next_step="modelyard runs",
            )
        if wanted == now.version:
            raise UsageError(
                f"v{wanted} is the champion already.",
                why=f"It became the champion at {now.since}.",
                next_step="modelyard runs, which shows the others",
            )
        stays = f"The package of v{wanted} cannot be used; the champion stays v{now.version}."
        try:
            package = champion.package_of(project, wanted, target.package_digest)
            Scorer(package).check_golden()
        except ServeError as error:
            raise ModelyardError(stays, why=error.detail, next_step="modelyard doctor") from error
        except ModelyardError as error:
            raise ModelyardError(
                stays, why=f"{error.what} {error.why}", next_step=error.next_step
            ) from error
        content = git.show(project.root, f"model/v{wanted}:{MOVED[0]}")
        if content is None:
            raise ModelyardError(
                f"git tag model/v{wanted} is missing.",
                why="The record of a release is read at its tag.",
                next_step="git fetch --tags",
            )
        old = msgspec.json.decode(content, type=ChampionRecord)
        made = msgspec.structs.replace(old, since=now_text())
        store = open_store(project)
        found = [
            entry
            for entry in mlflow.versions(store, project.model_name)
            if entry.tags.get(mlflow.DIGEST_TAG) == made.package_digest
        ]
        if found:
            mlflow.set_alias(store, project.model_name, ALIAS, found[0].version)
        note(project, "rollback", made, now.version, why or f"rollback from v{now.version}")
        write_json(project.record("champion"), made)
        files = present(project, MOVED)
        git.add(project.root, files)
        git.commit(project.root, f"rollback: {made.model} v{now.version} to v{wanted}", files)
        return made


def _before(project: Project, now: ChampionRecord) -> str:
    """The champion before the present one.

    The line before tells it: where two branches' releases were merged, both lines say that they
    came from the version at which the branches parted.
    """
    moves = [line.to_version for line in champion.audit(project)]
    while moves and moves[-1] == now.version:
        moves.pop()
    if moves:
        return moves[-1]
    raise UsageError(
        f"v{now.version} is the first release: there is none before it.",
        why="A rollback moves to a release that was made earlier.",
        next_step="modelyard runs",
    )
