"""The door of a local endpoint as this side sees it: its file, its process, its port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec

from modelyard.errors import ToolFailed
from modelyard.project import Project
from modelyard.records import write_json
from modelyard.ship.deploy.target import Place
from modelyard.tools.processes import alive, mark

HOME = "MODELYARD_LOCAL_HOME"
"""Environment variable: the project whose local endpoints a job of `ci run` deploys. The job's own
clone is gone when the job has ended, and the endpoint is to stay."""


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
    judge: str = ""
    """The process that judges the canary, as `mark` names it."""

    @property
    def unjudged(self) -> bool:
        """There is a canary, and the command that judged it is gone."""
        return self.canary is not None and alive(self.judge) is None

    def without_canary(self) -> Door:
        """The same door, with all of the traffic for the stable container."""
        return Door(
            listen=self.listen, stable=self.stable, container=self.container, revision=self.revision
        )


def home(place: Place) -> Project:
    """The project that the endpoint is of: of a pipeline's clone, the one that was cloned."""
    owner = os.environ.get(HOME)
    return replace(place.project, root=Path(owner)) if owner else place.project


def folder(place: Place) -> Path:
    """This machine's state of the environment."""
    return home(place).state / "local" / place.name


def door_of(place: Place) -> Door | None:
    """The door as it stands, or None before the first deploy."""
    path = folder(place) / "door.json"
    return msgspec.json.decode(path.read_bytes(), type=Door) if path.is_file() else None


def switch(place: Place, door: Door) -> None:
    """Put another door in place: one rename, which the proxy sees at the next request."""
    write_json(folder(place) / "door.json", door)


def forget(place: Place) -> None:
    """Close the door and remove its file: nothing is deployed."""
    close_door(place)
    (folder(place) / "door.json").unlink(missing_ok=True)


def check_port(place: Place, port: int) -> None:
    """Look whether the door could listen there, where it does not do so already.

    Raises:
        ToolFailed: the port is taken by something else.
    """
    if lives(place, port):
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ToolFailed(
                f"Port {port} is in use already.",
                why=os.strerror(error.errno or 0),
                next_step=f"set deploy.environments.{place.name}.port in modelyard.yaml",
            ) from error


def open_door(place: Place, port: int) -> None:
    """Start the proxy where it does not run.

    Raises:
        ToolFailed: the port is taken by something else.
    """
    if lives(place, port):
        return
    check_port(place, port)
    here = folder(place)
    program = Path(__file__).with_name("proxy.py")
    with (here / "door.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", str(program), str(here)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=here,
            start_new_session=True,
        )
    for _ in range(100):
        if lives(place, port):
            return
        if process.poll() is not None:
            break
        time.sleep(0.1)
    raise ToolFailed(
        "The door of the local endpoint did not open.",
        why=(here / "door.log").read_text(encoding="utf-8")[-400:],
        next_step=f"look at {here / 'door.log'}",
    )


def running(place: Place) -> tuple[int, int] | None:
    """The proxy's process and port, where the one of that number is our proxy."""
    try:
        said = (folder(place) / "door.pid").read_text(encoding="utf-8").split()
        number = int(said[0])
        command = Path(f"/proc/{number}/cmdline").read_bytes()
    except (OSError, ValueError, IndexError):
        return None
    if b"proxy.py" not in command or str(folder(place)).encode() not in command.split(b"\0"):
        return None
    if len(said) > 1:
        return number, int(said[1])
    door = door_of(place)  # a proxy that was started before it said its port
    return number, door.listen[1] if door else place.port


def close_door(place: Place) -> None:
    """End the proxy; one that does not run is no error."""
    found = running(place)
    if found is not None:
        end_process(found[0])
    (folder(place) / "door.pid").unlink(missing_ok=True)


def keep(place: Place, process: tuple[int, int]) -> None:
    """End the proxy that runs now, and take this one, which was there before, as ours again."""
    found = running(place)
    if found is not None and found != process:
        end_process(found[0])
    (folder(place) / "door.pid").write_text(f"{process[0]} {process[1]}", encoding="utf-8")


def end_process(number: int) -> None:
    """SIGTERM, and wait until it is gone."""
    began = mark(number)
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, signal.SIGTERM)
    for _ in range(50):
        if not began or mark(number) != began:
            return
        time.sleep(0.1)


def lives(place: Place, port: int) -> bool:
    """Whether our proxy runs and answers at this port."""
    found = running(place)
    if found is None or found[1] != port:
        return False
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0
