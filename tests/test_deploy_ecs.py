"""ECS against moto's server as the AWS API: definitions, service, rollback, refusals.

moto keeps what it is asked and runs no container, so the endpoint's answers come from a server of
the same package, and the image has its ECR name already: a push needs a registry that moto is not.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kube_tools
import pytest

from modelyard import project
from modelyard.errors import ModelyardError
from modelyard.ship.deploy.ecs import rollback
from modelyard.ship.deploy.judged import shipment
from modelyard.ship.deploy.place import place

REGION = "eu-central-1"
IMAGE = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/churn@sha256:" + "a" * 64
OTHER = IMAGE.replace("a" * 64, "b" * 64)


def _free() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _await(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(f"{url} does not answer")


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """moto's server, and credentials that it takes."""
    port = _free()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [kube_tools.python().with_name("moto_server"), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "MOTO_ECS_SERVICE_RUNNING": "2"},  # its tasks count as running
    ) as server:
        try:
            _await(f"{url}/moto-api/data.json")
            yield url
        finally:
            server.terminate()


@pytest.fixture
def world(project: Any, aws: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A project with one release whose production is an ECS service, with a live address."""
    for name, value in {
        "AWS_ENDPOINT_URL": aws,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(urllib.request.Request(f"{aws}/moto-api/reset", method="POST"))
    subnet = client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    port = _free()
    with (project.root / "modelyard.yaml").open("a") as file:
        file.write(
            f"""
deploy:
  environments:
    production:
      target: ecs
      url: http://127.0.0.1:{port}
      ecs: {{region: {REGION}, cluster: models, subnets: [{subnet}], count: 2,
            execution_role: "arn:aws:iam::123456789012:role/modelyard-execution"}}
"""
        )
    package = project.root / "package"
    with subprocess.Popen(
        [sys.executable, "-m", "modelyard_serve", package, "--port", str(port)],
        stdout=subprocess.DEVNULL,
        env={**os.environ, "MODEL_VERSION": "v1", "LOG_LEVEL": "warning"},
    ) as server:
        try:
            _await(f"http://127.0.0.1:{port}/ping")
            yield project
        finally:
            server.terminate()


def client(service: str) -> Any:
    """boto3's own client, to see what AWS was really asked."""
    import boto3

    return boto3.client(service, region_name=REGION)


def deploy(world: Any, image: str = IMAGE, *more: str, code: int = 0) -> Any:
    """Deploy to production."""
    return world.cli("deploy", "--env", "production", "--yes", "--image", image, "--timeout", "20s",
                     *more, code=code)  # fmt: skip


def test_a_service_is_made_moved_and_taken_back(world: Any) -> None:
    ecs = client("ecs")
    ecs.create_cluster(clusterName="models")
    dry = world.cli("deploy", "--env", "production", "--image", IMAGE, "--dry-run").stdout
    assert "create the service churn-production" in dry
    assert ecs.list_task_definitions()["taskDefinitionArns"] == []
    said = deploy(world).stdout
    assert "is live in production" in said
    service = ecs.describe_services(cluster="models", services=["churn-production"])["services"][0]
    made = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])["taskDefinition"]
    (container,) = made["containerDefinitions"]
    assert container["image"] == IMAGE
    assert container["readonlyRootFilesystem"] is True
    assert container["user"] == "10001:10001"
    assert container["stopTimeout"] == 40
    first = service["taskDefinition"]
    deploy(world, OTHER)
    service = ecs.describe_services(cluster="models", services=["churn-production"])["services"][0]
    assert service["taskDefinition"] != first
    status = world.json("status", "--env", "production")
    assert status["status"]["revision"] == service["taskDefinition"].rpartition("/")[2]
    lines = world.json("releases")
    assert [line["outcome"] for line in lines] == ["live", "live"]
    assert lines[0]["target"] == "ecs"
    done = world.cli("rollback", "--env", "production", "--yes", code=2)
    assert "nothing in production to go back to" in done.stderr  # it is the same model still


def test_logs_are_the_newest_lines(world: Any) -> None:
    client("ecs").create_cluster(clusterName="models")
    deploy(world)
    log = client("logs")
    names = {"logGroupName": "/modelyard/churn-production", "logStreamName": "server/model/0123"}
    if not log.describe_log_groups(logGroupNamePrefix=names["logGroupName"])["logGroups"]:
        log.create_log_group(logGroupName=names["logGroupName"])
    log.create_log_stream(**names)
    now = int(time.time() * 1000)
    for ago, count in ((2 * 86_400, 30), (1800, 5), (30, 3)):
        events = [
            {"timestamp": now - ago * 1000 + place, "message": f"{ago} s ago, {place}"}
            for place in range(count)
        ]
        log.put_log_events(**names, logEvents=events)

    def told(*options: str) -> list[str]:
        said = world.cli("logs", "--env", "production", *options).stdout
        return [line.partition("] ")[2] for line in said.splitlines()]

    assert told("-n", "2") == ["30 s ago, 1", "30 s ago, 2"]
    assert told("-n", "6")[0] == "1800 s ago, 2"
    assert len(told("-n", "20")) == 20
    assert told("-n", "100", "--since", "10m") == [f"30 s ago, {place}" for place in range(3)]
    assert "is no time" in world.cli("logs", "--env", "production", "--since", "x", code=2).stderr


