"""The suite on a cluster, without one: what it needs, and how images come onto the nodes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import kube_tools
import nodes
import pytest

SUITE = Path(__file__).parent / "e2e_kubernetes"
CONFIG = """\
apiVersion: v1
kind: Config
clusters: [{name: a, cluster: {server: 'http://127.0.0.1:9'}}]
contexts: [{name: a, context: {cluster: a, user: a}}]
users: [{name: a, user: {}}]
current-context: a
"""


def suite(**environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key != "KUBECONFIG"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-s", "-rs", "-x", "-p", "no:cacheprovider",
         "-p", "no:xdist", SUITE],
        cwd=SUITE.parents[1], env=kept | environment, capture_output=True, text=True,
    )  # fmt: skip


def test_without_kubeconfig_it_is_skipped_and_says_why() -> None:
    done = suite()
    assert done.returncode == 0, done.stdout
    assert "no cluster to test on: KUBECONFIG is not set" in done.stdout


def test_a_cluster_that_does_not_answer_is_a_failure(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(CONFIG)
    # The programs are kube_tools' where PATH has none; docker must be there, but is not asked yet.
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\nexit 1\n")
    (programs / "docker").chmod(0o755)
    kube_tools.folder("new")
    done = suite(KUBECONFIG=str(config), PATH=str(programs))
    assert done.returncode == 1, done.stdout
    assert f"KUBECONFIG={config} leads to does not answer" in done.stdout
    assert "127.0.0.1:9" in done.stdout


def node(name: str, address: str = "192.0.2.1", **more: str) -> nodes.Node:
    labels = {"kubernetes.io/hostname": f"{name}.example"}
    if profile := more.pop("profile", ""):
        labels["minikube.k8s.io/name"] = profile
    runtime = more.pop("runtime", "containerd://2.1.4")
    return nodes.Node(name, address, runtime, more.pop("provider", ""), labels)


def choose(
    context: str,
    *there: nodes.Node,
    has: str = "kind minikube k3d ctr",
    containers: str = "",
    sockets: tuple[str, ...] = nodes.SOCKETS,
    told: list[str] | None = None,
    **environment: str,
) -> nodes.Way:
    asked = nodes.Asked(
        context, there, environment, has.split().__contains__, containers.split().__contains__,
        sockets.__contains__,
    )  # fmt: skip
    return nodes.choose(asked, (told if told is not None else []).append)


HERE = node("a", "127.0.0.1")
LOAD = ("--namespace", "k8s.io", "images", "import", "-")


def test_what_is_set_goes_first() -> None:
    there = node("a", provider="kind://docker/kind/a")
    assert choose("kind-kind", there, E2E_LOAD="sudo load -").commands == (("sudo", "load", "-"),)
    assert choose("kind-kind", there, E2E_REPOSITORY="r/churn").repository == "r/churn"


@pytest.mark.parametrize(
    ("context", "there", "command"),
    [
        ("kind-dev", node("a"), "kind load docker-image IMAGE --name dev"),
        ("mine", node("a", provider="kind://docker/dev/a"),
         "kind load docker-image IMAGE --name dev"),
        ("work", node("a", profile="work"), "minikube --profile work image load IMAGE"),
        ("k3d-x", node("a"), "k3d image import IMAGE --cluster x"),
    ],
)  # fmt: skip
def test_a_local_clusters_own_program(context: str, there: nodes.Node, command: str) -> None:
    way = choose(context, there, node("b"))
    assert way.commands == (tuple(command.split()),)
    assert way.only is None


def test_nodes_that_are_containers_are_filled_without_the_clusters_program() -> None:
    told: list[str] = []
    way = choose("k3d-x", node("k3d-x-server-0"), node("k3d-x-agent-0"), has="ctr",
                 containers="k3d-x-server-0 k3d-x-agent-0", told=told)  # fmt: skip
    assert [command[:4] for command in way.commands] == [
        ("docker", "exec", "-i", "k3d-x-server-0"), ("docker", "exec", "-i", "k3d-x-agent-0")
    ]  # fmt: skip
    assert "not by k3d: the program k3d is not installed" in told


def test_containerd_on_this_machine() -> None:
    way = choose("kubernetes-admin@kubernetes", HERE, sockets=nodes.SOCKETS[1:2])
    assert way.commands == (("ctr", "--address", nodes.SOCKETS[1], *LOAD),)
    assert way.selector == {}
    way = choose("default", HERE, has="k3s")
    assert way.commands == (("k3s", "ctr", "--address", nodes.SOCKETS[0], *LOAD),)


def test_pods_stay_on_the_one_node_that_has_the_image() -> None:
    told: list[str] = []
    way = choose("kubernetes-admin@kubernetes", node("b"), HERE, told=told)
    assert way.selector == {"kubernetes.io/hostname": "a.example"}
    assert any("only a of 2 nodes" in line for line in told)


def test_docker_as_the_runtime_has_the_image_already() -> None:
    there = node("a", runtime="docker://28.0.1")
    assert choose("docker-desktop", there).commands == ()
    assert choose("rancher-desktop", there).commands == ()
    way = choose("rancher-desktop", node("a"), has="nerdctl")
    assert way.commands == (("nerdctl", "--namespace", "k8s.io", "load"),)


@pytest.mark.parametrize("context", ["gke_p_europe-west3_c", "arn:aws:eks:x:1:cluster/c"])
def test_a_cluster_elsewhere_needs_what_the_failure_names(context: str) -> None:
    told: list[str] = []
    with pytest.raises(AssertionError, match=r"set E2E_LOAD to .* or E2E_REPOSITORY to"):
        choose(context, node("a"), told=told)
    assert len(told) == len(nodes.WAYS)
