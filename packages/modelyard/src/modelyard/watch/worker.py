"""A process that scores matrices until its pipe closes: `python -m modelyard.watch.worker FD`.

It is told a package once and answers each matrix; it ends with the process that started it, killed
or not, since the pipe closes then. It reads no table: reading, encoding and writing are polars',
which uses every processor from one process; without it this one starts in a third of the time and
holds less than half the memory.
"""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection

import msgspec
import numpy as np
from numpy.typing import NDArray

from modelyard.errors import ModelyardError
from modelyard.watch.outputs import outputs_of
from modelyard_serve.encoding import Matrix
from modelyard_serve.errors import PackageError
from modelyard_serve.scorer import Scorer

OK, FAILED, REFUSED = b".", b"!", b"?"
MESSAGE = 16 * 1024 * 1024
"""Most bytes of one message: a wide table's block goes over in several."""


class Opening(msgspec.Struct, frozen=True):
    """The first message: which package, and the digest that it must still have."""

    package: str
    digest: str


def ask(pipe: Connection, matrix: Matrix) -> NDArray[np.float64]:
    """Let the process at the other end score a matrix; it goes over column after column.

    Raises:
        EOFError, OSError: it has ended.
        ModelyardError: the package cannot be used any more.
        RuntimeError: it failed, with its traceback.
    """
    rows = max(1, MESSAGE // (8 * max(1, matrix.shape[1])))
    if len(matrix) > rows:
        parts = [ask(pipe, matrix[start : start + rows]) for start in range(0, len(matrix), rows)]
        return np.concatenate(parts)
    pipe.send_bytes(_bytes(matrix.T))
    kind, body = pipe.recv_bytes(), pipe.recv_bytes()
    if kind == REFUSED:
        told = msgspec.msgpack.decode(body, type=dict[str, str])
        raise ModelyardError(told["what"], why=told["why"], next_step=told["next_step"])
    if kind == FAILED:
        raise RuntimeError(f"a worker process failed:\n{body.decode(errors='replace')}")
    return np.frombuffer(body, dtype=np.float64).reshape(len(matrix), -1)


def serve(pipe: Connection) -> None:
    """Answer until the pipe closes. A defect is answered with its traceback."""
    opening = msgspec.msgpack.decode(pipe.recv_bytes(), type=Opening)
    try:
        scorer = Scorer(opening.package)
        if scorer.digest != opening.digest:
            raise PackageError("its digest is another one now")
        outputs = outputs_of(scorer)
    except PackageError as error:
        # It was whole when the command opened it.
        refusal = {
            "what": f"The model package {opening.package} was changed while it was in use.",
            "why": error.detail,
            "next_step": "run the command again when nothing writes to the package",
        }
        pipe.recv_bytes()
        _answer(pipe, REFUSED, msgspec.msgpack.encode(refusal))
        return
    except Exception:
        failure = traceback.format_exc(limit=-3).encode()
        pipe.recv_bytes()
        _answer(pipe, FAILED, failure)
        return
    width = scorer.manifest.width
    while True:
        columns = np.frombuffer(pipe.recv_bytes(), dtype=np.float64)
        try:
            made = _bytes(outputs(columns.reshape(width, -1).T))
        except Exception:
            _answer(pipe, FAILED, traceback.format_exc(limit=-3).encode())
            continue
        _answer(pipe, OK, made)


def _bytes(numbers: NDArray[np.float64]) -> memoryview:
    """The array's bytes, row after row; not copied where they stand so."""
    return np.ascontiguousarray(numbers).ravel().view(np.uint8).data


def _answer(pipe: Connection, kind: bytes, body: bytes | memoryview) -> None:
    pipe.send_bytes(kind)
    pipe.send_bytes(body)


def main() -> None:
    """Serve the file descriptor that the command names."""
    with Connection(int(sys.argv[1])) as pipe:
        try:
            serve(pipe)
        except (EOFError, OSError):  # closed, also in the middle of a message
            return


if __name__ == "__main__":
    main()
