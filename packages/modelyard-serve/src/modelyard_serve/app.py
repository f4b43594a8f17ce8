"""The Flask application: routes that translate, and decide nothing."""

from __future__ import annotations

from pathlib import Path

import msgspec
from flask import Flask, Response, request

from modelyard_serve.errors import BodyError, InputError, ServeError
from modelyard_serve.scorer import Scorer

LIMIT_BYTES = 32 * 1024 * 1024


class _Body(msgspec.Struct, forbid_unknown_fields=True):
    rows: list[dict[str, str | int | float | bool | None]]


def create_app(package: str | Path) -> Flask:
    """Open the package, check its golden samples, and return the application.

    Raises:
        PackageError: the package cannot be used.
    """
    scorer = Scorer(package)
    scorer.check_golden()
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = LIMIT_BYTES
    decoder = msgspec.json.Decoder(_Body)

    @app.get("/ping")
    def ping() -> Response:
        return _json({"status": "ok", "model": scorer.manifest.name, "digest": scorer.digest})

    @app.post("/v1/predict")
    def predict() -> Response:
        try:
            body = decoder.decode(request.get_data(cache=False))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BodyError(f'send {{"rows": [{{column: value}}]}}: {error}') from error
        scores = scorer.score_rows(body.rows)
        answer: dict[str, object] = {"predictions": scores.labels.tolist()}
        if scorer.manifest.classes:
            answer["classes"] = scorer.manifest.classes
            answer["probabilities"] = scores.outputs.tolist()
        return _json(answer)

    @app.errorhandler(ServeError)
    def problem(error: ServeError) -> Response:
        document = (
            error.as_problem()
            if isinstance(error, InputError)
            else {"title": error.title, "status": error.status, "detail": error.detail}
        )
        return _json(document, error.status, "application/problem+json")

    return app


def _json(body: object, status: int = 200, kind: str = "application/json") -> Response:
    return Response(msgspec.json.encode(body), status=status, content_type=kind)
