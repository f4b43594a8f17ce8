"""registry/champion.py: which folder is a released package, byte for byte."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.registry import champion


def package(folder: Path) -> str:
    """Two files and their manifest; returns its digest."""
    folder.mkdir()
    files = {"model.onnx": b"graph" * 100, "golden.json": b"{}"}
    for name, content in files.items():
        (folder / name).write_bytes(content)
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps({"format": 1, "files": digests}).encode()
    (folder / "manifest.json").write_bytes(text)
    return hashlib.sha256(text).hexdigest()


def test_a_whole_package_has_no_fault(tmp_path: Path) -> None:
    assert champion.fault(tmp_path / "p", package(tmp_path / "p")) == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda p: (p / "model.onnx").write_bytes(b"graph" * 99 + b"grapf"), "model.onnx was"),
        (lambda p: (p / "golden.json").unlink(), "golden.json cannot be read"),
        (lambda p: (p / "manifest.json").unlink(), "manifest.json cannot be read"),
        (lambda p: (p / "manifest.json").write_text("{}"), "manifest.json has digest"),
        (lambda p: (p / "more.bin").write_bytes(b"x"), "more.bin is not of the package"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "p"
    digest = package(folder)
    spoil(folder)
    assert champion.fault(folder, digest).startswith(said)
    assert champion.fault(tmp_path / "nowhere", digest).startswith("manifest.json cannot be read")
