"""The full grid of a family's search space."""

from __future__ import annotations

from itertools import product

from modelyard.forms import Params, Shape, Value
from modelyard.models.family import Family


def points(family: Family, shape: Shape) -> list[Params]:
    """Every point of the grid that the family's space declares, in a fixed order.

    A dimension without a grid stays at the first default's value.
    """
    space = family.space(shape)
    first = family.defaults(shape)[0]
    axes: list[tuple[Value, ...]] = [
        tuple(dimension.grid) or (first[name],) for name, dimension in space.items()
    ]
    return [dict(zip(space, values, strict=True)) for values in product(*axes)]
