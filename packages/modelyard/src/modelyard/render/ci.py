"""The pipelines and what surrounds them: rendered for both services from one table of jobs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelyard.render.engine import fill_pipeline
from modelyard.settings import Settings

STAGES = ("lint", "test", "data", "train", "image", "deploy", "smoke")
"""The stages in order, under the same names on every service. Behind them come `deploy-NAME` and
`smoke-NAME` of every environment but the first: GitLab lets no job need one of a later stage."""

CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683 # v4.2.2"
PYTHON = "actions/setup-python@a26af69be951a213d495a4c3e4e4022e16d87065 # v5.6.0"
RESTORE = "actions/cache/restore@5a3ec84eff668545956fd18022155c47e93e2684 # v4.2.3"
SAVE = "actions/cache/save@5a3ec84eff668545956fd18022155c47e93e2684 # v4.2.3"
UPLOAD = "actions/upload-artifact@ea165f8d65b6e75b540449e92b4886f43607fa02 # v4.6.2"
DOWNLOAD = "actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093 # v4.3.0"
AWS = "aws-actions/configure-aws-credentials@b47578312673ae6fa5b5096b330d9fbac3d116df # v4.2.1"
LOGIN = {
    "aws": AWS,
    "azure": "azure/login@a457da9ea143d694b1b9c7c869ebb04ebe844ef5 # v2.3.0",
    "gcp": "google-github-actions/auth@ba79af03959ebeac9769e648f473a284504d9193 # v2.1.10",
}
"""Other people's actions, each by the commit of the version beside it."""

INSTALL = "command -v modelyard >/dev/null || pip install --quiet -r requirements.lock"
PULL = "modelyard data pull"
DOCKER = (
    "command -v docker >/dev/null || "
    "{ apt-get update -qq && apt-get install -y -qq docker.io >/dev/null; }"
)
ENGINE = """\
  services: [docker:27-dind]
  variables:
    DOCKER_HOST: tcp://docker:2376
    DOCKER_TLS_CERTDIR: /certs
    DOCKER_TLS_VERIFY: "1"
    DOCKER_CERT_PATH: /certs/client"""
"""An engine for a job of GitLab, whose runner is a container itself."""

CANDIDATE = ("package", "records", "plots", "metrics.json", "reports", "MODEL_CARD.md")


@dataclass(frozen=True)
class Job:
    """One job of the pipeline.

    `after` is run even where the script has failed. `needs` are the jobs before it, `keeps` the
    artifacts that it leaves (under its name), `takes` the jobs whose artifacts it starts from.
    `environment` is the one that it deploys to, `approval` whether a person has to agree first.
    `changes` jobs run for a change that is proposed, `main` jobs on the protected branch; both
    where neither is set. `caches` is the first job that pulls: it leaves what DVC brought to the
    jobs and runs behind it.
    """

    name: str
    stage: str
    script: tuple[str, ...]
    after: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    keeps: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    junit: str | None = None
    remote: bool = False
    docker: bool = False
    environment: str | None = None
    approval: bool = False
    changes: bool = False
    main: bool = False
    comments: bool = False
    caches: bool = False
    secrets: tuple[str, ...] = ()
    minutes: int = 30

    def needs_said(self, table: Sequence[Job]) -> list[str]:
        """GitLab's `needs`: it passes the artifacts of each on, unless it is told not to."""
        keeping = {job.name for job in table if job.keeps}
        before = [
            f"{{job: {name}, artifacts: false}}"
            if name in keeping and name not in self.takes
            else name
            for name in self.needs
        ]
        return [*before, *(name for name in self.takes if name not in self.needs)]


