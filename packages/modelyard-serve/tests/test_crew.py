"""A worker's threads: one answers, the others rest, and come back where it is held up."""

from __future__ import annotations

import http.client
import json
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from granian import Granian
from handmade import ROW
from load import Load
from running import Running

from modelyard_serve import crew as crews
from modelyard_serve import server
from modelyard_serve.crew import Crew

BODY = json.dumps({"rows": [ROW]}).encode()
LARGE = json.dumps({"rows": [ROW] * 4000}).encode()


class Pool:
    """Threads that take tasks from one queue, as Granian's do."""

    def __init__(self, threads: int) -> None:
        self.crew = Crew()
        self.done: list[str] = []
        self.most = 0  # tasks that were at work at one time
        self._now = 0
        self._tasks: queue.Queue[tuple[str, Callable[[], None]]] = queue.Queue()
        self._count = threading.Lock()
        run = self.crew.runs(self._answer)
        for _ in range(threads):
            threading.Thread(target=self._loop, args=(run,), daemon=True).start()

    def put(self, name: str, work: Callable[[], None] = lambda: None) -> None:
        """One more request."""
        self._tasks.put((name, work))

    def until(self, holds: Callable[[], bool], seconds: float = 20) -> None:
        """Wait, looking after the threads, until something holds."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < seconds, (self.done, self.crew.resting)
            self.crew.look()
            time.sleep(crews.PATIENCE)

    def _loop(self, run: Callable[[Any, dict[str, Any]], Any]) -> None:
        while True:
            name, work = self._tasks.get()
            try:
                run(work, {"name": name, "REQUEST_METHOD": "POST"})
            except OSError:
                self.done.append(f"{name} failed")

    def _answer(self, work: Callable[[], None], scope: dict[str, Any]) -> int:
        with self._count:
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            work()
        finally:
            with self._count:
                self._now -= 1
        self.done.append(scope["name"])
        return 200


def test_who_has_answered_rests_while_another_is_at_work() -> None:
    pool = Pool(4)
    first = [threading.Event() for _ in range(4)]
    for place, event in enumerate(first):
        pool.put(f"first {place}", lambda event=event: event.wait() and None)
    pool.until(lambda: pool.most == 4)  # and all four are held up by now
    for event in first:
        event.set()
    pool.until(lambda: len(pool.done) == 4)
    pool.most = 0
    for number in range(200):
        pool.put(f"next {number}", lambda: time.sleep(0.0005))
    while len(pool.done) < 204:  # nobody looks: a slow machine must not call any of them back
        time.sleep(0.001)
    # At their first request all may meet; then they rest.
    assert pool.crew.resting == 3
    pool.most = 0
    for number in range(100):
        pool.put(f"last {number}", lambda: time.sleep(0.0005))
    began = len(pool.done)
    while len(pool.done) < began + 100:
        time.sleep(0.001)
    assert pool.most == 1


def test_another_comes_where_all_at_work_are_held_up() -> None:
    pool = Pool(4)
    for number in range(50):
        pool.put(str(number), lambda: time.sleep(0.0005))
    pool.until(lambda: len(pool.done) == 50)
    stalled = [threading.Event() for _ in range(3)]
    for place, event in enumerate(stalled):
        pool.put(f"stalled {place}", lambda event=event: event.wait() and None)
    for number in range(50, 100):
        pool.put(str(number))
    pool.until(lambda: len(pool.done) == 100)
    assert not any("stalled" in name for name in pool.done)
    for event in stalled:
        event.set()
    pool.until(lambda: len(pool.done) == 103)
    pool.crew.wake()
    assert pool.crew.resting == 0
    pool.put("after", lambda: None)
    pool.until(lambda: "after" in pool.done)


def test_a_defect_does_not_rest() -> None:
    """Granian answers for it only after the thread has returned."""
    pool = Pool(2)

    def fail() -> None:
        raise OSError

    other = threading.Event()
    pool.put("other", lambda: other.wait() and None)
    pool.put("defect", fail)
    pool.until(lambda: "defect failed" in pool.done)
    assert pool.crew.resting == 0
    other.set()
    pool.until(lambda: "other" in pool.done)


def test_it_is_told_once_when_requests_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crews, "CALM", crews.PATIENCE)
    monkeypatch.setattr(crews, "IDLE", 2 * crews.QUIET)
    pool, told = Pool(2), []

    def idle() -> None:
        told.append(len(pool.done))
        raise OSError("told in the log; the watch goes on")

    pool.crew.watch(idle=idle)
    for turn in (1, 2):
        for number in range(50):
            pool.put(f"{turn} {number}", lambda: time.sleep(0.0005))
        began = time.monotonic()
        while 50 * turn not in told:
            assert time.monotonic() - began < 20
            time.sleep(0.01)
        assert pool.crew.resting == 0
    time.sleep(0.5)
    assert told.count(50) == told.count(100) == 1


@pytest.mark.parametrize(
    ("method", "status", "rests"),
    [("POST", 200, True), ("POST", 413, False), ("POST", 503, False), ("GET", 200, False)],
)
def test_who_may_hold_an_unread_body_does_not_rest(method: str, status: int, rests: bool) -> None:
    """The server keeps a connection whose body was not read until the thread has returned."""
    crew, entered, rest = Crew(), threading.Event(), threading.Event()

    def first(_protocol: Any, _scope: dict[str, Any]) -> int:
        entered.set()
        return int(rest.wait(20))

    other = threading.Thread(target=crew.runs(first), args=(None, {}))
    other.start()
    assert entered.wait(20)
    run = crew.runs(lambda _protocol, _scope: status)
    mine = threading.Thread(target=run, args=(None, {"REQUEST_METHOD": method}))
    mine.start()
    if rests:
        began = time.monotonic()
        while not crew.resting:
            assert time.monotonic() - began < 20
            time.sleep(0.001)
        assert mine.is_alive()
        crew.wake()
    mine.join(20)
    assert not mine.is_alive()
    assert crew.resting == 0
    rest.set()
    other.join(20)


def test_granian_has_the_place_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is no part of its interface: this test tells when a new version has moved it."""
    module, crew, seen = sys.modules[Granian.__module__], Crew(), []
    monkeypatch.setattr(module, server._WRAPPER, getattr(module, server._WRAPPER))
    monkeypatch.setattr(crew, "_end", lambda: seen.append("left"))
    assert server._answers_by(crew)

    class Protocol:
        def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
            seen.append((status, headers, body))

    def app(_environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("a", "b")])
        return [b"one", b"two"]

    run = getattr(module, server._WRAPPER)(app, {"url_path_prefix": None}, None)
    assert run(Protocol(), {"PATH_INFO": "/"}) == 200
    assert seen == [(200, [("a", "b")], b"onetwo"), "left"]
    monkeypatch.delattr(module, server._WRAPPER)
    assert not server._answers_by(crew)


def test_refused_bodies_do_not_hold_connections_under_load(served: Running) -> None:
    """A body that was not read goes with its request, also where the thread rests after it."""
    assert "no_crew" not in {line["event"] for line in served.lines()}
    with Load(served.port, "/v1/predict", BODY, clients=6) as load:
        for turn in range(20):
            # At once, while several threads are at work still, and one that answered would rest.
            load.until(20 if turn > 3 else 1)
            with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
                head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                client.sendall(head + b"Content-Length: 999999999999\r\n\r\n{")
                with http.client.HTTPResponse(client) as answer:
                    answer.begin()
                    assert answer.status == 413
                    answer.read()
                assert client.recv(10) == b""
    assert load.counts["lost"] == 0, load.errors[:3]


def test_large_bodies_do_not_hold_up_small_ones(served: Running) -> None:
    with (
        Load(served.port, "/v1/predict", LARGE, clients=2) as heavy,
        Load(served.port, "/v1/predict", BODY, clients=4) as light,
    ):
        heavy.until(4, seconds=60)
        light.until(50)
    assert heavy.counts["lost"] == light.counts["lost"] == 0
