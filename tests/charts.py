"""The chart of a project called churn, and what real Helm renders it to, for the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import yaml

from modelyard.render.chart import chart_files, cloud_files, environment_files

DIGEST = "sha256:" + "a" * 64
IMAGE = ("--set", f"image.repository=registry.example.com/team/churn,image.digest={DIGEST}")
MODEL = ("--set", f"model.version=v3,model.packageDigest={'b' * 64}")
EVERYTHING = {
    "autoscaling": {"enabled": True},
    "ingress": {"enabled": True, "hosts": [{"host": "churn.example.com"}]},
    "gateway": {
        "enabled": True,
        "parentRefs": [{"name": "gateway"}],
        "hostnames": ["a.example.com"],
    },
    "monitoring": {"enabled": True, "apiKey": "prometheus", "dashboard": {"enabled": True}},
    "networkPolicy": {"allowNamespaces": ["ingress-nginx", "monitoring"]},
    "server": {"apiKeysSecret": "keys", "predictionLog": {"enabled": True, "mask": ["name"]}},
    "canary": {
        "enabled": True,
        "image": {"repository": "registry.example.com/team/churn", "digest": "sha256:" + "c" * 64},
        "model": {"version": "v4", "packageDigest": "d" * 64},
    },
}


def write(folder: Path) -> Path:
    """Write the chart, and everything.yaml with all that is switched off by default."""
    made = {**chart_files("churn"), **environment_files("churn"), **cloud_files("churn")}
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "everything.yaml").write_text(yaml.safe_dump(EVERYTHING))
    return folder


def run(helm: Path, *words: str | Path, code: int = 0) -> str:
    """Run helm; returns both streams."""
    done = subprocess.run([helm, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def manifests(helm: Path, chart: Path, *words: str | Path) -> list[dict[str, Any]]:
    """What the chart is rendered to."""
    text = run(helm, "template", "churn", chart, "-n", "prod", *IMAGE, *MODEL, *words)
    return [entry for entry in yaml.safe_load_all(text) if entry]
