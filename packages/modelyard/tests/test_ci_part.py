"""ci run of a part, of nothing, by hand; and what runs left that were killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pipelines import GITLAB, a_project, gitlab_of, setting, states

from modelyard import project
from modelyard.ci import github, gitlab, running
from modelyard.ci.runs import latest
from modelyard.errors import UsageError
from modelyard.render import ci as rendering
from modelyard.tools import git
from modelyard.tools.processes import mark


def logs(here: project.Project) -> str:
    """All that the newest run's jobs said."""
    run = latest(here)
    assert run is not None
    place = here.root / "ci/logs" / run.id
    return "".join((place / job.log).read_text() for job in run.jobs if job.log)


def test_a_stage_alone_takes_the_artifacts_of_this_commit(tmp_path: Path) -> None:
    here = a_project(tmp_path / "p")
    first = running.run(here, until="train")
    assert states(first) == {"lint": "success", "train": "success"}
    assert states(running.run(here, ["smoke"])) == {"smoke": "success"}
    assert f"artifacts of train: from run {first.id}" in logs(here)


def test_a_stage_alone_takes_the_artifacts_of_all_stages_before(tmp_path: Path) -> None:
    text = """\
stages: [a, b, c]
one: {stage: a, script: [mkdir out, echo 1 > out/x], artifacts: {paths: [out]}}
two: {stage: b, script: [cat out/x]}
three: {stage: c, needs: [{job: extra, optional: true}], script: [test ! -e out, test ! -e more]}
extra: {stage: a, rules: [{if: $MORE}], script: [mkdir more], artifacts: {paths: [more]}}
"""
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    assert running.run(here, variables={"MORE": "1"}, until="b").state == "success"
    assert states(running.run(here, ["b"])) == {"two": "success"}
    # A need that is left out passes nothing on, whatever an earlier run left.
    assert states(running.run(here, ["c"])) == {"three": "success"}
    running.run(here, ["a"], event="change")
    assert "none, one has not succeeded" not in logs(here)


def test_an_artifact_of_another_name_is_its_job_s(tmp_path: Path) -> None:
    name = ".github/workflows/x.yml"
    text = """\
on: push
jobs:
  build:
    steps:
      - run: mkdir out && echo 1 > out/x
      - {uses: actions/upload-artifact@a, with: {name: dist, path: out}}
  ship:
    needs: build
    steps:
      - {uses: actions/download-artifact@a, with: {name: dist}}
      - run: cat out/x
  bad: {steps: [{run: exit 1}]}
"""
    here = a_project(tmp_path / "p", **{name: text})
    assert states(running.run(here, ["ship"], file=name)) == {"ship": "failed"}
    assert f"first: modelyard ci run --until build --file {name}" in logs(here)
    assert running.run(here, file=name).state == "failed"
    assert states(running.run(here, ["ship"], file=name)) == {"ship": "success"}


@pytest.mark.parametrize("why", ["another commit", "it failed", "it never ran"])
def test_a_stage_alone_takes_no_other_artifacts(tmp_path: Path, why: str) -> None:
    text = GITLAB.replace("{paths: [out/*]}", "{paths: [out/*], when: always}")
    if why == "it failed":
        text = text.replace("echo rest > junk", "exit 9")
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    if why != "it never ran":
        first = running.run(here, until="train")
        assert (here.root / "ci/logs" / first.id / "artifacts/train/out/model").is_file()
    if why == "another commit":
        (here.root / "new.txt").write_text("x")
        git.add(here.root, ["."])
        git.commit(here.root, "feat: more", ["."])
    assert states(running.run(here, ["smoke"])) == {"smoke": "failed"}
    assert "artifacts of train: none, train has not succeeded here" in logs(here)
    assert "first: modelyard ci run --until train --file .gitlab-ci.yml" in logs(here)


SCHEDULED = """\
stages: [a]
one: {stage: a, script: [x], rules: [{if: '$CI_PIPELINE_SOURCE == "schedule"'}]}
"""


def test_a_run_of_no_job_is_refused(tmp_path: Path) -> None:
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": SCHEDULED})
    for chosen, until, asked in (((), None, ""), (("a",), None, " a"), ((), "a", " --until a")):
        with pytest.raises(UsageError, match="runs for a push on main") as refused:
            running.run(here, chosen, until=until)
        assert refused.value.why == "On main it runs for a schedule."
        assert refused.value.next_step == f"modelyard ci run{asked} --event schedule"
    assert not (here.root / "ci/logs").exists()


