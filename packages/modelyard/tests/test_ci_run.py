"""ci run on small pipelines: order, clones, artifacts, exit codes, cancelling."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from pipelines import GITLAB, a_project, gitlab_of, setting, states

from modelyard import project
from modelyard.ci import clones, conditions, github, gitlab, running
from modelyard.ci.runs import latest
from modelyard.errors import UsageError
from modelyard.render import ci as rendering
from modelyard.tools import dvc, git


def test_jobs_run_in_order_in_clean_clones_and_pass_artifacts_on(tmp_path: Path) -> None:
    here = a_project(tmp_path / "p")
    said: list[str] = []
    done = running.run(here, say=said.append)
    assert states(done) == dict.fromkeys(("lint", "train", "smoke"), "success")
    assert "[lint] word=base job=lint ci=true" in said
    assert "[smoke] weights" in said
    place = here.root / "ci/logs" / done.id
    assert (place / "artifacts/train/out/model").read_text() == "weights\n"
    assert "$ cat out/model\nweights\n" in (place / "03-smoke.log").read_text()
    assert (here.root / "ci/logs/latest").resolve() == place.resolve()
    suite = ET.parse(place / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures")) == ("3", "0")
    page = (place / "index.html").read_text()
    assert "✓ passed" in page
    assert "weights" in page
    assert latest(here) == done
    assert git.changed_files(here.root) == []


def test_the_first_failing_job_gives_the_exit_code_and_ends_the_run(tmp_path: Path) -> None:
    text = gitlab_of(lint="true", test="echo a test failed; exit 7", train="true")
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    done = running.run(here)
    assert states(done) == {"lint": "success", "test": "failed", "train": "skipped"}
    assert (done.exit_code, done.state) == (7, "failed")
    failed, skipped = done.jobs[1:]
    assert failed.reason == "a test failed"
    assert skipped.reason == "stage test failed"
    assert "a test failed" in (here.root / "ci/logs" / done.id / failed.log).read_text()
    assert "✗ failed" in (here.root / "ci/logs" / done.id / "index.html").read_text()


def test_jobs_find_the_modelyard_that_was_called_although_it_is_not_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": gitlab_of(lint="command -v modelyard")})
    said: list[str] = []
    assert running.run(here, say=said.append).state == "success"
    assert f"[lint] {Path(sys.executable).parent / 'modelyard'}" in said


@pytest.mark.parametrize(
    ("script", "code", "reason"),
    [
        ("exit 3", 3, "the gate refused the candidate"),
        ("exit 4", 4, "the data is invalid"),
        ("no-such-program --x", 127, "a program is missing"),
        ("kill -9 $$", 137, ""),
        (': "${TOKEN:?is not set at the service}"', 1, "TOKEN: is not set at the service"),
    ],
)
def test_what_ends_a_job_is_said_with_its_exit_code(
    tmp_path: Path, script: str, code: int, reason: str
) -> None:
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": gitlab_of(train=script)})
    done = running.run(here)
    assert done.exit_code == done.jobs[0].exit_code == code
    assert reason in done.jobs[0].reason
    assert (here.root / "ci/logs" / done.id / "01-train.log").is_file()


def test_a_secret_is_given_by_name_and_is_not_written_down(tmp_path: Path) -> None:
    script = 'test "$TOKEN" = "s3cret-value" && echo it is there'
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": gitlab_of(deploy=script)})
    done = running.run(here, variables={"TOKEN": "s3cret-value"})
    assert done.state == "success"
    record = (here.root / "ci/logs" / done.id / "run.json").read_text()
    assert "s3cret" not in record


def test_a_job_that_runs_too_long_is_ended(tmp_path: Path) -> None:
    text = gitlab_of(train="echo begun; sleep 60") + "  timeout: 1 s\n"
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    done = running.run(here)
    assert done.exit_code == running.TIMED_OUT
    assert "ran longer" in done.jobs[0].reason
    assert done.seconds < 30


def test_a_child_that_does_not_hear_sigterm_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "GRACE", 1.0)
    deaf = "(trap '' TERM; exec sleep 60) & echo begun; wait"
    text = gitlab_of(train=deaf) + "  timeout: 1 s\n"
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    done = running.run(here)
    assert done.exit_code == running.TIMED_OUT
    assert done.seconds < 30


def test_a_dirty_tree_is_refused_or_left_out(tmp_path: Path) -> None:
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": gitlab_of(lint="test ! -e new.txt")})
    (here.root / "new.txt").write_text("x")
    with pytest.raises(UsageError, match=r"1 file is not committed: new\.txt"):
        running.run(here)
    assert running.run(here, committed=True).state == "success"


def test_stages_that_there_are_not(tmp_path: Path) -> None:
    here = a_project(tmp_path / "p")
    with pytest.raises(UsageError, match="did you mean 'train'"):
        running.run(here, ["trainn"])
    with pytest.raises(UsageError, match=r"There is no \.github/workflows/pipeline\.yml"):
        running.run(here, file=".github/workflows/pipeline.yml")


def test_a_cancelled_run_keeps_its_logs_and_ends_with_130(tmp_path: Path) -> None:
    here = a_project(
        tmp_path / "p", **{".gitlab-ci.yml": gitlab_of(lint="echo begun; sleep 60", test="true")}
    )
    process = subprocess.Popen(
        [Path(sys.executable).with_name("modelyard"), "ci", "run"],
        cwd=here.root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line == "[lint] begun\n":
            break
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130
    done = latest(here)
    assert done is not None
    assert (done.state, done.exit_code) == ("canceled", 130)
    assert states(done) == {"lint": "canceled", "test": "skipped"}
    log = (here.root / "ci/logs" / done.id / "01-lint.log").read_text()
    assert "begun" in log
    assert "cancelled" in log


def test_an_unexpected_error_fails_its_job_and_ends_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clones, "collect", full)
    here = a_project(tmp_path / "p")
    with pytest.raises(OSError, match="No space"):
        running.run(here)
    done = latest(here)
    assert done is not None
    assert (done.state, done.exit_code) == ("failed", 1)
    assert states(done) == {"lint": "success", "train": "failed", "smoke": "skipped"}
    assert done.jobs[1].reason == "OSError: [Errno 28] No space left on device"
    assert (here.root / "ci/logs/latest/junit.xml").is_file()


def test_an_absolute_pattern_keeps_nothing(tmp_path: Path) -> None:
    (tmp_path / "away").write_text("x")
    text = GITLAB.replace("[out/*]", f"[{tmp_path}/*, {tmp_path}/away, out/*]")
    done = running.run(a_project(tmp_path / "p", **{".gitlab-ci.yml": text}))
    assert done.state == "success"
    assert done.jobs[1].artifacts == ("out/model",)


@pytest.mark.parametrize("name", ["a, b", "a 'b' #\"c\""])
def test_a_clone_finds_the_store_of_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    here = a_project(tmp_path / name, **{".gitignore": "/.dvc-store/\n"})
    dvc.init(here.root)
    dvc.remote_add_default(here.root)
    git.commit(here.root, "chore: DVC", ["."])
    (here.root / "a.txt").write_text("x")
    dvc.add(here.root, here.root / "a.txt")
    dvc.push(here.root)
    git.commit(here.root, "data: a", ["a.txt.dvc"])
    clone = tmp_path / "clone"
    clones.make(here, clone, git.rev_parse(here.root, "HEAD"), "main")
    assert dvc.remote_url(clone) == str(here.root / ".dvc-store")
    subprocess.run(["dvc", "pull", "--quiet"], cwd=clone, check=True)
    assert (clone / "a.txt").read_text() == "x"


WORKFLOW = """\
name: pipeline
on: {push: {branches: [main]}, pull_request: }
jobs:
  lint:
    runs-on: ubuntu-24.04
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683
      - uses: ./.github/actions/setup
      - run: echo event=$GITHUB_EVENT_NAME word=$WORD
        env: {WORD: "${{ vars.WORD }}"}
      - run: exit 5
      - run: echo never
      - run: mkdir out && echo x > out/a
        if: always()
      - uses: actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02
        if: always()
        with: {name: things, path: out}
  train:
    needs: lint
    runs-on: ubuntu-24.04
    steps: [{run: "true"}]
  report:
    if: github.event_name == 'pull_request'
    needs: [lint]
    runs-on: ubuntu-24.04
    steps: [{run: "true"}]
