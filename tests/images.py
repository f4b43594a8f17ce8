"""What the image tests share: whether an engine answers, and images that are removed again."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from modelyard.errors import ToolFailed
from modelyard.tools import engine as engines

BASE = "python:3.11-slim"


def reason() -> str:
    """Why no image can be built here; empty where one can."""
    try:
        engine = engines.find()
        found = engines.image(engine, BASE)
    except ToolFailed as error:
        return f"{error.what} {error.why}"
    return "" if found else f"there is no image {BASE} (bash tests/base_image.sh makes one)"


WHY_NOT = reason()
needs_engine = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "an engine answers")


def docker(*words: str, code: int = 0) -> str:
    """The engine's own program, as a person types it."""
    engine = engines.find()
    done = subprocess.run([engine.program, *words], capture_output=True, text=True)
    assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()


def layers(reference: str) -> tuple[str, ...]:
    """The digests of an image's layers, base first."""
    found = engines.image(engines.find(), reference)
    assert found is not None
    return found.layers


def forget(*references: str) -> None:
    """Remove images that a test made; those that are gone already do not matter."""
    if shutil.which("docker") or shutil.which("podman"):
        program = engines.find().program
        for reference in references:
            subprocess.run([program, "rmi", "--force", reference], capture_output=True)


@contextmanager
def removed(*references: str) -> Iterator[None]:
    """Remove these images afterwards, whatever happened."""
    try:
        yield
    finally:
        forget(*references)


def free_port() -> str:
    """A port of this machine that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])
