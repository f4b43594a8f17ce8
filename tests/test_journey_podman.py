"""podman in docker's place: the image built, verified and run by it, and the chart's manifests played.

`bash tests/podman.sh` makes a podman of the tests' own; without it these are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import kube_tools
import pytest
import yaml
from images import free_port
from podman_tools import environment, needs_podman, podman

from modelyard import project
from modelyard.ship.image.rows import Expected, expected_scores

pytestmark = [pytest.mark.journey, needs_podman]

PAGE = Path(__file__).parent.parent / "docs/how-it-works/kubernetes.md"
TAG = "churn:1"
INSIDE = """
import json, os, pathlib
status = dict(line.split(":\\t") for line in open("/proc/self/status") if ":\\t" in line)
said = {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")}
said["uid"] = os.getuid()
for place in ("/", "/app", "/app/package", "/tmp"):
    try:
        path = pathlib.Path(place, "written")
        path.write_text("x")
        path.unlink()
        said[place] = "written"
    except OSError as error:
        said[place] = error.strerror
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def built(released: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A project whose engine is podman, with a release and its image. Only to be read."""
    made = released.copy(tmp_path_factory.mktemp("podman") / "churn")
    with (made.root / "modelyard.yaml").open("a") as file:
        file.write("\nimage:\n  engine: podman\n")
    made.git("commit", "-qam", "podman builds the image")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        made.cli("image", "build")
        yield made
        podman("rmi", "--force", TAG, "churn:latest")
        podman("image", "prune", "--force")


@pytest.fixture(scope="module")
def expected(built: Any) -> Expected:
    """Golden samples and held-out rows, with the scores of the package in this process."""
    return expected_scores(project.load(built.root), built.root / "package")


def predicted(url: str, rows: list[dict[str, Any]]) -> list[list[float]]:
    """The endpoint's probabilities of these rows."""
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(
        f"{url}/v1/predict", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        found: list[list[float]] = json.loads(answer.read())["probabilities"]
    return found


def test_it_builds_and_says_what_it_is(built: Any) -> None:
    record = built.record("image")
    assert record["builder"] == "buildah"
    assert record["engine"].startswith("podman ")
    assert record["command"][:4] == ["podman", "build", "--network", "none"]
    (found,) = json.loads(podman("image", "inspect", TAG))
    assert record["image_id"] == f"sha256:{found['Id']}"
    champion = built.record("champion")
    assert found["Labels"]["dev.modelyard.package.digest"] == champion["package_digest"]
    assert record["labels"] == found["Labels"]
    assert built.json("trace", record["image_id"])[0]["commit"] == champion["commit"]


def test_verify_scores_inside_the_hardened_container(built: Any, expected: Expected) -> None:
    said = built.cli("image", "verify").stdout
    check = built.record("image-check")
    assert check["passed"], said
    assert check["difference"] == 0
    assert check["golden_rows"] + check["rows"] == len(expected.rows)
    assert check["health"]["code"] == 0
    assert check["health"]["command"][:2] == ["CMD", "python3"]
    assert {"--read-only", "none", "12345:12345", "no-new-privileges"} <= set(check["flags"])
    assert 0 < check["memory"] < 130e6
    assert podman("ps", "--all", "--quiet") == ""


def test_run_answers_as_the_project_and_stops_softly(built: Any, expected: Expected) -> None:
    port = free_port()
    said = built.cli("image", "run", "--detach", "--port", port).stdout
    container = said.split()[1].rstrip(",")
    try:
        assert f"Next:  podman logs {container}" in said
        assert predicted(f"http://127.0.0.1:{port}", expected.rows) == expected.scores.tolist()
        taken = built.cli("image", "run", "--detach", "--port", port, code=1).stderr
        assert "The port is in use already." in taken
        assert podman("ps", "--all", "--format", "{{.ID}}") == container
        podman("stop", "--time", "20", container)
        (found,) = json.loads(podman("container", "inspect", container))
        assert found["State"]["ExitCode"] == 0
        assert found["HostConfig"]["ReadonlyRootfs"]
        assert not found["EffectiveCaps"]
    finally:
        podman("rm", "--force", container)


def test_the_dockerfile_builds_without_modelyard(built: Any) -> None:
    built.tool("podman", "build", "--network", "none", "--tag", "churn:plain", "image")
    try:
        layers = [
            json.loads(podman("image", "inspect", name))[0]["RootFS"]["Layers"]
            for name in (TAG, "churn:plain")
        ]
        assert layers[0] == layers[1]
    finally:
        podman("rmi", "--force", "churn:plain")


def commands() -> tuple[list[str], list[str]]:
    """The page's commands to play the chart, and those that end it."""
    section = PAGE.read_text(encoding="utf-8").split("## Without a cluster: podman", 1)[1]
    found = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert found
    lines = found[1].replace("\\\n", "").splitlines()
    last = next(i for i, line in enumerate(lines) if line.startswith("podman kube down"))
    return lines[:last], lines[last:]
