"""Where programs are looked for by the commands that we start."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def own_first(path: str | None) -> str:
    """A PATH on which the programs beside our own Python come first.

    Whoever calls modelyard by its place (`.venv/bin/modelyard`) has not put that folder on the
    PATH; the stages, the jobs of a pipeline and the commands of a film call it by its name.

    Args:
        path: the PATH so far; None where there is none.
    """
    own = str(Path(sys.executable).parent)
    if path is None:
        return own
    return path if path.split(os.pathsep)[0] == own else os.pathsep.join((own, path))
