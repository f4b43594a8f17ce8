"""Worker processes: parallel, stopped at the deadline, honest about failures."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from modelyard.tools.workers import Pool


def doubler(offset: int) -> Callable[[Any], Any]:
    """A factory that workers can import by name."""

    def work(task: Any) -> Any:
        if task == "sleep":
            time.sleep(60)
        if task == "die":
            os._exit(3)
        if task == "pid":
            return os.getpid()
        return 2 * task + offset

    return work


def broken(message: str) -> Callable[[Any], Any]:
    raise ValueError(message)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(__file__).parent)
    monkeypatch.syspath_prepend(here)
    monkeypatch.setenv("PYTHONPATH", here)


def collect(pool: Pool, count: int) -> list[Any]:
    answers: list[Any] = []
    while len(answers) < count:
        answers += [answer for _, answer in pool.wait(time.monotonic() + 30)]
    return answers


def test_tasks_are_answered_by_different_processes() -> None:
    import test_workers

    with Pool(2, test_workers.doubler, (1,), ()) as pool:
        for worker in pool.idle:
            pool.submit(worker, "pid")
        pids = {answer.result for answer in collect(pool, 2)}
        assert len(pids) == 2
        assert os.getpid() not in pids
        pool.submit(0, 20)
        assert [a.result for a in collect(pool, 1)] == [41]


def test_the_deadline_stops_what_is_in_flight() -> None:
    import test_workers

    started = time.monotonic()
    with Pool(1, test_workers.doubler, (0,), ()) as pool:
        pool.submit(0, "pid")
        (answer,) = collect(pool, 1)
        pool.submit(0, "sleep")
        assert pool.wait(time.monotonic() + 0.2) == []
        assert pool.tasks == ["sleep"]
    assert time.monotonic() - started < 30
    assert not psutil.pid_exists(answer.result) or (
        psutil.Process(answer.result).status() == psutil.STATUS_ZOMBIE
    )


def test_a_failing_task_comes_back_as_its_error() -> None:
    import test_workers

    with Pool(1, test_workers.doubler, (0,), ()) as pool:
        pool.submit(0, {})
        (answer,) = collect(pool, 1)
        assert answer.result is None
        assert "TypeError" in answer.error


def test_a_failing_factory_is_told_for_every_task() -> None:
    import test_workers

    with Pool(1, test_workers.broken, ("no such folder",), ()) as pool:
        pool.submit(0, 1)
        (answer,) = collect(pool, 1)
        assert "no such folder" in answer.error


def test_a_worker_that_dies_is_an_error_and_not_a_hang() -> None:
    import test_workers

    with Pool(1, test_workers.doubler, (0,), ()) as pool:
        pool.submit(0, "die")
        with pytest.raises(ChildProcessError, match="ended by itself"):
            pool.wait(time.monotonic() + 30)
