"""How an image comes onto the nodes of a cluster: one table of ways, tried in its order."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

SOCKETS = (
    "/run/k3s/containerd/containerd.sock",
    "/run/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
)
"""Where containerd listens: that of k3s and rke2 first, which may stand beside Docker's own."""
WHAT_TO_SET = (
    "set E2E_LOAD to a command that reads `docker save`, as in 'sudo k3s ctr images import -', or "
    "E2E_REPOSITORY to a repository that this machine can push to and the nodes can pull from"
)


@dataclass(frozen=True)
class Node:
    """What there is to know of a node to reach its images."""

    name: str
    address: str
    runtime: str
    """As Kubernetes gives it: containerd://2.1.4"""
    provider: str
    labels: Mapping[str, str]

    @property
    def here(self) -> bool:
        """Whether the node is this machine: the address is one that can be listened on."""
        try:
            family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
            with socket.socket(family) as held:
                held.bind((self.address, 0))
        except OSError:
            return False
        return bool(self.address)


@dataclass(frozen=True)
class Way:
    """How images are given, and to which nodes."""

    name: str
    commands: tuple[tuple[str, ...], ...] = ()
    """IMAGE stands for the image."""
    saved: bool = False
    """Whether the commands read `docker save`."""
    repository: str = ""
    only: Node | None = None
    """The one node that gets the image; None where all of them do."""

    def give(self, image: str) -> None:
        """Bring an image onto the nodes."""
        for command in self.commands:
            words = [image if word == "IMAGE" else word for word in command]
            if not self.saved:
                done = subprocess.run(words, capture_output=True, text=True)
            else:
                with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
                    done = subprocess.run(
                        words, stdin=saving.stdout, capture_output=True, text=True
                    )
            said = (done.stderr or done.stdout).strip()
            assert done.returncode == 0, f"{shlex.join(words)} failed: {said}"
            # Looked at last: a reader that ends early ends this one, too.
            assert not self.saved or saving.returncode == 0, f"docker save {image} failed"

    @property
    def selector(self) -> dict[str, str]:
        """The nodeSelector that keeps pods where the image is."""
        if self.only is None:
            return {}
        key = "kubernetes.io/hostname"
        return {key: self.only.labels.get(key, self.only.name)}


@dataclass(frozen=True)
class Asked:
    """What a way is found by."""

    context: str
    nodes: tuple[Node, ...]
    environment: Mapping[str, str]
    has: Callable[[str], bool]
    container: Callable[[str], bool]
    """Whether Docker here has a running container of this name."""
    writable: Callable[[str], bool]


def _load(asked: Asked) -> Way | str:
    command = asked.environment.get("E2E_LOAD")
    if not command:
        return "it is not set"
    return Way(f"E2E_LOAD: {command}", (tuple(shlex.split(command)),), saved=True)


def _repository(asked: Asked) -> Way | str:
    repository = asked.environment.get("E2E_REPOSITORY")
    return Way("E2E_REPOSITORY", repository=repository) if repository else "it is not set"


def _kind(asked: Asked) -> Way | str:
    named = [node.provider.split("/")[3] for node in asked.nodes
             if node.provider.startswith("kind://") and node.provider.count("/") >= 4]  # fmt: skip
    if not named and not asked.context.startswith("kind-"):
        return "the cluster is not kind's"
    if not asked.has("kind"):
        return "the program kind is not installed"
    name = named[0] if named else asked.context.removeprefix("kind-")
    return Way("kind", (("kind", "load", "docker-image", "IMAGE", "--name", name),))


def _minikube(asked: Asked) -> Way | str:
    labels = [node.labels.get("minikube.k8s.io/name", "") for node in asked.nodes]
    if not any(labels) and asked.context != "minikube":
        return "the cluster is not minikube's"
    if not asked.has("minikube"):
        return "the program minikube is not installed"
    profile = next(filter(None, labels), asked.context)
    return Way("minikube", (("minikube", "--profile", profile, "image", "load", "IMAGE"),))


def _k3d(asked: Asked) -> Way | str:
    if not asked.context.startswith("k3d-"):
        return "the cluster is not k3d's"
    if not asked.has("k3d"):
        return "the program k3d is not installed"
    name = asked.context.removeprefix("k3d-")
    return Way("k3d", (("k3d", "image", "import", "IMAGE", "--cluster", name),))


