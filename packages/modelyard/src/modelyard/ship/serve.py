"""serve: this process becomes the server of a model package, the one that production runs."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.registry import champion
from modelyard.ship.champion import package_to_use

VERSION, SINCE = "MODEL_VERSION", "MODEL_SINCE"
"""The variables that tell the server which release it serves, and since when it is the champion."""


class Served(NamedTuple):
    """A package, the version that it was released as and since when; "" for one that was not."""

    package: Path
    version: str
    since: str = ""

    @property
    def shown(self) -> str:
        """What is served, for a person."""
        return f"the champion, version {self.version}" if self.version else str(self.package)


def released(project: Project) -> Served:
    """The champion's package with its version, or the candidate's before the first release.

    Raises:
        ModelyardError: nothing was packed yet.
    """
    now = champion.current(project)
    package = package_to_use(project)
    return Served(package, now.version, now.since) if now else Served(package, "")


def replace_process(
    served: Served, *, host: str | None, port: int | None, workers: int | None
) -> NoReturn:
    """Run the serve half in place of this process, so that signals reach it. Does not return.

    Raises:
        ModelyardError: there is no such package.
    """
    if not champion.manifest_digest(served.package):
        raise ModelyardError(
            f"{served.package} is no model package.",
            why="It holds no manifest.json.",
            next_step="modelyard run, or name the folder of a package with --package",
        )
    flags = {"--host": host, "--port": port, "--workers": workers}
    given = [text for flag, value in flags.items() if value for text in (flag, str(value))]
    environ = dict(os.environ)
    if served.version:
        environ.setdefault(VERSION, served.version)
        environ.setdefault(SINCE, served.since)
    command = [sys.executable, "-m", "modelyard_serve", str(served.package), *given]
    sys.stdout.flush()
    os.execve(sys.executable, command, environ)  # noqa: S606 - our own interpreter, no shell
