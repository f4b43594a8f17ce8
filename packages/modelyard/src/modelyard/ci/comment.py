"""ci comment: post a report as the one comment of a proposed change, and update it from then on.

Whatever keeps it from being posted (no token, a fork's token that may only read, a service that
does not answer) is said and is no failure: the report is an artifact of the run as well.
"""

from __future__ import annotations

import http.client
import json
import mimetypes
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from modelyard.ci.proposal import MARKER
from modelyard.errors import UsageError

LIMIT = 60_000
"""Characters of a comment; the services take 65,536 and 1,000,000."""

PAGES = 20
TIMEOUT = 30.0
T = TypeVar("T")
_IMAGE = re.compile(r"!\[([^\]]*)\]\(([^)\s:]+)\)")


@dataclass(frozen=True)
class Posted:
    """What became of a report. `url` where it can be read; `why` where it was not posted."""

    done: str
    url: str = ""
    why: str = ""


class _Unreachable(Exception):
    """Why it was not posted."""


class _Comment(msgspec.Struct):
    """One comment of a list."""

    id: int
    body: str | None = None


class _Made(msgspec.Struct):
    """What was posted or uploaded: its page (GitHub), or how a comment shows it (GitLab)."""

    html_url: str = ""
    markdown: str = ""


def comment(report: Path, environ: Mapping[str, str]) -> Posted:
    """Post the report to the service that runs us, which its variables tell.

    Raises:
        UsageError: there is no such report, or it is none of ours.
    """
    try:
        text = report.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"There is no report at {report}.",
            why=str(error.strerror),
            next_step=f"modelyard ci report --output {report}",
        ) from error
    if not text.startswith(MARKER):
        raise UsageError(
            f"{report} is no report of `modelyard ci report`.",
            why="Its first line is not the mark by which the comment is found again.",
            next_step=f"modelyard ci report --output {report}",
        )
    try:
        if environ.get("GITHUB_REPOSITORY"):
            return _github(text, report.parent, environ)
        if environ.get("CI_PROJECT_ID"):
            return _gitlab(text, report.parent, environ)
        raise _Unreachable("neither GitHub nor GitLab runs this")
    except _Unreachable as reason:
        return Posted("kept", why=str(reason))


def _github(text: str, folder: Path, environ: Mapping[str, str]) -> Posted:
    token, number = environ.get("GITHUB_TOKEN", "").strip(), environ.get("PULL_REQUEST", "")
    if not number.isdigit():
        raise _Unreachable("this run is not for a pull request (PULL_REQUEST is empty)")
    if not token:
        raise _Unreachable("there is no token (GITHUB_TOKEN is empty)")
    repository = environ["GITHUB_REPOSITORY"]
    root = environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    run = environ.get("GITHUB_RUN_ID", "")
    server = environ.get("GITHUB_SERVER_URL", "https://github.com")
    place = f"{server}/{repository}/actions/runs/{run}" if run else ""
    # No interface takes a picture for a comment there: its chart of Markdown stands in its place.
    body = _without_images(text, folder, place)
    headers = {
        "Authorization": f"Bearer {token}",
        "Accept": "application/vnd.github+json",
        "X-GitHub-Api-Version": "2022-11-28",
    }
    listed = f"{root}/repos/{repository}/issues/{number}/comments"
    found = _find(listed, headers)
    if found is None:
        made = _call("POST", listed, headers, {"body": body})
        return Posted("posted", made.html_url)
    url = f"{root}/repos/{repository}/issues/comments/{found}"
    made = _call("PATCH", url, headers, {"body": body})
    return Posted("updated", made.html_url)


def _gitlab(text: str, folder: Path, environ: Mapping[str, str]) -> Posted:
    token, number = environ.get("REPORT_TOKEN", "").strip(), environ.get("CI_MERGE_REQUEST_IID", "")
    if not number.isdigit():
        raise _Unreachable("this run is not for a merge request (CI_MERGE_REQUEST_IID is empty)")
    if not token:
        raise _Unreachable("there is no token (REPORT_TOKEN is empty)")
    root = environ.get("CI_API_V4_URL", "https://gitlab.com/api/v4").rstrip("/")
    project = f"{root}/projects/{urllib.parse.quote(environ['CI_PROJECT_ID'], safe='')}"
    headers = {"PRIVATE-TOKEN": token}
    listed = f"{project}/merge_requests/{number}/notes"
    found = _find(listed, headers)
    body = _with_uploads(text, folder, project, headers)[:LIMIT]
    if found is None:
        _call("POST", listed, headers, {"body": body})
        return Posted("posted")
    _call("PUT", f"{listed}/{found}", headers, {"body": body})
    return Posted("updated")


def _find(listed: str, headers: Mapping[str, str]) -> int | None:
    """The number of our comment among all of them, the oldest where there were ever two."""
    for page in range(1, PAGES + 1):
        url = f"{listed}?per_page=100&page={page}"
        entries = _send("GET", url, headers, None, list[_Comment])
        for entry in entries:
            if (entry.body or "").startswith(MARKER):
                return entry.id
        if len(entries) < 100:
            return None
    return None


def _without_images(text: str, folder: Path, place: str) -> str:
    """Charts in the place of pictures; one that is missing or finds no room is named."""
    left: list[str] = []
    room = LIMIT - len(text) - 500

    def chart(found: re.Match[str]) -> str:
        nonlocal room
        path = (folder / found[2]).with_suffix(".md")
        drawn = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
        room -= len(drawn) + 1
        if not drawn or room < 0:
            left.append(found[1])
            return ""
        return f"{drawn}\n"

    text = _IMAGE.sub(chart, text)
    if left:
        where = f"[this run]({place})" if place else "this run"
        text = (
            f"{text.rstrip()}\n\nPlots ({', '.join(left)}): in the artifact `report` of {where}.\n"
        )
    return text[:LIMIT]


def _with_uploads(text: str, folder: Path, project: str, headers: Mapping[str, str]) -> str:
    def upload(found: re.Match[str]) -> str:
        path = folder / found[2]
        if not path.is_file():
            return ""
        return _upload(f"{project}/uploads", headers, path).markdown

    return _IMAGE.sub(upload, text)


def _upload(url: str, headers: Mapping[str, str], path: Path) -> _Made:
    boundary = uuid.uuid4().hex
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{path.name}"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    content = head.encode() + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
    return _send(
        "POST",
        url,
        {**headers, "Content-Type": f"multipart/form-data; boundary={boundary}"},
        content,
        _Made,
    )


def _call(method: str, url: str, headers: Mapping[str, str], body: Any) -> _Made:
    content = json.dumps(body).encode()
    return _send(method, url, {**headers, "Content-Type": "application/json"}, content, _Made)


def _send(
    method: str, url: str, headers: Mapping[str, str], content: bytes | None, form: type[T]
) -> T:
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise _Unreachable(f"a token is not sent over {url.partition(':')[0]}")
    request = urllib.request.Request(url, data=content, method=method, headers=dict(headers))  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:  # noqa: S310
            return msgspec.json.decode(answer.read() or b"{}", type=form)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403, 404):
            raise _Unreachable(
                f"the token may not write here ({error.code}), as that of a fork"
            ) from error
        raise _Unreachable(f"the service answers {error.code}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Unreachable(f"the service cannot be reached ({error})") from error
    except msgspec.DecodeError as error:
        raise _Unreachable(f"the service answers what it never should ({error})") from error
    except ValueError as error:  # its text may hold a header, and so the token
        raise _Unreachable(
            "the request is none of HTTP: a header or the address holds what it must not"
        ) from error
