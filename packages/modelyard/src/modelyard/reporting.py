"""The deliverables made from records: what each needs from the floors below, in one place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.project import Project
from modelyard.registry import lineage

if TYPE_CHECKING:
    from modelyard.report.gather import Gathered
    from modelyard.report.tour import Film


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


def state_of(here: Project) -> Gathered:
    """Everything that the deliverables are made from."""
    from modelyard.report.gather import gather

    known_runs(here)
    return gather(here, lineage.collect(here).tags())


def card(here: Project) -> tuple[Path, tuple[str, ...]]:
    """Write MODEL_CARD.md; returns it and the sections that are a person's.

    Raises:
        ModelyardError: there has been no run yet, or a record cannot be read.
    """
    from modelyard.report import card as cards

    path, merged = cards.write(state_of(here))
    return path, merged.kept


def summary(here: Project) -> tuple[Path, tuple[str, ...]]:
    """Write SUMMARY.md and its page; returns the PDF and the sections that are a person's.

    Raises:
        ModelyardError: there has been no run yet, a record cannot be read, or the words do not fit.
    """
    from modelyard.report import summary as summaries

    path, merged = summaries.write(state_of(here))
    return path, merged.kept


def record(
    here: Project,
    target: Path | None = None,
    *,
    longest: float = 298.0,
    say: Callable[[str], None] = lambda text: None,
) -> Film:
    """Film a tour of the project; see `report.tour`.

    Raises:
        ModelyardError: there has been no run yet.
        ToolFailed: the browser, ffmpeg, Xvfb or xterm is missing: each is named.
    """
    from modelyard.report import tour

    state = state_of(here)
    if not (here.reports / "index.html").is_file():
        report(here)
    return tour.record(here, state, target, longest=longest, say=say)


def known_runs(here: Project, *, refresh: bool = False) -> None:
    """Make sure that the list of runs exists; imports MLflow only where it has to be made."""
    if refresh or (
        not (here.state / "runs.json").is_file() and (here.root / "mlflow.db").is_file()
    ):
        from modelyard.ship import track

        track.remember(here)