def test_an_endpoint_that_serves_another_package_is_taken_back(world: Any) -> None:
    ecs = client("ecs")
    ecs.create_cluster(clusterName="models")
    deploy(world)
    first = ecs.describe_services(cluster="models", services=["churn-production"])["services"][0]
    path = world.root / "package/golden.json"
    text = json.loads(path.read_bytes())
    other = world.root.parent / "other"
    subprocess.run(["cp", "-r", world.root / "package", other], check=True)
    assert text["rows"]
    port = _free()
    manifest = json.loads((other / "manifest.json").read_bytes())
    manifest["lineage"]["commit"] = "another"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with subprocess.Popen(
        [sys.executable, "-m", "modelyard_serve", other, "--port", str(port)],
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            _await(f"http://127.0.0.1:{port}/ping")
            settings = (world.root / "modelyard.yaml").read_text()
            url = settings.partition("url: ")[2].splitlines()[0]
            world.edit(f"url: {url}", f"url: http://127.0.0.1:{port}")
            done = deploy(world, OTHER, code=1)
            # A rollback to what does not prove itself is taken back as a deploy is.
            here = place(project.load(world.root), "production", timeout="20s")
            (unproven,) = set(ecs.list_task_definitions()["taskDefinitionArns"]) - {
                first["taskDefinition"]
            }
            with pytest.raises(ModelyardError, match="serves another package"):
                rollback(here, shipment(here.project, OTHER), unproven, print)
        finally:
            server.terminate()
    assert "serves another package" in done.stderr
    after = ecs.describe_services(cluster="models", services=["churn-production"])["services"][0]
    assert after["taskDefinition"] == first["taskDefinition"]
    assert world.json("releases")[0]["outcome"] == "failed"


def test_a_first_deploy_that_fails_leaves_no_task(world: Any) -> None:
    ecs = client("ecs")
    ecs.create_cluster(clusterName="models")
    settings = (world.root / "modelyard.yaml").read_text()
    url = settings.partition("url: ")[2].splitlines()[0]
    world.edit(f"url: {url}", f"url: http://127.0.0.1:{_free()}")
    done = deploy(world, code=1)
    assert "churn-production is set to 0 tasks: nothing served before" in done.stdout + done.stderr
    service = ecs.describe_services(cluster="models", services=["churn-production"])["services"][0]
    assert service["desiredCount"] == 0


def test_what_is_refused(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    done = deploy(world, code=2)
    assert "There is no ECS cluster 'models'" in done.stderr
    world.edit("count: 2,", "count: 2, memory: 300,")
    done = deploy(world, code=2)
    assert "Fargate has no task of 256 CPU units and 300 MiB" in done.stderr
    world.edit("memory: 300,", "")
    done = world.cli("deploy", "--env", "production", "--image", IMAGE, code=2)
    assert "--yes" in done.stderr
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    done = deploy(world, code=1)
    assert "There are no AWS credentials." in done.stderr


def test_the_policy_lets_a_service_be_made_with_tags() -> None:
    policy = json.loads((Path(__file__).parent.parent / "docs/clouds/ecs-policy.json").read_bytes())
    of = {each["Action"] if isinstance(each["Action"], str) else each["Sid"]: each["Resource"]
          for each in policy["Statement"]}  # fmt: skip
    # Registering is allowed on everything or not at all.
    assert of["ecs:RegisterTaskDefinition"] == "*"
    tagged = {resource.split(":")[5].partition("/")[0] for resource in of["ecs:TagResource"]}
    assert tagged == {"task-definition", "service"}


def test_the_policy_names_what_is_called() -> None:
    policy = json.loads((Path(__file__).parent.parent / "docs/clouds/ecs-policy.json").read_bytes())
    allowed = {
        action
        for statement in policy["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str)
                       else statement["Action"])
    }  # fmt: skip
    assert not any("*" in action for action in allowed)
    source = Path(__file__).parent.parent / "packages/modelyard/src/modelyard"
    import re

    texts = [p.read_text() for p in (source / "tools/aws").glob("*.py")]
    texts.append((source / "ship/deploy/ecs.py").read_text())
    called = set(re.findall(
        r"\.((?:describe|create|update|register|list|get|filter)_[a-z_]+)\(", "".join(texts)
    )) - {"create_connection"}  # fmt: skip
    names = {action.partition(":")[2].lower() for action in allowed}
    assert {call.replace("_", "") for call in called} <= names
