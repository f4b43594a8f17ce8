"""MLflow's own page: where its views are, what it calls a run, and a look that fits a film."""

from __future__ import annotations

import json
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote


@dataclass(frozen=True)
class Tracked:
    """The newest experiment with judged runs, newest first, and what the page calls each."""

    address: str
    experiment: str
    runs: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def list(self) -> str:
        """Where the page lists the runs."""
        return f"{self.address}/#/experiments/{self.experiment}/runs"

    @property
    def side_by_side(self) -> str:
        """Where the page shows the two newest runs side by side, or the only one."""
        if len(self.runs) < 2:
            return f"{self.list}/{self.runs[0]}"
        chosen = quote(json.dumps(self.runs[:2]))
        return (
            f"{self.address}/#/compare-runs?runs={chosen}"
            f"&experiments={quote(json.dumps([self.experiment]))}"
        )


def ask(address: str) -> Tracked | None:
    """What the tracking server holds, or None where it holds no judged run.

    Raises:
        OSError: it does not answer.
    """
    body = _ask(address, "experiments/search", {"max_results": 50})
    for found in body.get("experiments", []):
        name = str(found["experiment_id"])
        wanted = {
            "experiment_ids": [name],
            "filter": "tags.`modelyard.gate` != ''",
            "max_results": 20,
        }
        runs = [run["info"] for run in _ask(address, "runs/search", wanted).get("runs", [])]
        if runs:
            ids = tuple(str(run["run_id"]) for run in runs)
            return Tracked(address, name, ids, tuple(str(run["run_name"]) for run in runs))
    return None


def open_list(page: Any, tracked: Tracked, seconds: float) -> None:
    """Go to the list and wait until the newest run stands in it.

    Raises:
        Exception: the browser's own, where that takes longer than `seconds`.
    """
    page.goto(tracked.list, timeout=1000 * seconds)
    page.get_by_role("link", name=tracked.names[0]).first.wait_for(timeout=1000 * seconds)


def tidy(page: Any, tracked: Tracked, metric: str) -> None:
    """Let the page show runs with their figure: its chat is closed, its columns are chosen.

    These are settings that a person makes with a click or two, kept where the page keeps them; a
    page of another version does not know them and shows what it shows.
    """
    columns = ["attributes.`Dataset`", f"metrics.`test_{metric}`"]
    key = f'MLflowLocalStorage-1.1-ExperimentPage-["{tracked.experiment}"]-ReactComponentState'
    with suppress(Exception):
        page.evaluate(
            """([key, columns]) => {
                localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
                const known = JSON.parse(localStorage.getItem(key) || "null");
                if (known) localStorage.setItem(
                    key, JSON.stringify({...known, selectedColumns: columns}));
            }""",
            [key, columns],
        )
        page.reload()


def _ask(address: str, what: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{address}/api/2.0/mlflow/{what}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
        found = json.loads(answer.read())
    return found if isinstance(found, dict) else {}
