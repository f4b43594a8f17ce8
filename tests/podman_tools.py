"""The tests' podman, with settings, images and networks of its own: `bash tests/podman.sh`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
HOME = Path(os.environ.get("TEST_PODMAN") or CACHE / "modelyard-podman")
WRITTEN = HOME / "environment"

WHY_NOT = "" if WRITTEN.is_file() else "no podman is ready (bash tests/podman.sh says why)"
needs_podman = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "podman is ready")


def environment() -> dict[str, str]:
    """The variables that lead podman, and what calls it, to the tests' own."""
    return dict(line.split("=", 1) for line in WRITTEN.read_text().splitlines())


def podman(*words: str, code: int = 0, stdin: str | None = None) -> str:
    """The program, as a person types it."""
    done = subprocess.run(["podman", *words], capture_output=True, text=True, input=stdin)
    assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
    return done.stdout.strip()
