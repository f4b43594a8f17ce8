"""The pipeline: its state, and bringing it up to date as `dvc repro` does."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.errors import UsageError
from modelyard.programs import own_first
from modelyard.tools.dvc.session import session


def status(root: Path) -> dict[str, Any]:
    """What `dvc status` says: stage -> changes; empty where all is up to date."""
    with session(root, "status") as repo:
        return dict(repo.status())


def reproduce(
    root: Path,
    targets: Sequence[str] | None = None,
    *,
    force: bool = False,
    single: bool = False,
    begun: Callable[[], None] = lambda: None,
    restored: Callable[[str], None] = lambda stage: None,
) -> list[str]:
    """Bring the pipeline up to date, as `dvc repro` does; return the stages that changed, in order.

    The stages write to this process's own stdout and stderr. A stage whose inputs were seen before
    is not run: its outputs come back from the cache, those that git keeps included (`dvc repro` by
    itself remembers only stages whose outputs are all cached). `restored` is called with its name;
    `begun` is called once there is something to do.

    Raises:
        ToolFailed: a stage failed, a file is missing, or another DVC is at work here.
    """
    listener = _Restored(restored)
    with session(root, "repro") as repo, _own_programs_first():
        # Asking first costs a third of what walking the unchanged pipeline costs.
        found = repo.status()
        _refuse_edited(found)
        if not (targets or force or single) and not found:
            return []
        begun()
        _log("dvc.stage.cache", listener)
        try:
            stages = repo.reproduce(
                targets=list(targets) if targets else None,
                force=force,
                single_item=single,
                repro_fn=_reproduce_one,
            )
        finally:
            logging.getLogger("dvc.stage.cache").removeHandler(listener)
        # The raw table's pointer is a step to DVC; to a person it is no stage.
        return [stage.name for stage in stages if getattr(stage, "name", None)]


def _refuse_edited(found: Mapping[str, Any]) -> None:
    """A tracked table that was edited in place would be taken up as if it were a version."""
    for stage, changes in found.items():
        outs = [c.get("changed outs", {}) for c in changes if isinstance(c, dict)]
        edited = [path for out in outs for path, state in out.items() if state == "modified"]
        if stage.endswith(".dvc") and edited:
            raise UsageError(
                f"{edited[0]} was edited, and is no data version.",
                why="A run is recorded with the version of its data.",
                next_step=f"modelyard data add {edited[0]} -m 'What changed', "
                "or: modelyard data checkout VERSION --force",
            )


def _reproduce_one(stage: Any, **kwargs: Any) -> Any:
    """DVC's own step, and then remember the result though git keeps some of the outputs.

    DVC saves no run-cache entry for a stage with such an output, but restores one that exists.
    """
    with _outputs_aside(stage):
        done = stage.reproduce(**kwargs)
    if done is not None:
        done.dump(update_pipeline=False)
        if getattr(done, "name", None):
            done.repo.stage_cache.save(done)
    return done


@contextmanager
def _outputs_aside(stage: Any) -> Iterator[None]:
    """Move a stage's outputs aside where DVC would delete them before the stage runs.

    What a failed stage has not replaced comes back: a disk that is full must not cost the package
    that was there. Moving takes no room; what a kill leaves aside is dropped by the next run.
    """
    aside = Path(stage.repo.tmp_dir) / "modelyard-aside"
    shutil.rmtree(aside, ignore_errors=True)
    moved: list[tuple[Path, Path]] = []

    def move_away(ignore_remove: bool = False, force: bool = False) -> None:
        aside.mkdir(parents=True, exist_ok=True)
        for number, out in enumerate(stage.outs):
            path, kept = Path(out.fs_path), aside / str(number)
            if os.path.lexists(path):
                shutil.move(path, kept)
                moved.append((path, kept))

    stage.remove_outs = move_away
    try:
        yield
    except BaseException:
        for path, kept in moved:
            if not os.path.lexists(path):
                shutil.move(kept, path)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


class _Restored(logging.Handler):
    """Hears DVC say that a stage came back from the cache."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self.tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        if "is cached" in str(record.msg) and record.args:
            self.tell(str(record.args[0] if isinstance(record.args, tuple) else record.args))


def _log(name: str, handler: logging.Handler) -> None:
    logger = logging.getLogger(name)
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    logger.propagate = False


@contextmanager
def _own_programs_first() -> Iterator[None]:
    """Let a stage's shell find `modelyard` although the environment is not activated."""
    before = os.environ.get("PATH")
    os.environ["PATH"] = own_first(before)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PATH"]
        else:
            os.environ["PATH"] = before
