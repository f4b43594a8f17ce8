"""tune: search the families for the best configuration, within the budget or over the grid.

One coordinator asks Optuna, hands folds to worker processes, drops a trial whose first folds are
clearly worse than the best trial's, and keeps the clock. What it leaves is a `StudyRecord`: every
trial with its folds, and the configuration that train refits.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard import models
from modelyard.errors import ModelyardError
from modelyard.forms import Floats, Shape, Space
from modelyard.models import blend, grid, metrics
from modelyard.models.fitting import FoldResult, FoldTask, fitter
from modelyard.models.matrix import build, shape_of, sides, signature, target
from modelyard.project import Project, budget_seconds
from modelyard.records import Chosen, Schema, StudyRecord, Trial, read_json, write_bytes, write_json
from modelyard.tables.folds import fold_of
from modelyard.tools import optuna
from modelyard.tools.workers import Pool, warm

CLOSING_SECONDS = 0.5
"""Kept back from the budget for choosing and writing."""

GRACE = 300.0
"""Seconds by which a budget is stretched, at most, for a first trial better than the baseline."""

SPARED_FOLDS = 2
"""No trial is dropped before it was seen on this many folds."""


PRELOAD = ("modelyard.models.fitting", "modelyard.models.preload")
"""What the worker processes have imported before they start."""


@dataclass(frozen=True)
class Progress:
    """What a person sees while the study runs."""

    finished: int
    wanted: int | None
    family: str
    score: float | None
    best: float | None
    best_family: str
    metric: str
    elapsed: float
    budget: float | None


Notify = Callable[[Progress], None]


@dataclass
class _Live:
    """A trial in flight."""

    asked: optuna.Asked
    spared: bool
    slot: int
    scores: list[float] = field(default_factory=list)
    iterations: list[int] = field(default_factory=list)
    outputs: dict[int, Floats] = field(default_factory=dict)
    seconds: float = 0.0


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
    return _Tuning(project, notify, time.time() if started is None else started).run()


class _Tuning:
    """The coordinator's state for one call of `tune`."""

    def __init__(self, project: Project, notify: Notify, started: float) -> None:
        self.project = project
        self.settings = project.settings.tune
        self.notify = notify
        self.schema = read_json(project.record("schema"), Schema)
        self.metric = metrics.resolve(self.settings.metric, self.schema.task)
        self.maximize = metrics.METRICS[self.metric].direction == "maximize"
        self.folder = project.state / "studies" / self._key()
        self.started = started
        self.budget = None if self._repeatable else budget_seconds(self.settings.budget)
        self.spent_before = self._clock()
        self.best: Trial | None = None
        self.best_scores: dict[int, float] = {}
        self.folds: list[int] = []
        self.finished = 0
        self._seen: set[str] = set()
        self._errors: dict[int, str] = {}
        self._late = 0.0
        self._complete: set[str] = set()

    @property
    def _empty_handed(self) -> bool:
        """No family has a complete trial yet, or the baseline alone has one."""
        real = {*self.settings.families} - {"baseline"}
        return not self._complete or bool(real and self._complete == {"baseline"})

    @property
    def _repeatable(self) -> bool:
        """A number of trials or a grid: the clock must not decide anything."""
        return self.settings.mode == "grid" or self.settings.trials is not None

    @property
    def elapsed(self) -> float:
        """Seconds of the budget used, earlier calls of a resumed study included."""
        return self.spent_before + time.time() - self.started

    @property
    def remaining(self) -> float | None:
        return None if self.budget is None else self.budget - self.elapsed - CLOSING_SECONDS

    def run(self) -> StudyRecord:
        warm(PRELOAD)  # a second or two of imports, beside the preparation
        shape = self._prepare()
        families: list[str] = list(dict.fromkeys(("baseline", *self.settings.families)))
        spaces = {name: models.get(name).space(shape) for name in families}
        search = optuna.Search(
            self.folder / "journal.log",
            maximize=self.maximize,
            seed=self.settings.seed,
            spaces=spaces,
        )
        if search.is_new:
            self._enqueue(search, families, shape)
        resumed = search.resumed
        for told in search.told():
            self._remember(_trial_of(told))
        wanted = self._wanted(search)
        if self._goes_on(search, wanted):
            with Pool(
                self.settings.workers,
                fitter,
                (str(self.folder), shape, self.metric, self.settings.seed),
                preload=PRELOAD,
            ) as pool:
                self._loop(search, pool, wanted)
        record = self._conclude(search, spaces, wanted, resumed)
        write_json(self.project.record("study"), record)
        return record

    def _goes_on(self, search: optuna.Search, wanted: int | None) -> bool:
        """Whether there is anything to try; a budget that is used up must have led to a model."""
        if self.remaining is None:
            return search.asked < (wanted or 0)
        return self.remaining > 0 or self.best is None

    # -- before the loop ------------------------------------------------------------------

    def _key(self) -> str:
        """What the trials depend on; a study of the same key is resumed.

        The budget, the number of trials, the blend and the threshold are left out: raising a budget
        goes on where the study stopped, and choosing another threshold costs no trial.
        """
        settings = self.settings
        decisive: list[object] = [settings.mode, settings.metric, settings.families]
        decisive += [settings.folds, settings.seed, settings.prune, self._repeatable]
        if self._repeatable:
            decisive.append(settings.workers)
        sha = hashlib.sha256(msgspec.json.encode(decisive))
        for path in (self.project.table, self.project.split_table, self.project.record("schema")):
            sha.update(hashlib.sha256(path.read_bytes()).digest())
        return sha.hexdigest()[:16]

    def _clock(self) -> float:
        clock = self.folder / "clock"
        return float(clock.read_text()) if clock.is_file() else 0.0

    def _prepare(self) -> Shape:
        """Write the study's arrays for the workers; returns the matrix's shape."""
        frame = pl.read_parquet(self.project.table)
        split = pl.read_parquet(self.project.split_table)
        rows = sides(split).dev
        dev = frame[rows]
        features = signature(self.schema, dev)
        X, y = build(features, dev), target(self.schema, dev)
        keys = split["key"].to_numpy()[rows]
        settings = self.project.settings
        order = None
        if settings.split.kind == "time" and settings.data.time:
            order = dev[settings.data.time].to_numpy().astype("datetime64[us]")
        folds = fold_of(
            keys,
            None if self.schema.task == "regression" else y,
            self.settings.folds,
            self.settings.seed,
            order,
        )
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, array in (("X", X), ("y", y), ("fold", folds)):
            part = self.folder / f".{name}.part.npy"
            np.save(part, array)
            part.replace(self.folder / f"{name}.npy")
        self.y, self.fold = y, folds
        self.folds = sorted({int(f) for f in np.unique(folds) if f >= 0})
        return shape_of(features, self.schema, y)

    def _enqueue(self, search: optuna.Search, families: list[str], shape: Shape) -> None:
        """Queue the grid, or the families' defaults: first of each family, then the others."""
        if self.settings.mode == "grid":
            for name in families:
                for point in grid.points(models.get(name), shape):
                    search.enqueue(name, point, "grid")
            return
        defaults = {name: models.get(name).defaults(shape) for name in families}
        for rank in range(max(len(rows) for rows in defaults.values())):
            for name, rows in defaults.items():
                if rank < len(rows):
                    search.enqueue(name, rows[rank], "default")

    def _wanted(self, search: optuna.Search) -> int | None:
        if self.settings.mode == "grid":
            return search.asked + search.waiting
        return self.settings.trials

    # -- the loop -------------------------------------------------------------------------

    def _loop(self, search: optuna.Search, pool: Pool, wanted: int | None) -> None:
        """Keep every worker busy until the wanted trials, or the budget, are used up.

        With a number of trials, trials start and finish in whole rounds of `workers`, so that what
        the sampler knows at each ask never depends on which worker was faster.
        """
        live: dict[int, _Live] = {}
        closed: list[tuple[_Live, str]] = []
        until = None
        if self.remaining is not None:
            # The imports may have used a short budget up; the first trial is started all the same.
            left = self.remaining if self.best else max(1.0, self.remaining)
            until = time.monotonic() + left
        while True:
            if not (self._repeatable and live):
                for worker in pool.idle:
                    if wanted is not None and search.asked >= wanted:
                        break
                    if self._repeatable and live and search.asked % self.settings.workers == 0:
                        break  # the rest of a round that a kill had cut: rounds stay as they were
                    if until is not None and time.monotonic() >= until:
                        break
                    if not search.waiting and not search.can_propose:
                        break
                    asked = search.ask()
                    # A family's first default runs to its end, so that the leaderboard has it.
                    spared = asked.origin == "default" and asked.family not in self._seen
                    self._seen.add(asked.family)
                    live[worker] = _Live(asked, spared, worker)
                    pool.submit(worker, self._task(live[worker], until))
            if not live:
                return
            answers = pool.wait(until)
            if not answers and self._empty_handed and until is not None and self._late < GRACE:
                # A budget that ends before the first trial does is stretched: no model at all, or
                # none that the gate could pass, would help nobody.
                until += 1.0
                self._late += 1.0
                continue
            if not answers:
                for trial in live.values():
                    self._finish(search, trial, "stopped")
                return
            for worker, answer in answers:
                trial = live[worker]
                state = self._take(search, trial, answer.result, answer.error)
                if state is None:
                    pool.submit(worker, self._task(trial, until))
                elif self._repeatable:
                    closed.append((live.pop(worker), state))
                else:
                    self._finish(search, live.pop(worker), state)
            if closed and not live:
                for trial, state in sorted(closed, key=lambda pair: pair[0].asked.number):
                    self._finish(search, trial, state)
                closed.clear()

    def _task(self, live: _Live, until: float | None) -> FoldTask:
        fold = self.folds[len(live.scores)]
        seconds = None
        if until is not None:
            left = max(0.5, until - time.monotonic())
            # One configuration may take half of what is left, spread over its remaining folds.
            seconds = max(0.5, 0.5 * left / max(1, len(self.folds) - len(live.scores)))
            if live.spared:
                seconds = max(seconds, 0.3 * left)
        return FoldTask(live.asked.number, live.asked.family, live.asked.params, fold, seconds)

    def _take(
        self, search: optuna.Search, live: _Live, result: FoldResult | None, error: str
    ) -> str | None:
        """Note a fold's answer; returns the trial's state once it is decided."""
        if result is None:
            live.outputs.clear()
            self._errors[live.asked.number] = error
            return "failed"
        fold = self.folds[len(live.scores)]
        live.scores.append(result.score)
        live.outputs[fold] = result.outputs
        live.seconds += result.seconds
        if result.iterations is not None:
            live.iterations.append(result.iterations)
        search.report(live.asked.number, fold, result.score)
        if not np.isfinite(result.score):
            self._errors[live.asked.number] = "the score is not a finite number"
            return "failed"
        if len(live.scores) == len(self.folds):
            return "complete"
        if self.settings.prune and not live.spared and self._hopeless(live):
            return "pruned"
        return None

    def _hopeless(self, live: _Live) -> bool:
        """Worse than the best trial on every fold so far, by more than the folds' own noise.

        A paired comparison: the difference of means over its standard error, on the same folds.
        """
        count = len(live.scores)
        if count < SPARED_FOLDS or not self.best_scores:
            return False
        sign = 1.0 if self.maximize else -1.0
        gaps = np.array(
            [
                sign * (self.best_scores[fold] - score)
                for fold, score in zip(self.folds, live.scores, strict=False)
            ]
        )
        if bool((gaps <= 0).any()):
            return False
        error = float(gaps.std(ddof=1)) / np.sqrt(count)
        return bool(gaps.mean() > 1.5 * error)

    def _finish(self, search: optuna.Search, live: _Live, state: str) -> None:
        score = float(np.mean(live.scores)) if state == "complete" else None
        iterations = round(float(np.mean(live.iterations))) if live.iterations else None
        details = {
            "folds": live.scores,
            "seconds": round(live.seconds, 3),
            "iterations": iterations,
            "message": self._errors.get(live.asked.number, "").strip()[-2000:],
        }
        if state == "complete":
            self._save_outputs(live)
        search.finish(live.asked.number, state, score, details)  # type: ignore[arg-type]
        asked = live.asked
        trial = Trial(
            number=asked.number,
            family=asked.family,
            params=asked.params,
            state=state,  # type: ignore[arg-type]
            score=score,
            folds=tuple(live.scores),
            seconds=round(live.seconds, 3),
            iterations=iterations,
            origin=asked.origin,
        )
        self._remember(trial)
        write_bytes(self.folder / "clock", f"{self.elapsed:.3f}".encode())
        self.notify(
            Progress(
                finished=self.finished,
                wanted=self.settings.trials,
                family=asked.family,
                score=score,
                best=self.best.score if self.best else None,
                best_family=self.best.family if self.best else "",
                metric=self.metric,
                elapsed=self.elapsed,
                budget=self.budget,
            )
        )

    def _remember(self, trial: Trial) -> None:
        self.finished += 1
        self._seen.add(trial.family)
        if trial.score is None:
            return
        self._complete.add(trial.family)
        if (
            self.best is None
            or self.best.score is None
            or self._beats(trial.score, self.best.score)
        ):
            self.best = trial
            self.best_scores = dict(zip(self.folds, trial.folds, strict=False))

    def _beats(self, score: float, other: float) -> bool:
        return score > other if self.maximize else score < other

    def _save_outputs(self, live: _Live) -> None:
        """Keep the out-of-fold outputs in row order, for the blend and the threshold."""
        k = next(iter(live.outputs.values())).shape[1]
        whole = np.full((len(self.y), k), np.nan)
        for fold, outputs in live.outputs.items():
            whole[self.fold == fold] = outputs
        part = self.folder / f".oof-{live.asked.number}.part.npy"
        np.save(part, whole)
        part.replace(self.folder / f"oof-{live.asked.number}.npy")

    # -- after the loop -------------------------------------------------------------------

    def _conclude(
        self,
        search: optuna.Search,
        spaces: dict[str, Space],
        wanted: int | None,
        resumed: int,
    ) -> StudyRecord:
        trials = tuple(_trial_of(told) for told in search.told())
        if self._repeatable:
            trials = trials[:wanted]
        complete = [trial for trial in trials if trial.score is not None]
        if not complete:
            why = next((t.message for t in trials if t.message), "The budget was too short.")
            raise ModelyardError(
                "No trial could be completed.",
                why=why.strip().splitlines()[-1],
                next_step="modelyard run -S tune.budget=5m",
            )
        ranked = sorted(complete, key=lambda t: t.score or 0.0, reverse=self.maximize)
        weights = {ranked[0].number: 1.0}
        outputs = {
            trial.number: np.load(path)
            for trial in ranked[:25]
            if (path := self._outputs_path(trial)).is_file()
        }
        covered = self.fold >= 0
        pool = {number: whole[covered] for number, whole in outputs.items()}
        if self.settings.ensemble > 1 and len(pool) > 1:
            weights = blend.greedy(
                self.metric, self.y[covered], pool, largest=self.settings.ensemble
            )
        by_number = {trial.number: trial for trial in complete}
        chosen = tuple(
            Chosen(
                trial=number,
                family=by_number[number].family,
                params=by_number[number].params,
                weight=weight,
                iterations=by_number[number].iterations,
            )
            for number, weight in weights.items()
        )
        threshold, score = None, float(ranked[0].score or 0.0)
        if set(weights) <= set(pool):
            mixed = np.sum([weight * pool[number] for number, weight in weights.items()], axis=0)
            if len(weights) > 1:
                score = metrics.score(self.metric, self.y[covered], mixed)
            if self.schema.task == "binary":
                threshold = self._threshold(self.y[covered], mixed[:, 1])
        return StudyRecord(
            metric=self.metric,
            direction="maximize" if self.maximize else "minimize",
            mode=self.settings.mode,
            seed=self.settings.seed,
            folds=len(self.folds),
            fold_kind=self.project.settings.split.kind,
            workers=self.settings.workers,
            threads=1,
            budget_seconds=self.budget,
            trials_wanted=wanted,
            seconds=round(self.elapsed, 2),
            resumed_trials=resumed,
            trials=trials,
            chosen=chosen,
            score=score,
            threshold=threshold,
            spaces=optuna.describe(spaces),
        )

    def _outputs_path(self, trial: Trial) -> Path:
        return self.folder / f"oof-{trial.number}.npy"

    def _threshold(self, y: Floats, probabilities: Floats) -> float:
        rule = self.settings.threshold
        if rule in ("f1", "balanced"):
            return metrics.best_threshold(y, probabilities, rule)
        return float(rule)


def forget(project: Project) -> None:
    """Delete this machine's studies in flight: the next tune starts from nothing."""
    shutil.rmtree(project.state / "studies", ignore_errors=True)


def _trial_of(told: optuna.Told) -> Trial:
    details = told.details
    return Trial(
        number=told.number,
        family=told.family,
        params=told.params,
        state=told.state,
        score=told.score,
        folds=tuple(details.get("folds", ())),
        seconds=details.get("seconds", 0.0),
        iterations=details.get("iterations"),
        origin=told.origin,
        message=details.get("message", ""),
    )
