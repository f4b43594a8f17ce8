"""Who may ask and how often, and what the server writes of it."""

from __future__ import annotations

import base64
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from handmade import ROW
from load import Load
from running import COMMAND, Running, ask, free_port

Start = Callable[..., Running]
BODY = {"rows": [ROW]}
BYTES = json.dumps(BODY).encode()
LINE = json.dumps(ROW).encode() + b"\n"
NDJSON = "application/x-ndjson"


def test_keys_and_basic(start: Start, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("# two callers\nfirst-secret\n\nsecond-secret\n")
    server = start(MODELYARD_API_KEYS_FILE=str(keys)).ready()
    answer = server.post("/v1/predict", BODY)
    assert answer.status == 401
    assert "Bearer realm=" in answer.headers["www-authenticate"]
    assert answer.headers["content-type"] == "application/problem+json"
    basic = base64.b64encode(b"anybody:second-secret").decode()
    good = (
        {"X_API_Key": "first-secret"},
        {"Authorization": "Bearer second-secret"},
        {"Authorization": f"Basic {basic}"},
    )
    for headers in good:
        assert server.post("/v1/predict", BODY, **headers).status == 200
    bad = (
        {"X_API_Key": "third"},
        {"X_API_Key": "first-secre"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer"},
        {"Authorization": f"Basic {base64.b64encode(b'second-secret').decode()}"},
    )
    for headers in bad:
        assert server.post("/v1/predict", BODY, **headers).status == 401
    assert server.get("/metrics").status == 401
    assert server.get("/ping").status == 200
    refused_stream = server.post("/v1/predict", LINE, NDJSON)
    assert refused_stream.status == 401
    assert server.post("/v2/models/flights/infer", {}).json()["error"]
    assert "secret" not in server.out.read_text() + server.err.read_text()


def test_the_rate_limit(start: Start) -> None:
    server = start(MODELYARD_RATE_LIMIT="5").ready()
    answers = [server.post("/v1/predict", BODY) for _ in range(12)]
    statuses = [answer.status for answer in answers]
    assert 5 <= statuses.count(200) <= 8
    assert set(statuses) == {200, 429}
    stopped = answers[statuses.index(429)]
    assert int(stopped.headers["retry-after"]) >= 1
    assert stopped.json()["status"] == 429
    time.sleep(int(stopped.headers["retry-after"]))
    assert server.post("/v1/predict", BODY).status == 200
    assert all(server.get("/ping").status == 200 for _ in range(20))


def test_log_lines_are_json_with_ids_and_traces(served: Running) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = served.post(
        "/v1/predict",
        BODY,
        X_Request_ID="order-17",
        traceparent=f"00-{trace}-00f067aa0ba902b7-01",
    )
    assert answer.headers["x-request-id"] == "order-17"
    made = served.post("/v1/predict", b"{", X_Request_ID="no ids\twith blanks")
    assert made.headers["x-request-id"] not in ("", "no ids\twith blanks")
    served.get("/no%0asuch%ffplace")
    served.until(lambda: sum(x["event"] == "request" for x in served.lines()) == 3, 5)
    first, second, third = (x for x in served.lines() if x["event"] == "request")
    assert (first["request_id"], first["trace_id"]) == ("order-17", trace)
    assert (first["status"], first["rows"], first["bytes_in"]) == (200, 1, len(BYTES))
    assert first["client"] == "127.0.0.1"
    assert (second["status"], second["request_id"]) == (400, made.headers["x-request-id"])
    assert "not JSON" in second["error"]
    assert (third["status"], third["path"]) == (404, "/no\nsuch\xffplace")
    served.terminate()
    assert served.wait() == 0
    assert {line["event"] for line in served.lines()} == {
        "listening", "ready", "request", "stopped",
    }  # fmt: skip
    assert served.err.read_text() == ""


def test_the_prediction_log_masks_and_rotates(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    server = start(
        MODELYARD_PREDICTION_LOG=str(folder),
        MODELYARD_PREDICTION_LOG_MASK="carrier, Größe (€)",
        MODELYARD_PREDICTION_LOG_BYTES="20000",
        MODELYARD_PREDICTION_LOG_FILES="2",
    ).ready()
    for number in range(40):
        body = {"rows": [ROW | {"distance": number}] * 10}
        assert server.post("/v1/predict", body, X_Request_ID=f"r{number}").status == 200
        if number % 5 == 4:
            time.sleep(0.25)  # the log is written a few times a second, and rotated then
    server.terminate()
    assert server.wait() == 0
    names = {path.name for path in folder.iterdir()}
    assert {"predictions-0.1.jsonl", "predictions-0.2.jsonl"} <= names
    assert names <= {"predictions-0.jsonl", "predictions-0.1.jsonl", "predictions-0.2.jsonl"}
    lines = [
        json.loads(line)
        for path in folder.iterdir()
        for line in path.read_text("utf-8").splitlines()
    ]
    assert all(set(line["input"]) == {"distance", "night", "when"} for line in lines)
    assert all(line["request_id"] == f"r{line['input']['distance']:.0f}" for line in lines)
    assert all(line["model"] == "flights" and len(line["probabilities"]) == 2 for line in lines)
    assert max(line["input"]["distance"] for line in lines) == 39  # the newest are kept


def test_the_prediction_log_has_a_stream_s_rows(start: Start, tmp_path: Path) -> None:
    server = start(MODELYARD_PREDICTION_LOG=str(tmp_path / "predictions")).ready()
    sent = b"".join(json.dumps(ROW | {"distance": row}).encode() + b"\n" for row in range(2500))
    assert server.post("/v1/predict", sent, NDJSON, X_Request_ID="s1").status == 200
    server.terminate()
    assert server.wait() == 0
    text = (tmp_path / "predictions/predictions-0.jsonl").read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    assert [line["row"] for line in lines] == list(range(2500))
    assert all(line["input"]["distance"] == line["row"] for line in lines)
    assert {line["request_id"] for line in lines} == {"s1"}


def test_a_drain_is_no_error_at_the_level_warning(start: Start) -> None:
    server = start(LOG_LEVEL="warning", MODELYARD_DRAIN_SECONDS="1").ready()
    server.terminate()
    statuses = []
    for _ in range(5):
        time.sleep(0.1)
        statuses.append(ask(server.port, "GET", "/v2/health/ready").status)
    assert statuses[-1] == 503
    assert server.wait() == 0
    assert server.lines() == []


def test_a_log_that_nobody_reads_stops_no_answer(package: Path, tmp_path: Path) -> None:
    """A full pipe at standard output: lines may be lost, answers may not."""
    port = free_port()
    read, write = os.pipe()
    pid = os.posix_spawn(
        COMMAND,
        [str(COMMAND), str(package)],
        {**os.environ, "PORT": str(port), "MODELYARD_DRAIN_SECONDS": "0"},
        file_actions=[(os.POSIX_SPAWN_DUP2, write, 1), (os.POSIX_SPAWN_CLOSE, read)],
        setsigdef=[signal.SIGINT],
    )
    os.close(write)
    try:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert ask(port, "GET", "/ping").status == 200
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        with Load(port, "/v1/predict", BYTES) as load:
            load.until(3000)  # each leaves a line of 200 bytes; the pipe holds 64 KiB
            load.stop()
        assert load.counts["lost"] == 0
    finally:
        os.close(read)  # now nobody can read it any more, which must not matter either
        os.kill(pid, signal.SIGTERM)
        _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
