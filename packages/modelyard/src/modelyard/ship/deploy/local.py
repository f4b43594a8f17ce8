"""local: containers behind one door on this machine; a new one is proved before it is live."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from modelyard.errors import ModelyardError, ToolFailed, UsageError
from modelyard.render.chart import chart_name
from modelyard.ship.deploy.door import (
    Container,
    Door,
    check_port,
    door_of,
    end_process,
    folder,
    forget,
    home,
    keep,
    lives,
    open_door,
    running,
    switch,
)
from modelyard.ship.deploy.published import verified
from modelyard.ship.deploy.smoke import smoke
from modelyard.ship.deploy.target import (
    Live,
    Part,
    Place,
    Say,
    Shipment,
    Status,
    Target,
    only_looking,
)
from modelyard.tools import engine as containers
from modelyard.tools.engine import Engine

DRAIN = 2
"""MODELYARD_DRAIN_SECONDS of the containers: the door sends nothing more by then."""
STOP_SECONDS = 40
"""What a container gets to end, as on Kubernetes."""
MEMORY = "384m"
"""The limit of the chart."""
PORT = 8080


def where(place: Place) -> str:
    """The engine, and the port that is listened at."""
    engine = containers.find(place.project.settings.image.engine)
    return f"{engine.name}, port {place.port}"


def plan(place: Place, what: Shipment) -> str:
    """What would be done."""
    door = door_of(place)
    return (
        f"start {what.shown} as {name_of(place, 1 if door is None else door.revision + 1)}\n"
        f"ask it the golden samples of {what.version}\n"
        f"switch the door at 127.0.0.1:{place.port}"
        + (f"\nend {door.container.name} after its drain" if door else "")
    )


def deploy(place: Place, what: Shipment, say: Say) -> Live:
    """Start the new container, prove it, switch the door, end the old one.

    Raises:
        ModelyardError: the new one did not become ready, or answers wrongly. The old one serves on.
    """
    engine = containers.find(place.project.settings.image.engine)
    before = settle(engine, place, say)
    process = running(place)
    revision = 1 if before is None else before.revision + 1
    new = start(engine, place, what, name_of(place, revision), say)
    try:
        figures = smoke(f"http://127.0.0.1:{new.port}", what)
        say(f"{new.name}: {figures['golden_samples']:.0f} golden samples as packed")
        door = Door(
            listen=("127.0.0.1", place.port), stable=new.port, container=new, revision=revision
        )
        switch(place, door)
        try:
            open_door(place, place.port)
            smoke(url_of(place), what, tries=5)
        except BaseException:
            if before is None:
                forget(place)
            else:
                switch(place, before)
                if process is not None:
                    keep(place, process)
            raise
    except BaseException:
        containers.remove(engine, new.name)
        raise
    if process is not None and process != running(place):
        say(f"the door at port {process[1]} is closed: it is at port {place.port} now")
        end_process(process[0])
    # Our own door led to it, or its name says so: a door.json that was copied names another's.
    if before is not None and (process is not None or is_own(place, before.container.name)):
        say(f"{before.container.name} drains and ends")
        end(engine, before.container.name)
    return Live(engine.name, str(revision), url_of(place), figures)


def settle(engine: Engine, place: Place, say: Say) -> Door | None:
    """Take out what a command that was killed left behind, and return the door as it then is.

    Raises:
        ToolFailed: the port is taken by something else.
    """
    with only_looking():
        check_port(place, place.port)
    door = door_of(place)
    if door is not None and door.canary is not None:
        say("a canary that nobody judges any more is taken out")
        door = door.without_canary()
        switch(place, door)
    for name in _own(engine, place):
        if door is None or name != door.container.name:
            say(f"{name} is left from a deploy that was stopped: it drains and ends")
            end(engine, name)
    return door


def start(engine: Engine, place: Place, what: Shipment, name: str, say: Say) -> Container:
    """Start a container and wait until it is ready, which is after its golden samples.

    Raises:
        ModelyardError: the image is not there, or the container ended or did not become ready; its
            own last words are in the message.
    """
    containers.remove(engine, name)
    say(f"start {name}: {what.shown}")
    verified(engine, what)
    containers.start(
        engine,
        what.shown,
        name=name,
        publish=f"127.0.0.1::{PORT}",
        memory=MEMORY,
        environment={
            "MODEL_VERSION": what.version,
            "MODELYARD_DRAIN_SECONDS": str(DRAIN),
            "LOG_LEVEL": "info",
        },
        volumes=(),
    )
    try:
        port = containers.published_port(engine, name, PORT)
        _await_ready(engine, name, port, place.seconds)
    except BaseException:
        containers.remove(engine, name)
        raise
    return Container(name, port, what.version, what.shown, what.package_digest)


def end(engine: Engine, name: str) -> None:
    """SIGTERM, time to drain, and gone."""
    engine.call(["stop", "--time", str(STOP_SECONDS), name], check=False)
    containers.remove(engine, name)


def status(place: Place) -> Status:
    """The containers behind the door."""
    door = _wanted(place)
    engine = containers.find(place.project.settings.image.engine)
    parts, notes = [], []
    for container, kind in ((door.container, ""), (door.canary_container, " (canary)")):
        if container is None:
            continue
        try:
            state: dict[str, Any] = containers.state(engine, container.name)
        except ToolFailed:
            state = {"Running": False, "StartedAt": "", "Status": "gone"}
        running = bool(state.get("Running"))
        parts.append(
            Part(
                container.name,
                container.version + kind,
                running and _answers(container.port),
                int(state.get("RestartCount", 0)),
                container.image.rpartition("@")[2][:40],
                str(state.get("StartedAt", ""))[:19],
                "" if running else str(state.get("Status", "ended")),
            )
        )
    opened = lives(place, place.port)
    if not opened:
        notes.append(f"The door is closed: modelyard deploy --env {place.name} opens it again.")
    if door.unjudged:
        notes.append(
            "Nobody judges the canary any more, and it still gets its share: "
            f"modelyard deploy --env {place.name} takes it out."
        )
    good = opened and not door.unjudged and all(part.ready for part in parts)
    state_text = "live" if good else "degraded"
    return Status(
        engine.name, str(door.revision), state_text, url_of(place), tuple(parts), tuple(notes)
    )


def logs(place: Place, lines: int, follow: bool, since: str) -> Iterator[str]:
    """The live container's lines."""
    door = _wanted(place)
    engine = containers.find(place.project.settings.image.engine)
    words = ["logs", "--tail", str(lines), *(["--since", since] if since else [])]
    words += ["--follow"] if follow else []
    with subprocess.Popen(
        [engine.program, *words, door.container.name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield line.rstrip("\n")
        finally:
            process.terminate()


def rollback(place: Place, what: Shipment, revision: str, say: Say) -> Live:
    """Deploy the old image again: a container of it starts in seconds."""
    return deploy(place, what, say)


def remove(place: Place) -> None:
    """Close the door and remove the containers; nothing that is not there is an error."""
    forget(place)
    engine = containers.find(place.project.settings.image.engine)
    for name in _own(engine, place):
        containers.remove(engine, name)


def name_of(place: Place, revision: int) -> str:
    """A container's name. A copy of the project in another folder has other names."""
    own = hashlib.sha256(os.fsencode(home(place).root.resolve())).hexdigest()[:8]
    return f"{chart_name(place.project.name)}-{place.name}-{own}-{revision}"


def is_own(place: Place, name: str) -> bool:
    """Whether a container is of this project, in this folder, and of this environment."""
    stem = name_of(place, 0).removesuffix("0")
    return re.fullmatch(rf"{re.escape(stem)}\d+(-canary)?", name) is not None


def _own(engine: Engine, place: Place) -> list[str]:
    return [name for name in containers.names(engine) if is_own(place, name)]


def url_of(place: Place) -> str:
    """Where the door is."""
    return f"http://127.0.0.1:{place.port}"


def _wanted(place: Place) -> Door:
    door = door_of(place)
    if door is None:
        raise UsageError(
            f"Nothing is deployed to {place.name} on this machine.",
            why=f"{folder(place)} holds no door.",
            next_step=f"modelyard deploy --target local --env {place.name}",
        )
    return door


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/v2/health/ready", timeout=2
        ) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _await_ready(engine: Engine, name: str, port: int, seconds: int) -> None:
    ends = time.monotonic() + seconds
    while not _answers(port):
        state = containers.state(engine, name)
        if not state.get("Running"):
            raise ModelyardError(
                f"{name} ended before it was ready; what served before serves on.",
                why=f"Exit code {state.get('ExitCode')}; it said: {_last_words(engine, name)}",
                next_step="mend it, then deploy again",
            )
        if time.monotonic() > ends:
            raise ModelyardError(
                f"{name} was not ready after {seconds} s; what served before serves on.",
                why=f"Its readiness never said yes. It said: {_last_words(engine, name)}",
                next_step="give it longer with --timeout, or look at its log",
            )
        time.sleep(0.2)


def _last_words(engine: Engine, name: str) -> str:
    said = containers.log(engine, name).strip().splitlines()
    return json.dumps(" | ".join(said[-5:]), ensure_ascii=False)[1:-1] if said else "nothing"


TARGET = Target(where=where, plan=plan, deploy=deploy, status=status, logs=logs, rollback=rollback)
