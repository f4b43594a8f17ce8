"""The routes that describe and watch the service itself."""

from __future__ import annotations

from modelyard_serve.openapi.parts import JSON, TEXT, Facts, Json, get, media, ok, text

TAG = "Service"
HTML = "text/html"


def paths(facts: Facts) -> Json:
    """The routes, by path."""
    page = {HTML: media(text("A page."))}
    return {
        "/": {"get": get(facts, TAG, "tryItPage", "A page to try the model", ok("HTML.", page))},
        "/docs": {"get": get(facts, TAG, "docsPage", "This document as a page", ok("HTML.", page))},
        "/openapi.json": {
            "get": get(
                facts,
                TAG,
                "openapiDocument",
                "This document",
                ok("OpenAPI 3.1.", {JSON: media({"type": "object"})}),
            )
        },
        "/metrics": {
            "get": get(
                facts,
                TAG,
                "metrics",
                "Figures for Prometheus",
                ok("Prometheus text format.", {TEXT: media(text("Metrics, one a line."))}),
            )
        },
    }
