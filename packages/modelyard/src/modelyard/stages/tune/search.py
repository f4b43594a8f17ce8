"""The coordinator of a study.

It asks Optuna, hands folds to worker processes, drops a trial whose first folds are clearly worse
than the best trial's, and keeps the clock.
"""

from __future__ import annotations

import time

import numpy as np

from modelyard import models
from modelyard.forms import Space
from modelyard.models import metrics
from modelyard.models.fitting import FoldResult, FoldTask, fitter
from modelyard.project import Project, budget_seconds
from modelyard.records import Schema, StudyRecord, Trial, read_json, write_bytes, write_json
from modelyard.stages.tune.choose import choose
from modelyard.stages.tune.prepare import Prepared, enqueue, prepare, repeatable, study_key
from modelyard.stages.tune.trials import (
    Live,
    Notify,
    Progress,
    hopeless,
    outputs_path,
    trial_of,
)
from modelyard.tools import optuna
from modelyard.tools.workers import Pool, warm

CLOSING_SECONDS = 0.5
"""Kept back from the budget for choosing and writing."""

GRACE = 300.0
"""Seconds by which a budget is stretched, at most, for a first trial better than the baseline."""

PRELOAD = ("modelyard.models.fitting", "modelyard.models.preload")
"""What the worker processes have imported before they start."""


class Tuning:
    """The coordinator's state for one call of `tune`."""

    def __init__(self, project: Project, notify: Notify, started: float) -> None:
        self.project = project
        self.settings = project.settings.tune
        self.notify = notify
        self.schema = read_json(project.record("schema"), Schema)
        self.metric = metrics.resolve(self.settings.metric, self.schema.task)
        # The gate asks these after the search; a wrong name must not cost the budget.
        metrics.check_limits(project.settings.gate.limits, self.schema.task)
        self.maximize = metrics.METRICS[self.metric].direction == "maximize"
        self.folder = project.state / "studies" / study_key(project)
        self.started = started
        self._repeatable = repeatable(self.settings)
        self.budget = None if self._repeatable else budget_seconds(self.settings.budget)
        self.spent_before = self._clock()
        self.best: Trial | None = None
        self.best_scores: dict[int, float] = {}
        self.prepared: Prepared
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
    def elapsed(self) -> float:
        """Seconds of the budget used, earlier calls of a resumed study included."""
        return self.spent_before + time.time() - self.started

    @property
    def remaining(self) -> float | None:
        return None if self.budget is None else self.budget - self.elapsed - CLOSING_SECONDS

    def run(self) -> StudyRecord:
        warm(PRELOAD)  # a second or two of imports, beside the preparation
        self.prepared = prepare(self.project, self.schema, self.folder)
        shape = self.prepared.shape
        families: list[str] = list(dict.fromkeys(("baseline", *self.settings.families)))
        spaces = {name: models.get(name).space(shape) for name in families}
        search = optuna.Search(
            self.folder / "journal.log",
            maximize=self.maximize,
            seed=self.settings.seed,
            spaces=spaces,
        )
        if search.is_new:
            enqueue(search, self.settings.mode, families, shape)
        resumed = search.resumed
        for told in search.told():
            self._remember(trial_of(told))
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
        asked_enough = wanted is not None and search.asked >= wanted
        return self.best is None or (self.remaining > 0 and not asked_enough)

    def _clock(self) -> float:
        clock = self.folder / "clock"
        return float(clock.read_text()) if clock.is_file() else 0.0

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
        live: dict[int, Live] = {}
        closed: list[tuple[Live, str]] = []
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
                    live[worker] = Live(asked, spared, worker)
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

    def _task(self, live: Live, until: float | None) -> FoldTask:
        fold = self.prepared.folds[len(live.scores)]
        seconds = None
        if until is not None:
            left = max(0.5, until - time.monotonic())
            # One configuration may take half of what is left, spread over its remaining folds.
            seconds = max(0.5, 0.5 * left / max(1, len(self.prepared.folds) - len(live.scores)))
            if live.spared:
                seconds = max(seconds, 0.3 * left)
        return FoldTask(live.asked.number, live.asked.family, live.asked.params, fold, seconds)

    def _take(
        self, search: optuna.Search, live: Live, result: FoldResult | None, error: str
    ) -> str | None:
        """Note a fold's answer; returns the trial's state once it is decided."""
        if result is None:
            live.outputs.clear()
            self._errors[live.asked.number] = error
            return "failed"
        fold = self.prepared.folds[len(live.scores)]
        live.scores.append(result.score)
        live.outputs[fold] = result.outputs
        live.seconds += result.seconds
        if result.iterations is not None:
            live.iterations.append(result.iterations)
        search.report(live.asked.number, fold, result.score)
        if not np.isfinite(result.score):
            self._errors[live.asked.number] = "the score is not a finite number"
            return "failed"
        if len(live.scores) == len(self.prepared.folds):
            return "complete"
        if self.settings.prune and not live.spared and self._hopeless(live):
            return "pruned"
        return None

    def _hopeless(self, live: Live) -> bool:
        best = [self.best_scores[fold] for fold in self.prepared.folds if self.best_scores]
        return hopeless(live.scores, best, maximize=self.maximize)

    def _finish(self, search: optuna.Search, live: Live, state: str) -> None:
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
            self.best_scores = dict(zip(self.prepared.folds, trial.folds, strict=False))

    def _beats(self, score: float, other: float) -> bool:
        return score > other if self.maximize else score < other

    def _save_outputs(self, live: Live) -> None:
        """Keep the out-of-fold outputs in row order, for the blend and the threshold."""
        k = next(iter(live.outputs.values())).shape[1]
        whole = np.full((len(self.prepared.y), k), np.nan)
        for fold, outputs in live.outputs.items():
            whole[self.prepared.fold == fold] = outputs
        part = self.folder / f".oof-{live.asked.number}.part.npy"
        np.save(part, whole)
        part.replace(outputs_path(self.folder, live.asked.number))

    # -- after the loop -------------------------------------------------------------------

    def _conclude(
        self,
        search: optuna.Search,
        spaces: dict[str, Space],
        wanted: int | None,
        resumed: int,
    ) -> StudyRecord:
        trials = tuple(trial_of(told) for told in search.told())
        if self._repeatable:
            trials = trials[:wanted]
        choice = choose(
            trials,
            self.prepared,
            self.folder,
            self.settings,
            metric=self.metric,
            task=self.schema.task,
        )
        return StudyRecord(
            metric=self.metric,
            direction="maximize" if self.maximize else "minimize",
            mode=self.settings.mode,
            seed=self.settings.seed,
            folds=len(self.prepared.folds),
            fold_kind=self.project.settings.split.kind,
            workers=self.settings.workers,
            threads=1,
            budget_seconds=self.budget,
            trials_wanted=wanted,
            seconds=round(self.elapsed, 2),
            resumed_trials=resumed,
            trials=trials,
            chosen=choice.chosen,
            score=choice.score,
            threshold=choice.threshold,
            spaces=optuna.describe(spaces),
            importance=optuna.importance(
                [(t.family, t.params, t.score) for t in trials if t.score is not None],
                spaces,
                maximize=self.maximize,
            ),
        )
