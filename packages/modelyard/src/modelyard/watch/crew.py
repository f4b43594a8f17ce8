"""Worker processes that score, each with its own scorer on one thread.

A block goes to a thread of this process, which reads and encodes it, has its own worker score the
matrix, and puts the answer in the form of the output: all but the scoring is polars', which
computes beside other threads.

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
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import ModelyardError
from modelyard.watch import worker
from modelyard.watch.scoring import Answer, Plan, Result, Scoring
from modelyard_serve.encoding import Matrix
from modelyard_serve.scorer import Scorer

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What each library calls its number of threads; a worker has one."""


def usable_cpus() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class Crew:
    """At most `size` processes that work by one plan. Use it as a context manager."""

    def __init__(self, size: int, plan: Plan, scorer: Scorer) -> None:
        self.size = size
        self._plan = plan
        self._scorer = scorer
        self._threads = ThreadPoolExecutor(size)
        self._own = threading.local()
        self._lock = threading.Lock()
        self._started: list[subprocess.Popen[bytes]] = []
        self._closed = False

    def submit(self, block: bytes | pl.DataFrame) -> Future[tuple[Answer, Result]]:
        """Hand a block to whichever thread is free next."""
        return self._threads.submit(self._score, block)

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

    def _score(self, block: bytes | pl.DataFrame) -> tuple[Answer, Result]:
        """In a thread of the pool, which has one process of its own."""
        if not hasattr(self._own, "scoring"):
            self._own.process, self._own.pipe = self._start()
            self._own.scoring = Scoring(self._plan, self._scorer, self._ask)
        scoring: Scoring = self._own.scoring
        return scoring.score(block)

    def _ask(self, matrix: Matrix) -> NDArray[np.float64]:
        if not len(matrix):  # records that are all blank lines
            return self._scorer.outputs(matrix)
        try:
            return worker.ask(self._own.pipe, matrix)
        except (EOFError, OSError) as error:
            code = self._own.process.wait()
            raise ModelyardError(
                "A worker process ended by itself.",
                why=f"Its exit code is {code}; it may have run out of memory.",
                next_step="modelyard predict … --workers 1",
            ) from error

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection]:
        ours, theirs = Pipe()
        with self._lock, contextlib.closing(theirs):
            if self._closed:
                raise EOFError
            # Ctrl-C reaches the whole group, and SIGTERM may: this process hears it and ends its
            # workers, which are deaf to both from their first moment, since a program keeps its
            # starter's mask.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
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
        opening = worker.Opening(self._plan.package, self._plan.digest)
        ours.send_bytes(msgspec.msgpack.encode(opening))
        return process, ours