def jobs(settings: Settings) -> tuple[Job, ...]:
    """The pipeline's jobs in the order of the stages."""
    ci = settings.ci
    made = [
        Job("lint", "lint", ("modelyard lint",)),
        Job(
            "test",
            "test",
            (PULL, "modelyard test --junit ci/junit/test.xml"),
            needs=("lint",),
            keeps=("ci/junit",),
            junit="ci/junit/test.xml",
            remote=True,
            caches=True,
        ),
        Job("data", "data", (PULL, "modelyard data validate"), needs=("test",), remote=True),
        Job(
            "train",
            "train",
            (PULL, "modelyard run --no-release"),
            # Of a candidate that the gate refused, too: who looks into it needs them most.
            after=("modelyard report", "modelyard card"),
            needs=("data",),
            keeps=CANDIDATE,
            remote=True,
            minutes=120,
        ),
        Job(
            "report",
            "train",
            (
                f"modelyard ci report --base {ci.branch} --output reports/ci.md",
                "modelyard ci comment reports/ci.md",
            ),
            needs=("train",),
            keeps=("reports/ci.md", "reports/ci-plots"),
            takes=("train",),
            remote=True,
            changes=True,
            comments=True,
        ),
    ]
    # One artifact holds all that the jobs behind it need: of two, the service chooses the order.
    last = source = "train"
    if ci.image:
        script = ("modelyard image build", "modelyard image verify")
        # Not `image`: to GitLab that word at the top is no job.
        made.append(
            Job(
                "image-build",
                "image",
                script,
                needs=(last,),
                keeps=(*CANDIDATE, "image/Dockerfile", "image/requirements.lock"),
                takes=("train",),
                # The image holds the champion, which may be older than what was trained here.
                remote=True,
                docker=True,
            )
        )
        last = source = "image-build"
    if not ci.environments:
        made.append(Job("smoke", "smoke", ("modelyard smoke",), needs=(last,), takes=(source,)))
    for place, name in enumerate(ci.environments):
        address = f"{name.upper().replace('-', '_')}_URL"
        behind = f"-{name}" if place else ""
        made.append(
            Job(
                f"deploy-{name}",
                f"deploy{behind}",
                (f"modelyard deploy --env {name} --yes",),
                needs=(last,),
                takes=(source,),
                remote=True,
                environment=name,
                approval=name.startswith("prod")
                or (place > 0 and place == len(ci.environments) - 1),
                main=True,
            )
        )
        made.append(
            Job(
                f"smoke-{name}",
                f"smoke{behind}",
                # What is deployed is the champion; what was trained here may not be.
                (f'modelyard smoke --champion "{_address(settings, name, address)}"',),
                needs=(f"deploy-{name}",),
                takes=(source,),
                remote=True,
                main=True,
                secrets=(address,),
            )
        )
        last = f"smoke-{name}"
    return tuple(made)


def _address(settings: Settings, name: str, variable: str) -> str:
    """An environment's address in the shell's words: the service's variable, else the setting."""
    known = settings.deploy.environments.get(name)
    url = known.url if known else None
    # Within double quotes, and within YAML, these signs mean themselves.
    if url is None or not re.fullmatch(r"https?://[\w.:/%~-]+", url, re.ASCII):
        return f"${variable}"
    return f"${{{variable}:-{url}}}"


def texts(settings: Settings) -> dict[str, str]:
    """Path -> content of every file that is written for the services and for people."""
    ci = settings.ci
    table = jobs(settings)
    run = tuple(dict.fromkeys(job.stage for job in table))
    values = {
        "settings": settings,
        "ci": ci,
        "jobs": table,
        "all_stages": tuple(dict.fromkeys((*STAGES, *run))),
        "run_stages": run,
        "waiting": [job.environment for job in table if job.approval],
        "stages": [stage for stage in STAGES if stage in run],
        "action": {
            "checkout": CHECKOUT,
            "python": PYTHON,
            "restore": RESTORE,
            "save": SAVE,
            "upload": UPLOAD,
            "download": DOWNLOAD,
            **{"login": LOGIN.get(ci.login, "")},
        },
        "install": INSTALL,
        "pull": PULL,
        "docker": DOCKER,
        "engine": ENGINE,
        "candidate": CANDIDATE,
    }
    wanted = list(SHARED)
    for service, paths in SERVICES.items():
        wanted += paths if service in ci.services else ()
    return {path: fill_pipeline(_template(path), **values) for path in wanted}


SHARED = ("CONTRIBUTING.md", "Makefile")

SERVICES = {
    "github": (
        ".github/workflows/pipeline.yml",
        ".github/workflows/nightly.yml",
        ".github/workflows/rollback.yml",
        ".github/actions/setup/action.yml",
        ".github/zizmor.yml",
        ".github/pull_request_template.md",
        ".github/CODEOWNERS",
        ".github/branch-protection.json",
        ".github/protect-branch.sh",
    ),
    "gitlab": (
        ".gitlab-ci.yml",
        ".gitlab/merge_request_templates/Default.md",
        ".gitlab/CODEOWNERS",
        ".gitlab/protect-branch.sh",
    ),
}


def _template(path: str) -> str:
    """The template of a file: services share the words of the request template and the owners."""
    name = PurePosixPath(path).name
    shared = {"Default.md": "request.md", "pull_request_template.md": "request.md"}
    if name == "protect-branch.sh":
        return f"ci/protect-{PurePosixPath(path).parts[0].removeprefix('.')}.sh.j2"
    return f"ci/{shared.get(name, name.removeprefix('.'))}.j2"
