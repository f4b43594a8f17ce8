"""The golden samples of a package, scored here."""

from __future__ import annotations

from pathlib import Path

from modelyard.errors import ModelyardError


def check(package: Path) -> tuple[int, float]:
    """Open a package as the server does; return how many samples it has, and the largest
    difference.

    Raises:
        ModelyardError: a file was changed, the graph does not open, or a sample's scores differ.
    """
    from modelyard_serve.contract import read_golden
    from modelyard_serve.errors import ServeError
    from modelyard_serve.scorer import Scorer

    try:
        difference = Scorer(package).check_golden()
        return len(read_golden(package).rows), difference
    except ServeError as error:
        raise ModelyardError(
            f"The package {package.name}/ does not hold.",
            why=str(error),
            next_step="modelyard run --force",
        ) from error
