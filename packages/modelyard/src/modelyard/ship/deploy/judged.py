"""Is this image the one that the gate judged? Only then does it go anywhere."""

from __future__ import annotations

import re

import msgspec

from modelyard.errors import GateRefused, ModelyardError, UsageError
from modelyard.project import Project
from modelyard.records import ChampionRecord, GateRecord, read_if_there
from modelyard.registry import champion, images
from modelyard.ship.deploy.target import Shipment

RECORD = "image"


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """What the image's record says, as far as a deploy needs it."""

    reference: str
    image_id: str = ""
    digest: str = ""
    package_digest: str


def shipment(project: Project, image: str | None = None) -> Shipment:
    """The champion in its image, after every link of the chain was looked at.

    gate.json (or the audit of releases) names the package, the champion's record the same, and the
    image's record the package that was put into it. An image that is only named (`image`) has no
    record: it is proved when it answers, which is before anybody else is sent to it.

    Raises:
        ModelyardError: nothing was released, or no image was built.
        GateRefused: the image holds another package than the one that the gate passed.
        UsageError: the image is not named as REPOSITORY@sha256:… or REPOSITORY:TAG.
    """
    now = champion.current(project)
    if now is None:
        raise ModelyardError(
            "There is no champion to deploy.",
            why="Only what the gate passed and a release recorded goes to an endpoint.",
            next_step="modelyard run",
        )
    _passed(project, now)
    package = champion.package_of(project, now.version, now.package_digest)
    built = _named(image, now) if image else _recorded(project, now)
    name, tag, digest = split_reference(built.reference)
    return Shipment(
        model=now.model,
        version=f"v{now.version}",
        package_digest=now.package_digest,
        run_id=now.run_id,
        package=package,
        reference=name,
        tag=tag,
        digest=built.digest or digest,
        image_id=built.image_id,
    )


def split_reference(text: str) -> tuple[str, str, str]:
    """`repository`, `tag` (latest by default), `digest` (or empty) of an image's name."""
    name, _, digest = text.partition("@")
    repository, colon, tag = name.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = name, ""
    if digest and not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
        raise UsageError(
            f"{text!r} does not end in a digest.",
            why="After @ stands sha256: and 64 digits.",
            next_step="docker image inspect NAME, and look for RepoDigests",
        )
    return repository, tag or "latest", digest


def _passed(project: Project, now: ChampionRecord) -> None:
    """The package was passed by the gate just now, or by the one of an earlier release."""
    verdict = read_if_there(project.record("gate"), GateRecord)
    if verdict is not None and verdict.candidate_digest == now.package_digest:
        if verdict.passed:
            return
        raise GateRefused(
            f"The gate refused the package of v{now.version}.",
            why="; ".join(check.message for check in verdict.checks if not check.passed),
            next_step="modelyard rollback, or a better model",
        )
    if champion.released(project, now.package_digest) is None:
        raise GateRefused(
            f"No gate has judged the package {now.package_digest[:12]} of v{now.version}.",
            why="records/gate.json judged another one, and the audit does not know it.",
            next_step="modelyard run",
        )


def _recorded(project: Project, now: ChampionRecord) -> Built:
    built = read_if_there(project.record(RECORD), Built)
    if built is None:
        raise ModelyardError(
            "No image was built yet.",
            why=f"{project.record(RECORD).relative_to(project.root)} is missing.",
            next_step="modelyard image build, or name one: --image REPOSITORY@sha256:…",
        )
    if built.package_digest != now.package_digest:
        # After a rollback the newest image is of the release that was left.
        for past in reversed(images.known(project)):
            if past.package_digest == now.package_digest:
                return Built(
                    reference=past.reference,
                    image_id=past.image_id,
                    package_digest=past.package_digest,
                )
        raise GateRefused(
            f"The image {built.reference} is not the one that the gate judged.",
            why=f"It holds the package {built.package_digest[:12]}, the champion "
            f"v{now.version} is {now.package_digest[:12]}.",
            next_step="modelyard image build",
        )
    return built


def _named(image: str, now: ChampionRecord) -> Built:
    return Built(reference=image, package_digest=now.package_digest)
