"""Worker processes that score blocks, each with its own scorer on one thread.

They are programs of their own, not forks: a caller's script need not guard its main module, and no
thread is forked. Each is started when there is a block that no other one is free for.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import msgspec
import polars as pl

from modelyard.errors import ModelyardError
from modelyard.watch import worker
from modelyard.watch.scoring import Answer, Plan, Result

_THREADS = ("POLARS_MAX_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What each library calls its number of threads; a worker has one."""


def usable_cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Crew:
    """At most `size` processes that work by one plan. Use it as a context manager."""

    def __init__(self, size: int, plan: Plan) -> None:
        self.size = size
        self._plan = msgspec.msgpack.encode(plan)
        self._threads = ThreadPoolExecutor(size)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._started: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def submit(self, block: bytes | pl.DataFrame) -> Future[tuple[Answer, Result]]:
        """Hand a block to whichever process is free next."""
        return self._threads.submit(self._ask, block)

    def close(self) -> None:
        """End every process at once; blocks in work are dropped."""
        with self._lock:
            self._closed = True
            for process in self._started:
                process.kill()
        self._threads.shutdown(wait=True, cancel_futures=True)
        for process in self._started:
            process.wait()

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, block: bytes | pl.DataFrame) -> tuple[Answer, Result]:
        """In a thread of the pool, which has one process of its own."""
        if not hasattr(self._own, "process"):
            self._own.process, self._own.pipe = self._start()
        pipe: Connection = self._own.pipe
        try:
            for part in worker.pack_block(block):
                pipe.send_bytes(part)
            answer = worker.decode_answer(pipe.recv_bytes())
            kind, body = pipe.recv_bytes(), pipe.recv_bytes()
        except (EOFError, OSError) as error:
            code = self._own.process.wait()
            raise ModelyardError(
                "A worker process ended by itself.",
                why=f"Its exit code is {code}; it may have run out of memory.",
                next_step="modelyard predict … --workers 1",
            ) from error
        return answer, worker.unpack_block(kind, body)

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        with self._lock, contextlib.closing(theirs):
            if self._closed:
                raise EOFError
            # Ctrl-C reaches the whole group: this process hears it and ends its workers, which
            # are deaf to it from their first moment, since a program keeps its starter's mask.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "modelyard.watch.worker", str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    env=os.environ | dict.fromkeys(_THREADS, "1"),
                )
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._started.append(process)
        ours.send_bytes(self._plan)
        return process, ours
