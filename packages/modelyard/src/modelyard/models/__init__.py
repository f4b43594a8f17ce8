"""The families: what can be fitted, each with its search space. One file each.

Reading this table costs nothing: a family's file is imported when it is asked for, and the
estimators that it is built on when it is first fitted.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from modelyard.errors import UsageError, capped, nearest

if TYPE_CHECKING:
    from modelyard.models.family import Family

FAMILIES: dict[str, str] = {
    "baseline": "modelyard.models.baseline",
    "linear": "modelyard.models.linear",
    "forest": "modelyard.models.forest",
    "boosting": "modelyard.models.boosting",
}
"""Name -> the module whose FAMILY it is, from the dumbest to the strongest."""


def get(name: str) -> Family:
    """Return the family of this name.

    Raises:
        UsageError: there is none.
    """
    if name not in FAMILIES:
        raise UsageError(
            f"There is no family {name!r}{nearest(name, FAMILIES) or '.'}",
            why=f"Families: {capped(FAMILIES)}.",
            next_step="edit tune.families in modelyard.yaml",
        )
    family: Family = import_module(FAMILIES[name]).FAMILY
    return family
