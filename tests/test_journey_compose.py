"""compose.yaml by the real compose: the endpoint answers, the tracking server keeps a run.

MLflow's published image is out of reach of most test machines: the server runs in the tests' base
image, with this environment's own packages mounted; the command, volume, port and health check are
those of the file.

With TEST_POSTGRES_IMAGE=modelyard-test/postgres:15 (`bash tests/postgres_image.sh` makes it, in a
minute) the same services run with the profile of PostgreSQL; without, that profile is only read.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import team_tools
import yaml
from images import BASE, forget, free_port, needs_engine

COMPOSE = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
NAME = "modelyard-test-compose"
POSTGRES = os.environ.get("TEST_POSTGRES_IMAGE", "")
PASSWORD = "of-the-tests"
LISTED = "import os; print(*sorted(os.listdir('/mlflow')))"

pytestmark = [
    pytest.mark.journey,
    needs_engine,
    pytest.mark.skipif(COMPOSE is None, reason="docker-compose is not installed"),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the base image has Python 3.11"),
]


@dataclass(frozen=True)
class Services:
    """What runs: the ports by name, and compose itself."""

    ports: dict[str, str]
    compose: Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def services(released: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """The project's services, up and healthy."""
    made = released.copy(tmp_path_factory.mktemp("compose") / "churn")
    with (made.root / "modelyard.yaml").open("a") as file:
        file.write(f"\nimage:\n  name: {NAME}\n")
    made.git("commit", "-qam", "name the image")
    made.cli("image", "build")
    site = sysconfig.get_path("purelib")
    mounted = {"volumes": [f"{site}:/site:ro"], "environment": {"PYTHONPATH": "/site"}}
    if POSTGRES:
        mounted["volumes"].append(f"{team_tools.site()}:/team:ro")
        mounted["environment"]["PYTHONPATH"] = "/team:/site"
    (made.root / "compose.override.yaml").write_text(
        yaml.safe_dump({"services": {"mlflow": mounted}})
    )
    ports = {"ENDPOINT_PORT": free_port(), "MLFLOW_PORT": free_port()}
    hosts = f"127.0.0.1:{ports['MLFLOW_PORT']},127.0.0.1:5000"
    environment = {**os.environ, **ports, "MLFLOW_IMAGE": BASE, "MLFLOW_HOSTS": hosts}
    if POSTGRES:
        environment |= {
            "COMPOSE_PROFILES": "postgres",
            "POSTGRES_IMAGE": POSTGRES,
            "POSTGRES_PASSWORD": PASSWORD,
            "MLFLOW_STORE": f"postgresql://mlflow:{PASSWORD}@postgres/mlflow",
        }

    def compose(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(COMPOSE), *words],
            cwd=made.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=500,
        )

    try:
        up = compose("up", "--detach", "--wait", "--wait-timeout", "400")
        assert up.returncode == 0, up.stderr + compose("logs").stdout[-3000:]
        yield Services(ports, compose)
    finally:
        compose("down", "--volumes", "--timeout", "10")
        forget(f"{NAME}:1", f"{NAME}:latest")


def test_the_endpoint_answers(services: Services, released: Any) -> None:
    golden = json.loads((released.root / "package/golden.json").read_bytes())
    request = urllib.request.Request(
        f"http://127.0.0.1:{services.ports['ENDPOINT_PORT']}/v1/predict",
        json.dumps({"rows": golden["rows"]}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        found = json.load(answer)
    assert found["model"]["version"] == "1"
    for one, packed in zip(found["probabilities"], golden["scores"], strict=True):
        assert one == pytest.approx(packed, abs=golden["tolerance"])


def test_the_tracking_server_keeps_a_run(services: Services, tmp_path: Path) -> None:
    script = (
        "import mlflow, sys\n"
        "mlflow.set_tracking_uri(sys.argv[1])\n"
        "mlflow.set_experiment('team')\n"
        "with mlflow.start_run() as run:\n"
        "    mlflow.log_metric('roc_auc', 0.7)\n"
        "    mlflow.log_text('kept', 'note.txt')\n"
        "client = mlflow.MlflowClient()\n"
        "print(client.get_run(run.info.run_id).data.metrics)\n"
        "print(mlflow.artifacts.load_text(run.info.artifact_uri + '/note.txt'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, f"http://127.0.0.1:{services.ports['MLFLOW_PORT']}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert "{'roc_auc': 0.7}" in done.stdout
    assert "kept" in done.stdout
    if POSTGRES:
        query = "SELECT value FROM metrics WHERE key = 'roc_auc'"
        asked = f'PGPASSWORD=$POSTGRES_PASSWORD psql -U mlflow -Atc "{query}"'
        told = services.compose("exec", "-T", "postgres", "sh", "-c", asked)
        assert told.stdout.strip() == "0.7", told.stderr
        held = services.compose("exec", "-T", "mlflow", "python3", "-c", LISTED).stdout.split()
        assert held == ["artifacts"], "no SQLite file beside the artifacts"


def test_the_profile_of_postgres_is_whole(released: Any, tmp_path: Path) -> None:
    from modelyard.render.image import compose_file

    (tmp_path / "compose.yaml").write_text(compose_file("churn", mlflow="3.17.2"))
    store = "postgresql://mlflow:secret@postgres/mlflow"
    environment = {**os.environ, "MLFLOW_STORE": store, "POSTGRES_PASSWORD": "secret"}
    done = subprocess.run(
        [str(COMPOSE), "--profile", "postgres", "config", "--format", "json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["services"]
    assert set(found) == {"endpoint", "mlflow", "postgres"}
    assert f"--backend-store-uri={store}" in found["mlflow"]["command"]
    assert found["postgres"]["environment"]["POSTGRES_PASSWORD"] == "secret"
