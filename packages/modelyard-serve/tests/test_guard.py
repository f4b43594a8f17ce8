"""Keys by three headers, probes without one, and a bucket of tokens for each caller."""

from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from handmade import ROW
from wsgi import call

from modelyard_serve import guard as module
from modelyard_serve.app import create_app
from modelyard_serve.errors import SettingsError, TooManyError, UnauthorizedError
from modelyard_serve.guard import OPEN, Guard
from modelyard_serve.settings import Settings

PATH = "/v1/predict"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file of two keys."""
    path = tmp_path / "keys"
    path.write_text("# who: the warehouse\nfirst-key\n\n  second key  \n  # nobody\n")
    return path


@pytest.fixture
def guard(keys: Path) -> Guard:
    """A guard with two keys and no limit."""
    return Guard(Settings(api_keys_file=str(keys)))


def basic(pair: str) -> dict[str, str]:
    """The header of HTTP's Basic scheme."""
    return {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(pair.encode()).decode()}


@pytest.mark.parametrize(
    "environ",
    [
        {"HTTP_X_API_KEY": "first-key"},
        {"HTTP_X_API_KEY": "second key"},
        {"HTTP_AUTHORIZATION": "Bearer first-key"},
        {"HTTP_AUTHORIZATION": "bearer  first-key "},
        basic("anybody:first-key"),
        basic(":second key"),
    ],
)
def test_a_known_key_passes(guard: Guard, environ: dict[str, str]) -> None:
    assert guard.active
    assert guard.secured
    guard.check(environ, PATH)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"HTTP_X_API_KEY": ""},
        {"HTTP_X_API_KEY": "first-key "},
        {"HTTP_X_API_KEY": "FIRST-KEY"},
        {"HTTP_X_API_KEY": "# nobody"},
        {"HTTP_X_API_KEY": "\udcff\u0100"},
        {"HTTP_AUTHORIZATION": "first-key"},
        {"HTTP_AUTHORIZATION": "Bearer"},
        {"HTTP_AUTHORIZATION": "Digest first-key"},
        {"HTTP_AUTHORIZATION": "Basic first-key"},
        {"HTTP_AUTHORIZATION": "Basic " + base64.b64encode(b"\xff:first-key").decode()},
        basic("first-key"),
        basic("first-key:"),
        basic("first-key:other"),
    ],
)
def test_anything_else_is_refused(guard: Guard, environ: dict[str, str]) -> None:
    with pytest.raises(UnauthorizedError) as caught:
        guard.check(environ, PATH)
    assert "first-key" not in caught.value.detail


def test_probes_need_no_key(guard: Guard) -> None:
    for path in OPEN:
        guard.check({}, path)
    for path in ("/metrics", "/", "/docs", "/openapi.json", "/ping/", "//ping"):
        with pytest.raises(UnauthorizedError):
            guard.check({}, path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"", "holds no API key"),
        (b"# only this\n\n", "holds no API key"),
        (b"\xff\n", "cannot be read"),
        ("Schlüssel\n".encode(), "printable ASCII"),
        (b"a\x07b\n", "printable ASCII"),
    ],
)
def test_a_file_that_gives_no_keys(tmp_path: Path, text: bytes, told: str) -> None:
    path = tmp_path / "keys"
    path.write_bytes(text)
    with pytest.raises(SettingsError, match=told):
        Guard(Settings(api_keys_file=str(path)))
    with pytest.raises(SettingsError, match="cannot be read"):
        Guard(Settings(api_keys_file=str(tmp_path)))


def test_without_keys_and_limit_nothing_is_guarded() -> None:
    guard = Guard(Settings())
    assert not guard.active
    assert not guard.secured
    guard.check({}, PATH)


class Clock:
    """A clock that the test moves; the guard reads nothing else."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        """The time that the test has set."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The guard's clock."""
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made.monotonic)
    return made


def passed(guard: Guard, environ: dict[str, str], asked: int) -> int:
    """How many of so many requests at once pass."""
    count = 0
    for _ in range(asked):
        try:
            guard.check(environ, PATH)
            count += 1
        except TooManyError:
            continue
    return count


def test_a_bucket_fills_at_the_rate(clock: Clock) -> None:
    guard = Guard(Settings(rate_limit=5))
    caller = {"REMOTE_ADDR": "10.0.0.1"}
    assert guard.active
    assert not guard.secured
    assert passed(guard, caller, 20) == 5
    clock.now += 0.5
    assert passed(guard, caller, 20) == 2
    clock.now += 3600
    assert passed(guard, caller, 20) == 5
    clock.now += 0.5
    for path in OPEN:  # probes take no token
        guard.check(caller, path)
    assert passed(guard, caller, 20) == 2


