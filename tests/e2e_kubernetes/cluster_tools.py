"""What the suite needs of a cluster: kubectl, images on its nodes, a load on a Service."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LOAD_SECONDS = 900
"""The longest that a load goes on by itself."""


def reachable() -> str:
    """Why no cluster can be used; empty where one can."""
    for program in ("kubectl", "helm", "docker"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not os.environ.get("KUBECONFIG"):
        return "KUBECONFIG is not set"
    done = subprocess.run(
        ["kubectl", "version", "--request-timeout", "10s"], capture_output=True, text=True
    )
    return "" if done.returncode == 0 else f"the cluster does not answer: {done.stderr.strip()}"


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


def give_image(image: str) -> str:
    """Bring an image onto the nodes; returns how. E2E_LOAD: a command that reads `docker save`."""
    context = subprocess.run(
        ["kubectl", "config", "current-context"], capture_output=True, text=True
    ).stdout.strip()
    ways = {
        "kind-": ["kind", "load", "docker-image", image, "--name", context.removeprefix("kind-")],
        "minikube": ["minikube", "image", "load", image],
        "k3d-": ["k3d", "image", "import", image, "--cluster", context.removeprefix("k3d-")],
        "docker-desktop": ["true"],
    }
    if command := os.environ.get("E2E_LOAD"):
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            done = subprocess.run(
                shlex.split(command), stdin=saving.stdout, capture_output=True, text=True
            )
        assert done.returncode == 0, done.stderr
        return command.split()[0]
    way = next((way for prefix, way in ways.items() if context.startswith(prefix)), None)
    if way is None and shutil.which("k3s"):
        with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
            subprocess.run(["k3s", "ctr", "images", "import", "-"], stdin=saving.stdout, check=True)
        return "k3s"
    assert way is not None, (
        "how do images come onto this cluster's nodes? Set E2E_REPOSITORY to a repository that "
        "the nodes can pull from, or E2E_LOAD to a command that reads `docker save`"
    )
    subprocess.run(way, check=True, capture_output=True)
    return way[0]


class Load:
    """A load pod in the namespace; `snapshot` is what it counted so far."""

    def __init__(self, cluster: Cluster, image: str, url: str, body: str, name: str) -> None:
        self.cluster, self.name = cluster, name
        cluster.kubectl("delete", "pod", name, "--ignore-not-found", "--grace-period=1")
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": False,
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
