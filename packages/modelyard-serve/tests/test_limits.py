"""What a client may send, how much memory it costs, and how a stream fails."""

from __future__ import annotations

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from handmade import LATE, ROW
from running import Running, ask, resident
from wsgi import call

from modelyard_serve.app import make_app, open_served
from modelyard_serve.encoding import Matrix
from modelyard_serve.served import Predicted
from modelyard_serve.settings import Settings

Start = Callable[..., Running]
BODY = {"rows": [ROW]}
BYTES = json.dumps(BODY).encode()
LINE = json.dumps(ROW).encode() + b"\n"
NDJSON = "application/x-ndjson"


def test_a_body_of_100_megabytes_is_refused_by_its_length(served: Running) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 104857600\r\n\r\n"
        )
        answer = http.client.HTTPResponse(client)
        answer.begin()
        assert answer.status == 413
        assert json.loads(answer.read())["status"] == 413


def test_chunked_uploads_stop_at_the_limit(start: Start) -> None:
    server = start(MODELYARD_MAX_BODY_BYTES=str(4 * 2**20)).ready()
    worker = server.workers()[0]
    before = resident(worker)
    sent = 0
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        try:
            while sent < 100 * 2**20:
                client.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
                sent += 65536
        except (ConnectionError, TimeoutError):
            pass  # the server has answered and closed: what is left to send goes nowhere
        answer = http.client.HTTPResponse(client)
        try:
            answer.begin()
            assert answer.status == 413
        except ConnectionError:
            pass  # a reset may overtake the answer; the log tells it all the same
    served = server.until(lambda: any(x.get("status") == 413 for x in server.lines()), 5)
    assert served < 5
    assert sent < 100 * 2**20, "the whole upload was taken"
    assert resident(worker) - before < 32 * 2**20
    assert server.post("/v1/predict", BODY).status == 200


def test_too_many_rows_are_refused_and_streams_are_not(start: Start) -> None:
    server = start(MODELYARD_MAX_ROWS="10").ready()
    answer = server.post("/v1/predict", {"rows": [ROW] * 11})
    assert answer.status == 413
    assert "11 rows were sent; one request takes 10" in answer.json()["detail"]
    assert server.post("/v1/predict", {"rows": [ROW] * 10}).status == 200
    split = {"columns": list(ROW), "data": [list(ROW.values())] * 11}
    assert server.post("/invocations", {"dataframe_split": split}).status == 413


def test_a_stream_of_300000_rows_in_bounded_memory(served: Running) -> None:
    worker = served.workers()[0]
    assert served.post("/v1/predict", LINE * 3000, NDJSON).status == 200
    before, most = resident(worker), 0
    blocks, lines = 300, 1000

    def rows() -> Iterator[bytes]:
        nonlocal most
        for _ in range(blocks):
            yield LINE * lines
            most = max(most, resident(worker))

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=60)
    reader = _Reader(connection)
    connection.request(
        "POST", "/v1/predict", reader.between(rows()), {"Content-Type": NDJSON}, encode_chunked=True
    )
    assert reader.finish() == blocks * lines
    sent = blocks * lines * len(LINE)
    assert most - before < 24 * 2**20, f"{before} -> {most} for {sent} bytes"
    print(f"{sent / 2**20:.0f} MB in, RSS {before / 2**20:.0f} -> {most / 2**20:.0f} MB")
    rows_counted = served.count("modelyard_rows_total", route="/v1/predict")
    assert rows_counted == blocks * lines + 3000


class _Reader:
    """Reads the answer of a stream while the request is still being sent, as it must be."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._kept = bytearray()

    def between(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The blocks; whatever has come meanwhile is read before each."""
        for block in blocks:
            yield block
            self._connection.sock.setblocking(False)
            try:
                while piece := self._connection.sock.recv(2**20):
                    self._kept += piece
            except BlockingIOError:
                pass
            self._connection.sock.settimeout(60)

    def finish(self) -> int:
        """Read to the end; returns the number of lines, each a prediction, with status 200."""
        while not self._kept.endswith(b"0\r\n\r\n"):
            piece = self._connection.sock.recv(2**20)
            assert piece, "the answer ended in the middle"
            self._kept += piece
        self._connection.close()
        assert self._kept.startswith(b"HTTP/1.1 200"), self._kept[:300]
        assert b'"detail"' not in self._kept
        return self._kept.count(b'{"prediction"')


