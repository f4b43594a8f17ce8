"""The line: the ordered list of stages, and how a run walks along it.

dvc.yaml is rendered from `STAGES`; `modelyard run` and `dvc repro` run the same commands.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from modelyard import errors, project
from modelyard.errors import GateRefused, Interrupted, ModelyardError
from modelyard.project import Project
from modelyard.records import (
    ChampionRecord,
    GateRecord,
    Record,
    read_if_there,
    read_json,
    write_bytes,
)
from modelyard.registry import champion
from modelyard.registry import lineage as lineages
from modelyard.registry.lock import hold
from modelyard.render.pipeline import StageSpec
from modelyard.tools import git

FAILURE_FILE = "MODELYARD_FAILURE_FILE"
"""Environment variable: where a stage's process writes its error for the run that started it."""

RUN_PROCESS = "MODELYARD_RUN_PROCESS"
"""Environment variable: the process of the run, for stages to end with it."""

IMPORTS = "modelyard-imports"
"""The thread that imports ahead what the end of a run needs."""
ENDING = 20.0
"""Seconds that a stopped run waits for it at the most: a server may be slow to answer."""

TABLE = "data/interim/table.parquet"
SPLIT = "data/interim/split.parquet"


def stages(data_path: str) -> tuple[StageSpec, ...]:
    """The stages in order, for a project whose raw table lies at `data_path`."""

    def spec(name: str, deps: Sequence[str], params: Sequence[str] = (), **outs: Any) -> StageSpec:
        return StageSpec(
            name=name,
            cmd=f"modelyard stage {name}",
            deps=tuple(deps),
            params=tuple(params),
            **{key: tuple(value) for key, value in outs.items()},
        )

    def record(*names: str) -> list[str]:
        return [f"records/{name}.json" for name in names]

    return (
        spec(
            "ingest",
            [data_path],
            ["data"],
            outs=[TABLE],
            plain_outs=record("schema", "ingest"),
        ),
        spec(
            "split",
            [TABLE, *record("schema")],
            ["split"],
            outs=[SPLIT],
            plain_outs=record("split"),
        ),
        spec(
            "tune",
            [TABLE, SPLIT, *record("schema")],
            ["tune"],
            plain_outs=record("study"),
        ),
        spec(
            "train",
            [TABLE, SPLIT, *record("schema", "study")],
            outs=["model"],
            plain_outs=record("train"),
        ),
        spec(
            "evaluate",
            ["model", TABLE, SPLIT, *record("schema", "study")],
            metrics=["metrics.json"],
            plots=["plots"],
            plain_outs=record("evaluate"),
        ),
        spec(
            "pack",
            ["model", TABLE, SPLIT, *record("schema", "study", "evaluate")],
            outs=["package"],
            plain_outs=record("pack"),
        ),
        spec(
            "gate",
            ["package", "model", TABLE, SPLIT, *record("schema", "study")],
            ["gate"],
            plain_outs=record("gate"),
        ),
    )


STAGES = stages("data/raw/table.csv")


def run_stage(
    here: Project,
    name: str,
    *,
    notify: Callable[[Any], None] | None = None,
    process_started: float | None = None,
) -> Record:
    """Call a stage's function in this process. Raises what the stage raises."""
    function = getattr(import_module(f"modelyard.stages.{name}"), name)
    try:
        if name == "tune":
            result = function(here, notify or (lambda progress: None), started=process_started)
        else:
            result = function(here)
    except Exception as error:
        if not _no_room(error):
            raise
        raise ModelyardError(
            f"There is no room on the disk for what {name} writes.",
            why=str(error),
            next_step="free some disk space, then: modelyard run",
        ) from error
    assert isinstance(result, Record)
    return result


def _no_room(error: Exception) -> bool:
    """Whether the disk, the quota or a file's largest size is used up; polars says it in words."""
    numbers = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    if isinstance(error, OSError):
        return error.errno in numbers
    return any(f"(os error {number})" in str(error) for number in numbers)


