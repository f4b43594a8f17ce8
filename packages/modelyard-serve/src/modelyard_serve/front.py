"""The WSGI callable before Flask: it answers the three predict routes itself, and measures all.

Flask's own way through routing, request and response objects takes several times as long as the
prediction; `app.wsgi_app = Front(app.wsgi_app, …)` is how Flask documents wrapping it. Everything
that is not a POST to a predict route goes on to Flask.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from modelyard_serve.dialects import mlflow, oip, plain
from modelyard_serve.dialects.call import NDJSON, Answer, Call
from modelyard_serve.errors import (
    BodyError,
    MediaTypeError,
    ServeError,
    TooLargeError,
    TooManyError,
    UnauthorizedError,
)
from modelyard_serve.guard import CHALLENGE, Guard
from modelyard_serve.served import Predicted, Served
from modelyard_serve.settings import Settings
from modelyard_serve.silence import Reads
from modelyard_serve.telemetry import Line, Telemetry
from modelyard_serve.telemetry.layout import ROUTES

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

Dialect = Callable[[Served, Call], Answer]
Problem = Callable[[ServeError], tuple[bytes, str]]

PREDICT, INVOCATIONS, INFER = "/v1/predict", "/invocations", "/v2/models/{name}/infer"
STATUS = {
    200: "200 OK", 400: "400 Bad Request", 401: "401 Unauthorized", 404: "404 Not Found",
    406: "406 Not Acceptable", 413: "413 Content Too Large", 415: "415 Unsupported Media Type",
    422: "422 Unprocessable Content", 429: "429 Too Many Requests",
    500: "500 Internal Server Error", 503: "503 Service Unavailable",
}  # fmt: skip
CHUNK = 64 * 1024
ALONE = 4096
"""Bytes of a body from which on it is computed alone. With arrays of many rows numpy lets go of the
interpreter's lock in every other call, and sixteen threads waiting for it pass a request around."""
MEMBERS = 1000
"""Most gzip members in one body: each costs a copy of what follows it."""
_MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/infer|/ready)?")
_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE = re.compile(r"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_KNOWN = frozenset(ROUTES)
WITH_BODY = frozenset({"/v1/explain", "/v1/what-if"})
"""Flask's routes that read a body: it is read here, where those who stall are let go."""
_NONE: dict[str, str] = {}
_AT_ONCE = nullcontext()


class Front:
    """The outermost callable: keys and limits, the quick routes, request ids, telemetry."""

    def __init__(
        self,
        inner: WSGIApplication,
        served: Served,
        telemetry: Telemetry,
        settings: Settings,
        guard: Guard,
    ) -> None:
        self._inner = inner
        self._served = served
        self._telemetry = telemetry
        self._most = settings.max_body_bytes
        self._guard = guard
        self.reads = Reads(settings.body_seconds)
        self._board = telemetry.board
        self._turn = threading.Lock()
        name = _wsgi(served.name)
        versioned = f"/v2/models/{name}/versions/{_wsgi(served.version)}/infer"
        self._routes: dict[str, tuple[str, Dialect, Problem, str]] = {
            PREDICT: (PREDICT, plain.predict, plain.problem, ""),
            INVOCATIONS: (INVOCATIONS, mlflow.invocations, mlflow.problem, ""),
            f"/v2/models/{name}/infer": (INFER, oip.infer, oip.problem, served.name),
            versioned: (INFER, oip.infer, oip.problem, served.name),
        }
        self._prefix = os.urandom(6).hex()
        self._numbers = itertools.count(1)

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        began = time.perf_counter()
        path = environ["PATH_INFO"]
        sent = environ.get("HTTP_X_REQUEST_ID")
        if sent is None or not _ID.fullmatch(sent):
            sent = f"{self._prefix}{next(self._numbers):08x}"
        routed = self._routes.get(path) if environ["REQUEST_METHOD"] == "POST" else None
        if routed is None:
            return self._by_flask(environ, start, began, sent)
        route, dialect, problem, model = routed
        found: Predicted | None = None
        status, told = 200, ""
        extra: tuple[tuple[str, str], ...] = ()
        try:
            if self._guard.active:
                self._guard.check(environ, path)
            kind, parameters = _media_type(environ.get("CONTENT_TYPE", ""))
            if kind == NDJSON and route == PREDICT:
                return self._streamed(environ, start, began, sent)
            body = self._body(environ)
            headers = _NONE
            if route == INFER and "HTTP_INFERENCE_HEADER_CONTENT_LENGTH" in environ:
                headers = {oip.HEADER_LENGTH: environ["HTTP_INFERENCE_HEADER_CONTENT_LENGTH"]}
            accept = environ.get("HTTP_ACCEPT", "")
            if accept == "*/*":
                accept = ""
            call = Call(body, kind, parameters, accept, headers, model)
            with self._turn if len(body) > ALONE else _AT_ONCE:
                answer = dialect(self._served, call)
            content, kind, found, extra = answer
        except ServeError as error:
            status, told = error.status, error.detail
            content, kind = problem(error)
            extra = _extra(error)
        except Exception:  # a defect of ours: told in the log, never to the client
            status, told = 500, traceback.format_exc()
            content, kind = problem(ServeError("the server failed; its log tells why"))
        size = str(len(content))
        answered = [("Content-Type", kind), ("Content-Length", size), ("X-Request-ID", sent)]
        if self._board.draining:
            answered.append(("Connection", "close"))
        start(STATUS[status], [*answered, *extra] if extra else answered)
        self._note(environ, route, status, began, sent, len(content), told, found)
        return [content]

    def _by_flask(
        self, environ: WSGIEnvironment, start: StartResponse, began: float, sent: str
    ) -> Iterable[bytes]:
        """Let Flask answer, and add the request's id."""
        path = environ["PATH_INFO"]
        status = 500

        def started(text: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            nonlocal status
            status = int(text[:3])
            headers = [*headers, ("X-Request-ID", sent)]
            if self._board.draining:
                headers.append(("Connection", "close"))
            return start(text, headers, exc_info) if exc_info else start(text, headers)

        try:
            if self._guard.active:
                self._guard.check(environ, path)
            if path in WITH_BODY and environ["REQUEST_METHOD"] == "POST":
                body = self._body(environ)
                environ.pop("HTTP_CONTENT_ENCODING", None)
                environ["wsgi.input"] = io.BytesIO(body)
                environ["CONTENT_LENGTH"] = str(len(body))
            found = list(self._inner(environ, started))
        except ServeError as error:
            content, kind = problem_of(path)(error)
            started(STATUS[error.status], [("Content-Type", kind), *_extra(error)])
            found = [content]
        size = sum(map(len, found))
        self._note(environ, _route(path), status, began, sent, size)
        return found

    def _streamed(
        self, environ: WSGIEnvironment, start: StartResponse, began: float, sent: str
    ) -> Iterable[bytes]:
        """Answer a stream of rows by blocks; the first block's error is the answer's status."""
        lines = plain.split_lines(self._chunks(environ))
        parts = plain.stream(self._served, lines)
        first = next(parts, None)
        if first is None:
            raise BodyError("no rows were given: send one JSON object a line")
        if first[1] is None:
            document = msgspec.json.decode(first[0])
            status, kind = int(document["status"]), "application/problem+json"
        else:
            status, kind = 200, NDJSON
        headers = [("Content-Type", kind), ("X-Request-ID", sent)]
        if self._board.draining:
            headers.append(("Connection", "close"))
        start(STATUS[status], headers)
        return self._counted(environ, itertools.chain([first], parts), status, began, sent)

    def _counted(
        self,
        environ: WSGIEnvironment,
        parts: Iterable[tuple[bytes, Predicted | None]],
        status: int,
        began: float,
        sent: str,
    ) -> Iterator[bytes]:
        size = rows = 0
        told = ""
        try:
            for text, found in parts:
                size += len(text)
                if found is None:
                    told = text.decode()
                else:
                    self._telemetry.rows(PREDICT, found, sent, rows)
                    rows += len(found.labels)
                yield text
        except GeneratorExit:
            told = "the client left before the stream's end"
            raise
        except Exception:  # raised on, the stream would end as if it were whole
            told = traceback.format_exc()
            yield plain.problem(ServeError("the server failed; its log tells why"))[0] + b"\n"
        finally:
            self._note(environ, PREDICT, status, began, sent, size, told, None, rows)

    def _body(self, environ: WSGIEnvironment) -> bytes:
        """Read the body, whole and unpacked. Raises ServeError 400, 413 or 415."""
        length, most = _length(environ), self._most
        if length > most:
            raise TooLargeError(f"{length:,} bytes were sent; the most is {most:,}")
        body = self.reads.read(environ["wsgi.input"], most + 1 if length < 0 else length)
        if len(body) > most:
            raise TooLargeError(f"more than {most:,} bytes were sent")
        if len(body) < length:
            raise BodyError(f"the body ended after {len(body):,} of {length:,} bytes")
        packing = environ.get("HTTP_CONTENT_ENCODING")
        return body if packing is None else _unpack(body, packing.strip().lower(), most)

    def _chunks(self, environ: WSGIEnvironment) -> Iterator[bytes]:
        """The body in pieces, unpacked, however long it is."""
        packing = environ.get("HTTP_CONTENT_ENCODING", "identity").strip().lower()
        if packing not in ("identity", "gzip"):
            raise MediaTypeError(f"Content-Encoding {packing[:40]}: send gzip or none")
        stream, read = environ["wsgi.input"], self.reads.read
        chunks = iter(lambda: read(stream, CHUNK), b"")
        yield from chunks if packing == "identity" else _inflate(chunks, CHUNK)

    def _note(
        self,
        environ: WSGIEnvironment,
        route: str,
        status: int,
        began: float,
        sent: str,
        size: int,
        told: str = "",
        found: Predicted | None = None,
        rows: int = 0,
    ) -> None:
        parent = environ.get("HTTP_TRACEPARENT")
        trace = ""
        if parent is not None and (match := _TRACE.match(parent)):
            trace = match[1]
        seconds = time.perf_counter() - began
        line = Line(
            "",
            "info",
            "request",
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            status,
            int(seconds * 1e6) / 1000,
            rows,
            max(0, _length(environ)),
            size,
            sent,
            trace,
            environ.get("REMOTE_ADDR", ""),
            told,
        )
        self._telemetry.note(route, seconds, line, found)


def problem_of(path: str) -> Problem:
    """How an error looks in the dialect of a path."""
    if path == "/v2" or path.startswith("/v2/"):
        return oip.problem
    return mlflow.problem if path == INVOCATIONS else plain.problem


def _extra(error: ServeError) -> tuple[tuple[str, str], ...]:
    if isinstance(error, UnauthorizedError):
        return (("WWW-Authenticate", CHALLENGE),)
    return (("Retry-After", "1"),) if isinstance(error, TooManyError) else ()


@lru_cache(maxsize=64)
def _media_type(text: str) -> tuple[str, str]:
    """A Content-Type in lower case, and its parameters."""
    kind, _, parameters = text.partition(";")
    return kind.strip().lower(), parameters


def _route(path: str) -> str:
    """The route's name for the metrics: what is not known is "other"."""
    if path in _KNOWN:
        return path
    if match := _MODEL.fullmatch(path):
        return INFER if match[3] == "/infer" else "/v2/models/{name}"
    return "/docs" if path.startswith("/docs/") else "other"


def _length(environ: WSGIEnvironment) -> int:
    """The body's length as the client tells it, -1 where it does not."""
    told = environ.get("CONTENT_LENGTH") or ""
    return int(told) if told.isascii() and told.isdigit() and len(told) < 20 else -1


def _wsgi(text: str) -> str:
    """A text as WSGI gives it in PATH_INFO."""
    return text.encode().decode("latin-1")


def _unpack(body: bytes, packing: str, most: int) -> bytes:
    """Unpack a gzip body; what would grow over the limit is refused before it does."""
    if packing == "identity":
        return body
    if packing != "gzip":
        raise MediaTypeError(f"Content-Encoding {packing[:40]}: send gzip or none")
    found = bytearray()
    slices = (body[start : start + CHUNK] for start in range(0, len(body), CHUNK))
    for piece in _inflate(slices, 16 * CHUNK):
        found += piece
        if len(found) > most:
            raise TooLargeError(f"the body unpacks to more than {most:,} bytes")
    return bytes(found)


def _inflate(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Unpack gzip, one member after another, in pieces of `most` bytes. Raises BodyError."""
    unpack = zlib.decompressobj(31)
    members = 1
    for chunk in chunks:
        while chunk:
            if unpack.eof:
                unpack = zlib.decompressobj(31)
                members += 1
            if members > MEMBERS:
                raise BodyError(f"the gzip body has more than {MEMBERS:,} members")
            try:
                yield unpack.decompress(chunk, most)
            except zlib.error as error:
                raise BodyError(f"the body is not gzip: {error}") from error
            chunk = unpack.unused_data if unpack.eof else unpack.unconsumed_tail
    if not unpack.eof:
        raise BodyError("the gzip body ended too early")
