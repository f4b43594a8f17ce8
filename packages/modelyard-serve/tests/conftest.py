"""Fixtures of the serve half's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import write_package


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A whole, valid package."""
    return write_package(tmp_path / "package")
