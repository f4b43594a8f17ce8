"""Nothing that a client sends becomes a 5xx, a traceback, or a server that answers no more.

MODELYARD_FUZZ_EXAMPLES is how many bodies each route gets (500); before a release, give 10000.
"""

from __future__ import annotations

import gc
import json
import os
from pathlib import Path
from typing import Any

import bodies
import pytest
from bodies import Sent
from handmade import ROW, write_package
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from running import resident
from wsgi import Reply, call

from modelyard_serve.app import create_app
from modelyard_serve.settings import Settings

EXAMPLES = int(os.environ.get("MODELYARD_FUZZ_EXAMPLES", "500"))
ROUTES = (bodies.PREDICT, bodies.INVOCATIONS, bodies.INFER, bodies.EXPLAIN, bodies.WHAT_IF)
VALID = json.dumps({"rows": [ROW]}).encode()
JSON_TYPE = {"Content-Type": "application/json"}
PROBLEM = "application/problem+json"


class Target:
    """One application for all examples, and its answer to a valid request."""

    def __init__(self, package: Path) -> None:
        limits = Settings(max_body_bytes=1024 * 1024, max_rows=1000, log_level="error")
        flask = create_app(package, limits)
        self.app = flask.wsgi_app
        self.telemetry = flask.extensions["modelyard.telemetry"]
        self.expected = self.valid()

    def valid(self) -> Any:
        """The answer to one valid row."""
        reply = call(self.app, "POST", bodies.PREDICT, VALID, JSON_TYPE)
        assert reply.status == 200, reply
        return json.loads(reply.body)

    def send(self, route: str, sent: Sent) -> Reply:
        """Send one request of the fuzzer's."""
        return call(self.app, "POST", route, sent.body, sent.headers, length=sent.length)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    """The application under fire."""
    return Target(write_package(tmp_path_factory.mktemp("fuzz") / "package"))


def judge(route: str, reply: Reply) -> None:
    """Fail where an answer is not one that the route may give."""
    kind = reply.headers["content-type"].partition(";")[0]
    assert reply.status < 500, reply
    assert b"Traceback" not in reply.body, reply
    assert b'File "' not in reply.body, reply
    if "content-length" in reply.headers:
        assert int(reply.headers["content-length"]) == len(reply.body)
    if reply.status >= 400:
        document = json.loads(reply.body)
        if route == bodies.INFER:
            assert set(document) == {"error"}, document
            assert isinstance(document["error"], str), document
        else:
            assert kind == PROBLEM, reply
            assert document["status"] == reply.status, document
            assert document["title"], document
            assert document["detail"], document
        return
    assert reply.status == 200, reply
    if kind == "application/json":
        json.loads(reply.body)
    elif kind in ("application/x-ndjson", "application/jsonlines"):
        answers = [json.loads(line) for line in reply.body.splitlines()]
        assert answers
        if kind == "application/x-ndjson":
            assert all("prediction" in answer for answer in answers[:-1])
            last = answers[-1]
            assert "prediction" in last or 400 <= last["status"] < 500, last
    elif kind == "text/csv":
        assert reply.body.decode().endswith("\n")
    else:
        assert (route, kind) == (bodies.INFER, "application/octet-stream")
        text = reply.body[: int(reply.headers["inference-header-content-length"])]
        sizes = [
            output["parameters"]["binary_data_size"]
            for output in json.loads(text)["outputs"]
            if "parameters" in output
        ]
        assert len(text) + sum(sizes) == len(reply.body)


@pytest.mark.parametrize("route", ROUTES)
def test_hostile_bodies(route: str, target: Target) -> None:
    seen: dict[int, int] = {}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(bodies.requests(route))
    def attack(sent: Sent) -> None:
        reply = target.send(route, sent)
        judge(route, reply)
        seen[reply.status] = seen.get(reply.status, 0) + 1
        assert target.valid() == target.expected

    attack()
    target.telemetry.flush()
    # A fuzzer whose every body is refused at the door tests the door only.
    assert 400 in seen, seen
    assert len(seen) >= (3 if EXAMPLES >= 500 else 1), seen


@settings(max_examples=EXAMPLES, deadline=None)
@example(method="GET", path="/", headers={"X-Request-ID": "0\n"})
@given(
    method=st.sampled_from(("GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")),
    path=st.sampled_from(("/", "/v1/", "/v2/models/", "/v2/models/flights", "/page/", "/docs", "/"))
    .flatmap(lambda start: st.text(st.characters(codec="latin-1"), max_size=20).map(start.__add__)),
    headers=st.dictionaries(
        st.sampled_from(("X-Request-ID", "traceparent", "Authorization", "If-None-Match", "Range",
                         "Host", "Cookie", "X-Forwarded-For", "Transfer-Encoding")),
        st.text(st.characters(codec="latin-1"), max_size=40),
        max_size=3,
    ),
)  # fmt: skip
def test_hostile_addresses(target: Target, method: str, path: str, headers: dict[str, str]) -> None:
    reply = call(target.app, method, path, b"", headers)
    assert reply.status < 500, reply
    assert b"Traceback" not in reply.body, reply
    assert "\n" not in reply.headers["x-request-id"]


@pytest.mark.parametrize("route", ROUTES)
def test_memory_stays_flat(route: str, target: Target) -> None:
    """The same hostile bodies again and again: what one leaves behind would add up."""
    kept: list[Sent] = []

    @settings(max_examples=150, phases=[Phase.generate], database=None, derandomize=True,
              deadline=None, suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(bodies.requests(route))
    def collect(sent: Sent) -> None:
        kept.append(sent)

    def round_of_all() -> int:
        for sent in kept:
            target.send(route, sent)
        target.telemetry.flush()
        gc.collect()
        return resident(os.getpid())

    collect()
    for _ in range(5):
        before = round_of_all()
    for _ in range(20):
        after = round_of_all()
    assert after <= before * 1.02 + 2**20, (before, after)