def note_failure(path: str, error: BaseException) -> None:
    """Write a stage's error where the run can read it."""
    if isinstance(error, ModelyardError):
        body = {
            "class": type(error).__name__,
            "what": error.what,
            "why": error.why,
            "next": error.next_step,
        }
    else:
        body = {"class": "Interrupted", "what": "Stopped.", "why": "", "next": ""}
    write_bytes(Path(path), json.dumps(body).encode())


@dataclass(frozen=True)
class RunSummary:
    """What a run ended with. `ran` are the stages that were run, in order."""

    ran: tuple[str, ...]
    run_id: str | None
    released: ChampionRecord | None
    champion: ChampionRecord | None
    gate: GateRecord
    report: Path
    seconds: float
    note: str = ""


def run(
    here: Project,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    release: bool = True,
    force: bool = False,
    why: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> RunSummary:
    """Bring the project up to date: run the stages that are out of date, track, release.

    Args:
        overrides: section -> key -> value, for this run alone.
        release: move the champion when the gate passes.
        force: run every stage, and search anew.
        why: the reason that the audit line and the tag carry.
        say: called with one line of text at each step outside the stages.

    Raises:
        GateRefused: the candidate is not good enough; the run is tracked all the same.
        LockHeld: another run works here.
        ModelyardError: what a stage or a tool raised.
    """
    from modelyard.ship import preflight

    with hold(here, "modelyard run"), _outliving_imports():
        started = time.time()
        # Checked before it is written: a mistyped value would stay and spoil every later command.
        asked = project.clock_or_trials(overrides or {})
        project.resolve(here.root, asked, "-S")
        text = project.overrides_text(asked)
        path = here.root / project.OVERRIDES
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            write_bytes(path, text.encode())
        here = project.load(here.root)
        preflight.check(here, release=release)
        merging = git.is_merging(here.root)
        origin = lineages.collect(here)
        if force:
            import_module("modelyard.stages.tune").forget(here)
        refused, ran = _walk(here, force, say)
        verdict = _fresh_verdict(here, refused)
        if merging and release:
            say("a merge is under way: nothing is released before it is committed")
        return _after(
            here, verdict, refused, ran, origin, release and not merging, why, say, started
        )


def _walk(
    here: Project, force: bool, say: Callable[[str], None]
) -> tuple[GateRefused | None, tuple[str, ...]]:
    """Let DVC run what is out of date; a refused gate comes back as a value."""
    from modelyard.tools import dvc

    failure = here.state / "failure.json"
    failure.parent.mkdir(exist_ok=True)
    failure.unlink(missing_ok=True)
    os.environ[FAILURE_FILE] = str(failure)
    os.environ[RUN_PROCESS] = str(os.getpid())
    restored: list[str] = []
    try:
        return None, tuple(
            dvc.reproduce(
                here.root,
                force=force,
                begun=partial(_prepare_ahead, here),
                restored=restored.append,
            )
        )
    except ModelyardError as error:
        known = _read_failure(failure)
        if isinstance(known, GateRefused):
            return known, ("gate",)
        # A stage that was stopped before it could say so; DVC itself does not hear Ctrl-C.
        if known is None and re.search(r"exited with (-2|130)\b", error.why):
            raise KeyboardInterrupt from error
        raise (known or error) from error
    finally:
        if restored:
            say(f"seen before, restored from the cache: {', '.join(restored)}")
        os.environ.pop(FAILURE_FILE, None)
        os.environ.pop(RUN_PROCESS, None)
        failure.unlink(missing_ok=True)


def _prepare_ahead(here: Project) -> None:
    """Import what the end of the run needs, and make a new store, while the stages work."""

    def load() -> None:
        # A failure here comes again, with its words, where the module is really needed.
        with suppress(Exception):
            import_module("modelyard.ship.track")
            import_module("modelyard.report.html")
            preflight = import_module("modelyard.ship.preflight")
            mlflow = import_module("modelyard.tools.mlflow")
            mlflow.prepare(here.root, preflight.tracking_uri(here))

    threading.Thread(target=load, name=IMPORTS, daemon=True).start()


def _await_imports(seconds: float | None = None) -> None:
    for thread in threading.enumerate():
        if thread.name == IMPORTS:
            thread.join(seconds)


@contextmanager
def _outliving_imports() -> Iterator[None]:
    """Wait for the imports ahead also where the run is stopped.

    A Python that ends while a thread is in a library's C++ aborts (SIGABRT), and its exit code is
    lost.
    """
    try:
        yield
    finally:
        _await_imports(ENDING)


def _read_failure(path: Path) -> ModelyardError | None:
    with suppress(OSError, ValueError):
        body = json.loads(path.read_bytes())
        kind = getattr(errors, body["class"], ModelyardError)
        if kind is Interrupted:
            raise KeyboardInterrupt
        found = kind(body["what"], why=body["why"], next_step=body["next"])
        assert isinstance(found, ModelyardError)
        return found
    return None


def _fresh_verdict(here: Project, refused: GateRefused | None) -> GateRecord:
    """The gate's record, judged again where another champion was released since.

    DVC cannot know this: the champion moves by a release, which is no stage.
    """
    verdict = read_json(here.record("gate"), GateRecord)
    now = champion.current(here)
    if refused or now is None:
        return verdict
    if now.package_digest in (verdict.candidate_digest, verdict.champion_digest):
        return verdict
    if now.model_digest == verdict.model_digest:
        return verdict
    if champion.released(here, verdict.candidate_digest):
        return verdict
    from modelyard.stages.gate import gate

    return gate(here)


def _after(
    here: Project,
    verdict: GateRecord,
    refused: GateRefused | None,
    ran: tuple[str, ...],
    origin: lineages.Lineage,
    release: bool,
    why: str,
    say: Callable[[str], None],
    started: float,
) -> RunSummary:
    """Track, release and report; every step finds what an interrupted run left and goes on."""
    now = champion.current(here)
    settled = (
        now is not None
        and not ran
        and now.model_digest == verdict.model_digest
        and champion.is_whole(here, now)
    )
    run_id, released, note = None, None, ""
    report = here.reports / "index.html"
    if settled:
        assert now is not None
        return RunSummary(ran, now.run_id, None, now, verdict, report, time.time() - started)
    # Two threads that import the same modules from both ends can meet in half-made ones.
    _await_imports()
    # MLflow is heavy: a run that has nothing to do must not wait for them.
    from modelyard.report import html, plots
    from modelyard.ship import release as releases
    from modelyard.ship import track

    say("track: recording the run and its trials in MLflow")
    origin = lineages.after_run(here, origin)
    pictures = plots.draw(here)
    run_id = track.track(here, origin, verdict, pictures=pictures, started=started)
    past = champion.released(here, verdict.candidate_digest)
    if now is not None and not past and now.model_digest == verdict.model_digest:
        note = f"The same model as champion v{now.version}: there is nothing to release."
    if refused is None and verdict.passed and release:
        if past and now and now.package_digest != verdict.candidate_digest:
            note = (
                f"This is the released version v{past}; champion v{now.version} stays. "
                f"To move back: modelyard rollback v{past}"
            )
        else:
            released = releases.release(here, verdict, run_id, origin, why=why, say=say)
            if released:
                say(f"release: {released.model} v{released.version} is the champion")
    track.remember(here)
    html.write(here, {"lineage": origin.tags() | {"modelyard.run_id": run_id}}, pictures)
    if refused is not None:
        raise refused
    return RunSummary(
        ran=ran,
        run_id=run_id,
        released=released,
        champion=champion.current(here),
        gate=read_if_there(here.record("gate"), GateRecord) or verdict,
        report=report,
        seconds=time.time() - started,
        note=note,
    )


def install_signal_handlers() -> None:
    """Treat SIGTERM as a person's Ctrl-C, so that a stopped run says so and exits with 130."""

    def stop(signum: int, frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
