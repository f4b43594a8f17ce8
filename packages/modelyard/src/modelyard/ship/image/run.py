"""image run: the container of a release, hardened, on this machine."""

from __future__ import annotations

import http.client
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from modelyard.errors import ModelyardError, UsageError
from modelyard.project import Project
from modelyard.records import ImageRecord, read_if_there
from modelyard.tools import engine as engines
from modelyard.tools.engine.containers import HARDENED

PORT = 8080
"""The endpoint's port inside."""

READY_SECONDS = 60.0


@dataclass(frozen=True)
class Running:
    """A container that answers, and the engine that runs it."""

    container: str
    url: str
    ready_seconds: float
    engine: str


def reference_of(project: Project, reference: str = "") -> str:
    """The named image, or the one that was built last.

    Raises:
        UsageError: none was built yet.
    """
    record = read_if_there(project.record("image"), ImageRecord)
    if reference:
        return reference
    if record is None:
        raise UsageError(
            "No image was built here yet.",
            why="records/image.json is not there.",
            next_step="modelyard image build",
        )
    return record.reference


def present_image(engine: engines.Engine, reference: str) -> engines.Image:
    """Look the image up. Raises UsageError where the engine does not have it."""
    found = engines.image(engine, reference)
    if found is None:
        raise UsageError(
            f"{engine.name} has no image {reference}.",
            why="It was built with another engine, or was removed.",
            next_step="modelyard image build",
        )
    return found


def foreground(project: Project, reference: str, *, host: str, port: int) -> NoReturn:
    """Become the engine's client that runs the container, so that Ctrl-C reaches it."""
    engine = engines.find(project.settings.image.engine)
    reference = reference_of(project, reference)
    present_image(engine, reference)
    words = [engine.program, "run", "--rm", *HARDENED, "--publish", f"{host}:{port}:{PORT}"]
    words += ["--interactive", reference]
    sys.stdout.flush()
    os.execve(engine.program, words, dict(os.environ))  # noqa: S606 - a program, no shell


def background(
    project: Project, reference: str = "", *, host: str = "127.0.0.1", port: int = 0, name: str = ""
) -> Running:
    """Start a container and wait until it answers.

    Args:
        port: of this machine; 0 takes a free one.

    Raises:
        ToolFailed: the engine refused (the port is in use, the name is taken).
        ModelyardError: the container ended, or did not answer in time; its log's end is the reason.
    """
    engine = engines.find(project.settings.image.engine)
    reference = reference_of(project, reference)
    present_image(engine, reference)
    started = time.monotonic()
    container = engines.start(engine, reference, name=name, publish=f"{host}:{port or ''}:{PORT}")
    try:
        shown = engines.published_port(engine, container, PORT)
        wait(engine, container, lambda: _answers(host, shown), started)
    except BaseException:
        engines.remove(engine, container)
        raise
    return Running(container, f"http://{host}:{shown}", time.monotonic() - started, engine.name)


def wait(
    engine: engines.Engine, container: str, ready: Callable[[], bool], started: float
) -> float:
    """Wait until the container is ready; returns the seconds since `started`.

    Raises:
        ModelyardError: it ended, or was not ready in time.
    """
    while not ready():
        state = engines.state(engine, container)
        over = time.monotonic() - started > READY_SECONDS
        if over or not state["Running"]:
            lines = engines.log(engine, container).strip().splitlines()
            what = "did not become ready" if over else f"ended with code {state['ExitCode']}"
            raise ModelyardError(
                f"The container {what}.",
                why=lines[-1] if lines else "It wrote nothing.",
                next_step="modelyard image run, to see its log",
            )
        time.sleep(0.05)
    return time.monotonic() - started


def _answers(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=2)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def log_says_ready(text: str) -> bool:
    """Whether the endpoint's log has the line that a worker writes when it can answer."""
    for line in text.splitlines():
        try:
            if json.loads(line).get("event") == "ready":
                return True
        except (ValueError, AttributeError):
            continue
    return False
