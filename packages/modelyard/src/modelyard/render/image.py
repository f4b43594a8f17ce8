"""The files of image/ and compose.yaml, as they are left in a project."""

from __future__ import annotations

from collections.abc import Mapping

from modelyard.render.engine import fill

EPOCH = 315_532_800
"""1980-01-01, the first day that a zip archive can name: the time of every file in our layers."""


def image_files(name: str, *, base: str, python: str) -> dict[str, str]:
    """Path in the project -> content, of what is written once and then the person's."""
    return {
        "image/Dockerfile": fill(
            "Dockerfile.j2", name=name, base=base, python=python, epoch=str(EPOCH)
        ),
        "image/.dockerignore": fill("image_dockerignore.j2"),
        "image/.gitignore": fill("image_gitignore.j2"),
        "image/minimal.py": fill("minimal.py.j2"),
    }


def compose_file(name: str, *, mlflow: str) -> str:
    """compose.yaml: the endpoint and a tracking server of this version of MLflow."""
    return fill("compose.yaml.j2", name=name, mlflow=mlflow)


def lock_file(pins: Mapping[str, tuple[str, str]], *, python: str, platform: str) -> str:
    """image/requirements.lock: name -> (version, sha256 of the wheel for this target)."""
    lines = [
        "# The endpoint's packages and the sha256 of their wheels, for one target.",
        target_line(python, platform),
        "# `modelyard image lock` writes it anew from this project's environment.",
    ]
    for name, (version, digest) in sorted(pins.items()):
        lines += [f"{name}=={version} \\", f"    --hash=sha256:{digest}"]
    return "\n".join(lines) + "\n"


def target_line(python: str, platform: str) -> str:
    """The line of the lock that says what it was made for."""
    return f"# target: Python {python}, {platform}"
