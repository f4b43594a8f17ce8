"""A process that scores blocks until its pipe closes: `python -m modelyard.watch.worker FD`.

It is told a plan once and answers each block; it ends with the process that started it, killed or
not, since the pipe closes then.
"""

from __future__ import annotations

import io
import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import polars as pl

from modelyard.watch.scoring import Answer, Plan, Scoring, open_package

FRAME, TEXT = b"f", b"t"
FAILED = b"!"


def pack_block(block: bytes | pl.DataFrame) -> tuple[bytes, bytes]:
    """What a block is, and its bytes: Arrow's stream form for a frame."""
    return (TEXT, block) if isinstance(block, bytes) else (FRAME, _stream(block))


def unpack_block(kind: bytes, body: bytes) -> bytes | pl.DataFrame:
    """The reverse of `pack_block`."""
    return pl.read_ipc_stream(body) if kind == FRAME else body


def _stream(frame: pl.DataFrame) -> bytes:
    made = io.BytesIO()
    frame.write_ipc_stream(made)
    return made.getvalue()


def serve(pipe: Connection) -> None:
    """Answer until the pipe closes. An error is answered with its traceback."""
    plan = msgspec.msgpack.decode(pipe.recv_bytes(), type=Plan)
    try:
        scorer = open_package(Path(plan.package))
        if scorer.digest != plan.digest:
            raise RuntimeError(f"{plan.package} was changed while it was in use")
        scoring = Scoring(plan, scorer)
    except Exception:
        failure = traceback.format_exc(limit=-3).encode()
        pipe.recv_bytes(), pipe.recv_bytes()
        pipe.send_bytes(FAILED + failure)
        return
    added = list(plan.added)
    while True:
        kind, body = pipe.recv_bytes(), pipe.recv_bytes()
        try:
            answer, result = scoring.score(unpack_block(kind, body))
            if kind == FRAME and not isinstance(result, bytes):
                result = result.select(added)  # the other process has the rest
            made = pack_block(result)
        except Exception:
            pipe.send_bytes(FAILED + traceback.format_exc(limit=-3).encode())
            continue
        pipe.send_bytes(msgspec.msgpack.encode(answer))
        pipe.send_bytes(made[0])
        pipe.send_bytes(made[1])


def main() -> None:
    """Serve the file descriptor that the command names."""
    with Connection(int(sys.argv[1])) as pipe:
        try:
            serve(pipe)
        except (EOFError, ConnectionError):
            return


def decode_answer(head: bytes) -> Answer:
    """An answer's head. Raises RuntimeError with the worker's traceback where it failed."""
    if head.startswith(FAILED):
        raise RuntimeError(f"a worker process failed:\n{head[1:].decode(errors='replace')}")
    return msgspec.msgpack.decode(head, type=Answer)


if __name__ == "__main__":
    main()
