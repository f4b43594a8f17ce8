"""Make an environment that holds the serve half and nothing of the build half.

    python tests/serve_alone.py FOLDER

A shared development environment hides leaks; an empty one does not. Versions are those of
requirements.lock; what the tests need is installed beside.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SERVE = ROOT / "packages" / "modelyard-serve"
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
FOR_TESTS = (
    "pytest",
    "pytest-timeout",
    "pytest-xdist",
    "hypothesis",
    "onnx",
    "jsonschema",
    "schemathesis",
    "openapi-spec-validator",
)


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program and return what it said; an error shows both streams."""
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def environment(folder: Path) -> Path:
    """Make the environment of the wheel alone, anew; returns its interpreter."""
    shutil.rmtree(folder, ignore_errors=True)
    run(UV, "venv", "--quiet", "--python", sys.executable, folder)
    # The lock without its hashes is a list of constraints: the same versions as everywhere.
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([\w.-]+==[^\\\n]+?)\s*\\?$", lock, re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(pins) + "\n")
    python = folder / "bin" / "python"
    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "source")
        shutil.copytree(SERVE, source, ignore=shutil.ignore_patterns("tests", "__pycache__"))
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", work, cwd=source)
        (wheel,) = Path(work).glob("*.whl")
        install(python, str(wheel))
    return python


def install(python: Path, *packages: str) -> None:
    """Install into the environment of `python`, in the versions of the lock."""
    constraints = python.parents[1] / "constraints.txt"
    written = not os.environ.get("PYTHONDONTWRITEBYTECODE")
    compiled = [] if written else ["--compile-bytecode"]  # else each server started compiles anew
    run(UV, "pip", "install", "-q", *compiled, "--python", python, "-c", constraints, *packages)


if __name__ == "__main__":
    install(environment(Path(sys.argv[1])), *FOR_TESTS)
