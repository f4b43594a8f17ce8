"""What the packaging report needs beside the records: a look at the endpoint from outside."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.errors import ToolFailed
from modelyard.project import Project
from modelyard.records import ImageCheckRecord
from modelyard.ship.image import run, verify
from modelyard.tools import browser
from modelyard.tools import engine as engines

FOLDER = "m3-packaging"
PICTURE = "page.png"


@dataclass
class Collected:
    """`answers` are the endpoint's own words by route; `picture` is why there is none, or empty."""

    check: ImageCheckRecord
    answers: dict[str, Any] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    picture: str = ""


def collect(
    project: Project,
    reference: str = "",
    *,
    compressed: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> Collected:
    """Verify the image, run it with a port of this machine, ask it and take its page's picture.

    Raises:
        ModelyardError: what `verify` and `run.background` raise.
    """
    check = verify.verify(project, reference, compressed=compressed, say=say)
    engine = engines.find(project.settings.image.engine)
    found = Collected(check)
    say("looking at the page in a browser")
    running = run.background(project, reference)
    try:
        host = running.url.removeprefix("http://")
        for route in ("/ping", "/v2/health/ready", "/v2"):
            found.answers[route] = _ask(host, route)
        found.picture = _picture(f"{running.url}/", project.reports / FOLDER / PICTURE)
        found.log = engines.log(engine, running.container).strip().splitlines()
    finally:
        engines.remove(engine, running.container)
    return found


def _picture(address: str, target: Path) -> str:
    """Take the page's picture; why there is none, or an empty text."""
    try:
        browser.picture(address, target)
    except ToolFailed as error:
        return f"{error.what} {error.why}"
    return ""


def _ask(host: str, route: str) -> Any:
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", route)
        answer = connection.getresponse()
        content = answer.read().decode("utf-8", "replace")
    finally:
        connection.close()
    try:
        return {"status": answer.status, "body": json.loads(content)}
    except ValueError:
        return {"status": answer.status, "body": content[:200]}
