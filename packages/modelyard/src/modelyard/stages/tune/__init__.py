"""tune: search the families for the best configuration, within the budget or over the grid.

What it leaves is a `StudyRecord`: every trial with its folds, and the configuration that train
refits. `prepare` writes the folds' arrays, `search` asks, hands out folds and keeps the clock,
`choose` picks what train refits; `trials` holds what they have in common.
"""

from __future__ import annotations

import shutil
import time

from modelyard.project import Project
from modelyard.records import StudyRecord
from modelyard.stages.tune.search import Tuning
from modelyard.stages.tune.trials import Notify, Progress

__all__ = ["Notify", "Progress", "forget", "tune"]


def tune(
    project: Project,
    notify: Notify = lambda progress: None,
    *,
    started: float | None = None,
) -> StudyRecord:
    """Run or resume the study; writes `records/study.json`.

    Args:
        notify: called after every trial.
        started: when the budget's clock began, as time.time(); now where None. A process of its
            own passes its start, so that its imports are part of the budget.

    Raises:
        ModelyardError: no trial could be completed.
    """
    return Tuning(project, notify, time.time() if started is None else started).run()


def forget(project: Project) -> None:
    """Delete this machine's studies in flight: the next tune starts from nothing."""
    shutil.rmtree(project.state / "studies", ignore_errors=True)