def test_an_answer_that_nobody_reads_is_not_kept_in_memory(served: Running) -> None:
    worker = served.workers()[0]
    before = resident(worker)
    block = LINE * 500
    with socket.create_connection(("127.0.0.1", served.port), timeout=2) as client:
        client.sendall(
            b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        upload = (f"{len(block):x}\r\n".encode() + block + b"\r\n") * 2000
        with pytest.raises(TimeoutError):  # it takes no more than it can answer
            client.sendall(upload)
    assert resident(worker) - before < 24 * 2**20
    served.until(served.is_ready, 5)
    told = "the client left before the stream's end"
    served.until(lambda: any(line.get("error") == told for line in served.lines()), 5)


def test_a_stream_that_fails_in_the_middle_ends_with_the_problem(served: Running) -> None:
    good, bad = LINE * 2000, json.dumps(ROW | {"distance": "far"}).encode() + b"\n"
    answer = served.post("/v1/predict", good + bad + good, NDJSON)
    assert answer.status == 200
    *lines, last = [json.loads(line) for line in answer.body.splitlines()]
    assert len(lines) == 1024  # whole blocks stand; the block of the bad row is refused
    assert all(line["prediction"] == "yes" for line in lines)
    assert lines[0]["probabilities"]["yes"] == pytest.approx(LATE)
    assert last["status"] == 422
    assert last["problems"][0]["row"] == 2000


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", {}, 400),
        (b"\n\n", {}, 400),
        (b"{", {}, 400),
        (b"x" * (1024 * 1024 + 70_000), {}, 413),
        (b"x", {"Content_Encoding": "br"}, 415),
        (b"x", {"Content_Encoding": "gzip"}, 400),
        (b'{"distance": 1}\n', {}, 422),
    ],
)
def test_a_stream_that_fails_at_its_start_is_a_problem_document(
    served: Running, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = served.post("/v1/predict", body, NDJSON, **headers)
    assert answer.status == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["status"] == status


def test_a_defect_in_the_middle_of_a_stream_is_told(
    package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stream must not end as if it were whole, and the client learns nothing of the inside."""
    settings = Settings(log_level="error")
    opened = open_served(package, settings)
    predict, calls = opened.predict, iter(range(9))

    def failing(matrix: Matrix) -> Predicted:
        if next(calls) == 1:
            raise RuntimeError("a secret of the inside")
        return predict(matrix)

    monkeypatch.setattr(opened, "predict", failing)
    app = make_app(opened, settings).wsgi_app
    reply = call(app, "POST", "/v1/predict", LINE * 3000, {"Content-Type": NDJSON})
    assert reply.status == 200  # it was sent before the defect
    *lines, last = [json.loads(line) for line in reply.body.splitlines()]
    assert len(lines) == 1024
    assert last["status"] == 500
    assert b"secret" not in reply.body


def _stall(
    port: int, kind: str = "application/json", path: str = "/v1/predict", body: bytes = b"{"
) -> socket.socket:
    """A client that sends the beginning of a body and no more."""
    client = socket.create_connection(("127.0.0.1", port), timeout=20)
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    client.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n" + body)
    return client


def test_a_client_that_stalls_stops_nobody(served: Running) -> None:
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(_stall(served.port))
        time.sleep(0.2)
        for _ in range(20):
            assert ask(served.port, "GET", "/ping", seconds=5).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells when data came last")
@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("application/json", "/v1/predict"),
        ("application/x-ndjson", "/v1/predict"),
        ("application/json", "/v1/explain"),
    ],
)
def test_clients_that_stall_are_let_go(start: Start, kind: str, path: str) -> None:
    """More of them than there are threads, on every way to read a body."""
    server = start(MODELYARD_BODY_SECONDS="1").ready()
    (worker,) = server.workers()
    before = len(list(Path(f"/proc/{worker}/fd").iterdir()))
    with ExitStack() as stack:
        clients = [stack.enter_context(_stall(server.port, kind, path)) for _ in range(40)]
        server.until(server.is_ready, 30)
        told = clients[0].recv(4000)
        assert told.startswith(b"HTTP/1.1 400 ")
        assert b"nothing came for 1 s" in told
    assert ask(server.port, "GET", "/ping", seconds=5).status == 200
    server.until(lambda: len(list(Path(f"/proc/{worker}/fd").iterdir())) <= before + 5, 10)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells when data came last")
def test_a_body_that_comes_slowly_but_comes_is_answered(start: Start) -> None:
    """Its length is not told, and all of it takes longer than anybody may be silent."""
    server = start(MODELYARD_BODY_SECONDS="1").ready()
    body = json.dumps({"rows": [ROW]}).encode()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        client.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
        step = len(body) // 5 + 1
        for start_at in range(0, len(body), step):
            part = body[start_at : start_at + step]
            client.sendall(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            time.sleep(0.4)
        client.sendall(b"0\r\n\r\n")
        assert client.recv(4000).startswith(b"HTTP/1.1 200 ")
