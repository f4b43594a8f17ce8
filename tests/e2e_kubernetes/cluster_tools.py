"""What the suite needs of a cluster: kubectl, a way to its nodes, a load on a Service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kube_tools
import nodes

HERE = Path(__file__).resolve().parent
LOAD_SECONDS = 900
"""The longest that a load goes on by itself."""


def prepare() -> str:
    """Have helm and kubectl, and a cluster that answers; returns its version.

    Raises:
        AssertionError: KUBECONFIG is set, yet the suite cannot run; the reason is in the message.
    """
    assert shutil.which("docker"), "docker is not installed: the suite builds images with it"
    if not all(map(shutil.which, kube_tools.PROGRAMS)):
        # Last on PATH: what the machine has of its own goes first.
        os.environ["PATH"] += f"{os.pathsep}{kube_tools.folder('new')}"
    done = subprocess.run(
        ["kubectl", "version", "-o", "json", "--request-timeout", "10s"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (
        f"the cluster that KUBECONFIG={os.environ['KUBECONFIG']} leads to does not answer: "
        f"{done.stderr.strip()}"
    )
    return str(json.loads(done.stdout)["serverVersion"]["gitVersion"])


def way_to_nodes(tell: Callable[[str], None]) -> nodes.Way:
    """How images come onto the nodes of the cluster."""
    context = subprocess.run(
        ["kubectl", "config", "current-context"], capture_output=True, text=True
    )
    assert context.returncode == 0, f"KUBECONFIG has no context: {context.stderr.strip()}"
    listed = subprocess.run(
        ["kubectl", "get", "nodes", "-o", "json"], capture_output=True, text=True
    )
    assert listed.returncode == 0, f"the nodes cannot be listed: {listed.stderr.strip()}"
    found = json.loads(listed.stdout)["items"]
    assert found, "the cluster has no nodes"
    tell(f"{len(found)} node(s), context {context.stdout.strip()}")
    return nodes.choose(nodes.asked_here(found, context.stdout.strip()), tell)


@dataclass(frozen=True)
class Cluster:
    """A namespace of the cluster that KUBECONFIG leads to."""

    namespace: str

    def kubectl(self, *words: str, check: bool = True, stdin: str | None = None) -> str:
        """Run kubectl in the namespace and return what it said."""
        done = subprocess.run(
            ["kubectl", "--namespace", self.namespace, *words],
            capture_output=True,
            text=True,
            input=stdin,
        )
        assert not check or done.returncode == 0, f"kubectl {words}: {done.stderr}"
        return done.stdout

    def json(self, *words: str) -> Any:
        """What kubectl gives as JSON."""
        return json.loads(self.kubectl(*words, "-o", "json"))

    def server_pods(self) -> list[dict[str, Any]]:
        """The endpoint's pods that are not on their way out."""
        found = self.json("get", "pods", "-l", "app.kubernetes.io/component=server")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def ready_pods(self) -> list[str]:
        """Names of the endpoint's pods that are ready."""
        return [
            pod["metadata"]["name"]
            for pod in self.server_pods()
            if any(
                entry["type"] == "Ready" and entry["status"] == "True"
                for entry in pod["status"].get("conditions", [])
            )
        ]

    def await_ready(self, count: int, seconds: float = 180) -> float:
        """Wait for so many ready pods and no more; returns how long it took."""
        began = time.monotonic()
        while len(self.ready_pods()) != count or len(self.server_pods()) != count:
            assert time.monotonic() - began < seconds, self.kubectl("get", "pods")
            time.sleep(0.5)
        return time.monotonic() - began


class Load:
    """A load pod in the namespace; `snapshot` is what it counted so far."""

    def __init__(
        self,
        cluster: Cluster,
        image: str,
        url: str,
        body: str,
        name: str,
        selector: dict[str, str],
    ) -> None:
        self.cluster, self.name = cluster, name
        cluster.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=1")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
                "nodeSelector": selector,
                "terminationGracePeriodSeconds": 1,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 10001,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [
                    {
                        "name": "load",
                        "image": image,
                        "imagePullPolicy": "IfNotPresent",
                        "command": ["python3", "-c", (HERE / "load.py").read_text()],
                        "args": [url, body, str(LOAD_SECONDS)],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        }
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
        began = time.monotonic()
        while (self.last() or {}).get("answered", 0) < 20:
            assert time.monotonic() - began < 90, cluster.kubectl("describe", "pod", name)
            time.sleep(0.5)

    def last(self) -> dict[str, Any] | None:
        """The newest line."""
        lines = self.cluster.kubectl("logs", self.name, "--tail=1", check=False).splitlines()
        return json.loads(lines[-1]) if lines else None

    def snapshot(self) -> dict[str, Any]:
        """The newest line, after a moment in which the pod could write one."""
        time.sleep(2)
        found = self.last()
        assert found is not None
        return found

    def end(self) -> None:
        """Remove the pod."""
        self.cluster.kubectl("delete", "pod", self.name, "--ignore-not-found", "--grace-period=1")
