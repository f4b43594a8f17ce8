"""An endpoint is believed for nothing: every malformed answer fails both proofs, in words."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from kinds import write_kinds

from modelyard.errors import ModelyardError
from modelyard.ship.deploy.smoke import smoke as prove
from modelyard.ship.deploy.target import Shipment
from modelyard.ship.serve import Served
from modelyard.ship.smoke import smoke
from modelyard_serve.contract import package_digest, read_golden, read_manifest

NAN = float("nan")


class Said:
    """What the endpoint answers next."""

    body: bytes = b""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kinds(tmp_path_factory.mktemp("smoke") / "package", "binary")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(Said.body)

        def log_message(self, *words: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def answer(package: Path, scores: Any) -> bytes:
    manifest = read_manifest(package)
    body = {
        "predictions": [manifest.classes[0]] * len(read_golden(package).rows),
        "probabilities": scores,
        "classes": list(manifest.classes),
        "model": {"digest": package_digest(package), "name": manifest.name},
    }
    return json.dumps(body).encode()


def ask(package: Path, url: str) -> list[float]:
    """Both proofs' largest differences."""
    digest = package_digest(package)
    what = Shipment("kinds", "1", digest, "", package, "kinds", "1", "", "")
    served = Served(package=package, version="1")
    return [prove(url, what, tries=1)["golden_difference"], smoke(served, url).difference]


def test_the_right_answer_passes(package: Path, endpoint: str) -> None:
    Said.body = answer(package, read_golden(package).scores)
    assert ask(package, endpoint) == [0.0, 0.0]


@pytest.mark.parametrize("place", [0, 1, -1])
@pytest.mark.parametrize("wrong", [[NAN, NAN], [None, None], [0.5], [0.9, 0.1], "n/a", {}])
def test_one_wrong_row_fails(package: Path, endpoint: str, wrong: Any, place: int) -> None:
    scores: list[Any] = list(read_golden(package).scores)
    scores[place] = wrong
    Said.body = answer(package, scores)
    both_fail(package, endpoint)


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"", b"[]", b"null", b"{}", b'{"model": 1}']
)
def test_what_is_no_answer_fails(package: Path, endpoint: str, body: bytes) -> None:
    Said.body = body
    both_fail(package, endpoint)


def test_a_row_too_few_fails(package: Path, endpoint: str) -> None:
    Said.body = answer(package, read_golden(package).scores[:-1])
    both_fail(package, endpoint)


def both_fail(package: Path, url: str) -> None:
    digest = package_digest(package)
    what = Shipment("kinds", "1", digest, "", package, "kinds", "1", "", "")
    with pytest.raises(ModelyardError) as first:
        prove(url, what, tries=1)
    with pytest.raises(ModelyardError) as second:
        smoke(Served(package=package, version="1"), url)
    for caught in (first, second):
        assert caught.value.why
        assert caught.value.next_step