def test_a_job_of_another_event_is_told_from_none(tmp_path: Path) -> None:
    text = (
        SCHEDULED.replace("[a]", "[a, b]")
        + """\
two: {stage: a, script: [x], rules: [{if: $CI_COMMIT_BRANCH}]}
three: {stage: b, script: [x], when: never}
"""
    )
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    with pytest.raises(UsageError, match=r"No job of one in .* runs for a push") as refused:
        running.run(here, ["one"])
    assert refused.value.next_step == "modelyard ci run one --event schedule"
    with pytest.raises(UsageError, match="No job of b in") as refused:
        running.run(here, ["b"])
    assert refused.value.next_step == "modelyard ci run b --event manual --variable NAME=VALUE"
    with pytest.raises(UsageError, match="no stage or job 'threw', did you mean 'three'"):
        running.run(here, ["threw"])


MANUAL = """\
stages: [build, deploy]
build: {stage: build, script: [x=1]}
ask: {stage: deploy, script: [echo live], when: manual}
after: {stage: deploy, script: [x=1], needs: [ask]}
"""


def test_a_job_that_waits_runs_where_a_person_names_it(tmp_path: Path) -> None:
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": MANUAL})
    for asked in ((), ("deploy",)):
        done = running.run(here, asked)
        assert states(done) | {"build": ""} == {"build": "", "ask": "manual", "after": "skipped"}
        assert done.jobs[-2].reason == "a person has to agree: modelyard ci run ask"
        assert done.jobs[-1].reason == "ask was not run"
        assert done.exit_code == 0
        assert states(running.run(here, ["ask", "after"])) == {"ask": "success", "after": "success"}


@pytest.mark.parametrize("first", ["false", "true"])
@pytest.mark.parametrize("middle", ["false", "true"])
def test_what_runs_after_a_failure_as_well(tmp_path: Path, first: str, middle: str) -> None:
    name = ".github/workflows/x.yml"
    hub = f"""\
on: push
jobs:
  one: {{steps: [{{run: "{first}"}}]}}
  two: {{needs: one, steps: [{{run: "{middle}"}}]}}
  tell: {{needs: two, if: "always() && needs.two.result != 'skipped'", steps: [{{run: "true"}}]}}
  tidy: {{needs: two, if: always(), steps: [{{run: "true"}}]}}
  last: {{needs: [tell, two], steps: [{{run: "true"}}]}}
"""
    lab = f"""\
stages: [a, b]
one: {{stage: a, script: ["{first}"]}}
two: {{stage: a, needs: [one], script: ["{middle}"]}}
tell: {{stage: a, needs: [two], rules: [{{when: always}}], script: ["true"]}}
tidy: {{stage: b, when: always, script: ["true"]}}
last: {{stage: b, needs: [tell, two], script: ["true"]}}
"""
    here = a_project(tmp_path / "p", **{name: hub, ".gitlab-ci.yml": lab})
    one = "success" if first == "true" else "failed"
    two = "skipped" if one == "failed" else "success" if middle == "true" else "failed"
    found = states(running.run(here, file=name))
    told = "skipped" if two == "skipped" else "success"
    last = "success" if two == "success" else "skipped"
    assert found == {"one": one, "two": two, "tell": told, "tidy": "success", "last": last}
    # GitLab's `always` asks nothing of what it needs.
    found = states(running.run(here))
    assert found == {"one": one, "two": two, "tell": "success", "tidy": "success", "last": last}


def test_githubs_environments_wait_as_the_settings_say(tmp_path: Path) -> None:
    text = """\
on: push
jobs:
  a: {environment: staging, steps: [{run: x}]}
  b: {environment: {name: production, url: "https://example.org"}, steps: [{run: x}]}
  c: {steps: [{run: x}]}
"""
    jobs = github.parse("f", text, setting(), tmp_path, {"production"}).jobs
    assert {job.name: job.manual for job in jobs} == {"a": False, "b": True, "c": False}


def test_a_branch_on_which_nothing_runs(tmp_path: Path) -> None:
    text = "a: {stage: test, script: [x], rules: [{if: '$CI_COMMIT_BRANCH == \"main\"'}]}\n"
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": "stages: [test]\n" + text})
    git.switch(here.root, "feat/x", create=True)
    with pytest.raises(UsageError, match="a proposed change on feat/x") as refused:
        running.run(here)
    assert refused.value.next_step == "git switch main ; modelyard ci run"
    git.switch(here.root, "main")
    with pytest.raises(UsageError, match="No job of test in") as refused:
        running.run(here, ["test"], event="change")
    assert refused.value.next_step == "modelyard ci run test --event push"


