"""Every rendered file against its golden copy; `--update-golden` writes them anew."""

from __future__ import annotations

import compileall
import os
import re
import subprocess
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import as_file
from importlib.resources import files as resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard import project
from modelyard.render import ci, files, messages, reference
from modelyard.render.chart import chart_files
from modelyard.render.engine import inline
from modelyard.render.locks import requirements_lock
from modelyard.render.pipeline import StageSpec, dvc_yaml
from modelyard.render.project_file import project_file
from modelyard.settings import Settings

Golden = Callable[[str, str], None]

SETTINGS = project.settings_from(
    {
        "project": {"name": "churn", "description": "Who leaves: a 'test'?"},
        "data": {
            "path": "data/raw/Kunden für #1.csv",
            "target": "yes",
            "task": "binary",
            "positive": "no",
            "id": "customer: id",
            "exclude": ["a, b", "null", "1"],
            "types": {"date": "datetime"},
            "delimiter": ";",
        },
        "split": {"seed": 8},
        "tune": {"budget": "10m"},
        "gate": {"limits": {"roc_auc": {"min": 0.7}}},
    },
    "test",
)
STAGES = (
    StageSpec(
        name="ingest",
        cmd="modelyard stage ingest",
        deps=("data/raw/Kunden für #1.csv",),
        params=("data",),
        outs=("data/interim/table.parquet",),
        plain_outs=("records/schema.json", "records/ingest.json"),
    ),
    StageSpec(
        name="evaluate",
        cmd="modelyard stage evaluate",
        deps=("model", "records/schema.json"),
        plain_outs=("records/evaluate.json",),
        metrics=("metrics.json",),
        plots=("plots",),
    ),
    StageSpec(name="alone", cmd="true"),
)


def test_project_file(golden: Golden) -> None:
    text = project_file(SETTINGS, {"data.id": "its name\nsays so"})
    golden("modelyard.yaml", text)
    assert project.settings_from(yaml.safe_load(text), "text") == SETTINGS


@settings(deadline=None)  # the machine may have other work
@given(
    target=st.text(min_size=1, max_size=20),
    exclude=st.lists(st.text(min_size=1, max_size=10), max_size=4, unique=True),
)
def test_project_file_says_what_it_was_given(target: str, exclude: list[str]) -> None:
    wanted = msgspec.structs.replace(
        SETTINGS,
        data=msgspec.structs.replace(SETTINGS.data, target=target, exclude=tuple(exclude)),
    )
    read = yaml.safe_load(project_file(wanted))
    assert msgspec.convert(read, Settings, strict=True) == wanted


def test_dvc_yaml(golden: Golden) -> None:
    text = dvc_yaml(STAGES)
    golden("dvc.yaml", text)
    tree = yaml.safe_load(text)["stages"]
    assert list(tree) == ["ingest", "evaluate", "alone"]
    assert tree["ingest"]["params"] == [{"modelyard.yaml": ["data"]}, {"overrides.yaml": ["data"]}]
    assert tree["ingest"]["outs"][1] == {"records/schema.json": {"cache": False}}
    assert tree["alone"] == {"cmd": "true"}


def test_small_files(golden: Golden) -> None:
    golden("gitignore", files.gitignore())
    golden("dvcignore", files.dvcignore())
    golden("gitattributes", files.gitattributes(STAGES))
    golden("README.md", files.readme(SETTINGS, rows=7043, columns=20))
    golden("overrides.yaml", project.overrides_text({"tune": {"budget": "5s"}}))


def test_readme_speaks_for_itself_without_a_description() -> None:
    plain = project.settings_from(
        {"project": {"name": "x"}, "data": {"path": "a.csv", "target": "yes"}}, "test"
    )
    assert "Predicts `yes` from a table of 7,043 rows and 20 columns." in files.readme(
        plain, rows=7043, columns=20
    )


