"""The chart under real Helm: golden manifests, schemas of three Kubernetes versions, refusals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kube_tools
import pytest
import yaml
from charts import IMAGE, MODEL, manifests, run, write

from modelyard.render.chart import CLOUDS, chart_files

HERE = Path(__file__).parent
RECOMMENDED = ("name", "instance", "version", "component", "part-of", "managed-by")


@pytest.fixture(scope="session")
def helm() -> Path:
    """Helm of the newer generation."""
    return kube_tools.folder("new") / "helm"


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chart of a project called churn."""
    return write(tmp_path_factory.mktemp("charts") / "churn")


def builtin(version: str) -> bool:
    """Whether Kubernetes itself has kinds of this version; those of CRDs have a domain."""
    group = version.rpartition("/")[0]
    return "." not in group or (group.endswith(".k8s.io") and "gateway" not in group)


def squeezed(text: str) -> str:
    """Without empty lines and without blanks at ends, in which the two Helms differ."""
    return "\n".join(line.rstrip() for line in text.splitlines() if line.strip()) + "\n"


@pytest.mark.parametrize("which", ["new", "old"])
@pytest.mark.parametrize("case", ["default", "everything"])
def test_golden_manifests(
    which: str, case: str, chart: Path, request: pytest.FixtureRequest
) -> None:
    more = ("-f", str(chart / "everything.yaml")) if case == "everything" else ()
    helm = kube_tools.folder(which) / "helm"
    text = squeezed(run(helm, "template", "churn", chart, "-n", "prod", "--kube-version", "1.34.0",
                        *IMAGE, *MODEL, *more))  # fmt: skip
    path = HERE / "golden_chart" / f"{case}.yaml"
    if os.environ.get("UPDATE_GOLDEN") and which == "new":
        path.write_text(text)
    assert text == path.read_text()