BY_HAND = """\
on:
  workflow_dispatch:
    inputs:
      version: {default: v1}
      reason: {required: true, description: Why}
jobs:
  back:
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683
        with: {ref: main}
      - run: echo "$VERSION, $REASON, $GITHUB_EVENT_NAME"
        env: {VERSION: "${{ inputs.version }}", REASON: "${{ github.event.inputs.reason }}"}
"""


def test_a_workflow_by_hand_gets_its_inputs(tmp_path: Path) -> None:
    name = ".github/workflows/back.yml"
    here = a_project(tmp_path / "p", **{name: BY_HAND})
    with pytest.raises(UsageError, match="runs for a push") as refused:
        running.run(here, file=name)
    assert refused.value.next_step == f"modelyard ci run --file {name} --event manual"
    with pytest.raises(UsageError, match="needs the input 'reason'") as refused:
        running.run(here, file=name, event="manual")
    assert "--variable reason=VALUE" in refused.value.next_step
    done = running.run(here, file=name, event="manual", variables={"reason": "it drifts"})
    assert done.state == "success"
    assert "v1, it drifts, workflow_dispatch\n" in logs(here)
    assert "for a start by hand on" in (here.root / "ci/logs" / done.id / "index.html").read_text()


TYPED = """\
on:
  workflow_dispatch:
    inputs:
      go: {type: boolean, default: false}
      many: {type: number, default: 0}
      place: {type: choice, options: [here, there], default: here}
jobs:
  go: {if: inputs.go, steps: [{run: "echo go=${{ inputs.go }} many=${{ inputs.many }}"}]}
  stay: {if: "!inputs.go", steps: [{run: x}]}
  same: {if: inputs.go == true, steps: [{run: x}]}
  text: {if: "github.event.inputs.go == 'true'", steps: [{run: x}]}
  either: {steps: [{run: "echo ${{ inputs.go || inputs.place }}"}]}
"""


def test_inputs_have_types(tmp_path: Path) -> None:
    def jobs(**given: str) -> dict[str, str]:
        made = github.parse("f", TYPED, setting("manual", **given), tmp_path).jobs
        return {job.name: job.steps[0].script for job in made}

    assert list(jobs()) == ["stay", "either"]
    assert list(jobs(go="false")) == ["stay", "either"]
    assert list(jobs(go="true")) == ["go", "same", "text", "either"]
    assert jobs(go="true")["go"] == "echo go=true many=0"
    assert jobs(place="there")["either"] == "echo there"
    for name, value in (("go", "yes"), ("place", "nowhere")):
        with pytest.raises(UsageError, match=f"f: {name} cannot be '{value}'"):
            jobs(**{name: value})


@pytest.mark.parametrize(
    ("checkout", "said"),
    [
        ("", ""),
        ("with:", ""),
        ("with: {ref: main}", ""),
        ('with: {ref: "${{ github.head_ref || github.ref }}"}', ""),
        ("with: {ref: other}", "checks out 'other'"),
        ("with: {repository: a/b}", "`repository` is not understood"),
        ("with: {path: sub}", "`path` is not understood"),
    ],
)
def test_only_what_runs_here_is_checked_out(tmp_path: Path, checkout: str, said: str) -> None:
    text = f"""\
on: push
jobs:
  a:
    steps:
      - uses: actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683
        {checkout}
      - run: x
"""
    if said:
        with pytest.raises(UsageError, match=said):
            github.parse("f", text, setting(), tmp_path)
    else:
        assert len(github.parse("f", text, setting(), tmp_path).jobs) == 1


def test_what_a_job_would_check_out_instead_is_refused(tmp_path: Path) -> None:
    here = setting("manual", "feat/x")
    with pytest.raises(UsageError, match="checks out 'main', and 'feat/x' is what runs here"):
        github.parse("f", BY_HAND.replace("required: true, ", ""), here, tmp_path)
    tree = {"on": "push", "jobs": {"a": {"outputs": {"b": "c"}, "steps": []}}}
    with pytest.raises(UsageError, match="a: `outputs` is not understood"):
        github.parse("f", json.dumps(tree), setting(), tmp_path)


def test_gitlabs_rollback_is_for_the_protected_branch() -> None:
    sections = {"project": {"name": "churn"}, "data": {"path": "a.csv", "target": "y"}}
    text = rendering.texts(project.settings_from(sections, "test"))[".gitlab-ci.yml"]
    for branch, names in (("main", ["rollback"]), ("feat/x", [])):
        by_hand = setting("manual", branch, ROLLBACK_REASON="it drifts")
        assert [job.name for job in gitlab.parse("f", text, by_hand).jobs] == names