def _containers(asked: Asked) -> Way | str:
    if not all(node.runtime.startswith("containerd://") for node in asked.nodes):
        return "not every node runs containerd"
    if not all(asked.container(node.name) for node in asked.nodes):
        return "the nodes are not containers of Docker on this machine"
    load = ("ctr", "--namespace", "k8s.io", "images", "import", "-")
    return Way(
        "docker exec",
        tuple(("docker", "exec", "-i", node.name, *load) for node in asked.nodes),
        saved=True,
    )


def _containerd(asked: Asked) -> Way | str:
    here = next((node for node in asked.nodes if node.here), None)
    if here is None:
        return "no node is this machine"
    if not here.runtime.startswith("containerd://"):
        return f"{here.name} runs {here.runtime}"
    found = next((path for path in SOCKETS if asked.writable(path)), None)
    if found is None:
        return f"none of {', '.join(SOCKETS)} is there and open to this user"
    program = ("ctr",) if asked.has("ctr") else ("k3s", "ctr")
    if not asked.has(program[0]):
        return "the program ctr is not installed"
    load = (*program, "--address", found, "--namespace", "k8s.io", "images", "import", "-")
    only = here if len(asked.nodes) > 1 else None
    return Way(f"containerd at {found}", (load,), saved=True, only=only)


def _docker(asked: Asked) -> Way | str:
    if asked.context == "docker-desktop":
        return Way("Docker Desktop, which has it already")
    if asked.context == "rancher-desktop":
        if all(node.runtime.startswith("docker://") for node in asked.nodes):
            return Way("Rancher Desktop, which has it already")
        if asked.has("nerdctl"):
            return Way("nerdctl", (("nerdctl", "--namespace", "k8s.io", "load"),), saved=True)
        return "Rancher Desktop runs containerd, and the program nerdctl is not installed"
    here = next((node for node in asked.nodes if node.here), None)
    if here is None or not here.runtime.startswith("docker://"):
        return "no node is this machine with Docker as its runtime"
    only = here if len(asked.nodes) > 1 else None
    return Way("Docker, which has it already", only=only)


WAYS: dict[str, Callable[[Asked], Way | str]] = {
    "E2E_LOAD": _load,
    "E2E_REPOSITORY": _repository,
    "kind": _kind,
    "minikube": _minikube,
    "k3d": _k3d,
    "nodes that are containers": _containers,
    "containerd on this machine": _containerd,
    "Docker as the runtime": _docker,
}
"""The ways in the order in which they are tried; a text is why one cannot be gone."""


def choose(asked: Asked, tell: Callable[[str], None]) -> Way:
    """The first way that can be gone; each that cannot is told with its reason.

    Raises:
        AssertionError: there is none; what to set is in the message.
    """
    for name, look in WAYS.items():
        found = look(asked)
        if isinstance(found, Way):
            tell(f"images come onto the nodes by {found.name}")
            if found.only:
                tell(f"only {found.only.name} of {len(asked.nodes)} nodes gets them: "
                     "the pods are kept there by a nodeSelector")  # fmt: skip
            return found
        tell(f"not by {name}: {found}")
    raise AssertionError(
        f"No way is known by which images come onto the nodes of {asked.context!r}: {WHAT_TO_SET}"
    )


def asked_here(listed: list[dict[str, Any]], context: str) -> Asked:
    """What this machine and the cluster's list of nodes say."""
    return Asked(
        context, tuple(map(node_of, listed)), os.environ, lambda name: bool(shutil.which(name)),
        _container, lambda path: os.access(path, os.R_OK | os.W_OK),
    )  # fmt: skip


def node_of(entry: dict[str, Any]) -> Node:
    """A node as Kubernetes describes it."""
    addresses = {each["type"]: each["address"] for each in entry["status"].get("addresses", [])}
    return Node(
        name=entry["metadata"]["name"],
        address=addresses.get("InternalIP", ""),
        runtime=entry["status"]["nodeInfo"]["containerRuntimeVersion"],
        provider=entry["spec"].get("providerID", ""),
        labels=entry["metadata"].get("labels", {}),
    )


def _container(name: str) -> bool:
    done = subprocess.run(["docker", "container", "inspect", name], capture_output=True, text=True)
    return done.returncode == 0 and bool(json.loads(done.stdout)[0]["State"].get("Running"))