def test_ignore_rules_hide_what_a_run_leaves(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text(files.gitignore())
    hidden = (
        ".modelyard/lock",
        ".dvc-store/files/x",
        "mlflow.db",
        "mlflow.db-wal",
        "mlartifacts/1/x",
        "model/graph.onnx",
        "package/manifest.json",
        "data/interim/table.parquet",
        "reports/index.html",
        ".venv/x",
    )
    kept = ("records/gate.json", "metrics.json", "plots/roc.csv", "dvc.lock", "data/raw/a.csv.dvc")
    for name in (*hidden, *kept):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    seen = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert sorted(seen) == sorted((*kept, ".gitignore"))


def test_missing_lines_are_those_that_are_not_there() -> None:
    assert files.missing_lines("# mine\n/model/\n x \n", "# c\n/model/\n/package/\n\nx\n") == [
        "/package/"
    ]


def test_reference_has_every_key_with_a_meaning() -> None:
    keys = {key.path: key for key in reference.keys()}  # noqa: SIM118 - a function
    assert set(keys) >= {"data.path", "split.seed", "tune.budget", "gate.limits", "track.uri"}
    assert [key.path for key in keys.values() if not key.description] == []
    assert keys["data.path"].default is None
    assert keys["data.id"].default == "null"
    assert keys["tune.budget"].default == "60s"
    assert keys["tune.budget"].type == "text or null"
    assert keys["tune.mode"].type == "search | grid"
    assert keys["gate.limits"].type == "mapping of text to {min, max}"


def test_reference_page(golden: Golden) -> None:
    golden("reference.md", reference.markdown_page())


def test_lock_pins_the_closure_without_addresses() -> None:
    text = requirements_lock()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.+!]+", line) for line in lines)
    pins = dict(line.split("==") for line in lines)
    assert list(pins) == sorted(pins)
    assert pins["polars"] == version("polars")
    assert {"modelyard", "modelyard-serve", "dvc", "mlflow", "dvc-data"} <= set(pins)
    assert "pytest" not in pins


def test_lock_of_a_distribution_that_is_not_there_is_empty() -> None:
    assert len(requirements_lock("no-such-distribution").splitlines()) == 1


def test_tag_message_is_read_back() -> None:
    text = messages.data_version("November: rows: 5", rows=7043, md5="ab", source="n.csv")
    assert messages.read_data_version(text) == messages.DataMessage("November: rows: 5", 7043)
    assert messages.read_data_version("by hand") == messages.DataMessage("by hand", None)


@pytest.mark.parametrize(
    "value", [None, "no", "1", 1, 0.15, [], ["a, b"], {"x": "y: z"}, "ä #", ""]
)
def test_inline_yaml_reads_back(value: object) -> None:
    text = inline(value)
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}") == {"key": value}


FULL = project.settings_from(
    {
        "project": {"name": "churn"},
        "data": {"path": "data/raw/a.csv", "target": "yes"},
        "ci": {
            "environments": ["staging", "production"],
            "login": "aws",
            "owners": ["@ada", "@org/team"],
            "incoming": "data/incoming/new rows.csv",
        },
    },
    "test",
)


@pytest.mark.parametrize(("name", "settings"), [("plain", SETTINGS), ("full", FULL)])
def test_pipelines(golden: Golden, name: str, settings: Settings) -> None:
    for path, text in ci.texts(settings).items():
        golden(f"ci-{name}/{path.replace('/', '__')}", text)


def of_ci(**section: object) -> Settings:
    return msgspec.convert(msgspec.to_builtins(FULL) | {"ci": section}, Settings)


@pytest.mark.parametrize(
    ("environments", "waiting"),
    [
        (["staging", "production"], ["deploy-production"]),
        (["production"], ["deploy-production"]),
        (["prod-eu"], ["deploy-prod-eu"]),
        (["staging"], []),
        (["test", "canary"], ["deploy-canary"]),
    ],
)
def test_the_last_environment_and_production_wait(
    environments: list[str], waiting: list[str]
) -> None:
    gitlab = yaml.safe_load(ci.texts(of_ci(environments=environments))[".gitlab-ci.yml"])
    by_hand = {name for name, job in gitlab.items() if "manual" in str(job) and name[0] == "."}
    assert len(by_hand) == 1
    deploys = {name: job for name, job in gitlab.items() if name.startswith("deploy-")}
    assert list(deploys) == [f"deploy-{name}" for name in environments]
    manual = [name for name, job in deploys.items() if by_hand & set(job["extends"])]
    assert manual == waiting


