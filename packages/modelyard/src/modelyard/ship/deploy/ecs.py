"""ecs: the image goes to ECR, the service to a new task definition, guarded by ECS itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from modelyard.errors import ModelyardError, ToolFailed, UsageError
from modelyard.project import budget_seconds
from modelyard.render.chart import chart_name
from modelyard.ship.deploy.published import pushed, verified
from modelyard.ship.deploy.smoke import smoke
from modelyard.ship.deploy.target import Live, Part, Place, Say, Shipment, Status, Target
from modelyard.tools import aws
from modelyard.tools import engine as containers
from modelyard.tools.aws import Session, Wanted

PORT = 8080
DRAIN = 5
LOOK_EVERY = 5.0
LOOK_BACK = (600.0, 3600.0, 86_400.0, 7 * 86_400.0, float("inf"))
"""Seconds of log that are looked through, one after the other, until there are lines enough."""
SIZES: dict[int, range] = {
    256: range(512, 2048 + 1, 512),
    512: range(1024, 4096 + 1, 1024),
    1024: range(2048, 8192 + 1, 1024),
    2048: range(4096, 16384 + 1, 1024),
    4096: range(8192, 30720 + 1, 1024),
    8192: range(16384, 61440 + 1, 4096),
    16384: range(32768, 122880 + 1, 8192),
}
"""CPU units -> MiB of memory that Fargate has with them (AWS' documentation of task sizes)."""


def check(place: Place) -> None:
    """Refuse what AWS would refuse later, or, worse, take and never run.

    Raises:
        UsageError: a size that Fargate does not have; no subnets, no role.
    """
    ecs = place.settings.ecs
    key = f"deploy.environments.{place.name}.ecs"
    if ecs.memory not in SIZES.get(ecs.cpu, ()):
        allowed = SIZES.get(ecs.cpu)
        raise UsageError(
            f"Fargate has no task of {ecs.cpu} CPU units and {ecs.memory} MiB.",
            why=f"With {ecs.cpu} it has {allowed.start} to {allowed[-1]} MiB in steps of "
            f"{allowed.step}."
            if allowed
            else f"CPU units are: {', '.join(map(str, SIZES))}.",
            next_step=f"set {key}.cpu and {key}.memory in modelyard.yaml",
        )
    missing = [name for name in ("subnets", "execution_role") if not getattr(ecs, name)]
    if missing:
        raise UsageError(
            f"{key}.{missing[0]} is not set.",
            why="A Fargate task needs subnets, and a role that pulls its image.",
            next_step="see docs/clouds/ecs.md: it makes the role, and says which subnets",
        )


def where(place: Place) -> str:
    """Account, region and cluster."""
    session = aws.open_session(place.settings.ecs.region)
    return f"account {session.account}, {session.region}, cluster {place.settings.ecs.cluster}"


def plan(place: Place, what: Shipment) -> str:
    """What would be asked of AWS; only questions are asked."""
    check(place)
    session = aws.open_session(place.settings.ecs.region)
    wanted = wanted_of(place, what, what.shown)
    now = aws.current(session, wanted.cluster, wanted.name)
    lines = [
        f"push {what.shown} to the ECR repository {repository_of(place)}",
        f"register a revision of the task definition {wanted.name}: "
        f"{wanted.cpu} CPU units, {wanted.memory} MiB",
        f"{'create' if now is None else 'update'} the service {wanted.name} "
        f"in {wanted.cluster}: {wanted.count} tasks, circuit breaker on",
    ]
    return "\n".join(lines)


def deploy(place: Place, what: Shipment, say: Say) -> Live:
    """Push, register, update, wait, prove.

    Raises:
        ModelyardError: the rollout failed; ECS went back to the last good task definition, and the
            tasks' own words are in the message.
    """
    check(place)
    session = aws.open_session(place.settings.ecs.region)
    image = push(session, place, what, say)
    wanted = wanted_of(place, what, image)
    service = aws.current(session, wanted.cluster, wanted.name)
    before = service["taskDefinition"] if service else None
    _refuse_two(service, place)
    definition = aws.register(session, wanted)
    say(f"task definition {definition.rpartition('/')[2]}")
    aws.put_service(session, wanted, definition)
    try:
        return _prove(session, place, what, wanted, definition, say)
    except BaseException:  # interrupted or failed: what is not proved does not stay
        if before is not None:
            say(f"back to {str(before).rpartition('/')[2]}")
            aws.put_service(session, wanted, before)
        else:
            say(f"{wanted.name} is set to 0 tasks: nothing served before")
            aws.put_service(session, replace(wanted, count=0), definition)
        raise


def rollback(place: Place, what: Shipment, revision: str, say: Say) -> Live:
    """Move the service to an old task definition, which still names its image by digest."""
    session = aws.open_session(place.settings.ecs.region)
    wanted = wanted_of(place, what, what.shown)
    service = aws.current(session, wanted.cluster, wanted.name)
    if service is None:
        raise UsageError(
            f"There is no service {wanted.name} to roll back.",
            why=f"The cluster is {wanted.cluster} in {session.region}.",
            next_step=f"modelyard deploy --env {place.name}",
        )
    say(f"service {wanted.name} to {revision}")
    aws.put_service(session, wanted, revision)
    try:
        return _prove(session, place, what, wanted, revision, say)
    except BaseException:
        before = str(service["taskDefinition"])
        say(f"back to {before.rpartition('/')[2]}")
        aws.put_service(session, wanted, before)
        raise


def status(place: Place) -> Status:
    """The service and its tasks."""
    session = aws.open_session(place.settings.ecs.region)
    name, cluster = service_of(place), place.settings.ecs.cluster
    service = aws.current(session, cluster, name)
    if service is None:
        raise UsageError(
            f"Nothing is deployed to {place.name}.",
            why=f"Cluster {cluster} in {session.region} has no service {name}.",
            next_step=f"modelyard deploy --env {place.name}",
        )
    seen = aws.rollout(service)
    parts = tuple(
        Part(task.name, "", task.healthy, 0, task.image[:19], task.started, task.why)
        for task in aws.tasks(session, cluster, name)
    )
    return Status(
        f"{cluster} in {session.region}",
        seen.task_definition.rpartition("/")[2],
        f"{seen.state.lower()}, {seen.running} of {seen.desired} tasks",
        url_of(session, place),
        parts,
        (seen.why,) if seen.why else (),
    )


def logs(place: Place, lines: int, follow: bool, since: str) -> Iterator[str]:
    """The last lines of the log group, newest last, and with `follow` those that come."""
    session = aws.open_session(place.settings.ecs.region)
    group = f"/modelyard/{service_of(place)}"
    now = time.time()
    told = budget_seconds(since or None)
    # The service gives the oldest first: look back no further than the lines that are wanted.
    spans = LOOK_BACK if told is None else (told,)
    events: list[dict[str, Any]] = []
    for span in spans:
        events = aws.log_events(session, group, max(0.0, now - span))
        if len(events) >= lines:
            break
    events = events[-lines:]
    seen: set[str] = set()
    while True:
        for event in events:
            yield f"[{event['logStreamName'].rpartition('/')[2][:12]}] {event['message']}"
        if not follow:
            return
        seen = {event["eventId"] for event in events} | seen
        time.sleep(LOOK_EVERY)
        # Streams deliver late: the last minute is asked for again, and told once.
        again = aws.log_events(session, group, max(now, time.time() - 60))
        seen &= {event["eventId"] for event in again}
        events = [event for event in again if event["eventId"] not in seen]


def push(session: Session, place: Place, what: Shipment, say: Say) -> str:
    """Push the image to ECR and return it with the registry's digest.

    Raises:
        ToolFailed: the engine does not have the image, or the registry refused.
    """
    if what.digest and ".dkr.ecr." in what.reference:
        return what.shown
    repository = aws.repository(session, repository_of(place))
    engine = containers.find(place.project.settings.image.engine)
    verified(engine, what)
    user, password, registry = aws.login(session)
    host = registry.removeprefix("https://").removeprefix("http://")
    engine.call(["login", "--username", user, "--password-stdin", host], stdin=password.encode())
    return pushed(engine, what, repository, say).shown


def wanted_of(place: Place, what: Shipment, image: str) -> Wanted:
    """The service as it shall be."""
    ecs = place.settings.ecs
    return Wanted(
        name=service_of(place), cluster=ecs.cluster, image=image, port=PORT, cpu=ecs.cpu,
        memory=ecs.memory, count=ecs.count, subnets=ecs.subnets,
        security_groups=ecs.security_groups, target_group=ecs.target_group,
        execution_role=ecs.execution_role, public_ip=ecs.public_ip, drain_seconds=DRAIN,
        environment={
            "HOST": "0.0.0.0", "PORT": str(PORT), "MODEL_VERSION": what.version,  # noqa: S104
            "MODELYARD_DRAIN_SECONDS": str(DRAIN),
        },
        tags={
            "modelyard:model": what.model, "modelyard:version": what.version,
            "modelyard:package": what.package_digest,
        },
    )  # fmt: skip


def service_of(place: Place) -> str:
    """The name of service, task family and log group."""
    return f"{chart_name(place.project.name)}-{place.name}"


def repository_of(place: Place) -> str:
    """The ECR repository's name."""
    named = place.settings.repository
    return named.rpartition(".amazonaws.com/")[2] if named else chart_name(place.project.name)


def url_of(session: Session, place: Place) -> str:
    """As declared, else the load balancer's name, else none."""
    if place.settings.url:
        return place.settings.url
    group = place.settings.ecs.target_group
    name = aws.balancer_address(session, group) if group else ""
    return f"http://{name}" if name else ""


def _prove(
    session: Session, place: Place, what: Shipment, wanted: Wanted, definition: str, say: Say
) -> Live:
    _await(session, place, wanted, definition, say)
    url = url_of(session, place)
    figures = smoke(url, what) if url else {}
    if not url:
        say("no load balancer and no url: the golden samples were asked by the tasks themselves")
    return Live(f"{wanted.cluster}/{session.region}", definition, url, figures)


def _await(session: Session, place: Place, wanted: Wanted, definition: str, say: Say) -> None:
    ends = time.monotonic() + place.seconds
    shown = ""
    while True:
        service = aws.current(session, wanted.cluster, wanted.name)
        assert service is not None, "the service was put a moment ago"
        seen = aws.rollout(service)
        line = f"{seen.running} of {seen.desired} tasks, {seen.state.lower()}"
        if line != shown:
            say(line)
            shown = line
        if seen.state == "FAILED" or seen.task_definition != definition:
            raise ModelyardError(
                f"The rollout to {place.name} failed; what served before serves on.",
                why=_words(session, wanted) or seen.why or "ECS gave no reason.",
                next_step=f"modelyard logs --env {place.name} ; mend it, then deploy again",
            )
        if seen.state == "COMPLETED":
            return
        if time.monotonic() > ends:
            raise ModelyardError(
                f"The rollout to {place.name} was not complete after {place.seconds} s.",
                why=_words(session, wanted) or f"{line}.",
                next_step="give it longer with --timeout, or: aws ecs describe-services",
            )
        time.sleep(min(LOOK_EVERY, max(0.1, ends - time.monotonic())))


def _words(session: Session, wanted: Wanted) -> str:
    """Why tasks stopped, each reason once."""
    found = aws.tasks(session, wanted.cluster, wanted.name, stopped=True)
    return "; ".join(dict.fromkeys(task.why for task in found if task.why))


def _refuse_two(service: dict[str, object] | None, place: Place) -> None:
    if service is None:
        return
    seen = aws.rollout(service)
    deployments = service["deployments"]
    assert isinstance(deployments, list)
    if seen.state == "IN_PROGRESS" and len(deployments) > 1:
        raise ToolFailed(
            f"Another deploy is at work in {place.name}.",
            why=f"{seen.task_definition.rpartition('/')[2]} has {seen.running} of "
            f"{seen.desired} tasks.",
            next_step=f"wait for it, then: modelyard status --env {place.name}",
        )


TARGET = Target(where=where, plan=plan, deploy=deploy, status=status, logs=logs, rollback=rollback)
