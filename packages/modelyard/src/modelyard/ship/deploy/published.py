"""The image where a target can reach it: in the environment's repository, named by digest."""

from __future__ import annotations

from dataclasses import replace

from modelyard.errors import GateRefused, ToolFailed
from modelyard.ship.deploy.target import Place, Say, Shipment
from modelyard.tools import engine as containers
from modelyard.tools.engine import Engine


def published(place: Place, what: Shipment, say: Say) -> Shipment:
    """Push the image where the environment has a repository; returns it with the registry's digest.

    Without a repository an image that has no digest stays as it is: it must have been loaded onto
    the nodes, and the chart names it by its tag.

    Raises:
        GateRefused: the engine's image of that name is not the one that was built from the package.
        ToolFailed: the engine does not have it, or the registry refused it.
    """
    repository = place.settings.repository
    if what.digest or repository is None:
        return what
    engine = containers.find(place.project.settings.image.engine)
    verified(engine, what)
    return pushed(engine, what, repository, say)


def pushed(engine: Engine, what: Shipment, repository: str, say: Say) -> Shipment:
    """Push under the release's own tag, which never moves; returns it by the registry's digest."""
    target = f"{repository}:{what.version}-{what.package_digest[:12]}"
    say(f"push {target}")
    engine.call(["tag", what.shown, target])
    try:
        engine.call(["push", target])
    except ToolFailed as refused:
        # A repository whose tags never move refuses what it has: staging's image, for production.
        try:
            engine.call(["pull", "--quiet", target])
        except ToolFailed:
            raise refused from None
        there = containers.image(engine, target)
        if there is None or there.id != what.image_id:
            raise
        say("the registry has it")
    found = containers.image(engine, target)
    ours = [
        entry.partition("@")[2]
        for entry in (found.digests if found else ())
        if entry.partition("@")[0] == repository
    ]
    if not ours:
        raise ToolFailed(
            f"The registry gave no digest for {target}.",
            why="The engine lists none for it after the push.",
            next_step=f"{engine.name} image inspect {target}",
        )
    return replace(what, reference=repository, digest=ours[-1])


def verified(engine: Engine, what: Shipment) -> None:
    """Hold the engine's image of that name against the record.

    Raises:
        GateRefused: a name can be given to another image, and was.
        ToolFailed: the engine does not have it, and its registry neither.
    """
    found = containers.image(engine, what.shown)
    if found is None:
        try:
            engine.call(["pull", "--quiet", what.shown])
        except ToolFailed as error:
            raise ToolFailed(
                f"The image {what.shown} is not on this machine and cannot be pulled.",
                why=error.why,
                next_step="modelyard image build, or log in to its registry",
            ) from error
        found = containers.image(engine, what.shown)
    if what.image_id and found is not None and found.id != what.image_id:
        raise GateRefused(
            f"The image {what.shown} is not the one that the gate judged.",
            why=f"Its id is {found.id[:19]}, built from the judged package was "
            f"{what.image_id[:19]}.",
            next_step="modelyard image build",
        )
