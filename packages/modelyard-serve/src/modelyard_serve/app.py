"""The Flask application: every route that is not in a hurry, and the front before it."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from modelyard_serve import __version__, openapi
from modelyard_serve.contract import read_golden
from modelyard_serve.dialects import oip
from modelyard_serve.errors import ServeError
from modelyard_serve.front import STATUS, Front, problem_of
from modelyard_serve.guard import Guard
from modelyard_serve.page import POLICY, blueprint
from modelyard_serve.scorer import Scorer
from modelyard_serve.served import Served
from modelyard_serve.settings import Settings
from modelyard_serve.telemetry import Telemetry
from modelyard_serve.telemetry.board import Board

PROMETHEUS = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"


def open_served(package: str | Path, settings: Settings) -> Served:
    """Open a package: digests first, then the graph, then its golden samples.

    Raises:
        PackageError: the package cannot be used, or does not give its packed answers here.
    """
    scorer = Scorer(package)
    scorer.check_golden()
    return Served(scorer, version=settings.model_version, max_rows=settings.max_rows)


def create_app(
    package: str | Path,
    settings: Settings | None = None,
    *,
    board: Board | None = None,
    worker: int = 0,
) -> Flask:
    """Open the package, check its golden samples, and return the application.

    Args:
        board: the counters that the workers share; one of its own where there is one worker.
        worker: this worker's number, which is its block of the board.

    Raises:
        PackageError: the package cannot be used.
        SettingsError: the settings cannot be used.
    """
    settings = settings or Settings()
    return make_app(open_served(package, settings), settings, board=board, worker=worker)


def make_app(
    served: Served, settings: Settings, *, board: Board | None = None, worker: int = 0
) -> Flask:
    """Make the application of an opened package."""
    telemetry = Telemetry(served, settings, board, worker)
    guard = Guard(settings)
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.register_blueprint(
        blueprint(served.scorer, release=settings.model_version, since=settings.model_since)
    )
    _health(app, telemetry)
    _inference(app, served)
    _documents(app, served, settings, guard, telemetry)
    _errors(app, telemetry)
    app.wsgi_app = Front(app.wsgi_app, served, telemetry, settings, guard)  # type: ignore[method-assign, assignment]
    app.extensions["modelyard.telemetry"] = telemetry
    # What was made until now lives as long as the process: the collector need not look at it.
    gc.collect()
    gc.freeze()
    give_back()
    return app


def give_back() -> None:
    """Give freed memory back to the system: what large bodies took, or the opening of a graph."""
    # glibc alone has it; elsewhere the allocator gives back by itself, or cannot.
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def _health(app: Flask, telemetry: Telemetry) -> None:
    """Liveness and readiness. An app that exists has passed its golden samples."""

    def state() -> Response:
        ready = not telemetry.board.draining
        return _json({"status": "ok" if ready else "draining"}, 200 if ready else 503)

    app.add_url_rule("/ping", "ping", state)
    app.add_url_rule("/health", "health", state)

    @app.get("/version")
    def version() -> Response:
        return Response(__version__, content_type="text/plain; charset=utf-8")

    @app.get("/v2/health/live")
    def live() -> Response:
        return _json({"live": True})

    @app.get("/v2/health/ready")
    def ready() -> Response:
        yes = not telemetry.board.draining
        return _json({"ready": yes}, 200 if yes else 503)


def _inference(app: Flask, served: Served) -> None:
    """The metadata of the Open Inference Protocol. Predictions are answered by the front."""

    @app.get("/v2")
    def server() -> Response:
        return _json(
            {"name": "modelyard-serve", "version": __version__, "extensions": oip.EXTENSIONS}
        )

    @app.get("/v2/models/<name>")
    @app.get("/v2/models/<name>/versions/<version>")
    def model(name: str, version: str = "") -> Response:
        oip.check_model(served, name, version)
        return _json(oip.metadata(served))

    @app.get("/v2/models/<name>/ready")
    @app.get("/v2/models/<name>/versions/<version>/ready")
    def model_ready(name: str, version: str = "") -> Response:
        oip.check_model(served, name, version)
        return _json({"name": served.name, "ready": True})

    @app.post("/v2/models/<name>/infer")
    @app.post("/v2/models/<name>/versions/<version>/infer")
    def other_model(name: str, version: str = "") -> Response:
        """Only names and versions that are not this model's come here."""
        oip.check_model(served, name, version)
        raise ServeError("the front answers this route")

    app.add_url_rule("/v1/predict", "predict", other_model, methods=["POST"])
    app.add_url_rule("/invocations", "invocations", other_model, methods=["POST"])


def _documents(
    app: Flask, served: Served, settings: Settings, guard: Guard, telemetry: Telemetry
) -> None:
    document = openapi.document(
        served.manifest,
        read_golden(served.scorer.package),
        version=served.version,
        digest=served.scorer.digest,
        row_limit=settings.max_rows,
        byte_limit=settings.max_body_bytes,
        secured=guard.secured,
    )
    text = msgspec.json.encode(document)

    @app.get("/openapi.json")
    def described() -> Response:
        return _cached(Response(text, content_type="application/json"))

    @app.get("/docs")
    def docs() -> Response:
        page = openapi.docs_page(document, address=request.host_url.rstrip("/"))
        answer = Response(page, content_type="text/html; charset=utf-8")
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["X-Content-Type-Options"] = "nosniff"
        return answer

    @app.get("/docs/docs.css")
    def style() -> Response:
        return _cached(Response(openapi.DOCS_CSS, content_type="text/css; charset=utf-8"))

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(telemetry.text(), content_type=PROMETHEUS)


def _errors(app: Flask, telemetry: Telemetry) -> None:
    @app.errorhandler(ServeError)
    def refused(error: ServeError) -> Response:
        return _problem(error)

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> Response:
        status = error.code or 500
        told = ServeError(error.description or error.name)
        told.status, told.title = status, error.name
        answer = _problem(told)
        if status == 405 and (allowed := getattr(error, "valid_methods", None)):
            answer.headers["Allow"] = ", ".join(sorted(allowed))
        return answer

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        telemetry.log.event("error", "failed", path=request.path, error=repr(error))
        app.logger.error("a defect", exc_info=error)
        return _problem(ServeError("the server failed; its log tells why"))


def _problem(error: ServeError) -> Response:
    body, kind = problem_of(request.path)(error)
    status: Any = STATUS.get(error.status, error.status)
    return Response(body, status=status, content_type=kind)


def _json(body: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(body), status=status, content_type="application/json")


def _cached(answer: Response) -> Response:
    answer.add_etag()
    answer.headers["Cache-Control"] = "no-cache"
    answer.make_conditional(request)
    return answer
