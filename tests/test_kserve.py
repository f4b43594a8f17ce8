"""docs/clouds/kserve.yaml: it fits KServe's own schema, and its pod is the chart's."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import kube_tools
import pytest
import yaml
from charts import manifests, write

HERE = Path(__file__).parent
FILE = HERE.parent / "docs/clouds/kserve.yaml"
FILLED = {
    "PACKAGE_DIGEST": "b" * 64,
    "REPOSITORY": "registry.example.com/team/churn",
    "NAMESPACE": "prod",
    "VERSION": "v3",
    "DIGEST": "a" * 64,
    "NAME": "churn",
}


@pytest.fixture
def service() -> dict[str, Any]:
    """The InferenceService as a person fills it."""
    text = FILE.read_text()
    for name, value in FILLED.items():
        text = re.sub(rf"\b{name}\b", value, text)
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    """The CRD's schema; a key that it does not have is refused, as `kubectl apply` does."""
    return _closed(json.loads((HERE / "kserve_schema.json").read_bytes()))


def _closed(node: Any) -> Any:
    if isinstance(node, list):
        return [_closed(each) for each in node]
    if not isinstance(node, dict):
        return node
    made = {key: _closed(value) for key, value in node.items()}
    if isinstance(made.get("properties"), dict) and made.get("type") == "object":
        made.setdefault("additionalProperties", False)
    if made.pop("x-kubernetes-int-or-string", False):
        made["type"] = ["integer", "string"]
    if node.get("type") == "object" and "metadata" in node.get("properties", {}):
        made["properties"]["metadata"]["additionalProperties"] = True
    return made


def test_it_fits_the_schema(service: dict[str, Any], schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(service)


@pytest.mark.parametrize(
    ("where", "key", "value"),
    [
        ((), "predictors", {}),
        (("predictor",), "minReplica", 2),
        (("predictor",), "maxReplicas", "ten"),
        (("predictor", "containers", 0), "imagePolicy", "Always"),
        (("predictor", "containers", 0, "readinessProbe", "httpGet"), "port", [8080]),
    ],
)
def test_a_slip_does_not(
    where: tuple[str | int, ...], key: str, value: Any, service: dict[str, Any],
    schema: dict[str, Any],
) -> None:  # fmt: skip
    spoilt = copy.deepcopy(service)
    node = spoilt["spec"]
    for step in where:
        node = node[step]
    node[key] = value
    assert not jsonschema.Draft202012Validator(schema).is_valid(spoilt)


def test_the_pod_is_the_charts(service: dict[str, Any], tmp_path: Path) -> None:
    helm = kube_tools.folder("new") / "helm"
    found = manifests(helm, write(tmp_path / "churn"), "--kube-version", "1.29.0")
    deployment = next(entry for entry in found if entry["kind"] == "Deployment")
    pod = deployment["spec"]["template"]["spec"]
    (theirs,) = pod["containers"]
    predictor = service["spec"]["predictor"]
    (ours,) = predictor["containers"]
    assert ours["name"] == "kserve-container"
    for key in ("image", "imagePullPolicy", "securityContext", "resources", "lifecycle",
                "volumeMounts"):  # fmt: skip
        assert ours[key] == theirs[key], key
    for key in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = copy.deepcopy(theirs[key])
        probe["httpGet"]["port"] = theirs["ports"][0]["containerPort"]
        assert ours[key] == probe, key
    for key in ("securityContext", "automountServiceAccountToken", "enableServiceLinks",
                "terminationGracePeriodSeconds", "volumes"):  # fmt: skip
        assert predictor[key] == pod[key], key
    assert predictor["deploymentStrategy"] == deployment["spec"]["strategy"]
    settings = {entry["name"]: entry["value"] for entry in ours["env"]}
    assert settings.pop("PROTOCOL") == "v2"
    assert settings.pop("MODEL_VERSION") == "v3"
    chart = next(e for e in found if e["kind"] == "ConfigMap" and "PORT" in e["data"])["data"]
    assert settings.items() <= chart.items()
