"""The Terraform modules: whole, as the providers know them, and as `modelyard deploy` needs them.

What can be seen without a cloud and without the providers' programs, whose arguments' names are
kept in provider_schemas.json. test_policy.py has what checkov says of them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kube_tools
import msgspec
import pytest

from modelyard.settings import EcsSection, Environment

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs/clouds"
MODULES = ("aks", "ecs", "eks", "gke")
META = {"count", "for_each", "depends_on", "lifecycle", "provider"}
READ = """
import hcl2, json, pathlib, sys
found = {}
for path in sorted(pathlib.Path(sys.argv[1]).glob("*/*.tf")):
    with path.open() as file:
        for kind, entries in hcl2.load(file).items():
            found.setdefault(path.parent.name, {}).setdefault(kind, []).extend(entries)
print(json.dumps(found))
"""
Tree = dict[str, Any]


@pytest.fixture(scope="module")
def trees() -> dict[str, Tree]:
    """Each module as checkov's own reader of HCL reads it."""
    python = kube_tools.checkov().with_name("python")
    done = subprocess.run(
        [python, "-c", READ, DOCS / "terraform"], capture_output=True, text=True, check=True
    )
    found: dict[str, Tree] = json.loads(done.stdout)
    return found


@pytest.fixture(params=MODULES)
def module(request: pytest.FixtureRequest, trees: dict[str, Tree]) -> tuple[str, Tree, str]:
    """A module's name, its tree and its text without comments."""
    paths = sorted((DOCS / "terraform" / request.param).glob("*.tf"))
    text = re.sub(r"(?m)^\s*#.*$", "", "\n".join(path.read_text() for path in paths))
    return request.param, trees[request.param], text


def _named(tree: Tree, kind: str) -> dict[str, Tree]:
    return {name: body for each in tree.get(kind, []) for name, body in each.items()}


def _typed(tree: Tree, kind: str) -> dict[str, Tree]:
    return {
        f"{kind_of}.{name}": body
        for each in tree.get(kind, [])
        for kind_of, named in each.items()
        for name, body in named.items()
        if not name.startswith("__")
    }


def test_every_variable_is_described_typed_and_used(module: tuple[str, Tree, str]) -> None:
    _, tree, text = module
    variables = _named(tree, "variable")
    assert {"name", "environment", "ci_service", "ci_repository"} <= set(variables)
    for name, body in variables.items():
        assert body["description"][0].endswith((".", "OWNER/REPOSITORY.")), name
        assert body["type"], name
        outside = re.sub(rf'variable "{name}" {{.*?\n}}\n', "", text, flags=re.DOTALL)
        assert re.search(rf"\bvar\.{name}\b", outside), f"{name} is not used"


def test_every_reference_leads_somewhere(module: tuple[str, Tree, str]) -> None:
    _, tree, text = module
    declared = {
        *(f"var.{name}" for name in _named(tree, "variable")),
        *(f"local.{name}" for each in tree["locals"] for name in each),
        *_typed(tree, "resource"),
        *(f"data.{name}" for name in _typed(tree, "data")),
    }
    kinds = r"(?:data\.)?(?:aws|azurerm|google)_\w+"
    used = set(re.findall(rf"(?<![\w.\"/])((?:var|local|{kinds})\.[a-z]\w*)", text))
    assert len(used) > 15
    assert used <= declared, used - declared


def test_every_output_is_described(module: tuple[str, Tree, str]) -> None:
    _, tree, _ = module
    outputs = _named(tree, "output")
    assert {"cluster", "repository"} <= set(outputs)
    assert all(body["description"][0] for body in outputs.values())


def test_the_providers_know_each_argument(module: tuple[str, Tree, str]) -> None:
    _, tree, _ = module
    known = json.loads((HERE / "provider_schemas.json").read_bytes())
    for kind in ("resource", "data"):
        for name, body in _typed(tree, kind).items():
            own = {key: value for key, value in body.items() if key not in META}
            _hold(f"{kind}.{name}", own, known[f"{kind}.{name.partition('.')[0]}"])


