"""A release's whole life on a real cluster: `make e2e-kubernetes`, with KUBECONFIG set.

The suite takes the cluster as it finds it: any recent version, one node or many. It works in a
namespace of its own, under restricted Pod Security, and removes it. Without KUBECONFIG it is
skipped; with it, what keeps the suite from running is a failure. The tests stand in the order of
a release's life and each goes on from the one before.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cluster_tools import Cluster, Load, prepare, way_to_nodes
from nodes import Way

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(
        not os.environ.get("KUBECONFIG"), reason="no cluster to test on: KUBECONFIG is not set"
    ),
]
VALUES = """\
replicas: 2
preStopSeconds: 3
resources:
  requests: {cpu: 20m, memory: 96Mi}
  limits: {memory: 384Mi}
server:
  drainSeconds: 4
  predictionLog: {enabled: true}
"""


@dataclass
class Stage:
    """The project, the namespace, and what was measured."""

    yard: Any
    cluster: Cluster
    way: Way
    told: list[str]
    images: dict[str, str] = field(default_factory=dict)

    def values(self, more: str = "") -> None:
        """Write the environment's values; where one node has the images, the pods stay on it."""
        text = VALUES + more
        if self.way.selector:
            text += f"nodeSelector: {json.dumps(self.way.selector)}\n"
        (self.yard.root / "charts/churn/values-staging.yaml").write_text(text)

    def deploy(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """modelyard deploy into the namespace."""
        return self.yard.cli(
            "deploy", "--env", "staging", "--namespace", self.cluster.namespace,
            "--timeout", "240s", *words, code=code,
        )  # fmt: skip

    def tell(self, text: str) -> None:
        """Print and keep a line of what was done and measured."""
        _tell(self.told, text)

    @contextmanager
    def under_load(self, what: str) -> Iterator[dict[str, Any]]:
        """Run the block under load; afterwards the figures of that time are in the dictionary."""
        golden = json.loads((self.yard.root / "package/golden.json").read_bytes())
        body = json.dumps({"rows": golden["rows"][:1]})
        load = Load(
            self.cluster, self.images["load"], "http://churn", body, "load", self.way.selector
        )
        seen: dict[str, Any] = {}
        try:
            before = load.snapshot()
            yield seen
            after = load.snapshot()
        finally:
            load.end()
        seen.update(after)
        seen["answered"] = after["answered"] - before["answered"]
        seen["failed"] = after["failed"] - before["failed"]
        self.tell(
            f"{what}: {seen['answered']} requests answered, {seen['failed']} failed, "
            f"p50 {seen['p50_ms']} ms, p99 {seen['p99_ms']} ms, by version {seen['versions']}"
        )
        if seen["failed"]:
            self.tell(f"  last failures: {after['last']}")


@pytest.fixture(scope="module")
def stage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stage]:
    """A project whose release is in an image on the nodes, and an empty namespace."""
    told: list[str] = []

    def tell(text: str) -> None:
        _tell(told, text)

    # What is wrong with the set-up is said before the minutes of making a release.
    version = prepare()
    way = way_to_nodes(tell)
    # A project with one release saves those minutes.
    ready = os.environ.get("E2E_PROJECT")
    home = tmp_path_factory.mktemp("e2e") / "churn"
    released = request.getfixturevalue("released") if not ready else None
    yard = released.copy(home) if released else _copied(Path(ready or ""), home, request)
    with ExitStack() as undo:
        undo.callback(_report, told)
        name = f"modelyard-e2e/{secrets.token_hex(3)}"
        undo.callback(_run, "docker", "rmi", f"{name}:1", f"{name}:2")
        yard.cli("image", "build", "--tag", f"{name}:1")
        made = Stage(yard, Cluster(f"modelyard-e2e-{secrets.token_hex(3)}"), way, told)
        cluster = made.cluster
        if way.repository:
            text = f"\ndeploy:\n  environments:\n    staging: {{repository: {way.repository}}}\n"
            with (yard.root / "modelyard.yaml").open("a") as file:
                file.write(text)
            made.images["load"] = f"{way.repository}:load"
            undo.callback(_run, "docker", "rmi", made.images["load"])
            subprocess.run(["docker", "tag", _image(yard), made.images["load"]], check=True)
            subprocess.run(["docker", "push", "-q", made.images["load"]], check=True)
        else:
            way.give(_image(yard))
            made.images["load"] = _image(yard)
        cluster.kubectl("create", "namespace", cluster.namespace)
        undo.callback(
            cluster.kubectl, "delete", "namespace", cluster.namespace, "--wait=false", check=False
        )
        undo.callback(_run, "helm", "uninstall", "churn", "-n", cluster.namespace)
        cluster.kubectl(
            "label", "namespace", cluster.namespace, "pod-security.kubernetes.io/enforce=restricted"
        )
        tell(f"Kubernetes {version}, namespace {cluster.namespace}")
        yard.cli("chart")
        made.values()
        yield made


