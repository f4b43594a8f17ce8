"""Write m4-deployment/README.md from what the runs printed: nothing in it is typed by hand.

`E2E_REPORT=docs/reports/m4-deployment/e2e.json make e2e-kubernetes`, then run this file.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE / "m4-deployment"


def main() -> None:
    """Read the run's lines and the golden manifests; write the page."""
    lines = json.loads((PLACE / "e2e.json").read_text(encoding="utf-8"))
    loads = [
        found
        for line in lines
        if (found := re.match(r"(.+): (\d+) requests answered, (\d+) failed, p50 ([\d.]+) ms, "
                              r"p99 ([\d.]+) ms", line))
    ]  # fmt: skip
    page = [
        "# Deployment and orchestration",
        "",
        "Made by `python docs/reports/m4_deployment.py` from what the cluster's suite printed.",
        "",
        "## Under load",
        "",
        "| what was done | requests answered | failed | p50 ms | p99 ms |",
        "|---|---|---|---|---|",
        *(f"| {' | '.join(found.groups())} |" for found in loads),
        f"| **together** | {sum(int(f[2]) for f in loads)} | {sum(int(f[3]) for f in loads)} | | |",
        "",
        "## The run, line by line",
        "",
        "```",
        *lines,
        "```",
        "",
        "## What the chart makes",
        "",
    ]
    for case in ("default", "everything"):
        text = (HERE.parents[1] / "tests/golden_chart" / f"{case}.yaml").read_text(encoding="utf-8")
        kinds = re.findall(r"^kind: (\w+)", text, re.MULTILINE)
        counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        page.append(f"- values `{case}`: {counted}")
    (PLACE / "README.md").write_text("\n".join(page) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
