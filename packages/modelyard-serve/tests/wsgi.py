"""Calls a WSGI application as a server would, without one."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """One answer; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def call(
    app: Any,
    method: str,
    path: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    *,
    length: str | None = None,
) -> Reply:
    """Ask the application; `length` is the Content-Length where it is not to be the body's."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "CONTENT_LENGTH": str(len(body)) if length is None else length,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in (headers or {}).items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    told: list[Any] = []

    def start(status: str, sent: list[tuple[str, str]], exc_info: Any = None) -> None:
        told[:] = [status, sent]

    parts = app(environ, start)
    try:
        found = b"".join(parts)
    finally:
        if hasattr(parts, "close"):
            parts.close()
    status, sent = told
    return Reply(int(status[:3]), {name.lower(): value for name, value in sent}, found)
