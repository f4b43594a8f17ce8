"""ci comment against a server that behaves as the services' interfaces do."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

from modelyard import project
from modelyard.ci import marks, proposal
from modelyard.ci.comment import comment
from modelyard.ci.proposal import MARKER
from modelyard.cli.ci import command as ci_command
from modelyard.errors import UsageError
from modelyard.records import AuditLine, ChampionRecord, GateRecord, Interval, write_json
from modelyard.tools import git


class Service:
    """Comments of one request: listed in pages, added, updated; `status` refuses everything, and
    `instead` answers a method with something else."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.tokens: set[str] = set()
        self.uploads = 0
        self.status = 200
        self.instead: dict[str, Any] = {}
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
        if method in self.instead:
            return 200, self.instead[method]
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


@pytest.mark.parametrize(
    "answers",
    [
        {"GET": {"message": "x"}},
        {"GET": None},
        {"GET": ["x"]},
        {"GET": [{"body": f"{MARKER} ours, without its number"}]},
        {"POST": None},
        {"POST": [1]},
    ],
    ids=str,
)
def test_an_answer_of_another_form_is_said(
    service: Service, report: Path, answers: dict[str, Any]
) -> None:
    service.instead = answers
    for environ in (hub(service), lab(service)):
        found = comment(report, environ)
        assert found.done == "kept"
        assert "answers what it never should" in found.why


def test_a_token_with_a_line_break_is_used_without_it_and_never_said(
    service: Service, report: Path
) -> None:
    assert comment(report, hub(service, GITHUB_TOKEN="t\n")).done == "posted"
    for environ in (
        hub(service, GITHUB_TOKEN="secret\n\nword"),
        lab(service, REPORT_TOKEN="secret\n\nword"),
    ):
        found = comment(report, environ)
        assert found.done == "kept"
        assert "secret" not in found.why
        assert "word" not in found.why


def test_outside_of_a_service_nothing_is_posted(report: Path) -> None:
    assert "neither GitHub nor GitLab" in comment(report, {}).why


def test_a_text_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.md").write_text("hello")
    for name in ("x.md", "y.md"):
        with pytest.raises(UsageError):
            comment(tmp_path / name, {})


CURVE = [(0.0, 0.0), (0.0, 0.4), (0.2, 0.4), (0.2, 0.8), (1.0, 1.0)]
FENCED = re.compile(r"^```(\w+)\n(.*?)\n^```$", re.MULTILINE | re.DOTALL)


def test_a_chart_stands_where_a_picture_cannot(service: Service, report: Path) -> None:
    axes = ("false positive rate", "true positive rate")
    chart = marks.chart("roc", axes, CURVE, [(0, 0), (1, 1)])
    (report.parent / "ci-plots/roc.md").write_text(chart + "\n")
    comment(report, hub(service))
    body = service.comments[0]["body"]
    assert "![" not in body
    assert "artifact `report`" not in body
    ((kind, content),) = FENCED.findall(body)
    assert kind == "mermaid"
    head, name, *rest = content.splitlines()
    theme = json.loads(head.removeprefix("%%{init: ").removesuffix("}%%"))
    colours = theme["themeVariables"]["xyChart"]["plotColorPalette"].split(", ")
    assert name == "xychart-beta"
    assert rest[:2] == [
        '    x-axis "false positive rate" 0 --> 1',
        '    y-axis "true positive rate" 0 --> 1',
    ]
    lines = [json.loads(line.strip().removeprefix("line ")) for line in rest[2:]]
    assert len(lines) == len(colours) == 3, "the diagonal, the base, this branch"
    assert {len(line) for line in lines} == {marks.PLACES}
    assert lines[0] == lines[1] == [round(i / 20, 3) for i in range(21)]
    here = dict(zip(range(21), lines[2], strict=True))
    assert (here[0], here[4], here[20]) == (0.2, 0.6, 1.0), "the middle of an upright step"
    assert here[12] == pytest.approx(0.6 + 0.4 * 0.5)


def test_a_chart_that_has_no_room_is_named(service: Service, report: Path) -> None:
    (report.parent / "ci-plots/roc.md").write_text("x" * 60_000)
    comment(report, hub(service))
    assert "Plots (roc): in the artifact `report`" in service.comments[0]["body"]


