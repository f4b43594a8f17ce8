"""Optuna: one study over all families, asked and told by one coordinator, kept in a journal file.

The journal is appended to after every step, so a kill at any moment loses at most the trials in
flight; `Search` puts their configurations back in the queue when it opens the journal again.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from modelyard.errors import ToolFailed
from modelyard.forms import Choice, Params, Real, Space, Value, Whole

Origin = Literal["default", "search", "grid", "champion"]
State = Literal["complete", "pruned", "failed", "stopped"]

optuna.logging.set_verbosity(optuna.logging.ERROR)
logging.getLogger("optuna").propagate = False


@dataclass(frozen=True)
class Asked:
    """A trial to evaluate."""

    number: int
    family: str
    params: Params
    origin: Origin


@dataclass(frozen=True)
class Told:
    """A trial as the study keeps it; `details` is what `finish` was given."""

    number: int
    family: str
    params: Params
    origin: Origin
    state: State
    score: float | None
    details: Mapping[str, Any]


class Search:
    """A study over `spaces` (family -> its space), opened or resumed.

    Every ask seeds the sampler anew from `seed` and the number of trials asked so far, so that a
    resumed study asks what the uninterrupted one would have asked.

    Raises:
        ToolFailed: the journal cannot be read.
    """

    def __init__(
        self, journal: Path, *, maximize: bool, seed: int, spaces: Mapping[str, Space]
    ) -> None:
        self._spaces = dict(spaces)
        # A family without parameters is tried once, from the queue; there is nothing to search.
        self._searched = sorted(family for family, space in spaces.items() if space)
        self._seed = seed
        self._running: dict[int, optuna.Trial] = {}
        journal.parent.mkdir(parents=True, exist_ok=True)
        _mend(journal)
        backend = JournalFileBackend(str(journal), lock_obj=JournalFileOpenLock(str(journal)))
        try:
            self._study = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name="modelyard",
                direction="maximize" if maximize else "minimize",
                load_if_exists=True,
            )
        except Exception as error:  # the journal's failures have no common class
            raise ToolFailed(
                f"The study's journal {journal.name} cannot be read.",
                why=str(error),
                next_step=f"rm {journal} ; modelyard run",
            ) from error
        self.resumed = sum(t.state.is_finished() for t in self._study.get_trials(deepcopy=False))
        self._put_back()

    @property
    def is_new(self) -> bool:
        """No trial was ever queued."""
        return not self._study.get_trials(deepcopy=False)

    @property
    def waiting(self) -> int:
        """Queued configurations that were not asked yet."""
        return len(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    @property
    def asked(self) -> int:
        """Trials asked for so far, those that a kill put back not counted."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(trial.state != TrialState.WAITING for trial in trials)

    def enqueue(self, family: str, params: Params, origin: Origin) -> None:
        """Queue a configuration. Parameters outside the family's space are kept as they are."""
        space = self._spaces[family]
        named = {f"{family}.{key}": value for key, value in params.items() if key in space}
        fixed = {key: value for key, value in params.items() if key not in space}
        if family in self._searched:
            named["family"] = family
        self._study.enqueue_trial(
            named, user_attrs={"origin": origin, "fixed": fixed, "family": family}
        )

    @property
    def can_propose(self) -> bool:
        """Whether there is anything to ask beyond the queue."""
        return bool(self._searched)

    def ask(self) -> Asked:
        """Take the next queued configuration, or let the sampler propose one."""
        # "group" is marked experimental; a change of its behaviour would show in the tests.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._study.sampler = self._sampler()
        with warnings.catch_warnings():
            # A default may lie outside the searched range on purpose.
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            family = str(trial.user_attrs.get("family", ""))
            if family in self._searched or not family:
                family = str(trial.suggest_categorical("family", self._searched))
            params: Params = dict(trial.user_attrs.get("fixed", {}))
            for name, dimension in self._spaces[family].items():
                params[name] = _suggest(trial, f"{family}.{name}", dimension)
        self._running[trial.number] = trial
        return Asked(trial.number, family, params, trial.user_attrs.get("origin", "search"))

    def _sampler(self) -> optuna.samplers.BaseSampler:
        return optuna.samplers.TPESampler(
            seed=self._seed * 100_003 + self.asked,
            multivariate=True,
            group=True,
            constant_liar=True,
            n_startup_trials=4,
        )

    def report(self, number: int, fold: int, value: float) -> None:
        """Record one fold's score."""
        self._running[number].report(value, fold)

    def finish(
        self, number: int, state: State, score: float | None, details: Mapping[str, Any]
    ) -> None:
        """Close a trial; only a complete one has a score."""
        trial = self._running.pop(number)
        trial.set_user_attr("details", dict(details))
        trial.set_user_attr("state", state)
        if state == "complete" and score is not None:
            self._study.tell(trial, score)
        elif state == "pruned":
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, state=TrialState.FAIL)

    def told(self) -> list[Told]:
        """Every finished trial, in order."""
        return [
            _told(trial)
            for trial in self._study.get_trials(deepcopy=False)
            if trial.state.is_finished()
        ]

    def _put_back(self) -> None:
        """Let what was in flight when the last coordinator died wait again, in its old place.

        Queued anew, it would stand behind everything that waits, and a study of a set number of
        trials would end with other trials than one that was never killed.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study._storage.set_trial_state_values(trial._trial_id, state=TrialState.WAITING)


def describe(spaces: Mapping[str, Space]) -> dict[str, dict[str, str]]:
    """Say each family's space in words, for the study's record."""
    return {
        family: {name: _words(dimension) for name, dimension in space.items()}
        for family, space in spaces.items()
    }


FEWEST = 8
"""So many scored trials of a family before its parameters' weights mean anything."""


