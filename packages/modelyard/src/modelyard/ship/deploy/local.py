"""local: containers behind one door on this machine; a new one is proved before it is live."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from modelyard.errors import ModelyardError, ToolFailed, UsageError
from modelyard.records import write_json
from modelyard.render.chart import chart_name
from modelyard.ship.deploy.published import verified
from modelyard.ship.deploy.smoke import smoke
from modelyard.ship.deploy.target import Live, Part, Place, Say, Shipment, Status, Target
from modelyard.tools import engine as containers
from modelyard.tools.engine import Engine

DRAIN = 2
"""MODELYARD_DRAIN_SECONDS of the containers: the door sends nothing more by then."""
STOP_SECONDS = 40
"""What a container gets to end, as on Kubernetes."""
MEMORY = "384m"
"""The limit of the chart."""
PORT = 8080


class Container(msgspec.Struct, frozen=True):
    """A container behind the door."""

    name: str
    port: int
    version: str
    image: str
    package_digest: str


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """door.json, as proxy.py reads it, and what is ours in it."""

    listen: tuple[str, int]
    stable: int
    container: Container
    canary: int | None = None
    canary_container: Container | None = None
    share: int = 0
    shadow: bool = False
    pairs: str | None = None
    revision: int = 1


def where(place: Place) -> str:
    """The engine, and the port that is listened at."""
    engine = containers.find(place.project.settings.image.engine)
    return f"{engine.name}, port {place.settings.port}"


def plan(place: Place, what: Shipment) -> str:
    """What would be done."""
    door = door_of(place)
    return (
        f"start {what.shown} as {name_of(place, 1 if door is None else door.revision + 1)}\n"
        f"ask it the golden samples of {what.version}\n"
        f"switch the door at 127.0.0.1:{place.settings.port}"
        + (f"\nend {door.container.name} after its drain" if door else "")
    )


def deploy(place: Place, what: Shipment, say: Say) -> Live:
    """Start the new container, prove it, switch the door, end the old one.

    Raises:
        ModelyardError: the new one did not become ready, or answers wrongly. The old one serves on.
    """
    engine = containers.find(place.project.settings.image.engine)
    before = door_of(place)
    revision = 1 if before is None else before.revision + 1
    new = start(engine, place, what, name_of(place, revision), say)
    try:
        figures = smoke(f"http://127.0.0.1:{new.port}", what)
        say(f"{new.name}: {figures['golden_samples']:.0f} golden samples as packed")
        door = Door(
            listen=("127.0.0.1", place.settings.port), stable=new.port, container=new,
            revision=revision,
        )  # fmt: skip
        switch(place, door)
        try:
            open_door(place)
            smoke(url_of(place), what, tries=5)
        except BaseException:
            if before is not None:
                switch(place, before)
            else:
                close_door(place)
            raise
    except BaseException:
        containers.remove(engine, new.name)
        raise
    if before is not None:
        say(f"{before.container.name} drains and ends")
        end(engine, before.container.name)
        if before.canary_container:
            end(engine, before.canary_container.name)
    return Live(engine.name, str(revision), url_of(place), figures)


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
            "LOG_LEVEL": "warning",
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
    if not _lives(place):
        notes.append(f"The door is closed: modelyard deploy --env {place.name} opens it again.")
    state_text = "live" if _lives(place) and all(part.ready for part in parts) else "degraded"
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
    door = door_of(place)
    close_door(place)
    if door is not None:
        engine = containers.find(place.project.settings.image.engine)
        for container in (door.container, door.canary_container):
            if container is not None:
                containers.remove(engine, container.name)
    (folder(place) / "door.json").unlink(missing_ok=True)


def folder(place: Place) -> Path:
    """This machine's state of the environment."""
    return place.project.state / "local" / place.name


def name_of(place: Place, revision: int) -> str:
    """A container's name."""
    return f"{chart_name(place.project.name)}-{place.name}-{revision}"


def url_of(place: Place) -> str:
    """Where the door is."""
    return f"http://127.0.0.1:{place.settings.port}"


def door_of(place: Place) -> Door | None:
    """The door as it stands, or None before the first deploy."""
    path = folder(place) / "door.json"
    return msgspec.json.decode(path.read_bytes(), type=Door) if path.is_file() else None


def switch(place: Place, door: Door) -> None:
    """Put another door in place: one rename, which the proxy sees at the next request."""
    write_json(folder(place) / "door.json", door)


def open_door(place: Place) -> None:
    """Start the proxy where it does not run.

    Raises:
        ToolFailed: the port is taken by something else.
    """
    if _lives(place):
        return
    here = folder(place)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", place.settings.port))
        except OSError as error:
            raise ToolFailed(
                f"Port {place.settings.port} is in use already.",
                why=os.strerror(error.errno or 0),
                next_step=f"set deploy.environments.{place.name}.port in modelyard.yaml",
            ) from error
    program = Path(__file__).with_name("proxy.py")
    with (here / "door.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", str(program), str(here)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    for _ in range(100):
        if _lives(place):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise ToolFailed(
        "The door of the local endpoint did not open.",
        why=(here / "door.log").read_text(encoding="utf-8")[-400:],
        next_step=f"look at {here / 'door.log'}",
    )


def close_door(place: Place) -> None:
    """End the proxy; one that does not run is no error."""
    process = _process(place)
    if process is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGTERM)
        for _ in range(50):
            if not _lives(place):
                break
            time.sleep(0.1)
    (folder(place) / "door.pid").unlink(missing_ok=True)


def _process(place: Place) -> int | None:
    """The proxy's process, where the one of that number is our proxy."""
    path = folder(place) / "door.pid"
    try:
        number = int(path.read_text(encoding="utf-8"))
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError):
        return None
    return number if b"proxy.py" in command and str(folder(place)).encode() in command else None


def _lives(place: Place) -> bool:
    if _process(place) is None:
        return False
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", place.settings.port)) == 0


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
