"""A package with masks: they answer in place of the graph, and are refused if they do not fit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from handmade import write_package

from modelyard_serve.contract import MASKS, file_digest, read_manifest
from modelyard_serve.errors import GoldenError, PackageError
from modelyard_serve.masks import FEW, Column, Forest, Masks
from modelyard_serve.scorer import Scorer


def doubles(*values: float) -> bytes:
    return np.array(values, dtype="<f8").tobytes()


def stump(**changes: object) -> Forest:
    """distance <= 500 adds 1 and is the first leaf; else 2, and 4 where the carrier is B6."""
    rows = [0b001, 0b110, 0b110]  # up to 500; above; missing
    rows += [0b011, 0b011, 0b101, 0b011]  # carrier up to MQ's code 1: two bins; B6; missing
    values = np.zeros((1, 32))
    values[0, :3] = (1.0, 2.0, 4.0)
    forest = Forest(
        columns=(Column(0, doubles(500.0)), Column(2, doubles(0.5, 1.5))),
        bits=32,
        words=1,
        whole=True,
        masks=np.array(rows, dtype="<u4").tobytes(),
        values=values.astype("<f8").tobytes(),
        starts=(0,),
        base=(0.5,),
        link="share",
    )
    return msgspec.structs.replace(forest, **changes)


def package(folder: Path, content: bytes) -> Path:
    write_package(folder)
    (folder / MASKS).write_bytes(content)
    files = read_manifest(folder, verify=False).files | {MASKS: file_digest(folder / MASKS)}
    return write_package(folder, files=files)


def good(folder: Path) -> Path:
    return package(folder, msgspec.msgpack.encode(Masks((stump(),))))


def test_masks_answer_in_place_of_the_graph(tmp_path: Path) -> None:
    scorer = Scorer(good(tmp_path))
    nan = np.nan
    cells = [
        (400.0, 2.0, 1.5), (500.0, 0.0, 1.5), (501.0, 2.0, 4.5), (501.0, 1.0, 2.5),
        (1e300, 0.0, 2.5), (nan, 2.0, 4.5), (nan, nan, 2.5), (-np.inf, nan, 1.5),
        (np.inf, 2.0, 4.5),
    ]  # fmt: skip
    matrix = np.full((len(cells), scorer.manifest.width), nan)
    matrix[:, 0] = [cell[0] for cell in cells]
    matrix[:, 2] = [cell[1] for cell in cells]
    expected = np.array([[1 - raw, raw] for *_, raw in cells])
    assert len(cells) <= FEW
    assert (scorer.outputs(matrix) == expected).all()
    many = scorer.outputs(np.tile(matrix, (40, 1)))
    assert (many == np.tile(expected, (40, 1))).all()
    assert (scorer.outputs(matrix[2:3]) == expected[2:3]).all()
    assert scorer.outputs(matrix[:0]).shape == (0, 2)
    assert not (Scorer(tmp_path, graph=True).outputs(matrix) == expected).all()


def test_golden_samples_are_held_to_the_masks(tmp_path: Path) -> None:
    with pytest.raises(GoldenError):
        Scorer(good(tmp_path)).check_golden()
    Scorer(tmp_path, graph=True).check_golden()


def test_onnxruntime_is_not_imported_where_masks_answer(tmp_path: Path) -> None:
    code = (
        "import sys; from modelyard_serve.scorer import Scorer; "
        f"Scorer({str(good(tmp_path))!r}); print('onnxruntime' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout == "False\n"


def test_a_changed_byte_is_refused(tmp_path: Path) -> None:
    content = bytearray((good(tmp_path) / MASKS).read_bytes())
    content[-1] ^= 1
    (tmp_path / MASKS).write_bytes(bytes(content))
    with pytest.raises(PackageError, match=rf"{MASKS} was changed"):
        Scorer(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not msgpack",
        msgspec.msgpack.encode(Masks(())),
        msgspec.msgpack.encode(Masks((stump(columns=(Column(6, doubles(1.0)),)),))),
        msgspec.msgpack.encode(Masks((stump(columns=(Column(-1, doubles(1.0)),)),))),
        msgspec.msgpack.encode(Masks((stump(columns=(Column(0, doubles(500.0)),)),))),
        msgspec.msgpack.encode(Masks((stump(columns=(Column(0, doubles(*range(9))),)),))),
        msgspec.msgpack.encode(Masks((stump(masks=b"123"),))),
        msgspec.msgpack.encode(Masks((stump(values=b""),))),
        msgspec.msgpack.encode(Masks((stump(bits=16),))),
        msgspec.msgpack.encode(Masks((stump(starts=(0, 1)),))),
        msgspec.msgpack.encode(Masks((stump(base=(0.0, 1.0)),))),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(PackageError, match=f"{MASKS} cannot be read"):
        Scorer(package(tmp_path, content))
