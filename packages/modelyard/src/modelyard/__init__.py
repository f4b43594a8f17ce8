"""modelyard: from a table and a column to predict to a gated, packaged, registered model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Project", "__version__"]

if TYPE_CHECKING:
    from modelyard.api import Project


def __getattr__(name: str) -> Any:
    """Import the Python API only when it is asked for: `modelyard --help` stays light."""
    if name == "Project":
        from modelyard.api import Project

        return Project
    raise AttributeError(name)