def _tell(told: list[str], text: str) -> None:
    told.append(text)
    print(f"\n  e2e: {text}", flush=True)


def _report(told: list[str]) -> None:
    print("\ne2e: what was done and measured")
    for line in told:
        print(f"  {line}")
    if report := os.environ.get("E2E_REPORT"):
        Path(report).write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def _run(*words: str) -> None:
    """Undo something; that it is not there any more is no failure."""
    subprocess.run(words, capture_output=True)


def _copied(ready: Path, home: Path, request: pytest.FixtureRequest) -> Any:
    """A copy of a project that is there already, as the other journeys hold theirs."""
    kind = request.getfixturevalue("yard_type")
    return kind(ready).copy(home)


def _image(yard: Any) -> str:
    return str(yard.record("image")["reference"])


def test_a_namespace_that_is_missing_is_named(stage: Stage) -> None:
    done = stage.yard.cli("deploy", "--env", "staging", "--namespace", "no-such-namespace", code=2)
    assert "namespace does not exist" in done.stderr
    assert "--create-namespace" in done.stderr


def test_install_and_predict_through_the_service(stage: Stage) -> None:
    began = time.monotonic()
    done = stage.deploy()
    assert "golden samples pass through the Service" in done.stdout
    stage.tell(f"installed v1 and proved it in {time.monotonic() - began:.0f} s")
    assert len(stage.cluster.ready_pods()) == 2
    status = stage.yard.cli("status", "--namespace", stage.cluster.namespace).stdout
    assert "deployed" in status
    assert "v1" in status
    lines = stage.yard.cli("logs", "--namespace", stage.cluster.namespace, "-n", "200").stdout
    assert "/v1/predict" in lines
    assert "deploy/staging/1" in stage.yard.git("tag")
    pod = stage.cluster.server_pods()[0]
    assert "serviceAccountToken" not in json.dumps(pod["spec"].get("volumes", []))
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True


def test_upgrade_to_a_new_model_under_load(stage: Stage, tables: Path) -> None:
    stage.yard.cli("data", "add", tables / "november.csv", "-m", "November")
    stage.yard.cli("run", "-m", "retrained with November")
    stage.yard.cli("image", "build", "--tag", _image(stage.yard).replace(":1", ":2"))
    stage.way.give(_image(stage.yard))
    with stage.under_load("upgrade v1 to v2") as seen:
        began = time.monotonic()
        stage.deploy()
        stage.tell(f"upgraded to v2 in {time.monotonic() - began:.0f} s")
        stage.cluster.await_ready(2)
    assert seen["failed"] == 0
    assert seen["versions"].get("v2", 0) > 0


def test_an_image_that_cannot_be_pulled_leaves_the_old_release_serving(stage: Stage) -> None:
    with stage.under_load("a rollout that fails") as seen:
        done = stage.yard.cli(
            "deploy", "--env", "staging", "--namespace", stage.cluster.namespace, "--timeout",
            "45s", "--image", "127.0.0.1:1/nowhere@sha256:" + "0" * 64, code=1,
        )  # fmt: skip
    assert "serves on" in done.stderr
    assert "ImagePull" in done.stderr or "ErrImage" in done.stderr
    stage.tell("the pod's own words: " + done.stderr.partition("why:")[2].strip()[:160])
    assert seen["failed"] == 0
    stage.cluster.await_ready(2)


def test_a_quota_that_is_exceeded_is_told(stage: Stage) -> None:
    quota = {
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "2"}},
    }  # fmt: skip
    stage.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(quota))
    stage.values("podAnnotations: {changed: 'yes'}\n")
    try:
        done = stage.yard.cli(
            "deploy", "--env", "staging", "--namespace", stage.cluster.namespace, "--timeout",
            "30s", code=1,
        )  # fmt: skip
    finally:
        stage.values()
        stage.cluster.kubectl("delete", "resourcequota", "tight")
    assert "exceeded quota" in done.stderr
    stage.cluster.await_ready(2)


