"""Keys of a Secret: what the tools send is the first line that is a key."""

from __future__ import annotations

import base64
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from modelyard.errors import ModelyardError
from modelyard.ship.deploy import kubernetes, replay


def cluster(text: str | None, name: str = "keys") -> Any:
    """A cluster whose release names a Secret with this text."""
    values = yaml.safe_dump({"server": {"apiKeysSecret": name}})
    data = {} if text is None else {"keys": base64.b64encode(text.encode()).decode()}
    return SimpleNamespace(
        namespace="prod",
        helm=lambda *words: SimpleNamespace(stdout=values),
        get=lambda *words: [{"data": data}],
    )


@pytest.mark.parametrize(
    "text", ["first\nsecond\n", "# of the team\n\n  first  \n# old\nsecond\n", "first"]
)
def test_the_first_key_is_sent(text: str) -> None:
    assert kubernetes.key_of(cluster(text), "churn") == "first"


def test_a_key_may_hold_a_blank() -> None:
    assert kubernetes.key_of(cluster("first key\n"), "churn") == "first key"


def test_a_release_without_keys_sends_none() -> None:
    assert kubernetes.key_of(cluster("first", name=""), "churn") == ""


@pytest.mark.parametrize("text", [None, "", "# nothing\n"])
def test_a_secret_without_a_key_is_told(text: str | None) -> None:
    with pytest.raises(ModelyardError, match="holds no API key"):
        kubernetes.key_of(cluster(text), "churn")


def test_a_canary_is_asked_with_the_key() -> None:
    """Its metrics and the replayed requests: both are guarded."""
    seen: list[tuple[str, str | None]] = []

    class Guarded(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(b"up 1\n")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer(b'{"predictions": ["a"]}')

        def _answer(self, body: bytes) -> None:
            seen.append((self.command, self.headers["X-API-Key"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Guarded)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        assert replay.fetch(f"{url}/metrics", "k1") == "up 1\n"
        assert replay.fetch(f"{url}/metrics") == "up 1\n"
        figures, pairs = replay._ask(url, [{"x": 1}], {"predictions": ["a"]}, "k1")
    finally:
        server.shutdown()
        server.server_close()
    assert seen == [("GET", "k1"), ("GET", None), ("POST", "k1")]
    assert (figures.requests, figures.errors, pairs.rows, pairs.same) == (1.0, 0.0, 1, 1)
