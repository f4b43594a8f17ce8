"""The server as a process: its start, its end, its limits, its workers, its log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from handmade import ROW
from load import Load
from running import Running, free_port, resident

from modelyard_serve.contract import GOLDEN, MANIFEST, Golden, file_digest
from modelyard_serve.scorer import Scorer

Start = Callable[..., Running]
BODY = {"rows": [ROW]}
BYTES = json.dumps(BODY).encode()
LINE = json.dumps(ROW).encode() + b"\n"
CONTRACT = Path(__file__).resolve().parents[3] / "contract" / "format-1"
NDJSON = "application/x-ndjson"


def both(start: Start, **settings: str) -> Running:
    """A server with two workers, both ready."""
    server = start(WEB_CONCURRENCY="2", **settings).ready()
    server.until(lambda: sum(line["event"] == "ready" for line in server.lines()) == 2, 20)
    return server


def refused(start: Start, *, at: Path, **settings: str) -> str:
    """Start a server that must not start; returns what it says."""
    server = start(at=at, **settings)
    assert server.wait() == 1, server
    assert "Traceback" not in str(server)
    return server.err.read_text()


# --- the start ------------------------------------------------------------------------------------


def test_it_prints_its_address_and_answers_as_the_scorer(served: Running, package: Path) -> None:
    lines = {line["event"]: line for line in served.lines()}
    assert lines["listening"]["address"] == f"http://127.0.0.1:{served.port}"
    assert lines["listening"]["model"] == "flights"
    answer = served.post("/v1/predict", BODY)
    assert answer.status == 200
    assert answer.json()["probabilities"] == Scorer(package).score_rows([ROW]).outputs.tolist()
    assert served.get("/v2/health/ready").json() == {"ready": True}


def test_the_package_of_the_contract_is_served(start: Start) -> None:
    server = start(at=CONTRACT).ready()
    golden = msgspec.json.decode((CONTRACT / GOLDEN).read_bytes(), type=Golden)
    answer = server.post("/v1/predict", {"rows": golden.rows})
    for found, expected in zip(answer.json()["probabilities"], golden.scores, strict=True):
        assert found == pytest.approx(expected, abs=golden.tolerance)


@pytest.mark.parametrize("name", [path.name for path in sorted(CONTRACT.iterdir())])
def test_one_flipped_byte_and_it_does_not_start(start: Start, tmp_path: Path, name: str) -> None:
    package = Path(shutil.copytree(CONTRACT, tmp_path / "flipped"))
    content = bytearray((package / name).read_bytes())
    # In the manifest only what it says of the files can be checked: flip a digest's digit.
    at = content.index(b"sha256:") + 9 if b"sha256:" in content else len(content) // 2
    if name == MANIFEST:
        at = content.index(file_digest(CONTRACT / "model.onnx").encode()) + 5
    content[at] ^= 1
    (package / name).write_bytes(bytes(content))
    told = refused(start, at=package)
    assert ("model.onnx" if name == MANIFEST else name) in told
    assert "was changed after packing" in told


def test_golden_samples_that_disagree_are_refused_by_row(start: Start, package: Path) -> None:
    golden = msgspec.json.decode((package / GOLDEN).read_bytes(), type=Golden)
    golden.scores[1] = [0.25, 0.75]
    (package / GOLDEN).write_bytes(msgspec.json.encode(golden))
    manifest = json.loads((package / MANIFEST).read_text())
    manifest["files"][GOLDEN] = file_digest(package / GOLDEN)
    (package / MANIFEST).write_text(json.dumps(manifest))
    port = free_port()
    server = start(at=package, port=port)
    while server.process.poll() is None:
        assert not server.is_ready(), "ready before the golden samples were checked"
    assert server.wait() == 1
    assert "golden sample 1 gives [0.5, 0.5], packed was [0.25, 0.75]" in server.err.read_text()
    assert "Traceback" not in str(server)


def test_an_unknown_format_is_refused(start: Start, package: Path) -> None:
    manifest = json.loads((package / MANIFEST).read_text()) | {"format": 99}
    (package / MANIFEST).write_text(json.dumps(manifest))
    assert "FORMAT 99" in refused(start, at=package)


def test_a_port_in_use_is_told(start: Start, package: Path, served: Running) -> None:
    """By any program, and by another server of ours, whose sockets would share the port."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        for port in (other.getsockname()[1], served.port):
            server = start(port=port)
            assert server.wait() == 1
            told = server.err.read_text()
            assert told.count("\n") == 1, told
            assert f"port {port}: Address already in use; set PORT" in told
    assert served.is_ready()