def test_pods_that_are_killed_come_back(stage: Stage) -> None:
    with stage.under_load("one pod after the other deleted (drained)") as seen:
        for name in stage.cluster.ready_pods():
            stage.cluster.kubectl("delete", "pod", name)
            stage.cluster.await_ready(2)
    assert seen["failed"] == 0
    with stage.under_load("one pod killed at once, without a drain") as seen:
        stage.cluster.kubectl(
            "delete", "pod", stage.cluster.ready_pods()[0], "--force", "--grace-period=0"
        )
        took = stage.cluster.await_ready(2)
        stage.tell(f"two pods were ready again after {took:.1f} s")
    # What is in flight in a process that is killed is lost; nothing else may be.
    assert seen["failed"] <= 40
    assert seen["answered"] > 10 * seen["failed"]


def test_eviction_as_a_node_drain_does_it(stage: Stage) -> None:
    with stage.under_load("every pod evicted, as a drain of its node does") as seen:
        for name in stage.cluster.ready_pods():
            body = {
                "apiVersion": "policy/v1", "kind": "Eviction",
                "metadata": {"name": name, "namespace": stage.cluster.namespace},
            }  # fmt: skip
            path = f"/api/v1/namespaces/{stage.cluster.namespace}/pods/{name}/eviction"
            stage.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
            stage.cluster.await_ready(2)
    assert seen["failed"] == 0


def test_rollback_under_load(stage: Stage) -> None:
    with stage.under_load("rollback v2 to v1") as seen:
        began = time.monotonic()
        done = stage.yard.cli(
            "rollback", "--env", "staging", "--namespace", stage.cluster.namespace,
            "--timeout", "240s",
        )  # fmt: skip
        stage.tell(f"rolled back to v1 in {time.monotonic() - began:.0f} s")
        stage.cluster.await_ready(2)
    assert "v1 is live in staging again" in done.stdout
    assert seen["failed"] == 0
    assert seen["versions"].get("v1", 0) > 0


def test_a_canary_is_promoted(stage: Stage) -> None:
    with stage.under_load("canary of v2, promoted") as seen:
        done = stage.deploy(
            "--canary", "--canary-share", "30", "--canary-time", "20s", "--agreement", "0.5",
        )  # fmt: skip
        stage.cluster.await_ready(2)
    assert "the canary is promoted" in done.stdout
    for line in done.stdout.splitlines():
        if "✓" in line or "✗" in line:
            stage.tell(f"  {line.strip()}")
    assert seen["failed"] == 0
    assert seen["versions"].get("v2", 0) > 0


def test_two_deploys_at_once(stage: Stage, tmp_path: Path) -> None:
    other = stage.yard.copy(tmp_path / "churn")
    stage.values("podAnnotations: {again: 'yes'}\n")
    ended: list[str] = []
    first = threading.Thread(target=lambda: ended.append(stage.deploy().stdout))
    first.start()
    try:
        began = time.monotonic()
        while "pending" not in subprocess.run(
            ["helm", "list", "-n", stage.cluster.namespace, "--pending", "-o", "json"],
            capture_output=True, text=True,
        ).stdout and time.monotonic() - began < 60:  # fmt: skip
            time.sleep(0.2)
        second = other.cli(
            "deploy", "--env", "staging", "--namespace", stage.cluster.namespace, code=1
        )
    finally:
        first.join()
        stage.values()
    assert "Another deploy" in second.stderr
    assert ended
    assert "is live" in ended[0]


def test_uninstall_leaves_nothing(stage: Stage) -> None:
    subprocess.run(
        ["helm", "uninstall", "churn", "-n", stage.cluster.namespace, "--wait"],
        check=True, capture_output=True,
    )  # fmt: skip
    stage.cluster.kubectl("delete", "pod", "--all", "--grace-period=1")
    kinds = "deployment,service,networkpolicy,poddisruptionbudget,serviceaccount,pod"
    left = [
        f"{item['kind']} {item['metadata']['name']}"
        for item in stage.cluster.json("get", kinds)["items"]
        if item["metadata"]["name"] != "default"
    ]
    assert left == []
    stage.tell("uninstalled; nothing is left in the namespace")