def test_words_that_mean_something_to_yaml_stay_words() -> None:
    texts = ci.texts(of_ci(incoming="in: new #1.csv", branch="2.10"))
    nightly = yaml.safe_load(texts[".github/workflows/nightly.yml"])
    (steps,) = (job["steps"] for job in nightly["jobs"].values() if "drift" in str(job))
    said = [step["run"] for step in steps if "modelyard drift" in str(step.get("run"))]
    assert said[0] == "modelyard drift 'in: new #1.csv'"
    rollback = yaml.safe_load(texts[".github/workflows/rollback.yml"])
    refs = [s["with"]["ref"] for j in rollback["jobs"].values() for s in j["steps"]
            if "ref" in s.get("with", {})]  # fmt: skip
    assert refs == ["2.10"]


@pytest.mark.parametrize("login", ["none", "aws", "azure", "gcp"])
@pytest.mark.parametrize("services", [["github"], ["gitlab"], ["github", "gitlab"]])
def test_every_pipeline_is_yaml_with_the_same_stages(login: str, services: list[str]) -> None:
    made = msgspec.convert(
        msgspec.to_builtins(FULL) | {"ci": {"login": login, "services": services}}, Settings
    )
    texts = ci.texts(made)
    for path, text in texts.items():
        if path.endswith((".yml", ".json")):
            yaml.safe_load(text)
        assert "<<" not in text, path
    assert (".gitlab-ci.yml" in texts) == ("gitlab" in services)
    assert (".github/workflows/pipeline.yml" in texts) == ("github" in services)


def test_both_services_run_the_same_commands() -> None:
    texts = ci.texts(FULL)
    hub = yaml.safe_load(texts[".github/workflows/pipeline.yml"])["jobs"]
    lab = yaml.safe_load(texts[".gitlab-ci.yml"])
    for job in ci.jobs(FULL):
        steps = [step for step in hub[job.name]["steps"] if "run" in step]
        theirs = [step["run"] for step in steps if step.get("if") != "always()"]
        ours = [line for line in lab[job.name]["script"] if "docker" not in line]
        assert theirs == ours == list(job.script)
        theirs = [step["run"] for step in steps if step.get("if") == "always()"]
        assert theirs == lab[job.name].get("after_script", []) == list(job.after)
        assert lab[job.name]["stage"] == job.stage


def test_no_job_may_more_than_it_needs() -> None:
    texts = ci.texts(FULL)
    for path in (name for name in texts if "workflows" in name):
        tree = yaml.safe_load(texts[path])
        assert tree["permissions"] == {}
        for name, job in tree["jobs"].items():
            write = {key for key, value in job["permissions"].items() if value == "write"}
            allowed = {
                "report": {"pull-requests", "id-token"},
                "rollback": {"contents", "id-token"},
            }
            assert write <= allowed.get(name, {"id-token"}), (path, name)
        for used in re.findall(r"uses: (\S+)(.*)", texts[path]):
            assert used[0].startswith("./") or re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", used[0])
            assert used[0].startswith("./") or re.fullmatch(r" # v\d+\.\d+\.\d+", used[1])


def workflow(texts: dict[str, str], name: str) -> Any:
    return yaml.safe_load(texts[f".github/workflows/{name}.yml"])


def test_a_red_smoke_holds_back_the_environment_behind_it() -> None:
    texts = ci.texts(of_ci(environments=["staging", "canary", "production"]))
    hub, lab = workflow(texts, "pipeline")["jobs"], yaml.safe_load(texts[".gitlab-ci.yml"])
    for before, name in (("staging", "canary"), ("canary", "production")):
        assert f"smoke-{before}" in hub[f"deploy-{name}"]["needs"]
        assert f"smoke-{before}" in lab[f"deploy-{name}"]["needs"]
    # GitLab refuses a job that needs one of a later stage.
    for name, job in lab.items():
        for said in job.get("needs", ()) if isinstance(job, dict) and name != "default" else ():
            need = said["job"] if isinstance(said, dict) else said
            stages = [lab["stages"].index(lab[one]["stage"]) for one in (need, name)]
            assert stages == sorted(stages), name


def test_the_smoke_of_an_environment_can_fetch_the_champion_and_compares_with_it() -> None:
    texts = ci.texts(FULL)
    hub, lab = workflow(texts, "pipeline")["jobs"], yaml.safe_load(texts[".gitlab-ci.yml"])
    for name in ("smoke-staging", "smoke-production"):
        assert "modelyard smoke --champion" in lab[name]["script"][0]
        assert ".login" in lab[name]["extends"]
        assert hub[name]["permissions"]["id-token"] == "write"


