"""podman in docker's place: it builds, verifies and runs the image, and plays the manifests.

`bash tests/podman.sh` makes a podman of the tests' own; without it these are skipped.
"""

from __future__ import annotations

import json
import os
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kube_tools
import pytest
from images import free_port
from podman_tools import environment, needs_podman, podman

from modelyard import project
from modelyard.ship.image.rows import Expected, expected_scores

pytestmark = [pytest.mark.journey, needs_podman]

PAGE = Path(__file__).parent.parent / "docs/how-it-works/kubernetes.md"
TAG = "churn:1"
OURS = "label=app.kubernetes.io/instance=churn"
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
        _forget()
        made.cli("image", "build")
        yield made
        _forget()


def _forget() -> None:
    """Remove containers and images, also those of a run that was killed; build stages are kept."""
    podman("pod", "rm", "--all", "--force")
    podman("rm", "--all", "--force")
    for name in podman("images", "--format", "{{.Repository}}:{{.Tag}}").split():
        if name.startswith("localhost/churn:"):
            podman("rmi", "--force", name)


@pytest.fixture(scope="module")
def expected(built: Any) -> Expected:
    """Golden samples and held-out rows, with the scores of the package in this process."""
    return expected_scores(project.load(built.root), built.root / "package")


def predicted(url: str, rows: list[dict[str, Any]], version: str) -> list[list[float]]:
    """The endpoint's probabilities of these rows, and that it is this release."""
    body = json.dumps({"rows": rows}).encode()
    request = urllib.request.Request(
        f"{url}/v1/predict", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        said = json.loads(answer.read())
    assert said["model"]["version"] == version
    found: list[list[float]] = said["probabilities"]
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
        assert predicted(f"http://127.0.0.1:{port}", expected.rows, "1") == expected.scores.tolist()
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
        ours, plain = (
            json.loads(podman("image", "inspect", name))[0] for name in (TAG, "churn:plain")
        )
        assert ours["RootFS"]["Layers"] == plain["RootFS"]["Layers"]
        assert ours["Config"]["Entrypoint"] == plain["Config"]["Entrypoint"]
        # podman's own form of images has no place for it.
        assert ours["Healthcheck"]
        assert "Healthcheck" not in plain
    finally:
        podman("rmi", "--force", "churn:plain")


@pytest.fixture
def helm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Helm on the PATH, as the page's commands want it."""
    monkeypatch.setenv("PATH", str(kube_tools.folder("new")), prepend=os.pathsep)


def the_pages_commands() -> tuple[list[str], list[str]]:
    """What the page types to play the chart, after its image was built, and to end it."""
    section = PAGE.read_text(encoding="utf-8").split("## Without a cluster: podman", 1)[1]
    found = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert found
    first, *lines = found[1].replace("\\\n", "").splitlines()
    assert first == "modelyard image build"
    last = next(i for i, line in enumerate(lines) if line.startswith("podman kube down"))
    return lines[:last], lines[last:]


def test_kube_play_runs_what_the_chart_renders(
    built: Any, expected: Expected, helm: None, tmp_path: Path
) -> None:
    """The page's own commands, but for the port."""
    yard = built.copy(tmp_path / "churn")
    port = free_port()
    up, down = ("\n".join(lines).replace("8080", port) for lines in the_pages_commands())
    try:
        said = yard.tool("bash", "-euc", up).stdout
        assert said.endswith('{"ready":true}')
        assert (
            predicted(f"http://127.0.0.1:{port}", expected.rows, "v1") == expected.scores.tolist()
        )
        (name,) = podman("ps", "--filter", OURS, "--format", "{{.Names}}").split()
        _is_hardened(name)
    finally:
        yard.tool("bash", "-euc", down)
    assert podman("pod", "ps", "--quiet") == ""
    assert podman("ps", "--all", "--quiet") == ""
    assert podman("volume", "ls", "--quiet") == ""


def _is_hardened(name: str) -> None:
    """What the chart says of its pod holds in the container that podman made of it."""
    found = json.loads(podman("exec", "--interactive", name, "python3", "-", stdin=INSIDE))
    assert found["uid"] == 10001
    assert int(found["CapEff"], 16) == int(found["CapBnd"], 16) == 0
    assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", "2")
    assert [found[place] for place in ("/", "/app", "/app/package")] == [
        "Read-only file system"
    ] * 3
    assert found["/tmp"] == "written"
    (inspected,) = json.loads(podman("container", "inspect", name))
    assert inspected["HostConfig"]["Memory"] == 384 << 20


def test_why_the_charts_probes_are_left_out(built: Any, helm: None, tmp_path: Path) -> None:
    """podman makes of an httpGet probe a call of curl inside, and there is none."""
    yard = built.copy(tmp_path / "churn")
    up, down = the_pages_commands()
    assert "probes.enabled=false" in "\n".join(up)
    script = "\n".join(line for line in up if not line.startswith("curl"))
    script = script.replace(",probes.enabled=false", "").replace(
        "kube play", "kube play --start=false"
    )
    try:
        yard.tool("bash", "-euc", script.replace("8080", free_port()))
        (name,) = podman("ps", "--all", "--filter", OURS, "--format", "{{.Names}}").split()
        (inspected,) = json.loads(podman("container", "inspect", name))
        assert "curl -f http://localhost:" in " ".join(inspected["Config"]["Healthcheck"]["Test"])
    finally:
        yard.tool("bash", "-euc", "\n".join(down))
    words = ("run", "--rm", "--network", "none", "--entrypoint", "python3", TAG, "-c")
    assert podman(*words, "import shutil; print(shutil.which('curl'))") == "None"
