"""Print every dependency that the two distributions and their development declare."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OWN = ("modelyard", "modelyard-serve")


def declared() -> list[str]:
    """The requirement lines, our own distributions left out."""
    lines = [
        line.strip()
        for line in (ROOT / "requirements-dev.in").read_text().splitlines()
        if line.strip() and not line.startswith("#")
    ]
    for project in sorted((ROOT / "packages").glob("*/pyproject.toml")):
        lines += tomllib.loads(project.read_text())["project"]["dependencies"]
    return [line for line in lines if line.split("==")[0] not in OWN]


if __name__ == "__main__":
    print("\n".join(declared()))
