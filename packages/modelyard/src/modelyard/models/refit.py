"""Fit the chosen configurations on all train + valid rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from modelyard import models
from modelyard.forms import Floats, Shape
from modelyard.records import Chosen

if TYPE_CHECKING:
    from modelyard.models.family import Fitted


def refit(
    chosen: Sequence[Chosen],
    X: Floats,
    y: NDArray[Any],
    shape: Shape,
    *,
    metric: str,
    seed: int,
    threads: int,
) -> list[Fitted]:
    """Fit each member with the iterations that the study found; X has shape (rows, width)."""
    fitted = []
    # Sums in BLAS depend on its number of threads; one thread gives the same bits everywhere.
    with threadpool_limits(limits=1, user_api="blas"):
        for member in chosen:
            fitted.append(
                models.get(member.family).fit(
                    X,
                    y,
                    member.params,
                    shape,
                    seed=seed,
                    threads=threads,
                    iterations=member.iterations,
                    metric=metric,
                )
            )
    return fitted
