"""Containers behind the local door: rollouts, drains, failures and canaries under load."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from images import free_port


def _engine() -> bool:
    if shutil.which("docker") is None:
        return False
    done = subprocess.run(["docker", "image", "inspect", "python:3.11-slim"], capture_output=True)
    return done.returncode == 0


pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(not _engine(), reason="no container engine with a Python base image"),
]


class Client:
    """Two threads that ask the door: one keeps its connection, one opens one a request."""

    def __init__(self, port: int, body: bytes) -> None:
        self.port, self.body = port, body
        self.versions: dict[str, int] = {}
        self.failed: list[str] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(keep,)) for keep in (True, False)]

    def _ask(self, keep: bool) -> None:
        connection = None
        while not self._ended.is_set():
            try:
                connection = connection or http.client.HTTPConnection(
                    "127.0.0.1", self.port, timeout=30
                )
                connection.request(
                    "POST", "/v1/predict", self.body, {"Content-Type": "application/json"}
                )
                answer = connection.getresponse()
                said = answer.read()
                assert answer.status == 200, said
                version = json.loads(said)["model"]["version"]
                self.versions[version] = self.versions.get(version, 0) + 1
            except Exception as error:
                self.failed.append(f"{type(error).__name__}: {error}")
                connection = None
            if not keep and connection is not None:
                connection.close()
                connection = None
            time.sleep(0.02)

    def __enter__(self) -> Client:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def local(released: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A project with one release in an image, and a port of its own."""
    yard = released.copy(tmp_path_factory.mktemp("local") / "churn")
    image = f"modelyard-test/{secrets.token_hex(3)}"
    yard.cli("image", "build", "--tag", f"{image}:1")
    port = int(free_port())
    with (yard.root / "modelyard.yaml").open("a") as file:
        file.write(f"\ndeploy:\n  environments:\n    staging: {{target: local, port: {port}}}\n")
    yard.git("commit", "-qam", "deploy to this machine")
    yield yard, image, port
    _remove(yard)
    subprocess.run(["docker", "rmi", "-f", f"{image}:1", f"{image}:2"], capture_output=True)


def _remove(yard: Any) -> None:
    from modelyard import project
    from modelyard.ship.deploy.local import remove
    from modelyard.ship.deploy.place import place

    remove(place(project.load(yard.root), "staging"))


@contextmanager
def load(local: Any) -> Iterator[Client]:
    yard, _, port = local
    rows = json.loads((yard.root / "package/golden.json").read_bytes())["rows"][:1]
    with Client(port, json.dumps({"rows": rows}).encode()) as client:
        time.sleep(0.5)
        yield client
        time.sleep(0.5)


def test_first_deploy(local: Any) -> None:
    yard, _, port = local
    said = yard.cli("deploy").stdout
    assert "golden samples as packed" in said
    assert f"http://127.0.0.1:{port}" in said
    found = yard.json("status")
    assert found["status"]["state"] == "live"
    assert [part["ready"] for part in found["status"]["parts"]] == [True]
    assert found["release"]["version"] == "v1"
    assert "deploy/staging/1" in yard.git("tag")


def test_an_image_that_was_exchanged_is_refused(local: Any) -> None:
    yard, image, _ = local
    path = yard.root / "records/image.json"
    before = path.read_text()
    path.write_text(before.replace(json.loads(before)["image_id"], "sha256:" + "0" * 64))
    try:
        done = yard.cli("deploy", code=3)
    finally:
        path.write_text(before)
    assert f"{image}:1 is not the one that the gate judged" in done.stderr


def test_a_container_that_ends_at_once_leaves_the_old_one(local: Any) -> None:
    yard, image, _ = local
    broken = f"{image}:broken"
    subprocess.run(
        ["docker", "build", "-q", "-t", broken, "-"], check=True, capture_output=True, text=True,
        input=f'FROM {image}:1\nENTRYPOINT ["python3", "-m", "modelyard_serve", "/nowhere"]\n',
    )  # fmt: skip
    try:
        with load(local) as client:
            done = yard.cli("deploy", "--image", broken, code=1)
    finally:
        subprocess.run(["docker", "rmi", "-f", broken], capture_output=True)
    assert "serves on" in done.stderr
    assert "/nowhere" in done.stderr
    assert client.failed == []
    assert set(client.versions) == {"v1"}


