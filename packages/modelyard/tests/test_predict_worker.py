"""What a worker process answers: a matrix's outputs, in order, or why not."""

from __future__ import annotations

import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import numpy as np
import pytest
from handmade import write_package
from test_predict import table

from modelyard.errors import ModelyardError
from modelyard.watch import worker
from modelyard.watch.columns import Encoder
from modelyard.watch.outputs import outputs_of
from modelyard_serve.scorer import Scorer


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return Scorer(write_package(tmp_path_factory.mktemp("model") / "package"))


@contextmanager
def served(package: Path, digest: str) -> Iterator[Connection]:
    """One end of a pipe at whose other end the package is served."""
    ours, theirs = Pipe()
    thread = threading.Thread(target=until_closed, args=(theirs,))
    thread.start()
    ours.send_bytes(msgspec.msgpack.encode(worker.Opening(str(package), digest)))
    with ours:
        yield ours
    thread.join(timeout=20)
    assert not thread.is_alive()


def until_closed(pipe: Connection) -> None:
    with pipe, suppress(EOFError):
        worker.serve(pipe)


@pytest.mark.parametrize("message", [worker.MESSAGE, 5000, 1])
def test_a_matrix_in_one_message_or_in_many(
    scorer: Scorer, message: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MESSAGE", message)
    matrix, _ = Encoder(scorer.manifest.features).encode(table(700))
    with served(scorer.package, scorer.digest) as pipe:
        found = worker.ask(pipe, matrix)
    np.testing.assert_allclose(found, scorer.outputs(matrix), rtol=1e-13)


def test_a_package_that_was_changed_is_not_used(scorer: Scorer, tmp_path: Path) -> None:
    empty = tmp_path / "package"
    empty.mkdir()
    for package, why in ((scorer.package, "digest"), (empty, "holds no manifest.json")):
        with (
            served(package, "0" * 64) as pipe,
            pytest.raises(ModelyardError, match="was changed while it was in use") as caught,
        ):
            worker.ask(pipe, np.zeros((3, scorer.manifest.width)))
        assert why in caught.value.why
        assert caught.value.next_step


def test_a_message_that_breaks_off_ends_the_worker_in_silence(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Pipe()
    opening = worker.Opening(str(scorer.package), scorer.digest)
    ours.send_bytes(msgspec.msgpack.encode(opening))
    os.write(ours.fileno(), struct.pack("!i", 1000) + b"half")
    ours.close()
    monkeypatch.setattr(sys, "argv", ["worker", str(os.dup(theirs.fileno()))])
    theirs.close()
    worker.main()


def test_a_failure_is_told_and_the_next_matrix_answered(scorer: Scorer) -> None:
    width = scorer.manifest.width
    with served(scorer.package, scorer.digest) as pipe:
        with pytest.raises(RuntimeError, match="cannot reshape"):
            worker.ask(pipe, np.zeros((1, width + 1)))
        assert worker.ask(pipe, np.zeros((5, width))).shape[0] == 5


def test_rows_are_sorted_for_walked_trees_and_keep_their_places(scorer: Scorer) -> None:
    """The handmade package has a graph; so have the trees of the contract, beside their masks."""
    contract = Path(__file__).parents[3] / "contract/format-1"
    for walked in (scorer, Scorer(contract, graph=True)):
        assert not walked.by_masks
        random = np.random.default_rng(5)
        matrix = random.integers(0, 4, (9000, walked.manifest.width)).astype(np.float64)
        matrix[random.random(matrix.shape) < 0.1] = np.nan
        found = outputs_of(walked)(matrix)
        for start in range(0, 9000, 3000):
            part = walked.outputs(matrix[start : start + 3000])
            assert np.array_equal(found[start : start + 3000], part)