def _hold(where: str, body: Tree, known: Tree) -> None:
    """Every argument is one of the provider's, and none that it wants is missing."""
    given = {key: value for key, value in body.items() if key[:2] != "__"}
    for dynamic in given.pop("dynamic", []):
        given |= {name: block["content"] for name, block in dynamic.items()}
    assert set(given) <= set(known["arguments"]), f"{where}: {set(given) - set(known['arguments'])}"
    assert set(known["required"]) <= set(given), f"{where}: {set(known['required']) - set(given)}"
    for name, inner in known["blocks"].items():
        for each in given.get(name, []):
            if isinstance(each, dict):
                _hold(f"{where}.{name}", each, inner)


def test_providers_are_pinned(module: tuple[str, Tree, str]) -> None:
    _, tree, _ = module
    (settings,) = tree["terraform"]
    assert settings["required_version"]
    found = json.dumps(settings["required_providers"])
    assert re.findall(r'"version": "~> \d+\.\d+"', found)
    assert found.count('"source"') == found.count('"version": "~> ')


def test_no_key_and_no_open_door(module: tuple[str, Tree, str]) -> None:
    name, tree, text = module
    assert not re.search(r"AKIA|BEGIN [A-Z ]*PRIVATE|access_key|secret_key|password", text)
    assert not any("aws_iam_user" in key or "_service_account_key" in key
                   for key in _typed(tree, "resource"))  # fmt: skip
    # The pipeline is known by issuer and by the whole subject: no pattern that others fit, too.
    assert "environment:${var.environment}" in text
    assert "StringLike" not in text
    # Tasks reach ECR and the log by HTTPS; nothing is let in from everywhere.
    assert text.count('cidr_ipv4         = "0.0.0.0/0"') == (1 if name == "ecs" else 0)


def test_ecs_outputs_are_keys_of_modelyard_yaml(trees: dict[str, Tree]) -> None:
    ecs = {field.name for field in msgspec.structs.fields(EcsSection)}
    environment = {field.name for field in msgspec.structs.fields(Environment)}
    for module in MODULES:
        for name, body in _named(trees[module], "output").items():
            for path in re.findall(
                r"deploy\.environments\.ENV\.([a-z_.]+)", body["description"][0]
            ):
                head, _, last = path.rstrip(".").partition(".")
                assert head in environment, (module, name)
                assert not last or last in ecs, (module, name)
    wanted = {"cluster", "subnets", "security_groups", "execution_role", "target_group"}
    assert wanted <= set(_named(trees["ecs"], "output"))


def test_the_role_may_what_the_policy_says(trees: dict[str, Tree]) -> None:
    """The module's repository is there already, so the right to make one is left out."""
    policy = json.loads((DOCS / "ecs-policy.json").read_bytes())["Statement"]
    said = {action for each in policy for action in _list(each["Action"])}
    document = _typed(trees["ecs"], "data")["aws_iam_policy_document.deploy"]
    given = {action for each in document["statement"] for action in each["actions"][0]}
    assert given == said - {"ecr:CreateRepository"}


def test_ecs_is_as_the_deploy_makes_it(trees: dict[str, Tree]) -> None:
    """Names, port and health as modelyard.tools.aws has them."""
    found = _typed(trees["ecs"], "resource")
    group = found["aws_lb_target_group.endpoint"]
    assert group["port"] == [8080]
    assert group["target_type"] == ["ip"]
    assert group["health_check"][0]["path"] == ["/v2/health/ready"]
    name = found["aws_cloudwatch_log_group.server"]["name"]
    assert name == ["/modelyard/${var.name}-${var.environment}"]
    assert found["aws_ecr_repository.model"]["image_tag_mutability"] == ["IMMUTABLE"]
    # One owner: the service with its circuit breaker is `modelyard deploy`'s.
    assert not {"aws_ecs_service", "aws_ecs_task_definition"} & {key.split(".")[0] for key in found}


@pytest.mark.parametrize("name", MODULES)
def test_the_pages_name_outputs_that_there_are(name: str, trees: dict[str, Tree]) -> None:
    readme = (DOCS / "terraform" / name / "README.md").read_text()
    page = (DOCS / f"{name}.md").read_text()
    assert f"terraform/{name}" in page
    named = set(re.findall(r"output (?:-raw |-json )?([a-z_]+)", readme + page))
    assert named
    assert named <= set(_named(trees[name], "output"))


def test_they_are_in_the_usual_form() -> None:
    program = shutil.which("tofu") or shutil.which("terraform")
    if program is None:
        pytest.skip("neither tofu nor terraform is on this machine")
    done = subprocess.run(
        [program, "fmt", "-check", "-recursive", "-diff", DOCS / "terraform"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
