"""The package is verified before anything of it is opened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from handmade import write_package

from modelyard_serve.contract import (
    GRAPH,
    MANIFEST,
    package_digest,
    read_golden,
    read_manifest,
)
from modelyard_serve.errors import PackageError


def test_a_whole_package_is_read(package: Path) -> None:
    manifest = read_manifest(package)
    assert manifest.classes == ("no", "yes")
    assert manifest.width == 6
    assert read_golden(package).rows[0]["distance"] == 1000


def test_a_changed_byte_is_refused_and_the_file_is_named(package: Path) -> None:
    content = bytearray((package / GRAPH).read_bytes())
    content[-1] ^= 1
    (package / GRAPH).write_bytes(bytes(content))
    with pytest.raises(PackageError, match=GRAPH):
        read_manifest(package)
    assert read_manifest(package, verify=False).name == "flights"


def test_a_lost_file_is_refused(package: Path) -> None:
    (package / GRAPH).unlink()
    with pytest.raises(PackageError, match="missing"):
        read_manifest(package)


def test_a_file_that_nobody_listed_is_refused(package: Path) -> None:
    (package / "evil.pkl").write_bytes(b"")
    with pytest.raises(PackageError, match=r"evil\.pkl"):
        read_manifest(package)


def test_a_path_out_of_the_package_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "p", files={"../outside": "0" * 64})
    with pytest.raises(PackageError, match="outside"):
        read_manifest(folder)


@pytest.mark.parametrize("number", [0, 2, None, "1"])
def test_another_format_is_refused_with_the_way_out(package: Path, number: object) -> None:
    body = json.loads((package / MANIFEST).read_text())
    body["format"] = number
    (package / MANIFEST).write_text(json.dumps(body))
    with pytest.raises(PackageError, match="FORMAT"):
        read_manifest(package)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 1}', "\x00\xff"])
def test_what_is_no_manifest_is_refused(package: Path, content: str) -> None:
    (package / MANIFEST).write_text(content)
    with pytest.raises(PackageError, match=r"manifest"):
        read_manifest(package)


def test_an_empty_folder_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="not a model package"):
        package_digest(tmp_path)


def test_lineage_is_outside_the_models_digest(tmp_path: Path) -> None:
    one = write_package(tmp_path / "one", lineage={"commit": "a"})
    two = write_package(tmp_path / "two", lineage={"commit": "b"})
    assert read_manifest(one).model_digest == read_manifest(two).model_digest
    assert package_digest(one) != package_digest(two)
    other = write_package(tmp_path / "three", threshold=0.5)
    assert read_manifest(other).model_digest != read_manifest(one).model_digest