"""
ACTION = """\
runs:
  using: composite
  steps:
    - uses: actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065
    - run: echo set up
      shell: bash
"""


def test_a_workflow_of_the_other_service_runs_by_its_rules(tmp_path: Path) -> None:
    name = ".github/workflows/pipeline.yml"
    files = {name: WORKFLOW, ".github/actions/setup/action.yml": ACTION}
    here = a_project(tmp_path / "p", **files)
    said: list[str] = []
    done = running.run(here, file=name, variables={"WORD": "hello"}, say=said.append)
    assert states(done) == {"lint": "failed", "train": "skipped"}
    assert done.exit_code == 5
    assert "[lint] set up" in said
    assert any("left out: actions/setup-python" in line for line in said)
    assert "[lint] event=push word=hello" in said
    assert "[lint] never" not in said
    assert (here.root / "ci/logs" / done.id / "artifacts/things/out/a").is_file()
    git.switch(here.root, "feat/x", create=True)
    time.sleep(1.1)
    assert list(states(running.run(here, file=name))) == ["lint", "train", "report"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('$A == "x"', True),
        ('$A != "x" || $B', False),
        ('$A == "x" && ($B == null || $B == "")', True),
        ("$A =~ /^x$/", True),
        ("$A !~ /y/", True),
        ("!$B", True),
        ("github.ref == 'r'", True),
        ("always() && github.ref != 'q'", True),
        ("$A == $C", True),
    ],
)
def test_conditions(text: str, wanted: bool) -> None:
    assert conditions.holds(text, {"A": "x", "C": "x", "github.ref": "r"}.get) is wanted


@pytest.mark.parametrize("text", ["contains(a, 'b')", "$A == ", "$A > 1", "($A", '$A "x"'])
def test_a_condition_that_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="cannot be read here"):
        conditions.holds(text, {}.get)


def test_rules_decide_which_jobs_there_are() -> None:
    text = """\
