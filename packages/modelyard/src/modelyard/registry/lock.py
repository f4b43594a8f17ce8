"""One run at a time in a project: a lock that the system drops when its holder dies.

Who takes it also clears away what a killed process was still writing.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from modelyard.errors import LockHeld
from modelyard.project import Project
from modelyard.tools import git

PLACES = (".", "data/interim", "data/raw", "records", "plots", "reports", ".modelyard/champions")
"""Where files and folders are written under a temporary name first."""

_PART = re.compile(r"\.(?:.+)\.(\d+)\.parts?")


@contextmanager
def hold(project: Project, command: str) -> Iterator[None]:
    """Hold the project's lock.

    Raises:
        LockHeld: another process holds it; the message says which, since when, and what it does.
    """
    project.state.mkdir(exist_ok=True)
    path = project.state / "lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise LockHeld(
                "Another modelyard command is at work in this project.",
                why=_holder(file.read()),
                next_step="wait for it to end, or stop it, and run this again",
            ) from error
        file.seek(0)
        died = file.read()  # empty where the holder before ended by itself
        file.truncate(0)
        json.dump({"pid": os.getpid(), "command": command, "since": time.time()}, file)
        file.flush()
        clear(project)
        if died and git.is_repo(project.root):
            git.drop_locks(project.root, since=_since(died))
        try:
            yield
        finally:
            file.truncate(0)


def clear(project: Project) -> None:
    """Remove `.NAME.PROCESS.part` of processes that are gone: git would show them as changes."""
    studies = (project.state / "studies").glob("*")
    for folder in (*(project.root / place for place in PLACES), *studies):
        for path in folder.iterdir() if folder.is_dir() else ():
            found = _PART.fullmatch(path.name)
            if found is None or _lives(int(found[1])):
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _since(text: str) -> float:
    try:
        return float(json.loads(text)["since"])
    except (ValueError, KeyError, TypeError):
        return time.time()  # it died before it had said anything, and so before it called git


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _holder(text: str) -> str:
    try:
        body = json.loads(text)
        since = datetime.fromtimestamp(body["since"]).strftime("%H:%M:%S")
        return f"`{body['command']}` (process {body['pid']}) holds the lock since {since}."
    except (ValueError, KeyError):
        return "Its holder has not said who it is yet."
