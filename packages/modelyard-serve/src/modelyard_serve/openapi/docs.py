"""The document as a page for people: tables and examples to copy, nothing from elsewhere."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from modelyard_serve.openapi.columns import percent
from modelyard_serve.openapi.parts import JSON, Json

HERE = Path(__file__).parent
DOCS_CSS = (HERE / "docs.css").read_text(encoding="utf-8")
"""The page's stylesheet, to be served as text/css at `docs/docs.css` beside the page's `docs`."""

SHOWN_LEVELS = 12
"""Levels that stand in the table at once; the others can be unfolded."""
FORMS = {
    "application/json": "JSON",
    "text/csv": "CSV",
    "application/x-ndjson": "Lines of JSON, streamed",
    "application/jsonlines": "Lines of JSON",
}
_CODE = re.compile(r"`([^`]+)`")


def docs_page(document: dict[str, Any], *, address: str = "http://localhost:8080") -> str:
    """Render the page that shows `document`.

    Args:
        document: as `document()` gives it.
        address: scheme, host and port that the examples are sent to.

    Returns:
        HTML whose links are relative to `/docs`: `docs/docs.css`, `openapi.json` and `./`.
    """
    return _template().render(
        info=document["info"],
        model=document["info"]["x-model"],
        columns=list(_columns(document)),
        groups=_groups(document, address.rstrip("/")),
        errors=_errors(document),
        secured="security" in document,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"prose": _prose, "code": _text}
    return environment.get_template("docs.html")


def _prose(text: str) -> Markup:
    """Escape, then set `code` as code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped above


def _text(value: Any) -> str:
    """A value as it stands in JSON."""
    return msgspec.json.encode(value).decode()


def _columns(document: Json) -> Iterator[Json]:
    """What the table says of each column."""
    row = document["components"]["schemas"]["Row"]
    required = set(row.get("required", ()))
    for name, schema in row["properties"].items():
        kind = schema["x-kind"]
        levels = _levels(schema) if kind == "category" else []
        total = schema.get("x-levels-total", 0)
        yield {
            "name": name,
            "kind": kind,
            "form": schema.get("x-time-format"),
            "levels": levels[:SHOWN_LEVELS],
            "more": levels[SHOWN_LEVELS:],
            "unlisted": max(0, total - len(levels)),
            "typical": schema.get("examples", [None])[0],
            "span": schema.get("x-training-range"),
            "required": name in required,
            "missing": percent(schema["x-missing-share"]),
        }


def _levels(schema: Json) -> list[str]:
    return next((part["enum"] for part in schema["anyOf"] if "enum" in part), [])


def _groups(document: Json, address: str) -> list[Json]:
    """The routes under their tags, in the document's order."""
    groups: dict[str, Json] = {
        tag["name"]: {"name": tag["name"], "text": tag["description"], "routes": []}
        for tag in document["tags"]
    }
    for path, item in document["paths"].items():
        for method in ("get", "post"):
            if method in item:
                route = _route(document, address, method, path, item[method])
                groups[item[method]["tags"][0]]["routes"].append(route)
    for number, group in enumerate(groups.values()):
        group["id"] = f"group-{number}"
        first = next((route for route in group["routes"] if route["takes"]), None)
        if first:
            first["open"] = True
    return list(groups.values())


def _route(document: Json, address: str, method: str, path: str, operation: Json) -> Json:
    body = operation.get("requestBody", {}).get("content", {})
    keyed = "security" in document and operation.get("security") != []
    filled = _filled(document, path)
    answers = operation["responses"]["200"]["content"]
    return {
        "id": operation["operationId"],
        "open": False,
        "method": method.upper(),
        "path": path,
        "summary": operation["summary"],
        "description": operation.get("description", ""),
        "takes": list(body),
        "gives": list(answers),
        "answer": operation["responses"]["200"]["description"],
        "statuses": list(operation["responses"]),
        "curls": list(_curls(address + filled, body, list(answers), keyed=keyed)),
        "shown": _answer(answers),
    }


def _filled(document: Json, path: str) -> str:
    for parameter in document["components"]["parameters"].values():
        path = path.replace("{" + parameter["name"] + "}", quote(parameter["example"], safe=""))
    return path


def _answer(answers: Json) -> str:
    """The example of the JSON answer, set out for reading."""
    examples = answers.get(JSON, {}).get("examples", {})
    for example in examples.values():
        return _json(example["value"])
    return ""


def _curls(url: str, body: Json, answers: list[str], *, keyed: bool) -> Iterator[Json]:
    """A command for each example of each form of body; a route without a body has one."""
    key = ' \\\n  -H "X-API-Key: $API_KEY"' if keyed else ""
    start = f"curl -sS {shlex.quote(url)}{key}"
    if not body:
        yield {"title": "", "text": start}
    for kind, media in body.items():
        accept = f" -H 'Accept: {kind}'" if kind != JSON and kind in answers else ""
        for name, example in media.get("examples", {}).items():
            if name == "typical":
                continue  # the same form once more
            sent = (
                example["value"] if isinstance(example["value"], str) else _json(example["value"])
            )
            several = len(media["examples"]) > 1 and name != "rows"
            yield {
                "title": FORMS[kind] + (f": {name}" if several else ""),
                "text": f"{start} \\\n  -H 'Content-Type: {kind}'{accept} \\\n"
                f"  --data-raw {shlex.quote(sent)}",
            }


def _json(value: Json) -> str:
    """JSON with a line for each row, so that it can be read, and edited in a shell."""
    lines = []
    for key, inner in value.items():
        if isinstance(inner, list) and inner and isinstance(inner[0], dict | list):
            items = ",\n   ".join(_text(item) for item in inner)
            lines.append(f"{_text(key)}: [\n   {items}]")
        else:
            lines.append(f"{_text(key)}: {_text(inner)}")
    return "{" + ",\n ".join(lines) + "}"


def _errors(document: Json) -> list[Json]:
    """The statuses with their meaning, and the one example."""
    found = []
    statuses: dict[str, str] = {}
    for item in document["paths"].values():
        for operation in item.values():
            if isinstance(operation, dict):
                for status, answer in operation["responses"].items():
                    if "$ref" in answer:
                        statuses.setdefault(status, answer["$ref"].rsplit("/", 1)[1])
    for status, name in sorted(statuses.items()):
        answer = document["components"]["responses"][name]
        found.append(
            {
                "status": status,
                "meaning": answer["description"],
                "shown": _answer({JSON: next(iter(answer["content"].values()))}),
            }
        )
    return found
