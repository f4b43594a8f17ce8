"""helm: upgrade, history, rollback, test, uninstall."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.errors import Terminated
from modelyard.tools.kubernetes.cluster import Cluster
from modelyard.tools.kubernetes.said import translated

LOOK_EVERY = 2.0
"""Seconds between two looks at the pods while helm waits."""


@dataclass(frozen=True)
class Revision:
    """One revision of a release, as helm keeps it. `status` is deployed, failed, pending-…"""

    number: int
    status: str
    updated: str
    description: str


def upgrade(
    cluster: Cluster,
    release: str,
    chart: Path,
    *,
    values: Sequence[Path],
    seconds: int,
    description: str,
    create_namespace: bool = False,
    dry_run: bool = False,
    look: Callable[[], None] = lambda: None,
) -> str:
    """Install or upgrade, wait, and go back by itself where the pods do not become ready.

    Args:
        look: called every two seconds while helm waits: what pods said is gone after the way back.

    Returns:
        What helm printed; with `dry_run` the manifests, which the cluster has checked.

    Raises:
        ModelyardError: what helm's words stand for.
    """
    words = ["upgrade", release, str(chart), "--install", "--timeout", f"{seconds}s",
             "--history-max", "20", "--description", description]  # fmt: skip
    for path in values:
        words += ["--values", str(path)]
    if create_namespace:
        words.append("--create-namespace")
    if dry_run:
        words.append("--dry-run=server")
    else:
        # Helm 4 renamed the flag; both mean: the old release serves on where the new one fails.
        words += ["--atomic" if cluster.helm_major < 4 else "--rollback-on-failure", "--wait"]
    command = cluster.helm_command(*words)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        while True:
            try:
                out, err = process.communicate(timeout=LOOK_EVERY)
                break
            except subprocess.TimeoutExpired:
                look()
            except KeyboardInterrupt as stop:
                # helm got the same Ctrl-C and goes back by itself: wait for it. SIGTERM came to
                # this process alone.
                if isinstance(stop, Terminated):
                    process.terminate()
                process.communicate()
                raise
    if process.returncode != 0:
        raise translated("helm", "upgrade", err or out)
    return out


def history(cluster: Cluster, release: str) -> list[Revision]:
    """The revisions of a release, oldest first; none where it was never installed."""
    done = cluster.helm("history", release, "-o", "json", "--max", "50", check=False)
    if done.returncode != 0:
        if "not found" in done.stderr.lower():
            return []
        raise translated("helm", "history", done.stderr)
    return [
        Revision(
            int(entry["revision"]), entry["status"], entry["updated"], entry.get("description", "")
        )
        for entry in json.loads(done.stdout)
    ]


def values_of(cluster: Cluster, release: str, revision: int) -> dict[str, Any]:
    """The values that a revision was made with, without the chart's defaults."""
    said = cluster.helm("get", "values", release, "--revision", str(revision), "-o", "json").stdout
    return json.loads(said) or {}


def rollback(
    cluster: Cluster, release: str, revision: int, seconds: int, *, wait: bool = True
) -> None:
    """Make an old revision the present one, and wait for its pods."""
    words = ["rollback", release, str(revision), "--timeout", f"{seconds}s", "--history-max", "20"]
    cluster.helm(*words, *(["--wait"] if wait else []), seconds=seconds + 60)


def uninstall(cluster: Cluster, release: str) -> None:
    """Remove a release; one that is not there is no error."""
    done = cluster.helm("uninstall", release, "--wait", check=False, seconds=300)
    if done.returncode != 0 and "not found" not in done.stderr.lower():
        raise translated("helm", "uninstall", done.stderr)


def test(cluster: Cluster, release: str, seconds: int) -> tuple[bool, str]:
    """Run the chart's tests in the cluster; whether they passed, and their words."""
    done = cluster.helm(
        "test", release, "--logs", "--timeout", f"{seconds}s", check=False, seconds=seconds + 60
    )
    return done.returncode == 0, f"{done.stdout}\n{done.stderr}".strip()


def lint(program: str, chart: Path, values: Sequence[Path]) -> None:
    """Hold a chart and its values to their schema; no cluster is asked."""
    words = [part for path in values for part in ("--values", str(path))]
    done = subprocess.run(
        [program, "lint", "--quiet", str(chart), *words], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise translated("helm", "lint", done.stdout + done.stderr)
