"""The whole pipeline here: an image, an endpoint that stays, one that a person allows."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from images import forget, free_port, needs_engine

from modelyard import project as projects
from modelyard.ship.deploy.local import remove
from modelyard.ship.deploy.place import place

pytestmark = [pytest.mark.journey, needs_engine]
PLACES = ("staging", "production")


@contextmanager
def on_this_machine(of: Any, root: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A copy of a project whose two environments are on this machine, and their ports."""
    made = of.copy(root)
    image = f"modelyard-test/{secrets.token_hex(3)}"
    ports = {name: free_port() for name in PLACES}
    made.edit("environments: []", f"environments: [{', '.join(PLACES)}]")
    with (made.root / "modelyard.yaml").open("a") as file:
        file.write(f"\nimage: {{name: {image}}}\ndeploy:\n  environments:\n")
        for name, port in ports.items():
            url = f"http://127.0.0.1:{port}"
            file.write(f"    {name}: {{target: local, port: {port}, url: '{url}'}}\n")
    made.cli("sync")
    made.git("add", "--all")
    made.git("branch", "--move", "--force", "main")
    made.git("commit", "--quiet", "-m", "ci: two environments")
    try:
        yield made, ports
    finally:
        for name in PLACES:
            remove(place(projects.load(made.root), name))
        forget(*(f"{image}:{tag}" for tag in ("1", "2", "latest")))


def states(yard: Any) -> dict[str, str]:
    record = json.loads((yard.root / "ci/logs/latest/run.json").read_text())
    return {job["name"]: job["state"] for job in record["jobs"]}


def versions(yard: Any, ports: dict[str, str]) -> list[str]:
    """The release that answers at each port."""
    rows = json.loads((yard.root / "package/golden.json").read_bytes())["rows"][:1]
    body = json.dumps({"rows": rows}).encode()
    found = []
    for port in ports.values():
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/predict", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            found.append(json.load(answer)["model"]["version"])
    return found


@pytest.mark.parametrize("file", [".gitlab-ci.yml", ".github/workflows/pipeline.yml"])
def test_from_a_commit_to_an_endpoint_that_stays(released: Any, tmp_path: Path, file: str) -> None:
    with on_this_machine(released, tmp_path / "churn") as (yard, ports):
        yard.cli("ci", "run", "--file", file)
        before = ("lint", "test", "data", "train", "image-build", "deploy-staging")
        after = {"deploy-production": "manual", "smoke-production": "skipped"}
        wanted = dict.fromkeys((*before, "smoke-staging"), "success") | after
        assert states(yard) == wanted
        # The job's clone is gone, and what it deployed is not.
        assert versions(yard, {"staging": ports["staging"]}) == ["v1"]
        assert "live" in yard.cli("status", "--env", "staging").stdout
        kept = yard.root / "ci/logs/latest/artifacts"
        bill = json.loads((kept / "image-build/records/image.cdx.json").read_text())
        assert bill["bomFormat"] == "CycloneDX"
        assert (kept / "train/MODEL_CARD.md").is_file()
        named = ("deploy-production", "smoke-production")
        assert "golden samples through" in yard.cli("ci", "run", *named, "--file", file).stdout
        assert versions(yard, ports) == ["v1", "v1"]


def test_a_rollback_by_hand_moves_a_branch_and_both_environments(
    grown: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with on_this_machine(grown, tmp_path / "churn") as (yard, ports):
        origin = tmp_path / "origin.git"
        yard.git("clone", "--quiet", "--bare", ".", origin)
        # The service's address leads to a folder of this machine.
        settings = tmp_path / "gitconfig"
        settings.write_text(
            f'[url "{origin}"]\n  insteadOf = https://release:key@git.example.org/ada/churn.git\n'
            "[user]\n  name = Ada\n  email = ada@example.org\n"
        )
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
        told = {
            "ROLLBACK_REASON": "it drifts",
            "RELEASE_TOKEN": "key",
            "CI_SERVER_FQDN": "git.example.org",
            "CI_PROJECT_PATH": "ada/churn",
            "CI_JOB_ID": "7",
            "GITLAB_USER_LOGIN": "grace",
        }
        pairs = [word for pair in told.items() for word in ("--variable", "=".join(pair))]
        yard.cli("ci", "run", "rollback", "--event", "manual", *pairs)
        assert states(yard) == {"rollback": "success"}
        assert versions(yard, ports) == ["v1", "v1"]
        line = yard.git("--git-dir", origin, "show", "rollback/7:records/audit.jsonl")
        move = json.loads(line.splitlines()[-1])
        assert (move["action"], move["from_version"], move["to_version"]) == ("rollback", "2", "1")
        assert (move["who"], move["why"]) == ("grace (GitLab CI)", "it drifts")
        # Nothing moves here before a person has merged that branch.
        assert json.loads((yard.root / "records/champion.json").read_text())["version"] == "2"
