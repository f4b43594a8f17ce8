"""Worker processes that fit folds: started once, fed by pipes, stopped at the deadline.

The coordinator alone talks to the study's storage, so there is nothing for workers to lock. They
come from a fork server that has imported the estimators already: the import is paid once and the
coordinator's threads are not forked.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

Work = Callable[[Any], Any]
Factory = Callable[..., Work]


@dataclass(frozen=True)
class Answer:
    """What a worker sent back: the task, and its result or the error's text."""

    task: Any
    result: Any = None
    error: str = ""


def warm(preload: Sequence[str]) -> None:
    """Start the fork server, which imports the modules while the caller goes on."""
    # Two workers that both spread their sums over all cores wait for each other most of the
    # time: a logistic regression took 15 s instead of 0.6 s.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    multiprocessing.get_context("forkserver").set_forkserver_preload(list(preload))
    forkserver.ensure_running()


class Pool:
    """A fixed number of processes, each holding what `factory(*arguments)` returned.

    `factory` is a function that can be imported by name; `preload` are the modules to import once.
    """

    def __init__(
        self, size: int, factory: Factory, arguments: Sequence[Any], preload: Sequence[str]
    ) -> None:
        warm(preload)
        context = multiprocessing.get_context("forkserver")
        self._busy: dict[int, Any] = {}
        self._pipes: list[Connection] = []
        self._processes = []
        for _ in range(size):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve, args=(theirs, factory, tuple(arguments)), daemon=True
            )
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    @property
    def idle(self) -> list[int]:
        """Workers without a task."""
        return [index for index in range(len(self._pipes)) if index not in self._busy]

    @property
    def tasks(self) -> list[Any]:
        """The tasks in flight."""
        return list(self._busy.values())

    def submit(self, worker: int, task: Any) -> None:
        """Hand a task to an idle worker."""
        self._busy[worker] = task
        self._pipes[worker].send(task)

    def wait(self, until: float | None) -> list[tuple[int, Answer]]:
        """Return finished answers; empty once `until` (time.monotonic()) has passed."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        ready = wait([self._pipes[index] for index in self._busy], timeout)
        answers = []
        for index in list(self._busy):
            if self._pipes[index] not in ready:
                continue
            task = self._busy.pop(index)
            try:
                answers.append((index, Answer(task, *self._pipes[index].recv())))
            except (EOFError, OSError):
                self._processes[index].join(timeout=2)  # until it has, there is no exit code
                code = self._processes[index].exitcode
                raise ChildProcessError(
                    f"a worker process ended by itself (exit code {code}); "
                    "it may have run out of memory"
                ) from None
        return answers

    def close(self) -> None:
        """Stop every worker at once; tasks in flight are dropped."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join(timeout=5)
        for pipe in self._pipes:
            pipe.close()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _serve(pipe: Connection, factory: Factory, arguments: tuple[Any, ...]) -> None:
    """The worker's loop: build once, then answer until the pipe closes."""
    # Ctrl-C reaches the whole group; the coordinator hears it and ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        try:
            work = factory(*arguments)
        except Exception:
            failure = traceback.format_exc()

            def work(_: Any) -> Any:
                raise RuntimeError(failure)

        while True:
            task = pipe.recv()
            try:
                pipe.send((work(task), ""))
            except Exception:
                pipe.send((None, traceback.format_exc(limit=-3)))
