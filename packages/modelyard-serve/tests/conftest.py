"""Fixtures of the serve half's tests."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from handmade import write_package
from running import Running


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A whole, valid package."""
    return write_package(tmp_path / "package")


@pytest.fixture
def start(package: Path, tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start servers that end with the test: `start(MODELYARD_MAX_ROWS="10")` is one of `package`.

    Environment variables are given by name; `arguments`, `port` and `at` (another package) too.
    """
    numbers = itertools.count()
    with ExitStack() as stack:

        def begin(
            *arguments: str, at: Path = package, port: int | None = None, **settings: str
        ) -> Running:
            folder = tmp_path / f"server-{next(numbers)}"
            server = Running(at, folder, *arguments, port=port, settings=settings)
            return stack.enter_context(server)

        yield begin


@pytest.fixture
def served(start: Callable[..., Running]) -> Running:
    """A ready server of the package."""
    return start().ready()