def test_a_host_that_is_no_address_is_told(start: Start, package: Path) -> None:
    assert "HOST=example.invalid" in refused(start, at=package, HOST="example.invalid")


# --- the end --------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_under_load_loses_no_request(start: Start, workers: int) -> None:
    settings = {"MODELYARD_DRAIN_SECONDS": "1"}
    server = both(start, **settings) if workers == 2 else start(**settings).ready()
    with Load(server.port, "/v1/predict", BYTES) as load:
        load.until(200)
        server.terminate()
        server.until(lambda: server.get("/ping").status == 503, 2)
        assert server.get("/v2/health/ready").json() == {"ready": False}
        assert server.get("/v2/health/live").status == 200
        load.until(20)  # not ready, and yet it answers
        assert server.wait() == 0
        load.join()
    assert load.counts["lost"] == 0, (load.counts, load.errors)
    assert load.counts["refused"] == 4, load.counts
    assert set(load.counts) <= {"200", "refused", "retried"}, load.counts
    print(f"{load.counts}; retried: connections that the server closed while they were idle")


def test_a_stream_under_way_is_answered_to_its_end(start: Start) -> None:
    server = start(MODELYARD_DRAIN_SECONDS="0").ready()

    def rows() -> Iterator[bytes]:
        for number in range(10):
            yield LINE * 1024
            if number == 5:
                server.terminate()
                time.sleep(0.3)

    answer = server.post("/v1/predict", rows(), NDJSON)
    assert answer.status == 200
    assert answer.body.count(b"\n") == 10 * 1024
    assert server.wait() == 0


def test_a_second_sigterm_ends_at_once(start: Start) -> None:
    server = start(MODELYARD_DRAIN_SECONDS="60").ready()
    server.terminate()
    server.until(lambda: not server.is_ready(), 2)
    began = time.monotonic()
    server.terminate()
    assert server.wait() == 0
    assert time.monotonic() - began < 5


def test_ctrl_c_ends_at_once(start: Start) -> None:
    server = start(MODELYARD_DRAIN_SECONDS="60").ready()
    server.process.send_signal(signal.SIGINT)
    assert server.wait(5) == 0


def test_sigterm_while_workers_start(start: Start) -> None:
    """A worker that has not its own handlers yet must not be waited for."""
    server = start(WEB_CONCURRENCY="2", MODELYARD_DRAIN_SECONDS="0")
    server.until(lambda: any(line["event"] == "listening" for line in server.lines()), 20)
    began = time.monotonic()
    server.terminate()
    assert server.wait() in (0, -signal.SIGTERM)
    assert time.monotonic() - began < 10


# --- the workers ----------------------------------------------------------------------------------


def test_a_killed_worker_is_replaced(start: Start) -> None:
    server = both(start)
    victim, other = server.workers()
    with Load(server.port, "/v1/predict", BYTES) as load:
        load.until(200)
        before = server.counters()
        os.kill(victim, signal.SIGKILL)
        load.until(200, seconds=5)  # the other goes on meanwhile
        took = server.until(lambda: len(server.workers()) == 2, 10)
        server.until(lambda: sum(x["event"] == "ready" for x in server.lines()) == 3, 10)
        load.until(200)
        load.stop()
    assert other in server.workers()
    # What the killed worker had in hand, once for each client, and in its queue, is lost.
    assert load.counts["lost"] + load.counts["retried"] <= 8, (load.counts, load.errors)
    after = server.counters()
    fallen = [n for n, v in before.items() if n.split("{")[0] != "modelyard_ready" and after[n] < v]
    assert fallen == []
    counted = server.count("modelyard_requests_total", route="/v1/predict", code="200")
    assert abs(counted - load.answered) <= 4
    print(f"replaced after {took:.2f} s, {load.counts}")


def test_counters_sum_over_workers_and_never_fall(start: Start) -> None:
    server = both(start)
    for number in range(1, 41):
        assert server.post("/v1/predict", BODY).status == 200  # a new connection: either worker
        rows = server.count("modelyard_rows_total", route="/v1/predict")
        requests = server.count("modelyard_requests_total", route="/v1/predict")
        assert rows == requests == number
    seen = server.count("modelyard_predictions_total")
    time.sleep(0.3)  # each worker counts its last rows a few times a second
    assert seen <= server.count("modelyard_predictions_total", **{"class": "yes"}) == 40


def test_workers_do_not_outlive_the_parent(start: Start) -> None:
    server = both(start)
    workers = server.workers()
    server.process.kill()
    server.wait()
    deadline = time.monotonic() + 10
    while any(resident(pid) for pid in workers):
        assert time.monotonic() < deadline, "orphans hold the port"
        time.sleep(0.05)