def test_lint_and_package(helm: Path, chart: Path, tmp_path: Path) -> None:
    for values in ("values-staging.yaml", "values-production.yaml", "everything.yaml"):
        run(helm, "lint", "--strict", chart, *IMAGE, "-f", chart / values)
    run(helm, "package", chart, "-d", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["churn-1.3.1.tgz"]


@pytest.mark.parametrize("version", ["1.25", "1.31", "1.37"])
@pytest.mark.parametrize("case", ["default", "everything", *CLOUDS])
def test_schemas_of_three_versions(
    version: str, case: str, helm: Path, chart: Path, tmp_path: Path
) -> None:
    if version != "1.31" and case in CLOUDS:
        pytest.skip("one version for each cloud's values")
    files = {
        "default": (),
        "everything": ("-f", chart / "everything.yaml"),
        **{cloud: ("-f", chart / f"values-{cloud}.yaml") for cloud in CLOUDS},
    }
    found = manifests(helm, chart, "--kube-version", f"{version}.0", *files[case])
    known = [entry for entry in found if builtin(entry["apiVersion"])]
    path = tmp_path / "manifests.yaml"
    path.write_text(yaml.safe_dump_all(known))
    done = subprocess.run(
        [
            kube_tools.python(),
            "-m",
            "kubernetes_validate.__main__",
            "-k",
            version,
            "--strict",
            path,
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(known) >= 7


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ("replcas=3", "replcas"),
        ("server.drainSecond=1", "drainSecond"),
        ("replicas=two", "replicas"),
        ("image.digest=sha256:12", "digest"),
        ("service.type=Loadbalancer", "type"),
        ("server.port=80", "port"),
        ("server.hostPort=70000", "hostPort"),
        ("probes.enabled=sometimes", "enabled"),
        ("probes.liveness.successThreshold=3", "successThreshold"),
        ("fullnameOverride=Bad_Name", "fullnameOverride"),
        ("autoscaling.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=2", "larger"),
    ],
)
def test_the_schema_catches_a_slip(values: str, said: str, helm: Path, chart: Path) -> None:
    assert said in run(helm, "template", "churn", chart, *IMAGE, "--set", values, code=1)


def test_the_persons_annotation_wins(helm: Path, chart: Path) -> None:
    values = (r"podAnnotations.prometheus\.io/scrape=false", "model.version=v1+meta")
    text = run(helm, "template", "churn", chart, *IMAGE,
               "--set-string", values[0], "--set", values[1])  # fmt: skip
    assert text.count("prometheus.io/scrape:") == 1
    assert 'prometheus.io/scrape: "false"' in text
    assert 'app.kubernetes.io/version: "v1-meta"' in text


@pytest.mark.parametrize("name", ["null", "true"])
def test_a_name_that_yaml_knows_as_something_else(name: str, helm: Path, tmp_path: Path) -> None:
    for path, text in chart_files(name).items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    pod = next(e for e in manifests(helm, tmp_path) if e["kind"] == "Deployment")["spec"]
    assert pod["selector"]["matchLabels"]["app.kubernetes.io/name"] == name


def test_an_image_without_a_digest_is_refused(helm: Path, chart: Path) -> None:
    said = run(helm, "template", "churn", chart, "--set", "image.repository=x/churn", code=1)
    assert "pinned by its digest" in said


def test_prometheus_without_a_key_is_refused(helm: Path, chart: Path) -> None:
    """With API keys /metrics answers 401: a ServiceMonitor without one would only look well."""
    keys = ("--set", "server.apiKeysSecret=keys,monitoring.enabled=true")
    said = run(helm, "template", "churn", chart, *IMAGE, *MODEL, *keys, code=1)
    assert "monitoring.apiKey: the entry of server.apiKeysSecret" in said
    (monitor,) = [
        entry
        for entry in manifests(helm, chart, *keys, "--set", "monitoring.apiKey=prometheus")
        if entry["kind"] == "ServiceMonitor"
    ]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["authorization"] == {"credentials": {"name": "keys", "key": "prometheus"}}


def test_an_old_cluster_is_refused(helm: Path, chart: Path) -> None:
    said = run(helm, "template", "churn", chart, *IMAGE, "--kube-version", "1.24.17", code=1)
    assert "kubeVersion" in said


def test_capabilities_choose(helm: Path, chart: Path) -> None:
    def hook(version: str) -> dict[str, Any]:
        found = manifests(helm, chart, "--kube-version", version)
        pod = next(e for e in found if e["kind"] == "Deployment")["spec"]["template"]["spec"]
        found_hook: dict[str, Any] = pod["containers"][0]["lifecycle"]["preStop"]
        return found_hook

    assert hook("1.34.0") == {"sleep": {"seconds": 5}}
    assert hook("1.27.0")["exec"]["command"][0] == "python3"

    def budget(version: str) -> dict[str, Any]:
        found = manifests(helm, chart, "--kube-version", version)
        spec: dict[str, Any] = next(e for e in found if e["kind"] == "PodDisruptionBudget")["spec"]
        return spec

    assert budget("1.27.0")["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
    assert "unhealthyPodEvictionPolicy" not in budget("1.26.0")


def test_what_every_pod_must_have(helm: Path, chart: Path) -> None:
    found = manifests(helm, chart, "-f", chart / "everything.yaml")
    pods = [
        entry["spec"]["template"]["spec"] if entry["kind"] == "Deployment" else entry["spec"]
        for entry in found
        if entry["kind"] in ("Deployment", "Pod")
    ]
    assert len(pods) == 3
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        assert "@sha256:" in container["image"]
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["resources"]["requests"]["memory"]
    for entry in found:
        if entry["kind"] == "Deployment":
            labels = entry["spec"]["template"]["metadata"]["labels"]
            assert all(f"app.kubernetes.io/{name}" in labels for name in RECOMMENDED)
            assert "checksum/config" in entry["spec"]["template"]["metadata"]["annotations"]


def test_what_podman_kube_play_wants(helm: Path, chart: Path) -> None:
    def server(*more: str) -> dict[str, Any]:
        found = manifests(helm, chart, *more)
        pod = next(e for e in found if e["kind"] == "Deployment")["spec"]["template"]["spec"]
        container: dict[str, Any] = pod["containers"][0]
        return container

    cluster = server()
    local = server("--set", "server.hostPort=8081,probes.enabled=false")
    port = {"name": "http", "containerPort": 8080, "protocol": "TCP"}
    assert cluster.pop("ports") == [port]
    assert local.pop("ports") == [{**port, "hostPort": 8081, "hostIP": "127.0.0.1"}]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert cluster.pop(probe)
    assert local == cluster


def test_the_grace_period_covers_the_drain(helm: Path, chart: Path) -> None:
    found = manifests(helm, chart, "--set-json", "preStopSeconds=15,server.drainSeconds=20.5")
    pod = next(e for e in found if e["kind"] == "Deployment")["spec"]["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] == 15 + 21 + 35


def test_a_changed_setting_rolls_the_pods(helm: Path, chart: Path) -> None:
    def checksum(*more: str) -> str:
        found = manifests(helm, chart, *more)
        meta = next(e for e in found if e["kind"] == "Deployment")["spec"]["template"]["metadata"]
        return str(meta["annotations"]["checksum/config"])

    assert checksum() != checksum("--set", "server.maxRows=7")
    assert checksum() == checksum("--set", "replicas=7")
    assert checksum() == checksum("--set", "model.version=v9")


def test_shadow_and_weights(helm: Path, chart: Path) -> None:
    def route(*more: str) -> dict[str, Any]:
        found = manifests(helm, chart, "-f", str(chart / "everything.yaml"), *more)
        rule: dict[str, Any] = next(e for e in found if e["kind"] == "HTTPRoute")["spec"]["rules"][
            0
        ]
        return rule

    assert [ref["weight"] for ref in route()["backendRefs"]] == [90, 10]
    shadow = route("--set", "canary.shadow=true")
    assert shadow["filters"][0]["type"] == "RequestMirror"
    assert [ref["name"] for ref in shadow["backendRefs"]] == ["churn"]
    found = manifests(helm, chart, "-f", chart / "everything.yaml", "--set", "canary.shadow=true")
    service = next(e for e in found if e["kind"] == "Service" and e["metadata"]["name"] == "churn")
    assert service["spec"]["selector"]["modelyard.dev/track"] == "stable"


def test_alerts_name_metrics_that_the_server_has(
    helm: Path, chart: Path, metrics_page: Callable[[], str]
) -> None:
    import re

    found = manifests(helm, chart, "-f", chart / "everything.yaml")
    rules = next(e for e in found if e["kind"] == "PrometheusRule")["spec"]["groups"][0]["rules"]
    assert {rule["alert"] for rule in rules} == {
        "ModelErrors",
        "ModelSlow",
        "ModelDrift",
        "ModelDown",
    }
    board = next(e for e in found if e["metadata"]["name"].endswith("-dashboard"))
    texts = [rule["expr"] for rule in rules] + [str(board["data"])]
    used = set(re.findall(r"modelyard_[a-z_]+", " ".join(texts)))
    served = set(re.findall(r"modelyard_[a-z_]+", metrics_page()))
    assert used
    assert used <= served
    for rule in rules:
        assert rule["expr"].count("(") == rule["expr"].count(")")
        assert 'service="churn"' in rule["expr"]


@pytest.fixture
def metrics_page() -> Callable[[], str]:
    """/metrics of a server of the golden package after some requests."""
    import json
    import socket
    import time
    import urllib.error
    import urllib.request

    package = HERE.parent / "contract" / "format-1"
    rows = json.loads((package / "golden.json").read_bytes())["rows"]

    def page() -> str:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with subprocess.Popen(
            [sys.executable, "-m", "modelyard_serve", str(package), "--port", str(port)],
            stdout=subprocess.DEVNULL,
        ) as process:
            url = f"http://127.0.0.1:{port}"
            try:
                for _ in range(300):
                    try:
                        body = json.dumps({"rows": rows * 10}).encode()
                        request = urllib.request.Request(
                            f"{url}/v1/predict", body, {"Content-Type": "application/json"}
                        )
                        urllib.request.urlopen(request, timeout=30).read()
                        break
                    except urllib.error.URLError:
                        time.sleep(0.2)
                time.sleep(1.5)
                text: str = urllib.request.urlopen(f"{url}/metrics").read().decode()
                return text
            finally:
                process.terminate()

    return page
