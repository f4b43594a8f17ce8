"""What checkers of policy say of the chart, of its alerts and of the Terraform modules.

One process of checkov looks at all of it. What it finds and what is kept as it is stands in KEPT,
each with its reason; an entry that nothing needs any more fails, too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kube_tools
import pytest
import yaml
from charts import manifests, write

from modelyard.render.chart import CLOUDS

MODULES = Path(__file__).parent.parent / "docs/clouds/terraform"
ENDS = "the pod of `helm test` ends by itself after seconds"
ACR, AKS = "azurerm_container_registry", "azurerm_kubernetes_cluster"
GKE = "google_container_cluster"
KEPT = {
    "kubernetes": {
        ("CKV_K8S_11", "Deployment.prod.churn"): "a CPU limit throttles, and so makes a p99 long",
        ("CKV_K8S_11", "Deployment.prod.churn-canary"): "as for the stable Deployment",
        ("CKV_K8S_11", "Pod.prod.churn-test"): f"as for the Deployment; {ENDS}",
        ("CKV_K8S_8", "Pod.prod.churn-test"): ENDS,
        ("CKV_K8S_9", "Pod.prod.churn-test"): f"it asks, and nobody asks it; {ENDS}",
    },
    "terraform": {
        **dict.fromkeys(
            [
                (f"CKV_AZURE_{number}", f"{ACR}.models")
                for number in (139, 163, 164, 165, 166, 167, 233, 237)
            ],
            "of the registry's Premium tier, at ten times the price; access is by role alone",
        ),
        ("CKV_AZURE_4", f"{AKS}.models"): "wants a workspace, which costs; the platform has one",
        ("CKV_AZURE_6", f"{AKS}.models"): "api_cidrs, which may not be the whole Internet",
        ("CKV_AZURE_115", f"{AKS}.models"): "a hosted pipeline comes from outside; api_cidrs",
        ("CKV_AZURE_117", f"{AKS}.models"): "the hosts encrypt, with Azure's keys",
        ("CKV_AZURE_172", f"{AKS}.models"): "the server mounts nothing of a key vault",
        ("CKV_AZURE_226", f"{AKS}.models"): "the size that suffices has no disk of its own",
        ("CKV_AZURE_232", f"{AKS}.models"): "two nodes in all; a second pool would double them",
        ("CKV_AWS_91", "aws_lb.endpoint"): "wants a bucket; the server's log has every request",
        ("CKV_AWS_136", "aws_ecr_repository.model"): "encrypted with the registry's own key",
        ("CKV_AWS_158", "aws_cloudwatch_log_group.server"): "encrypted with the service's own key",
        ("CKV2_AWS_5", "aws_security_group.tasks"): "`modelyard deploy` gives it to the service",
        **dict.fromkeys(
            [(f"CKV_AWS_{number}", "aws_iam_policy_document.key") for number in (109, 111, 356)],
            "the policy of a key: without its own account nobody could ever change it again",
        ),
        ("CKV_GCP_12", f"{GKE}.models"): "Autopilot has Dataplane V2, which enforces policies",
        ("CKV_GCP_61", f"{GKE}.models"): "the network is not this module's",
        ("CKV_GCP_65", f"{GKE}.models"): "wants a Workspace domain; rights are by RoleBinding",
        ("CKV_GCP_66", f"{GKE}.models"): "the deploy compares the digest with what was judged",
        ("CKV_GCP_69", f"{GKE}.models"): "Autopilot always has it",
        ("CKV_GCP_84", "google_artifact_registry_repository.models"): "Google's own keys",
    },
}
CARELESS = """
apiVersion: v1
kind: Pod
metadata: {name: careless, namespace: prod}
spec:
  containers:
    - {name: a, image: "nginx:latest", securityContext: {privileged: true}}
"""
"""A pod that must be found fault with, or nothing was looked at."""

Found = dict[str, set[tuple[str, str]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Of each framework what failed, as pairs of check and resource."""
    folder = tmp_path_factory.mktemp("policy")
    chart = write(tmp_path_factory.mktemp("charts") / "churn")
    helm = kube_tools.folder("new") / "helm"
    for case in ("default", "everything", *CLOUDS):
        name = "everything.yaml" if case == "everything" else f"values-{case}.yaml"
        more = () if case == "default" else ("-f", chart / name)
        (folder / f"{case}.yaml").write_text(yaml.safe_dump_all(manifests(helm, chart, *more)))
    (folder / "careless.yaml").write_text(CARELESS)
    shutil.copytree(MODULES, folder / "modules")
    done = subprocess.run(
        [kube_tools.checkov(), "--directory", folder,
         "--framework", "kubernetes", "terraform",
         "--skip-download", "--quiet", "--compact", "--output", "json"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stdout + done.stderr
    said: Any = json.loads(done.stdout)
    reports = said if isinstance(said, list) else [said]
    assert all(report["summary"]["parsing_errors"] == 0 for report in reports), done.stdout
    return {
        report["check_type"]: {
            (each["check_id"], each["resource"]) for each in report["results"]["failed_checks"]
        }
        for report in reports
    }


@pytest.mark.parametrize("framework", list(KEPT))
def test_nothing_is_found_but_what_is_kept_for_a_reason(framework: str, found: Found) -> None:
    failed = {each for each in found[framework] if "careless" not in each[1]}
    assert failed == set(KEPT[framework])


def test_a_careless_pod_is_found(found: Found) -> None:
    failed = {check for check, name in found["kubernetes"] if "careless" in name}
    assert {"CKV_K8S_16", "CKV_K8S_14", "CKV_K8S_40"} <= failed


def test_the_alerts_are_rules_of_prometheus(tmp_path: Path) -> None:
    promtool = kube_tools.promtool()
    if promtool is None:
        pytest.skip("promtool is not on this machine (Debian: the package prometheus)")
    chart = write(tmp_path / "churn")
    helm = kube_tools.folder("new") / "helm"
    every = manifests(helm, chart, "-f", chart / "everything.yaml")
    spec = next(entry for entry in every if entry["kind"] == "PrometheusRule")["spec"]
    rules = tmp_path / "rules.yaml"

    def checked() -> subprocess.CompletedProcess[str]:
        rules.write_text(yaml.safe_dump(spec))
        return subprocess.run(
            [promtool, "check", "rules", "--lint=all", "--lint-fatal", rules],
            capture_output=True, text=True,
        )  # fmt: skip

    done = checked()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 rules found" in done.stdout
    spec["groups"][0]["rules"][0]["expr"] += ")"
    assert checked().returncode != 0