def test_less_than_one_a_second(clock: Clock) -> None:
    guard = Guard(Settings(rate_limit=0.1))
    assert passed(guard, {}, 5) == 1
    clock.now += 9.9
    assert passed(guard, {}, 5) == 0
    clock.now += 0.2
    assert passed(guard, {}, 5) == 1


@pytest.mark.parametrize(
    ("one", "other"), [("10.0.0.1", "10.0.0.2"), ("2001:db8::1", "2001:db8::2"), ("::1", "::2")]
)
def test_each_address_has_a_bucket(clock: Clock, one: str, other: str) -> None:
    guard = Guard(Settings(rate_limit=3))
    assert passed(guard, {"REMOTE_ADDR": one}, 9) == 3
    assert passed(guard, {"REMOTE_ADDR": other}, 9) == 3


def test_each_key_has_a_bucket_whatever_the_address(clock: Clock, keys: Path) -> None:
    guard = Guard(Settings(rate_limit=3, api_keys_file=str(keys)))
    first = {"HTTP_X_API_KEY": "first-key"}
    assert passed(guard, {**first, "REMOTE_ADDR": "10.0.0.1"}, 9) == 3
    assert passed(guard, {**first, "REMOTE_ADDR": "10.0.0.2"}, 9) == 0
    assert passed(guard, {"HTTP_AUTHORIZATION": "Bearer second key"}, 9) == 3


def test_callers_that_come_and_go_take_no_memory(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CALLERS", 100)
    guard = Guard(Settings(rate_limit=1))
    assert passed(guard, {"REMOTE_ADDR": "busy"}, 3) == 1
    for number in range(1000):
        clock.now += 0.01
        guard.check({"REMOTE_ADDR": f"caller {number}"}, PATH)
        # Whose bucket is empty is kept: to send from many addresses frees nobody.
        if number == 98:
            assert passed(guard, {"REMOTE_ADDR": "busy"}, 3) == 0
    assert len(guard._buckets) <= 101


def test_the_answers_of_a_guarded_server(package: Path, keys: Path) -> None:
    settings = Settings(api_keys_file=str(keys), rate_limit=2, log_level="error")
    app = create_app(package, settings).wsgi_app
    body = json.dumps({"rows": [ROW]}).encode()
    sent = {"Content-Type": "application/json"}
    for path in (PATH, "/invocations", "/v2/models/flights/infer", "/v1/explain", "/metrics", "/"):
        method = "GET" if path in ("/metrics", "/") else "POST"
        refused = call(app, method, path, body, sent)
        assert refused.status == 401
        challenge = refused.headers["www-authenticate"]
        assert 'Bearer realm="modelyard"' in challenge
        assert 'Basic realm="modelyard"' in challenge
        document = json.loads(refused.body)
        told = document["error"] if path.startswith("/v2") else document["detail"]
        assert "X-API-Key" in told
    assert call(app, "GET", "/ping").status == 200
    keyed = {**sent, "X-API-Key": "first-key"}
    statuses = [call(app, "POST", PATH, body, keyed) for _ in range(4)]
    assert [reply.status for reply in statuses] == [200, 200, 429, 429]
    assert statuses[-1].headers["retry-after"] == "1"
    assert json.loads(statuses[-1].body)["title"] == "Too many requests"
    schemes = json.loads(call(app, "GET", "/openapi.json", b"", {"X-API-Key": "second key"}).body)
    assert set(schemes["components"]["securitySchemes"])


class Pausing(dict[str, tuple[float, float]]):
    """Buckets that let the other threads run between a reading and the writing."""

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key, default)
        time.sleep(0.0002)
        return found


def test_the_limit_is_exact_under_threads() -> None:
    rate, threads, asked = 40.0, 16, 20
    guard = Guard(Settings(rate_limit=rate))
    guard._buckets = Pausing()

    def ask(_: int) -> int:
        passed = 0
        for _ in range(asked):
            with suppress(TooManyError):
                guard.check({"REMOTE_ADDR": "10.0.0.1"}, PATH)
                passed += 1
        return passed

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        passed = sum(pool.map(ask, range(threads)))
    refilled = rate * (time.monotonic() - began)
    assert rate <= passed <= rate + refilled < threads * asked


def test_wrong_keys_are_limited_by_their_address(keys: Path) -> None:
    """And take nothing from a good key, which may come from the same address."""
    guard = Guard(Settings(api_keys_file=str(keys), rate_limit=2))
    here = {"REMOTE_ADDR": "10.0.0.9"}
    told = []
    for number in range(6):
        with pytest.raises((UnauthorizedError, TooManyError)) as caught:
            guard.check(here | {"HTTP_X_API_KEY": f"wrong-{number}"}, PATH)
        told.append(caught.type)
    assert told == [UnauthorizedError] * 2 + [TooManyError] * 4
    guard.check(here | {"HTTP_X_API_KEY": "first-key"}, PATH)
    with pytest.raises(UnauthorizedError, match="send the key"):
        guard.check(here, PATH)
