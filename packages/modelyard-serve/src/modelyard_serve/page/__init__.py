"""The try-it page: one template, one stylesheet, one script, and the three routes that it asks.

Nothing is fetched from elsewhere, and the policy that is sent with the page forbids it. Every
address in the page is relative, so that it also works under a proxy's prefix.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec
from flask import Blueprint, Response, render_template, request

from modelyard_serve.contract import read_golden
from modelyard_serve.errors import BodyError
from modelyard_serve.explain import explain, what_if
from modelyard_serve.page.form import METRIC_NAMES, day, examples, fields, origins
from modelyard_serve.rows import Cell, RowReader
from modelyard_serve.scorer import Scorer

HERE = Path(__file__).parent
ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
CURVE_POINTS = 61
"""Values of a number that the page's line is drawn through: a tree's steps want more than 25."""


class _ExplainBody(msgspec.Struct, forbid_unknown_fields=True):
    row: dict[str, Cell]


class _WhatIfBody(msgspec.Struct, forbid_unknown_fields=True):
    row: dict[str, Cell]
    feature: str


def blueprint(scorer: Scorer, *, release: str = "", since: str = "") -> Blueprint:
    """Make the page and its routes for one model: /, /page/*, /v1/model, /v1/explain, /v1/what-if.

    `release` is its number and `since` when it became the champion, where that is known.
    The routes raise `ServeError`s; the application turns them into problem documents.
    """
    routes = Blueprint("page", __name__, template_folder=str(HERE))
    reader = RowReader(scorer.manifest.features)
    model = msgspec.json.encode(describe(scorer))
    assets = {name: (HERE / name).read_bytes() for name in ASSETS}
    stamps = {name: hashlib.sha256(body).hexdigest()[:12] for name, body in assets.items()}
    form = fields(scorer.manifest.features)
    lineage = origins(scorer.manifest.lineage | {"release": release, "created": day(since)})
    explain_body = msgspec.json.Decoder(_ExplainBody)
    what_if_body = msgspec.json.Decoder(_WhatIfBody)

    @routes.get("/")
    def page() -> Response:
        html = render_template(
            "page.html",
            manifest=scorer.manifest,
            digest=scorer.digest,
            fields=form,
            metric_names=METRIC_NAMES,
            lineage=lineage,
            stamps=stamps,
        )
        return _cached(Response(html, content_type="text/html; charset=utf-8"), lasting=False)

    @routes.get("/page/<name>")
    def asset(name: str) -> Response:
        if name not in assets:
            return Response("There is no such file.\n", status=404, content_type="text/plain")
        answer = Response(assets[name], content_type=ASSETS[name])
        return _cached(answer, lasting=request.args.get("v") == stamps[name])

    @routes.get("/v1/model")
    def card() -> Response:
        return _cached(Response(model, content_type="application/json"), lasting=False)

    @routes.post("/v1/explain")
    def explain_row() -> Response:
        body = _decode(explain_body, '{"row": {column: value}}')
        return _json(explain(scorer, _whole(reader, body.row)))

    @routes.post("/v1/what-if")
    def walk_column() -> Response:
        body = _decode(what_if_body, '{"row": {column: value}, "feature": column}')
        return _json(what_if(scorer, _whole(reader, body.row), body.feature, CURVE_POINTS))

    @routes.after_request
    def guard(answer: Response) -> Response:
        answer.headers["Content-Security-Policy"] = POLICY
        answer.headers["X-Content-Type-Options"] = "nosniff"
        answer.headers["Referrer-Policy"] = "no-referrer"
        return answer

    return routes


def describe(scorer: Scorer) -> dict[str, Any]:
    """The model card's essentials: the manifest without its files, digests, and example rows."""
    manifest = scorer.manifest
    rows = examples(manifest.features, read_golden(scorer.package).rows)
    return {
        "name": manifest.name,
        "task": manifest.task,
        "target": manifest.target,
        "classes": manifest.classes,
        "positive": manifest.positive,
        "threshold": manifest.threshold,
        "features": manifest.features,
        "metrics": manifest.metrics,
        "lineage": manifest.lineage,
        "format": manifest.format,
        "digest": scorer.digest,
        "model_digest": manifest.model_digest,
        "example": rows[0] if rows else None,
        "examples": rows,
    }


def _whole(reader: RowReader, row: dict[str, Cell]) -> dict[str, Cell]:
    """Check the row as /v1/predict does, and give every column that it may lack its null."""
    reader.careful([row], strict=True)
    return {name: row.get(name) for name in reader.names}


def _decode(decoder: msgspec.json.Decoder[Any], form: str) -> Any:
    try:
        return decoder.decode(request.get_data(cache=False))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BodyError(f"send {form}: {error}") from error


def _json(body: object) -> Response:
    return Response(msgspec.json.encode(body), content_type="application/json")


def _cached(answer: Response, *, lasting: bool) -> Response:
    """Add an ETag; `lasting` for an address that changes with its content."""
    answer.add_etag()
    answer.headers["Cache-Control"] = (
        "public, max-age=31536000, immutable" if lasting else "no-cache"
    )
    answer.make_conditional(request)
    return answer