stages: [a]
one: {stage: a, script: [x], rules: [{if: '$CI_PIPELINE_SOURCE == "schedule"'}]}
two: {stage: a, script: [x], rules: [{if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH, when: manual}]}
"""
    by_event = {
        (event, branch): [
            (job.name, job.manual) for job in gitlab.parse("f", text, setting(event, branch)).jobs
        ]
        for event, branch in (("push", "main"), ("push", "x"), ("schedule", "x"))
    }
    assert by_event == {
        ("push", "main"): [("two", True)],
        ("push", "x"): [],
        ("schedule", "x"): [("one", False)],
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", "it is no YAML"),
        ("- a", "it holds no jobs"),
        ("include: x.yml", "`include` is not understood"),
        ("a: {script: [x], stage: zzz}", "there is no stage 'zzz'"),
        ("a: {script: [x], parallel: 3}", "`parallel` is not understood"),
        ("a: {script: [x], extends: .b}", ".b is extended, and is no job"),
        ("a: {script: [x], rules: [{changes: [x]}]}", "a: `rules:changes` is not understood"),
        ("workflow: {rules: [{exists: [x]}]}\na: {script: [x]}", "workflow: `rules:exists` is not"),
        ("a: {script: [x], when: delayed}", "`when: delayed` is not understood"),
        ("a: {script: [x], needs: [b]}", "a needs b, which there is not"),
        ("a: {script: [x], needs: [{pipeline: p}]}", "a: `needs:pipeline` is not understood"),
        (
            "a: {script: [x], needs: [b]}\nb: {script: [x], rules: [{if: $NO}]}",
            "a needs b, which this event leaves out: GitLab makes no such pipeline",
        ),
        (
            "a: {stage: build, script: [x], needs: [b]}\nb: {script: [x]}",
            "a needs b, which is of a later stage",
        ),
    ],
)
def test_a_pipeline_that_cannot_be_run_here_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        gitlab.parse("f", text, setting())


def test_an_optional_need_that_is_left_out_is_none() -> None:
    text = """\
