"""The golden samples of a package, scored here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.errors import ModelyardError


def differences(found: Any, expected: Sequence[Sequence[float]], *, relative: bool) -> list[float]:
    """The largest difference of each sample's scores; what is no number is infinitely far away.

    Args:
        found: what an endpoint answered, as JSON has it.
        relative: to the larger of 1 and the expected value.

    Raises:
        TypeError, ValueError: the answer is not of the form of `expected`.
    """
    worst = []
    for row, wanted in zip(found, expected, strict=True):
        far = []
        for score, value in zip(row, wanted, strict=True):
            difference = abs(float(score) - value) / (max(1.0, abs(value)) if relative else 1.0)
            far.append(math.inf if math.isnan(difference) else difference)
        worst.append(max(far))
    return worst


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
