"""reproduce: refit from the recorded study, without caches, and compare with the records."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace

from modelyard import line
from modelyard.errors import UsageError
from modelyard.project import FILE, OVERRIDES, Project
from modelyard.records import PackRecord, StudyRecord, read_json
from modelyard.registry.lock import hold


@dataclass(frozen=True)
class Reproduction:
    """Whether the refit ended where the recorded run ended."""

    same_metrics: bool
    same_model: bool
    metrics_message: str
    digest_message: str


def reproduce(
    here: Project, *, search: bool = False, say: Callable[[str], None] = lambda text: None
) -> Reproduction:
    """Run the stages in a scratch folder from the raw table and the recorded study.

    Args:
        search: search again too, instead of taking the recorded study.

    Raises:
        UsageError: `search` is asked of a study that ran against the clock.
        ModelyardError: a record is missing, or a stage failed.
    """
    study = read_json(here.record("study"), StudyRecord)
    packed = read_json(here.record("pack"), PackRecord)
    recorded = json.loads(here.metrics.read_bytes())
    if search and study.budget_seconds is not None:
        raise UsageError(
            "This study ran against the clock, so its search cannot be repeated exactly.",
            why="What a machine finishes in a minute differs from day to day; its outcome is "
            "recorded instead.",
            next_step="modelyard reproduce, or first: modelyard run -S tune.trials=30",
        )
    scratch = here.state / "reproduce"
    with hold(here, "modelyard reproduce"):
        shutil.rmtree(scratch, ignore_errors=True)
        there = replace(here, root=scratch)
        try:
            there.data.parent.mkdir(parents=True)
            there.records.mkdir()
            shutil.copyfile(here.data, there.data)
            for name in (FILE, OVERRIDES):
                shutil.copyfile(here.root / name, scratch / name)
            for stage in line.STAGES:
                if stage.name == "gate":
                    continue
                if stage.name == "tune" and not search:
                    shutil.copyfile(here.record("study"), there.record("study"))
                    continue
                say(f"{stage.name}: again, without caches")
                line.run_stage(there, stage.name)
            found = json.loads(there.metrics.read_bytes())
            again = read_json(there.record("pack"), PackRecord)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    different = sorted(name for name in recorded if found.get(name) != recorded[name])
    return Reproduction(
        same_metrics=not different,
        same_model=again.model_digest == packed.model_digest,
        metrics_message=f"{len(recorded)} figures are equal"
        if not different
        else ", ".join(f"{n} {recorded[n]} became {found.get(n)}" for n in different[:5]),
        digest_message=packed.model_digest[:16]
        if again.model_digest == packed.model_digest
        else f"{packed.model_digest[:16]} became {again.model_digest[:16]}",
    )