def test_a_copy_in_another_folder_leaves_the_endpoint_alone(local: Any, tmp_path: Path) -> None:
    yard, _, port = local
    other = yard.copy(tmp_path / "churn")
    shutil.rmtree(other.root / ".modelyard/local")
    done = other.cli("deploy", code=1)
    assert f"Port {port} is in use already." in done.stderr
    assert not (other.root / ".modelyard/local/staging/door.json").exists()
    assert _answers(port)
    # Its door.json, too, names containers that are not the copy's.
    shutil.copytree(yard.root / ".modelyard/local", other.root / ".modelyard/local")
    free = int(free_port())
    other.edit(f"port: {port}", f"port: {free}")
    try:
        other.cli("deploy")
        assert _answers(port)
        assert _answers(free)
    finally:
        _remove(other)
    assert _answers(port)


def test_what_a_killed_canary_leaves_is_shown_and_taken_out(local: Any) -> None:
    yard, _, port = local
    door = yard.root / ".modelyard/local/staging/door.json"
    before = json.loads(door.read_bytes())
    program = Path(sys.executable).with_name("modelyard")
    words = [program, "deploy", "--canary", "--canary-time", "5m"]
    with subprocess.Popen(words, cwd=yard.root, stdout=subprocess.DEVNULL) as process:
        for _ in range(600):
            if json.loads(door.read_bytes())["canary"]:
                break
            time.sleep(0.1)
        assert yard.json("status")["status"]["state"] == "live"
        process.kill()
    left = json.loads(door.read_bytes())["canary_container"]["name"]
    found = yard.json("status")["status"]
    assert found["state"] == "degraded"
    assert "modelyard deploy --env staging takes it out" in " ".join(found["notes"])
    # The next deploy ends it and, as the port was changed, closes the old door.
    free = int(free_port())
    yard.edit(f"port: {port}", f"port: {free}")
    try:
        yard.cli("deploy")
        assert _answers(free)
        assert not _answers(port)
    finally:
        yard.edit(f"port: {free}", f"port: {port}")
    names = subprocess.run(
        ["docker", "ps", "-a", "--format", "{{.Names}}"], check=True, capture_output=True, text=True
    ).stdout.split()
    assert left not in names
    assert before["container"]["name"] not in names
    yard.cli("deploy")
    assert _answers(port)
    assert '"rows":' in yard.cli("logs", "-n", "100").stdout  # the golden samples


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def test_a_canary_that_shows_too_little_is_aborted(local: Any, tables: Path) -> None:
    yard, image, _ = local
    yard.cli("data", "add", tables / "november.csv", "-m", "November")
    yard.cli("run", "-m", "retrained with November")
    yard.cli("image", "build", "--tag", f"{image}:2")
    with load(local) as client:
        done = yard.cli("deploy", "--canary", "--canary-share", "40", "--canary-time", "4s",
                        "--least", "100000", code=3)  # fmt: skip
    assert "canary in staging was aborted" in done.stderr
    assert "requests to the canary" in done.stderr
    assert client.failed == []
    # It did answer a share, and afterwards the old one has all of it again.
    assert client.versions.get("v2", 0) > 0
    assert client.versions["v1"] > client.versions["v2"]


def test_a_shadow_is_asked_and_never_answers(local: Any) -> None:
    yard, _, _ = local
    with load(local) as client:
        done = yard.cli("deploy", "--shadow", "--canary-time", "4s", "--least", "100000", code=3)
    assert "rows predicted alike" in done.stderr
    assert client.failed == []
    assert set(client.versions) == {"v1"}


def test_upgrade_and_rollback_under_load_lose_no_request(local: Any) -> None:
    yard, _, _ = local
    with load(local) as client:
        yard.cli("deploy")
    assert client.failed == []
    assert client.versions.get("v1", 0) > 0
    assert client.versions.get("v2", 0) > 0
    with load(local) as client:
        said = yard.cli("rollback", "--env", "staging").stdout
    assert "v1 is live in staging again" in said
    assert client.failed == []
    assert set(client.versions) == {"v1", "v2"}
    lines = yard.json("releases")
    assert [line["action"] for line in lines if line["outcome"] == "live"][:2] == [
        "rollback",
        "deploy",
    ]
    assert yard.git("status", "--porcelain", "records/deployments.jsonl") == ""


def test_logs(local: Any) -> None:
    yard, _, _ = local
    name = yard.json("status")["status"]["parts"][0]["name"]
    subprocess.run(["docker", "kill", "--signal", "TERM", name], check=True, capture_output=True)
    time.sleep(5)
    assert yard.json("status")["status"]["state"] == "degraded"
    yard.cli("logs", "-n", "100")
