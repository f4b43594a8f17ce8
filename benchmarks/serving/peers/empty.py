"""A WSGI callable that does nothing: what is left for a model under this server and this load."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

BODY = b'{"predictions":["no"],"classes":["no","yes"],"probabilities":[[0.9,0.1]]}'
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer the same bytes to everything; the request's body is not read."""
    start_response("200 OK", HEADERS)
    return [BODY]
