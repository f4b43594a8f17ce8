"""The estimators' libraries, imported without what they only look whether it is there.

LightGBM imports pandas and scikit-learn for wrappers that no family uses, and scikit-learn imports
pandas to know its frames: together four of five parts of LightGBM's import. They are hidden in our
own processes (a stage, a worker) alone: in a person's notebook a library is left whole.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from typing import Any

HIDDEN = {"lightgbm": ("pandas", "sklearn"), "sklearn": ("pandas",)}
"""Library -> what it does without."""

_own = False


def own_process() -> None:
    """Say that no one else's code runs in this process."""
    global _own
    _own = True


def load(name: str) -> Any:
    """Import a module of LightGBM or scikit-learn."""
    hidden = HIDDEN[name.partition(".")[0]] if _own and name not in sys.modules else ()
    with _without(hidden):
        return import_module(name)


@contextmanager
def _without(names: Sequence[str]) -> Iterator[None]:
    """Let imports find these libraries absent, loaded or not."""
    loaded = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name, module in loaded.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
