"""A team's tracking: MLflow on PostgreSQL and S3, DVC on S3, and a colleague's clone.

The server is started with what docs/how-it-works/mlflow-values.yaml gives its chart.
"""

from __future__ import annotations

import json
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import team_tools
import yaml

VALUES = Path(__file__).resolve().parents[1] / "docs/how-it-works/mlflow-values.yaml"

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(
        team_tools.postgres_programs() is None or not shutil.which("runuser"),
        reason="PostgreSQL's server is not installed: apt-get install postgresql",
    ),
]


@dataclass(frozen=True)
class Team:
    """What a team shares: the tracking server, its database, the buckets."""

    server: team_tools.Server
    database: str
    endpoint: str
    buckets: Path

    def ask(self, path: str) -> Any:
        """The tracking server's answer."""
        with urllib.request.urlopen(f"{self.server.url}/api/2.0/mlflow/{path}", timeout=20) as said:
            return json.load(said)

    def objects(self, bucket: str) -> list[str]:
        """What lies in a bucket."""
        root = self.buckets / bucket
        return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The team's servers."""
    folder = tmp_path_factory.mktemp("team")
    buckets = folder / "buckets"
    for name in ("team-mlflow", "team-dvc"):
        (buckets / name).mkdir(parents=True)
    values = yaml.safe_load(VALUES.read_text())
    with ExitStack() as servers:
        database = servers.enter_context(team_tools.postgres())
        endpoint = servers.enter_context(team_tools.s3(buckets))
        told = {
            **{entry["name"]: entry["value"] for entry in values["env"]},
            "MLFLOW_BACKEND_STORE_URI": database,
            "MLFLOW_ARTIFACTS_DESTINATION": values["mlflow"]["artifactsDestination"],
            "MLFLOW_S3_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": team_tools.KEY,
            "AWS_SECRET_ACCESS_KEY": team_tools.SECRET,
        }
        flags = values["server"]["value_options"]
        server = servers.enter_context(team_tools.tracking(folder, flags, told))
        yield Team(server, database, endpoint, buckets)


@pytest.fixture
def member(unreleased: Any, team: Team, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project before its first release, whose tracking and remote are the team's."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.server.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", team_tools.KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", team_tools.SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    assert "dvc-s3" in point_at_the_bucket(unreleased, team)
    monkeypatch.setenv("PYTHONPATH", str(team_tools.site()))
    return unreleased


def point_at_the_bucket(project: Any, team: Team) -> str:
    """The page's commands; returns what a run says where DVC has no plugin for S3 yet."""
    project.tool("dvc", "remote", "add", "-d", "--force", "team", "s3://team-dvc/churn")
    project.tool("dvc", "remote", "modify", "team", "endpointurl", team.endpoint)
    project.git("commit", "--quiet", "-am", "chore: the team's DVC remote")
    before = project.snapshot()
    said = project.cli("run", code=1).stderr
    assert "pip install 'modelyard[s3]'" in said
    assert project.snapshot() == before
    (found,) = (f for f in json.loads(project.cli("doctor", "--json", code=1).stdout)
                if f["name"] == "remote")  # fmt: skip
    assert found["state"] == "error"
    assert found["fix"] == "pip install 'modelyard[s3]'"
    return str(said)


def nothing_moved(project: Any, team: Team) -> None:
    """No tag, no champion, no alias, no commit of a release."""
    assert project.git("tag", "--list", "model/*") == ""
    assert not (project.root / "records/champion.json").exists()
    assert project.git("log", "-1", "--format=%s") == "chore: the team's DVC remote"
    assert team_tools.sql(team.database, "SELECT * FROM registered_model_aliases") == []


def test_a_team_shares_runs_champion_and_data(
    member: Any, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = member
    # Nobody listens where the tracking server should be.
    before = project.snapshot()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", dead)
        said = project.cli("run", code=1).stderr
    assert f"The tracking server {dead} does not answer." in said
    assert project.snapshot() == before
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.server.url)

    # A wrong password of the bucket: the run is recorded, nothing is released.
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    said = project.cli("run", code=1).stderr
    assert "Nothing was released: the files could not be pushed to the DVC remote 'team'" in said
    assert "modelyard run" in said
    assert "wrong" not in said
    nothing_moved(project, team)
    assert team.objects("team-dvc") == []
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", team_tools.SECRET)

    # With the right one it goes on from there.
    said = project.cli("run").stdout
    assert "churn v1 is the champion" in said
    found = team.ask("registered-models/alias?name=churn&alias=champion")["model_version"]
    assert found["version"] == "1"
    assert found["run_id"] == project.record("champion")["run_id"]
    aliases = "SELECT name, alias, version FROM registered_model_aliases"
    assert team_tools.sql(team.database, aliases) == ["churn|champion|1"]
    trials = len(project.record("study")["trials"])
    (runs,) = team_tools.sql(
        team.database, "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'"
    )
    assert int(runs) == trials + 1, "one parent and its trials, though it was run twice"
    kept = team.objects("team-mlflow")
    assert any(name.endswith("/data/package/model.onnx") for name in kept)
    assert any(name.endswith("/artifacts/metrics.json") for name in kept)
    assert not (project.root / "mlflow.db").exists()
    assert not (project.root / "mlartifacts").exists()
    pointer = (project.root / "data/raw/customers.csv.dvc").read_text()
    md5 = pointer.partition("md5: ")[2].split()[0]
    assert f"churn/files/md5/{md5[:2]}/{md5[2:]}" in team.objects("team-dvc")

    # Nothing of a secret is in the repository.
    for word in (team_tools.SECRET, team_tools.PASSWORD):
        assert project.tool("git", "grep", "-F", word, code=1).stdout == ""
        assert word not in (project.root / ".dvc/config").read_text()

    # Another machine: a clone, the environment's variables, two commands.
    project.git("clone", "--quiet", project.root, tmp_path / "colleague")
    other = type(project)(tmp_path / "colleague")
    other.cli("data", "pull")
    assert other.table.read_bytes() == project.table.read_bytes()
    for yard, name in ((project, "here"), (other, "there")):
        yard.cli("predict", yard.table, "-o", tmp_path / f"{name}.csv")
    assert (tmp_path / "here.csv").read_bytes() == (tmp_path / "there.csv").read_bytes()
    doctor = {f["name"]: f for f in json.loads(other.cli("doctor", "--json").stdout)}
    assert doctor["mlflow"]["state"] == "ok"
    assert "requirements.lock does not name dvc-s3" in doctor["remote"]["message"]
