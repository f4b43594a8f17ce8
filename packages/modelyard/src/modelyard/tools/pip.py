"""pip: the wheels of locked packages for another machine's platform and Python."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from modelyard.errors import ToolFailed

MACHINES = {"linux/amd64": "x86_64", "linux/arm64": "aarch64"}

NEWEST_GLIBC = 36
"""Debian 12's, on which the published slim images stand."""


def tags(platform: str) -> list[str]:
    """The platform tags that a wheel may carry, newest first."""
    machine = MACHINES[platform]
    newer = [f"manylinux_2_{minor}_{machine}" for minor in range(NEWEST_GLIBC, 16, -1)]
    return [*newer, f"manylinux2014_{machine}", f"manylinux2010_{machine}"]


def download(requirements: Path, folder: Path, *, python: str, platform: str) -> None:
    """Put the wheel of each line of a requirements file into a folder; hashes there are held.

    Raises:
        ToolFailed: there is no such wheel for the platform, its hash differs, the index is out of
            reach, or this environment has no pip.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
    command += ["--implementation", "cp", "--python-version", python]
    command += ["--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none"]
    for tag in tags(platform):
        command += ["--platform", tag]
    done = subprocess.run([*command, "--requirement", str(requirements)], capture_output=True)
    if done.returncode != 0:
        raise _translated(done.stderr.decode("utf-8", "replace"), python, platform)


def _translated(text: str, python: str, platform: str) -> ToolFailed:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    why = next((line for line in reversed(lines) if line.startswith("ERROR")), "")
    why = why.removeprefix("ERROR: ") or (lines[-1] if lines else "pip gave no reason.")
    if "No module named pip" in text:
        return ToolFailed(
            "This environment has no pip, which fetches the endpoint's wheels.",
            why=why,
            next_step=f"{sys.executable} -m ensurepip",
        )
    if "DO NOT MATCH THE HASHES" in text or "differ from the hashes" in text.lower():
        return ToolFailed(
            "A wheel is not the one that image/requirements.lock names.",
            why=_after(lines, "THESE PACKAGES DO NOT MATCH") or why,
            next_step="find out why it differs; to accept it: modelyard image lock",
        )
    if "No space left" in text:
        return ToolFailed(
            "There is no room on the disk for the endpoint's wheels.",
            why=why,
            next_step="free some disk space, then: modelyard image build",
        )
    return ToolFailed(
        f"The endpoint's wheels for Python {python} on {platform} are not to be had.",
        why=why,
        next_step="look at image.python and image.platform in modelyard.yaml, and whether the "
        "package index is in reach; then: modelyard image build",
    )


def _after(lines: Sequence[str], sign: str) -> str:
    """The lines that follow the one with this sign: the package, expected, got."""
    for number, line in enumerate(lines):
        if sign in line:
            return " ".join(lines[number + 1 : number + 4])
    return ""
