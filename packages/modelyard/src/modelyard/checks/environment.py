"""Python, git, and the libraries that modelyard stands on."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires, version

from modelyard.checks.finding import Finding


def check() -> list[Finding]:
    """Look at the interpreter, the git program and every declared dependency."""
    return [_python(), _git(), _modelyard_on_path(), _libraries()]


def _python() -> Finding:
    text = f"Python {platform.python_version()}"
    return Finding("python", "ok", text)


def _git() -> Finding:
    program = shutil.which("git")
    if program is None:
        return Finding("git", "error", "the git program is missing", "apt-get install git")
    text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
    found = re.search(r"(\d+)\.(\d+)", text)
    if found and (int(found[1]), int(found[2])) < (2, 28):
        return Finding("git", "error", f"{text} is too old", "install git 2.28 or newer")
    name = subprocess.run(
        [program, "config", "user.email"], capture_output=True, text=True
    ).stdout.strip()
    if not name:
        return Finding(
            "git",
            "warning",
            f"{text}; no identity is set, commits are made as modelyard",
            "git config --global user.name NAME ; git config --global user.email ADDRESS",
        )
    return Finding("git", "ok", text)


def _modelyard_on_path() -> Finding:
    if shutil.which("modelyard") is None:
        return Finding(
            "path",
            "warning",
            "`modelyard` is not on the PATH: `dvc repro` by itself cannot start the stages",
            f"export PATH={sys.prefix}/bin:$PATH",
        )
    return Finding("path", "ok", "`modelyard` is on the PATH")


def _libraries() -> Finding:
    from packaging.requirements import Requirement

    wrong = []
    count = 0
    for text in requires("modelyard") or []:
        need = Requirement(text)
        if need.marker and not need.marker.evaluate():
            continue
        count += 1
        try:
            found = version(need.name)
        except PackageNotFoundError:
            wrong.append(f"{need.name} is missing")
            continue
        if not need.specifier.contains(found, prereleases=True):
            wrong.append(f"{need.name} {found} does not fit {need.specifier}")
    if wrong:
        return Finding("libraries", "error", "; ".join(wrong), "pip install --upgrade modelyard")
    return Finding("libraries", "ok", f"{count} dependencies fit")