def test_intervals_are_drawn_on_one_scale_for_each_metric() -> None:
    here = {
        "roc_auc": Interval(value=0.8, low=0.7, high=0.9),
        "f1": Interval(value=0.5, low=0.5, high=0.5),
    }
    before = {"roc_auc": Interval(value=0.7, low=0.6, high=0.8)}
    said = "\n".join(marks.intervals(("roc_auc", "f1"), here, before))
    ((kind, content),) = FENCED.findall(said)
    assert kind == "text"
    base, now, f1_base, f1_now = content.splitlines()
    assert base.startswith("roc_auc  base  ├")
    assert base.endswith("0.6 … 0.9")
    assert now.startswith("         here  ")
    assert base.index("●") == now.index("├") < base.index("┤") == now.index("●")
    assert now.index("┤") == base.index("├") + marks.WIDTH - 1
    assert f1_base.startswith("f1       base  –")
    assert f1_now.count("●") == 1
    nothing = {"f1": Interval(value=float("nan"), low=0, high=1)}
    assert list(marks.intervals(("f1",), nothing, {})) == []


CHAMPION = ChampionRecord(
    model="churn",
    version="2",
    package_digest="two",
    model_digest="m2",
    run_id="",
    data_version="data/v1",
    data_md5="",
    commit="",
    metric="roc_auc",
    value=0.8,
    since="",
)


def verdict(
    root: Path,
    action: str,
    to: ChampionRecord,
    *,
    model: str = "m2",
    start: str | None = "2",
    passed: bool = True,
) -> str:
    """The heading of the report of a branch on which the champion moved to `to`."""
    root.mkdir()
    git.init(root)
    (root / "modelyard.yaml").write_text("project: {name: churn}\ndata: {path: a.csv, target: y}\n")
    here = project.load(root)
    gate = GateRecord(
        passed=True,
        candidate_digest="",
        model_digest="m2",
        champion_digest=None,
        metric="roc_auc",
        checks=(),
    )
    write_json(here.record("gate"), gate)
    if start:
        write_json(here.record("champion"), CHAMPION)
    git.commit(root, "Start", ["."])
    git.switch(root, "feat/x", create=True)
    line = AuditLine(
        action=action,  # type: ignore[arg-type]
        who="Ada",
        when="",
        why="it answers [slowly]",
        model="churn",
        from_version=start,
        to_version=to.version,
        package_digest=to.package_digest,
        run_id="",
    )
    if to != CHAMPION or not start:
        here.audit.write_bytes(msgspec.json.encode(line) + b"\n")
    write_json(here.record("champion"), to)
    judged = msgspec.structs.replace(gate, model_digest=model, passed=passed)
    write_json(here.record("gate"), judged)
    text = proposal.report(here, proposal.find_base(here, "main"), [])
    return text.splitlines()[1]


def test_a_rollbacks_report_names_the_champions(tmp_path: Path) -> None:
    one = msgspec.structs.replace(CHAMPION, version="1", package_digest="one")
    three = msgspec.structs.replace(CHAMPION, version="3", package_digest="three")
    assert verdict(tmp_path / "back", "rollback", one) == (
        "## churn: champion v2 → v1 (rollback: it answers \\[slowly\\])"
    )
    assert verdict(tmp_path / "on", "release", three, model="m3") == (
        "## churn: the gate **passed**, champion v2 → v3 (release: it answers \\[slowly\\])"
    )
    assert verdict(tmp_path / "same", "release", CHAMPION) == "## churn: the model is unchanged"
    assert verdict(tmp_path / "strict", "release", CHAMPION, passed=False) == (
        "## churn: the gate **refused** the candidate, the model is unchanged"
    )
    assert verdict(tmp_path / "first", "release", CHAMPION, model="m3", start=None) == (
        "## churn: the gate **passed**, champion v2 (release: it answers \\[slowly\\])"
    )


def test_a_report_is_made_against_the_protected_branch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git.init(tmp_path, "trunk")
    (tmp_path / "modelyard.yaml").write_text(
        "project: {name: churn}\ndata: {path: a.csv, target: y}\nci: {branch: trunk}\n"
    )
    git.commit(tmp_path, "Start", ["."])
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(ci_command, ["report", "--print"], catch_exceptions=False)
    assert "of trunk</sub>" in done.output