def test_a_rollback_and_the_pipeline_deploy_one_after_the_other() -> None:
    texts = ci.texts(FULL)
    pipeline, rollback = (workflow(texts, name)["jobs"] for name in ("pipeline", "rollback"))
    for name in ("deploy-staging", "deploy-production"):
        assert rollback[name]["concurrency"] == pipeline[name]["concurrency"]
        assert rollback[name]["concurrency"]["cancel-in-progress"] is False
        assert rollback[name]["steps"][0]["with"]["ref"] == "${{ needs.rollback.outputs.branch }}"
    assert rollback["deploy-production"]["needs"] == ["rollback", "deploy-staging"]


def test_gitlab_goes_by_the_branch_and_production_waits_wherever_it_stands() -> None:
    """Not by the service's default branch: only this one is protected."""
    made = project.settings_from(
        {
            "project": {"name": "churn"},
            "data": {"path": "a.csv", "target": "y"},
            "ci": {"branch": "release", "environments": ["staging", "production", "dr"]},
        },
        "test",
    )
    texts = ci.texts(made)
    pipeline = yaml.safe_load(texts[".gitlab-ci.yml"])
    waits = {name for name, job in pipeline.items() if ".approval" in _extended(job)}
    assert waits == {"deploy-production", "deploy-dr"}
    for rules in (pipeline[name]["rules"] for name in ("workflow", ".main", ".approval")):
        assert rules[-1]["if"] == '$CI_COMMIT_BRANCH == "release"'
    assert "CI_DEFAULT_BRANCH" not in texts[".gitlab-ci.yml"]
    assert "production and dr wait for approval" in texts["CONTRIBUTING.md"]
    assert "required reviewers of production and of dr" in texts["CONTRIBUTING.md"]


def _extended(job: object) -> list[str]:
    found = job.get("extends", []) if isinstance(job, dict) else []
    return [found] if isinstance(found, str) else found


def test_a_push_that_waits_for_approval_holds_up_no_other() -> None:
    group = workflow(ci.texts(FULL), "pipeline")["concurrency"]["group"]
    pull = "github.event_name == 'pull_request' && github.ref"
    assert group == f"pipeline-${{{{ {pull} || github.run_id }}}}"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://staging.example.org/churn", "${STAGING_URL:-https://staging.example.org/churn}"),
        ('https://x/"; rm -r .', "$STAGING_URL"),
        ("https://x/: #$(y)", "$STAGING_URL"),
        (None, "$STAGING_URL"),
    ],
)
def test_the_address_of_an_environment_is_the_services_or_the_settings(
    url: str | None, address: str
) -> None:
    made = project.settings_from(
        {
            "project": {"name": "churn"},
            "data": {"path": "a.csv", "target": "y"},
            "ci": {"environments": ["staging"]},
            "deploy": {"environments": {"staging": {"url": url}}},
        },
        "test",
    )
    texts = ci.texts(made)
    wanted = f'modelyard smoke --champion "{address}"'
    assert yaml.safe_load(texts[".gitlab-ci.yml"])["smoke-staging"]["script"] == [wanted]
    steps = workflow(texts, "pipeline")["jobs"]["smoke-staging"]["steps"]
    assert steps[-1] == {"run": wanted, "env": {"STAGING_URL": "${{ vars.STAGING_URL }}"}}


def test_gitlabs_drift_and_rollback_say_what_they_are_told() -> None:
    lab = yaml.safe_load(ci.texts(of_ci(incoming="in: new #1.csv"))[".gitlab-ci.yml"])
    told = "modelyard drift 'in: new #1.csv'"
    assert lab["nightly-drift"]["script"][-2:] == [told, f"{told} --json > drift.json"]
    assert lab["nightly-drift"]["artifacts"]["paths"] == ["drift.json"]
    # With the port, where GitLab has one of its own.
    assert "@${CI_SERVER_FQDN}/" in str(lab["rollback"]["script"])