def test_an_engine_of_this_machine_takes_the_place_of_the_service(tmp_path: Path) -> None:
    text = """\
stages: [image]
build:
  stage: image
  services: [docker:27-dind]
  variables: {DOCKER_HOST: tcp://docker:2376, WORD: own}
  script: ['echo host=${DOCKER_HOST-none} word=$WORD']
"""
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    running.run(here, variables={})
    assert "left out: the service docker:27-dind; this machine's engine serves\n" in logs(here)
    assert f"host={os.environ.get('DOCKER_HOST', 'none')} word=own\n" in logs(here)
    with pytest.raises(UsageError, match="build: the service 'postgres:16' is not started here"):
        gitlab.parse("f", text.replace("[docker", "[{name: postgres:16}, docker"), setting())


def test_artifacts_that_a_need_does_not_pass_on() -> None:
    text = """\
a: {script: [x], artifacts: {paths: [y]}}
b: {script: [x], needs: [{job: a, artifacts: false}]}
c: {script: [x], needs: [{job: a, artifacts: true}, b]}
"""
    jobs = {job.name: (job.needs, job.downloads) for job in gitlab.parse("f", text, setting()).jobs}
    assert jobs == {"a": (None, None), "b": (("a",), ()), "c": (("a", "b"), ("a", "b"))}


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a job's name is read as False, put it in quotes"):
        github.parse("f", "on: push\njobs: {no: {steps: []}}", setting(), tmp_path)
    with pytest.raises(UsageError, match="a job's name is read as True, put it in quotes"):
        gitlab.parse("f", "yes: {script: [x]}", setting())


def test_on_is_one_key_however_it_is_written(tmp_path: Path) -> None:
    text = 'on: push\n"on": schedule\njobs: {a: {steps: [{run: x}]}}\n'
    with pytest.raises(UsageError, match="`on` is there twice"):
        github.parse("f", text, setting(), tmp_path)


@pytest.mark.parametrize(
    "text", ["a: {script: [x]}\na: {script: [y]}", "{a: {script: x, script: y}}"]
)
def test_a_job_that_is_there_twice_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is there twice, first in line 1"):
        gitlab.parse("f", text, setting())


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'Error: no champion.'; echo '  next: modelyard run'; exit 1", "Error: no champion."),
        ("echo '✗ records: broken'; echo; echo 'edit it'; exit 1", "✗ records: broken"),
        ("echo 'error: one'; echo 'fatal: two'; echo three; exit 1", "fatal: two"),
        ("echo 'Errors: none'; echo the end; exit 1", "the end"),
        ("git tag -d no || true; echo '$ python x'; echo 'ValueError: 5'; exit 1", "ValueError: 5"),
        (r"printf '\033[31mError: \033[0mred\n'; echo hint; exit 1", "Error: red"),
        ("no_such_x || { echo hint; exit 1; }", "line 2: no_such_x: command not found"),
    ],
)
def test_why_a_job_failed_is_its_error_and_not_the_hint_behind_it(
    tmp_path: Path, script: str, reason: str
) -> None:
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": gitlab_of(train=script)})
    assert running.run(here).jobs[0].reason.endswith(reason)


def test_the_record_of_a_run_that_was_killed_is_ended_by_the_next(tmp_path: Path) -> None:
    text = gitlab_of(lint="test -e /nonexistent || exec sleep 60", test="true")
    here = a_project(tmp_path / "p", **{".gitlab-ci.yml": text})
    process = subprocess.Popen(
        [Path(sys.executable).with_name("modelyard"), "ci", "run"],
        cwd=here.root,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("[lint] $ test"):
            break
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    killed = latest(here)
    assert killed is not None
    assert killed.state == "running"
    group = int(killed.jobs[0].process.split()[0])
    os.killpg(group, 0)  # the job goes on: nobody told it to end
    (here.root / ".gitlab-ci.yml").write_text(gitlab_of(lint="true"))
    git.commit(here.root, "ci: quicker", ["."])
    assert running.run(here).state == "success"
    place = here.root / "ci/logs" / killed.id
    record = json.loads((place / "run.json").read_text())
    assert record["state"] == "canceled"
    assert {j["name"]: j["state"] for j in record["jobs"]} == {
        "lint": "canceled",
        "test": "skipped",
    }
    assert "✗ cancelled" in (place / "index.html").read_text()
    assert (place / "junit.xml").is_file()
    assert mark(group) == "", "what went on was ended"
