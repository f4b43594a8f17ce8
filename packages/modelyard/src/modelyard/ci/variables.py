"""Variables of a pipeline that a person gives on the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from modelyard.errors import UsageError


def given(pairs: Iterable[str]) -> dict[str, str]:
    """Read `NAME=VALUE`, or `NAME` for the environment's value, which keeps a secret off the
    screen.

    Raises:
        UsageError: a name that is none, or one that the environment does not have.
    """
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not re.fullmatch(r"[A-Za-z_]\w*", name):
            raise UsageError(
                f"--variable {pair!r} has no name before the =.",
                why="It sets what the service would set.",
                next_step="modelyard ci run --variable NAME=VALUE",
            )
        if not equals:
            if name not in os.environ:
                raise UsageError(
                    f"--variable {name}: there is no such environment variable.",
                    why="Without a value, it is taken from the environment.",
                    next_step=f"modelyard ci run --variable {name}=VALUE",
                )
            value = os.environ[name]
        found[name] = value
    return found
