"""The Python API: the same verbs as the command line, with the same results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from modelyard import line
from modelyard import project as projects

if TYPE_CHECKING:
    import polars as pl

    from modelyard.line import RunSummary
    from modelyard.report.notebook import Part, Picture
    from modelyard.reproducing import Reproduction
    from modelyard.ship.track import RunRow


class Project:
    """A modelyard project, for notebooks and scripts.

    >>> from modelyard import Project
    >>> project = Project("churn")
    >>> project.run(tune={"budget": "30s"})
    >>> project.predict("new.csv", "scored.csv")

    Raises:
        NotAProject: there is no modelyard.yaml in the folder or above it.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        self._inner = projects.load(Path(folder))

    @classmethod
    def init(cls, folder: str | Path, data: str | Path, target: str, **options: Any) -> Project:
        """Make a project from a table; see `modelyard init`."""
        from modelyard.scaffold.init import init

        report = init(folder, Path(data), target, stages=line.stages, **options)
        return cls(report.root)

    @property
    def root(self) -> Path:
        """The project's folder."""
        return self._inner.root

    @property
    def settings(self) -> Any:
        """modelyard.yaml, resolved and frozen."""
        return self._inner.settings

    def run(
        self, *, release: bool = True, force: bool = False, why: str = "", **sections: Any
    ) -> RunSummary:
        """Run what is out of date; keyword arguments are sections with overrides for this run."""
        summary = line.run(
            self._inner, overrides=sections, release=release, force=force, why=why, say=print
        )
        self._inner = projects.load(self.root)
        return summary

    def runs(self, count: int = 20) -> list[RunRow]:
        """The recorded runs, best first."""
        from modelyard.ship.track import ranked_runs

        return ranked_runs(self._inner, count)

    def predict(self, table: str | Path, output: str | Path) -> Path:
        """Score a table with the champion and write the result."""
        from modelyard.ship.champion import package_to_use, reading_options
        from modelyard.watch.predict import predict

        predict(
            package_to_use(self._inner), Path(table), Path(output), **reading_options(self._inner)
        )
        return Path(output)

    def drift(self, table: str | Path) -> Any:
        """Compare a table with the data that the champion was trained on."""
        from modelyard.ship.champion import package_to_use, reading_options
        from modelyard.watch.drift import drift

        options = reading_options(self._inner)
        return drift(package_to_use(self._inner), Path(table), **options)

    def doctor(self) -> list[Any]:
        """What the checks of git, DVC, MLflow, the disk, versions and locks found."""
        from modelyard import checks

        return list(checks.examine(self.root))

    def data_add(
        self,
        table: str | Path,
        message: str,
        *,
        append: bool = False,
        allow_schema_change: bool = False,
    ) -> Any:
        """Make a table the next data version."""
        from modelyard.versions.add import add

        return add(
            self._inner,
            Path(table),
            message,
            append=append,
            allow_schema_change=allow_schema_change,
        )

    def data_validate(self) -> Any:
        """Hold the working table against the recorded schema."""
        from modelyard.versions.validate import validate

        return validate(self._inner)

    def data_log(self) -> list[Any]:
        """The data versions, newest first."""
        from modelyard.versions.log import log

        return list(log(self._inner))

    def data_diff(self, old: str, new: str) -> Any:
        """Compare two data versions."""
        from modelyard.versions.compare import compare

        return compare(self._inner, old, new)

    def data_checkout(self, version: str, *, force: bool = False) -> Any:
        """Make the working data byte-identical to a version."""
        from modelyard.versions.checkout import checkout

        return checkout(self._inner, version, force=force)

    def trace(self, what: str) -> list[Any]:
        """Walk the lineage from a commit, run, digest or version."""
        from modelyard.ship.trace import trace

        return list(trace(self._inner, what))

    def rollback(self, version: str = "", why: str = "") -> Any:
        """Make an earlier released model the champion again."""
        from modelyard.ship.rollback import rollback

        return rollback(self._inner, version, why=why)

    def reproduce(self, *, search: bool = False) -> Reproduction:
        """Refit from the recorded study, without caches, and compare."""
        from modelyard.reproducing import reproduce

        return reproduce(self._inner, search=search)

    def leaderboard(self) -> pl.DataFrame:
        """The study's trials, best first, one row a trial."""
        import polars as pl

        from modelyard.records import StudyRecord, read_json

        study = read_json(self._inner.record("study"), StudyRecord)
        return pl.DataFrame(
            [
                {
                    "trial": trial.number,
                    "family": trial.family,
                    "state": trial.state,
                    study.metric: trial.score,
                    "seconds": trial.seconds,
                }
                for trial in study.trials
            ]
        ).sort(study.metric, descending=study.direction == "maximize", nulls_last=True)

    def section(self, name: str) -> Part:
        """A part of the report for a notebook: data, experiments, tuning, results, gate, ..."""
        from modelyard.report.notebook import part

        return part(self._inner, name)

    def plot(self, name: str) -> Picture:
        """A picture of the report for a notebook: history, families, roc, calibration, ..."""
        from modelyard.report.notebook import picture

        return picture(self._inner, name)

    def report(self) -> Path:
        """Write reports/index.html from the records."""
        from modelyard.reporting import report

        return report(self._inner)

    def card(self) -> Path:
        """Write MODEL_CARD.md; what a person wrote in it stays."""
        from modelyard.reporting import card

        return card(self._inner)[0]

    def summary(self) -> Path:
        """Write SUMMARY.md and the one-page reports/summary.pdf."""
        from modelyard.reporting import summary

        return summary(self._inner)[0]

    def bundle(
        self, target: str | Path | None = None, *, data: Literal["all", "current"] = "all"
    ) -> Path:
        """Put the whole project into one zip."""
        from modelyard.ship.bundle import bundle

        return bundle(self._inner, Path(target) if target else None, data=data).path

    def record(self, target: str | Path | None = None) -> Path:
        """Film a tour of the project."""
        from modelyard.reporting import record

        return record(self._inner, Path(target) if target else None, say=print).path

    def _repr_html_(self) -> str:
        from modelyard.report.gather import gather
        from modelyard.report.notebook import overview

        return overview(gather(self._inner))

    def __repr__(self) -> str:
        return f"Project({self._inner.name!r}, root={str(self.root)!r})"
