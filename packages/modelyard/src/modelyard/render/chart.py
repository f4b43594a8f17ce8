"""The Helm chart of a project's endpoint: every file of charts/<name>/, and the clouds' values."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.resources.abc import Traversable

from modelyard.render.engine import inline

VERSION = "1.3.1"
"""The chart's own version: raised with every change of a template."""

MEASURED = {"memory": "107", "micros": "183", "request": "160Mi", "limit": "384Mi"}
"""Of benchmarks/results/serving.json (resident memory of one worker, CPU of a request of one row);
request is half more than was resident, limit leaves room for bodies of 100,000 rows."""

CLOUDS = ("eks", "aks", "gke")
ENVIRONMENTS = ("staging", "production")


def chart_name(project: str) -> str:
    """The project's name as Kubernetes takes names: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")[:52].rstrip("-")


def chart_files(project: str, description: str = "") -> dict[str, str]:
    """Path in charts/<name>/ -> content, of what modelyard keeps up to date."""
    name = chart_name(project)
    values = {
        "name": name,
        "description": _quoted(description or f"The endpoint of the model {project}"),
        "chart_version": VERSION,
        **MEASURED,
    }
    root = files("modelyard.render") / "templates" / "chart"
    made = {}
    for path in sorted(_walk(root)):
        template = (root / path).read_text(encoding="utf-8")
        # Helm's own templates are full of {{ }}, so a value of ours stands in @{ }@.
        made[path] = re.sub(r"@\{ (\w+) \}@", lambda found: values[found[1]], template)
    return made


def environment_files(project: str) -> dict[str, str]:
    """values-staging.yaml and values-production.yaml: written once, then the person's."""
    head = (
        "# What {env} has of its own, over values.yaml. Yours to edit: it is written once.\n"
        "# `modelyard deploy --env {env}` reads it; image and model it sets itself.\n"
    )
    bodies = {
        "staging": "replicas: 1\npodDisruptionBudget:\n  enabled: false\n",
        "production": "replicas: 2\n",
    }
    return {f"values-{env}.yaml": head.format(env=env) + bodies[env] for env in ENVIRONMENTS}


def cloud_files(project: str) -> dict[str, str]:
    """values-eks.yaml, values-aks.yaml, values-gke.yaml: what each cloud has of its own."""
    root = files("modelyard.render") / "templates" / "clouds"
    name = chart_name(project)
    return {
        f"values-{cloud}.yaml": (root / f"{cloud}.yaml")
        .read_text(encoding="utf-8")
        .replace("@{ name }@", name)
        for cloud in CLOUDS
    }


def _quoted(text: str) -> str:
    return inline(" ".join(text.split()))


def _walk(root: Traversable, before: str = "") -> list[str]:
    """Paths of the files below `root`, without the bytecode that an installation leaves there."""
    found = []
    for entry in root.iterdir():
        if entry.name == "__pycache__":
            continue
        path = f"{before}{entry.name}"
        found += _walk(entry, f"{path}/") if entry.is_dir() else [path]
    return found