def importance(
    trials: Sequence[tuple[str, Params, float]], spaces: Mapping[str, Space], *, maximize: bool
) -> dict[str, dict[str, float]]:
    """Family -> parameter -> its share in what parts good trials from the others, largest first.

    By PED-ANOVA (Watanabe, Bansal, Hutter: "PED-ANOVA: Efficiently Quantifying Hyperparameter
    Importance in Arbitrary Subspaces", IJCAI 2023). Families with fewer than FEWEST trials inside
    their space are left out; so are those whose trials all scored the same.
    """
    found: dict[str, dict[str, float]] = {}
    for family, space in spaces.items():
        dimensions = {name: _distribution(dimension) for name, dimension in space.items()}
        study = optuna.create_study(direction="maximize" if maximize else "minimize")
        for one, params, score in trials:
            given = {name: params[name] for name in dimensions if name in params}
            if one != family or len(given) < len(dimensions):
                continue
            # A default may lie outside the searched range: the method knows the range alone.
            if all(d._contains(d.to_internal_repr(given[n])) for n, d in dimensions.items()):
                study.add_trial(
                    optuna.trial.create_trial(params=given, distributions=dimensions, value=score)
                )
        scores = {trial.value for trial in study.get_trials(deepcopy=False)}
        if len(study.get_trials(deepcopy=False)) < FEWEST or len(scores) < 2 or not dimensions:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            weights = optuna.importance.get_param_importances(
                study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
            )
        found[family] = {name: round(float(weight), 4) for name, weight in weights.items()}
    return found


def _distribution(dimension: Real | Whole | Choice) -> optuna.distributions.BaseDistribution:
    if isinstance(dimension, Choice):
        return optuna.distributions.CategoricalDistribution(dimension.options)
    if isinstance(dimension, Whole):
        return optuna.distributions.IntDistribution(dimension.low, dimension.high, dimension.log)
    return optuna.distributions.FloatDistribution(dimension.low, dimension.high, dimension.log)


def _words(dimension: Real | Whole | Choice) -> str:
    if isinstance(dimension, Choice):
        return "one of " + ", ".join(str(option) for option in dimension.options)
    return f"{dimension.low} to {dimension.high}" + (" (log)" if dimension.log else "")


def _suggest(trial: optuna.Trial, name: str, dimension: Real | Whole | Choice) -> Value:
    if isinstance(dimension, Choice):
        options: Sequence[Value] = dimension.options
        return trial.suggest_categorical(name, options)  # type: ignore[no-any-return]
    if isinstance(dimension, Whole):
        return int(trial.suggest_int(name, dimension.low, dimension.high, log=dimension.log))
    return float(trial.suggest_float(name, dimension.low, dimension.high, log=dimension.log))


def _told(trial: FrozenTrial) -> Told:
    family = str(trial.params.get("family", trial.user_attrs.get("family", "")))
    prefix = f"{family}."
    params: Params = dict(trial.user_attrs.get("fixed", {}))
    params.update({k.removeprefix(prefix): v for k, v in trial.params.items() if k != "family"})
    return Told(
        number=trial.number,
        family=family,
        params=params,
        origin=trial.user_attrs.get("origin", "search"),
        state=trial.user_attrs.get("state", "failed"),
        score=trial.value if trial.state == TrialState.COMPLETE else None,
        details=trial.user_attrs.get("details", {}),
    )


def _mend(journal: Path) -> None:
    """Cut a line that a kill left half-written, and drop the dead coordinator's lock file."""
    for lock in journal.parent.glob(journal.name + "*.lock"):
        lock.unlink(missing_ok=True)
    if not journal.is_file():
        return
    content = journal.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with journal.open("r+b") as file:
            file.truncate(whole)