a: {script: [x], needs: [{job: b, optional: true}, c]}
b: {script: [x], rules: [{if: $NO}]}
c: {script: [x]}
"""
    jobs = {job.name: job.needs for job in gitlab.parse("f", text, setting()).jobs}
    assert jobs == {"c": None, "a": ("c",)}


def a_job(**more: object) -> dict[str, object]:
    return {"jobs": {"a": {"runs-on": "x", "steps": [{"run": "true"}], **more}}, "on": "push"}


def a_step(**more: object) -> dict[str, object]:
    return a_job(steps=[{"run": "true", **more}])


@pytest.mark.parametrize(
    ("tree", "said"),
    [
        (a_job(strategy={"matrix": {"x": [1]}}), "a: `strategy` is not understood"),
        (a_job(defaults={"run": {"working-directory": "x"}}), "a: `defaults` is not understood"),
        (a_job() | {"defaults": {"run": {"shell": "sh"}}}, "`defaults` is not understood"),
        (a_step(**{"working-directory": "x"}), "true: `working-directory` is not understood"),
        (a_step(shell="python"), "true: `shell` is not understood"),
        (a_step(**{"continue-on-error": True}), "`continue-on-error` is not understood"),
        (a_job() | {"on": {"push": {"paths": ["x"]}}}, r"`on\.push\.paths` is not understood"),
        (a_job() | {"on": {"push": {"branches": ["m*"]}}}, r"the pattern 'm\*' in `on\.push`"),
        (a_job(needs="b"), "a needs b, and there is no such job"),
        (a_job(**{"if": "needs.b.result == 'success'"}), "only `needs.JOB.result != '…'` is"),
        (a_job(**{"if": "needs.b.outputs.c != 'd'"}), "only `needs.JOB.result != '…'` is"),
    ],
)
def test_a_workflow_that_cannot_be_run_here_is_refused(
    tmp_path: Path, tree: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        github.parse("f", json.dumps(tree), setting(), tmp_path)


def test_what_a_workflow_says_without_effect_is_passed_over(tmp_path: Path) -> None:
    tree = a_step(shell="bash", **{"continue-on-error": False})
    tree |= {"on": {"push": None, "pull_request": {"paths": ["x"]}}}
    assert len(github.parse("f", json.dumps(tree), setting(), tmp_path).jobs) == 1


@pytest.mark.parametrize(
    ("base", "jobs"), [("main", ["a"]), ("release", [])], ids=["into main", "into another"]
)
def test_a_proposed_change_is_asked_by_where_it_goes(
    tmp_path: Path, base: str, jobs: list[str]
) -> None:
    text = json.dumps(a_job() | {"on": {"pull_request": {"branches": [base]}}})
    made = github.parse("f", text, setting("change", "feat/x"), tmp_path)
    assert [job.name for job in made.jobs] == jobs


def test_a_job_that_needs_one_left_out_is_left_out_too(tmp_path: Path) -> None:
    text = """\
on: push
jobs:
  lint: {steps: [{run: x}]}
  report: {if: "github.event_name == 'pull_request'", needs: lint, steps: [{run: x}]}
  post: {needs: [lint, report], steps: [{run: x}]}
  deploy: {needs: post, steps: [{run: x}]}
  tidy: {if: always(), needs: post, steps: [{run: x}]}
"""
    made = github.parse("f", text, setting(), tmp_path)
    assert [job.name for job in made.jobs] == ["lint", "tidy"]
    made = github.parse("f", text, setting("change", "feat/x"), tmp_path)
    assert len(made.jobs) == 0, "a change starts nothing here"
    both = text.replace("on: push", "on: [push, pull_request]")
    made = github.parse("f", both, setting("change", "feat/x"), tmp_path)
    assert len(made.jobs) == 5


@pytest.mark.parametrize("event", ["push", "change", "schedule"])
def test_the_generated_pipelines_are_understood(tmp_path: Path, event: str) -> None:
    sections = {
        "project": {"name": "churn"},
        "data": {"path": "a.csv", "target": "y"},
        "ci": {"environments": ["staging", "production"], "login": "gcp", "incoming": "new.csv"},
    }
    texts = rendering.texts(project.settings_from(sections, "test"))
    for name, text in texts.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    file, branch = ".github/workflows/pipeline.yml", "feat/x" if event == "change" else "main"
    hub = github.parse(file, texts[file], setting(event, branch), tmp_path)
    lab = gitlab.parse("f", texts[".gitlab-ci.yml"], setting(event, branch))
    names = [job.name for job in lab.jobs]
    if event == "schedule":
        assert names == ["nightly-drift", "nightly-retrain"]
        assert [job.name for job in hub.jobs] == []
        return
    assert names == [job.name for job in hub.jobs]
    deploys = ["deploy-staging", "smoke-staging", "deploy-production", "smoke-production"]
    assert names[-4:] == (
        deploys if event == "push" else ["data", "train", "report", "image-build"]
    )