GLAB = """\
#!/bin/sh
# GitLab's protected branches as files; what FAIL names cannot be protected.
set -eu
[ "$1" = api ] ; shift
method=GET
[ "$1" != --method ] || { method=$2; shift 2; }
path=$1 ; shift
case "$method $path" in
  "PUT projects/:id") exit 0 ;;
  "POST "*)
    name=${2#name=}
    [ "$name" != "${FAIL:-}" ] || exit 1
    [ ! -e "$PLACE/$name" ] || exit 1
    touch "$PLACE/$name" ;;
  *)
    name=$(printf '%s' "${path##*/}" | sed 's/%2A/*/g')
    [ -e "$PLACE/$name" ] || exit 1
    [ "$method" = GET ] || rm "$PLACE/$name" ;;
esac
"""


@pytest.mark.parametrize(
    ("there", "fail", "left"),
    [
        ([], "", ["main"]),
        (["main"], "", ["main"]),
        (["main"], "main", ["main**"]),
        (["main"], "main**", ["main"]),
        (["main**"], "", ["main"]),
    ],
)
def test_gitlabs_branch_is_never_open(
    tmp_path: Path, there: list[str], fail: str, left: list[str]
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/glab").write_text(GLAB)
    (tmp_path / "bin/glab").chmod(0o755)
    place = tmp_path / "protected"
    place.mkdir()
    for name in there:
        (place / name).touch()
    script = tmp_path / "protect.sh"
    script.write_text(ci.texts(SETTINGS)[".gitlab/protect-branch.sh"])
    environ = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "PLACE": str(place)}
    done = subprocess.run(["sh", script], env=environ | {"FAIL": fail}, capture_output=True)
    assert [path.name for path in place.iterdir()] == left
    assert (done.returncode == 0) == (left == ["main"] and not fail)


def test_the_chart_has_no_bytecode() -> None:
    """pip compiles what it installs, also the script that the chart's test pod runs."""
    with as_file(resources("modelyard.render") / "templates") as folder:
        assert compileall.compile_dir(folder, quiet=1)
    made = chart_files("churn")
    assert "files/golden.py" in made
    assert [path for path in made if "__pycache__" in path] == []


def test_both_services_pass_the_same_artifacts_on_and_keep_the_same() -> None:
    texts = ci.texts(of_ci(environments=["staging", "production"]))
    hub, lab = workflow(texts, "pipeline")["jobs"], yaml.safe_load(texts[".gitlab-ci.yml"])
    for name, job in hub.items():
        steps = [(step.get("uses", "").partition("@")[0], step) for step in job["steps"]]
        taken = [s["with"]["name"] for uses, s in steps if uses == "actions/download-artifact"]
        needs = lab[name].get("needs", ())
        keeping = [n for n in needs if isinstance(n, str) and "artifacts" in lab[n]]
        assert keeping == taken, name
        kept = [s["with"]["path"].split() for u, s in steps if u == "actions/upload-artifact"]
        assert kept == ([lab[name]["artifacts"]["paths"]] if "artifacts" in lab[name] else []), name
    assert "MODEL_CARD.md" in lab["train"]["artifacts"]["paths"]
    # What the pipeline built is what it deploys.
    assert {"records", "image/Dockerfile"} <= set(lab["image-build"]["artifacts"]["paths"])
    assert "image-build" in lab["deploy-staging"]["needs"]
    assert "image-build" in lab["deploy-production"]["needs"]


def test_what_dvc_brought_is_cached_once_it_is_all_there() -> None:
    texts = ci.texts(of_ci())
    action = yaml.safe_load(texts[".github/actions/setup/action.yml"])
    (restored,) = [s for s in action["runs"]["steps"] if "actions/cache" in s.get("uses", "")]
    assert restored["uses"].startswith("actions/cache/restore@")
    saved = {}
    for name, job in workflow(texts, "pipeline")["jobs"].items():
        for before, step in pairwise(job["steps"]):
            if "actions/cache" in step.get("uses", ""):
                saved[name] = (before.get("run"), step)
    ((name, (before, step)),) = saved.items()
    # lint pulls nothing: what it would save stays in the way of the data for good.
    assert (name, before) == ("test", "modelyard data pull")
    assert step["uses"].startswith("actions/cache/save@")
    # Of the folder .dvc, `**/*.dvc` would take all that is below: the key as it was, not made anew.
    assert step["with"]["key"] == "${{ steps.setup.outputs.key }}"
    assert action["outputs"]["key"]["value"] == "${{ steps.dvc.outputs.cache-primary-key }}"
    assert "'!.dvc/**'" in restored["with"]["key"]
    assert step["with"]["path"] == restored["with"]["path"]
