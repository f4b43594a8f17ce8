"""ci comment against a server that behaves as the services' interfaces do."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelyard.ci.comment import comment
from modelyard.ci.proposal import MARKER
from modelyard.errors import UsageError


class Service:
    """Comments of one request: listed in pages, added, updated; `status` refuses everything."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.uploads = 0
        self.status = 200
        service = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                content = self.rfile.read(length)
                service.calls.append((self.command, self.path))
                service.tokens.add(
                    self.headers.get("Authorization") or self.headers.get("PRIVATE-TOKEN") or ""
                )
                status, body = service.handle(self.command, self.path, content)
                text = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815

            def log_message(self, *args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def handle(self, method: str, path: str, content: bytes) -> tuple[int, Any]:
        if self.status != 200:
            return self.status, {"message": "Resource not accessible by integration"}
        if path.endswith("/uploads"):
            self.uploads += 1
            assert b"\x89PNG" in content
            return 201, {"markdown": f"![roc](/uploads/{self.uploads}/roc.png)"}
        if method == "GET":
            page = int(path.rpartition("page=")[2])
            return 200, self.comments[(page - 1) * 100 : page * 100]
        body = json.loads(content)["body"]
        if method == "POST":
            self.comments.append({"id": len(self.comments) + 1, "body": body})
            return 201, {"html_url": f"{self.address}/c/{len(self.comments)}"}
        number = int(path.rpartition("/")[2])
        self.comments[number - 1]["body"] = body
        return 200, {"html_url": f"{self.address}/c/{number}"}


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "ci-plots").mkdir()
    (tmp_path / "ci-plots/roc.png").write_bytes(b"\x89PNG")
    path = tmp_path / "ci.md"
    path.write_text(f"{MARKER}\n## churn\n\n![roc](ci-plots/roc.png)\n")
    return path


def hub(service: Service, **more: str) -> dict[str, str]:
    return {
        "GITHUB_REPOSITORY": "ada/churn",
        "GITHUB_API_URL": service.address,
        "GITHUB_RUN_ID": "77",
        "GITHUB_TOKEN": "t",
        "PULL_REQUEST": "5",
    } | more


def lab(service: Service, **more: str) -> dict[str, str]:
    return {
        "CI_PROJECT_ID": "12",
        "CI_API_V4_URL": service.address,
        "CI_MERGE_REQUEST_IID": "5",
        "REPORT_TOKEN": "t",
    } | more


def test_one_comment_is_posted_and_then_updated(service: Service, report: Path) -> None:
    service.comments = [{"id": n, "body": f"words of a person {n}"} for n in range(1, 131)]
    first = comment(report, hub(service))
    assert (first.done, first.url) == ("posted", f"{service.address}/c/131")
    report.write_text(report.read_text().replace("## churn", "## churn again"))
    assert comment(report, hub(service)).done == "updated"
    ours = [entry for entry in service.comments if entry["body"].startswith(MARKER)]
    assert len(ours) == 1
    assert "## churn again" in ours[0]["body"]
    assert (
        "artifact `report` of [this run](https://github.com/ada/churn/actions/runs/77)"
        in (ours[0]["body"])
    )
    assert "![" not in ours[0]["body"]
    assert service.tokens == {"Bearer t"}
    assert service.calls[-1] == ("PATCH", "/repos/ada/churn/issues/comments/131")


def test_the_other_service_takes_the_pictures_too(service: Service, report: Path) -> None:
    assert comment(report, lab(service)).done == "posted"
    assert comment(report, lab(service)).done == "updated"
    (entry,) = service.comments
    assert "![roc](/uploads/2/roc.png)" in entry["body"]
    assert service.calls[-1] == ("PUT", "/projects/12/merge_requests/5/notes/1")
    assert service.tokens == {"t"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"GITHUB_TOKEN": ""}, "there is no token"),
        ({"PULL_REQUEST": ""}, "not for a pull request"),
        ({"GITHUB_API_URL": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"GITHUB_API_URL": "http://api.example.org"}, "a token is not sent over http"),
    ],
)
def test_what_keeps_it_from_being_posted_is_said(
    service: Service, report: Path, more: dict[str, str], why: str
) -> None:
    found = comment(report, hub(service, **more))
    assert found.done == "kept"
    assert why in found.why
    assert service.comments == []


@pytest.mark.parametrize(("status", "why"), [(403, "that of a fork"), (500, "answers 500")])
def test_a_service_that_refuses(service: Service, report: Path, status: int, why: str) -> None:
    service.status = status
    for environ in (hub(service), lab(service)):
        assert why in comment(report, environ).why


def test_outside_of_a_service_nothing_is_posted(report: Path) -> None:
    assert "neither GitHub nor GitLab" in comment(report, {}).why


def test_a_text_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("hello")
    for name in ("x.md", "y.md"):
        with pytest.raises(UsageError):
            comment(tmp_path / name, {})
