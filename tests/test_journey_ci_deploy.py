"""The whole pipeline here: an image, an endpoint that stays, one that a person allows."""

from __future__ import annotations

import json
import secrets
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images import forget, free_port, needs_engine

from modelyard import project as projects
from modelyard.ship.deploy.local import remove
from modelyard.ship.deploy.place import place

pytestmark = [pytest.mark.journey, needs_engine]
PLACES = ("staging", "production")


@pytest.fixture
def local(released: Any, tmp_path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A project whose two environments are on this machine, and their ports."""
    made = released.copy(tmp_path / "churn")
    image = f"modelyard-test/{secrets.token_hex(3)}"
    ports = dict(zip(PLACES, (free_port(), free_port()), strict=True))
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
    yield made, ports
    for name in PLACES:
        remove(place(projects.load(made.root), name))
    forget(f"{image}:1", f"{image}:latest")


def states(yard: Any) -> dict[str, str]:
    record = json.loads((yard.root / "ci/logs/latest/run.json").read_text())
    return {job["name"]: job["state"] for job in record["jobs"]}


def answers(port: str) -> bool:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready", timeout=10) as answer:
        return bool(answer.status == 200)


@pytest.mark.parametrize("file", [".gitlab-ci.yml", ".github/workflows/pipeline.yml"])
def test_from_a_commit_to_an_endpoint_that_stays(
    local: tuple[Any, dict[str, str]], file: str
) -> None:
    yard, ports = local
    yard.cli("ci", "run", "--file", file)
    before = ("lint", "test", "data", "train", "image-build", "deploy-staging", "smoke-staging")
    after = {"deploy-production": "manual", "smoke-production": "skipped"}
    assert states(yard) == dict.fromkeys(before, "success") | after
    # The job's clone is gone, and what it deployed is not.
    assert answers(ports["staging"])
    assert "live" in yard.cli("status", "--env", "staging").stdout
    bill = yard.root / "ci/logs/latest/artifacts/image-build/records/image.cdx.json"
    assert json.loads(bill.read_text())["bomFormat"] == "CycloneDX"
    assert (yard.root / "ci/logs/latest/artifacts/train/MODEL_CARD.md").is_file()
    said = yard.cli("ci", "run", "deploy-production", "smoke-production", "--file", file).stdout
    assert "golden samples through" in said
    assert answers(ports["production"])
    assert answers(ports["staging"])
