"""The deliverables made from records: what each needs from the floors below, in one place."""

from __future__ import annotations

from pathlib import Path

from modelyard.project import Project
from modelyard.registry import lineage


def report(here: Project, *, refresh: bool = False) -> Path:
    """Write `reports/index.html`.

    Args:
        refresh: read the tracking store's runs anew; otherwise only where no list of them exists.

    Raises:
        ModelyardError: a record is there and cannot be read.
    """
    from modelyard.report import html

    known_runs(here, refresh=refresh)
    return html.write(here, {"lineage": lineage.collect(here).tags()})


def known_runs(here: Project, *, refresh: bool = False) -> None:
    """Make sure that the list of runs exists; imports MLflow only where it has to be made."""
    if refresh or (not (here.state / "runs.json").is_file() and (here.root / "mlflow.db").is_file()):
        from modelyard.ship import track

        track.remember(here)
