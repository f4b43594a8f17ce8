"""The verbs: deploy, status, rollback, logs, releases. One path for every target."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from modelyard.errors import ModelyardError, UsageError
from modelyard.project import Project
from modelyard.records import Deployment
from modelyard.registry import champion
from modelyard.registry.lock import hold
from modelyard.ship.deploy import TARGETS, canary, history
from modelyard.ship.deploy.judged import shipment, split_reference
from modelyard.ship.deploy.place import confirm
from modelyard.ship.deploy.target import Canary, Live, Place, Say, Shipment, Status
from modelyard.ship.person import person
from modelyard.ship.release import now_text
from modelyard.tools import git


@dataclass(frozen=True)
class Planned:
    """What a dry run found."""

    where: str
    image: str
    version: str
    steps: str


def dry_run(place: Place, *, image: str | None = None) -> Planned:
    """Look at everything, change nothing."""
    what = shipment(place.project, image)
    target = TARGETS[place.target]
    return Planned(target.where(place), what.shown, what.version, target.plan(place, what))


def deploy(
    place: Place,
    *,
    image: str | None = None,
    yes: bool = False,
    trial: Canary | None = None,
    say: Say = lambda line: None,
) -> Deployment:
    """Bring the champion's image to an environment, prove it there, record it.

    Args:
        image: another name of the image than its record has.
        yes: the person's word for production.
        trial: go by way of a canary, which is promoted or aborted by what it shows.

    Raises:
        GateRefused: the image is not the one that the gate judged; or the canary was aborted.
        UsageError: production without `yes`.
        ModelyardError: the rollout failed. What served before serves on, and the failure is
            recorded with the reason.
    """
    history.lines(place.project)  # a rollout that could not be recorded is not begun
    what = shipment(place.project, image)
    target = TARGETS[place.target]
    confirm(place, f"{target.where(place)}, {what.shown}", yes=yes, what="deploy to")

    def go() -> Live:
        if trial is None:
            return target.deploy(place, what, say)
        return canary.run(place, what, trial, say)

    return _recorded(place, what, "deploy" if trial is None else "promote", go, say)


def rollback(
    place: Place, *, yes: bool = False, why: str = "", say: Say = lambda line: None
) -> Deployment:
    """Bring back what the environment served before.

    Raises:
        UsageError: it never served anything else; production without `yes`.
    """
    past = history.before(place.project, place.name)
    if past is None:
        now = history.live(place.project, place.name)
        raise UsageError(
            f"There is nothing in {place.name} to go back to.",
            why=f"{now.version} is the only release it has had."
            if now
            else "Nothing was ever deployed to it.",
            next_step=f"modelyard releases --env {place.name}",
        )
    name, tag, digest = split_reference(past.image)
    what = Shipment(
        model=past.model,
        version=past.version,
        package_digest=past.package_digest,
        run_id=past.run_id,
        package=champion.package_of(
            place.project, past.version.removeprefix("v"), past.package_digest
        ),
        reference=name,
        tag=tag,
        digest=digest,
        image_id="",
    )
    target = TARGETS[place.target]
    confirm(place, f"{target.where(place)}, back to {past.version}", yes=yes, what="roll back")

    def go() -> Live:
        return target.rollback(place, what, past.revision, say)

    return _recorded(place, what, "rollback", go, say, why or f"back to release {past.number}")


def status(place: Place) -> tuple[Status, Deployment | None]:
    """What runs in an environment, and the record of how it came there."""
    return TARGETS[place.target].status(place), history.live(place.project, place.name)


def logs(place: Place, *, lines: int, follow: bool, since: str) -> Iterator[str]:
    """What the endpoint writes."""
    return TARGETS[place.target].logs(place, lines, follow, since)


def releases(project: Project, environment: str | None = None) -> list[Deployment]:
    """Every deploy and rollback, the newest first."""
    return list(reversed(history.lines(project, environment)))


def _recorded(
    place: Place,
    what: Shipment,
    action: str,
    go: Callable[[], Live],
    say: Say,
    why: str = "",
) -> Deployment:
    """Do it under the project's lock, and record what came of it."""
    project = place.project
    with hold(project, f"modelyard {action} --env {place.name}"):
        began = time.monotonic()
        line = Deployment(
            number=0,
            action=action,  # type: ignore[arg-type]
            outcome="failed",
            environment=place.name,
            target=place.target,  # type: ignore[arg-type]
            where="",
            who=person(project),
            when=now_text(),
            model=what.model,
            version=what.version,
            package_digest=what.package_digest,
            image=what.shown,
            run_id=what.run_id,
            commit=git.head(project.root) or "",
            why=why,
        )
        try:
            live = go()
        except ModelyardError as error:
            if not error.touched:
                raise
            reason = f"{error.what} {error.why}".strip()
            history.note(project, _with(line, began, why=reason), say)
            raise
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}".strip(": ")
            history.note(project, _with(line, began, why=reason), say)
            raise
        return history.note(
            project,
            _with(
                line, began, outcome="live", where=live.where, revision=live.revision,
                url=live.url, figures=live.figures,
            ),
            say,
        )  # fmt: skip


def _with(line: Deployment, began: float, **changes: object) -> Deployment:
    from msgspec.structs import replace

    return replace(line, seconds=round(time.monotonic() - began, 1), **changes)
