"""Batch scoring: a table in, the same table with the predictions out."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, islice
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from modelyard.errors import DataInvalid, UsageError
from modelyard.models.matrix import build
from modelyard.watch.blocks import ReadWhole
from modelyard.watch.columns import Odd
from modelyard.watch.crew import Crew, usable_cpus
from modelyard.watch.findings import Findings
from modelyard.watch.misfits import report
from modelyard.watch.output import Output
from modelyard.watch.outputs import outputs_of
from modelyard.watch.scoring import Answer, Plan, Result, Scoring, open_package
from modelyard.watch.signature import declared, texts
from modelyard.watch.source import Block, Table, WholeTable, open_table
from modelyard.watch.survey import guess, survey
from modelyard.watch.texts import TextTable
from modelyard_serve.contract import Manifest
from modelyard_serve.errors import InputError
from modelyard_serve.scorer import Scorer, Scores

SUFFIXES = (".csv", ".tsv", ".parquet")

__all__ = ["PredictSummary", "number_names", "open_package", "predict", "scores_of"]

_THREADS = 2
_SLICE = 8192

Scored = tuple[Answer, Result]


class PredictSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What was scored. `columns` are those added; `counts` the rows predicted of each class."""

    rows: int
    output: str
    columns: tuple[str, ...]
    package_digest: str
    counts: dict[str, int] = {}
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    workers: int = 1

    @property
    def rows_per_second(self) -> float:
        """The pace of the whole command, opening the package included."""
        return self.rows / max(self.seconds, 1e-9)


def predict(
    package: Path,
    source: Path,
    destination: Path,
    *,
    encoding: str = "auto",
    delimiter: str = "auto",
    missing: Iterable[str] = (),
    workers: int | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> PredictSummary:
    """Score `source` with a package and write `destination` (CSV, TSV or Parquet by its suffix).

    The output has the source's columns and order of rows, then `prediction` and, for classes, the
    `p_<class>` of each; a name that the source uses gets a `_`. Rows are read, scored and
    written in blocks, so that memory does not grow with the table. The output is written whole or
    not at all.

    Args:
        encoding, delimiter, missing: as in the data section of modelyard.yaml; what the package
            itself says is missing counts besides.
        workers: processes that score, one thread each; the processors that may be used by default.
            A table of one block is scored in this process.
        progress: called with the rows written so far and the seconds since the start.

    Raises:
        UsageError: no such table, an output of another suffix, or the table itself as output.
        DataInvalid: a column of the signature is lost, or a value is not of its type.
        ModelyardError: the package cannot be used, or the output not be written.
    """
    began = time.monotonic()
    source, destination = Path(source), Path(destination)
    _refuse_destination(source, destination)
    workers = usable_cpus() if workers is None else workers
    if workers < 1:
        raise UsageError(
            f"{workers} workers cannot score anything.",
            why="Each is a process that scores.",
            next_step=f"modelyard predict {source} -o {destination} --workers 1",
        )
    run = _Run(package, open_package(package), source, destination, began, progress)
    table = open_table(source, encoding, delimiter)
    _refuse_nested(table, destination)
    manifest = run.scorer.manifest
    tokens = (*missing, *declared(manifest))
    try:
        return run.attempts(table, tokens, workers)
    except ReadWhole:
        whole = WholeTable(source, encoding, delimiter, texts(manifest))
        return run.attempts(whole, tokens, workers)


class _Run:
    """One call of `predict`, which may take several attempts."""

    def __init__(
        self,
        package: Path,
        scorer: Scorer,
        source: Path,
        destination: Path,
        began: float,
        progress: Callable[[int, float], None] | None,
    ) -> None:
        self.package = Path(package)
        self.scorer = scorer
        self.source = source
        self.destination = destination
        self.began = began
        self.progress = progress

    def attempts(self, table: Table, missing: tuple[str, ...], workers: int) -> PredictSummary:
        """Score by what the first rows say; where others say otherwise, by what all rows say."""
        with Output(self.destination) as output:
            plan = self._plan(table, missing, output.separator)
            try:
                return self._score(table, plan, output, workers)
            except Odd:
                pass  # what was written is dropped with its file
            features = self.scorer.manifest.features
            numbers = {f.name: f.style for f in features if f.kind in ("number", "integer")}
            dtypes, styles = survey(table, numbers, missing)
            plan = msgspec.structs.replace(plan, dtypes=dtypes, styles=styles, surveyed=True)
            output.start_again()
            return self._score(table, plan, output, workers)

    def _plan(self, table: Table, missing: tuple[str, ...], out_separator: str) -> Plan:
        text = isinstance(table, TextTable)
        return Plan(
            package=str(self.package.resolve()),
            digest=self.scorer.digest,
            added=tuple(self.scorer.manifest.names_added(table.names)),
            cells=table.cells,
            names=tuple(table.names) if text else (),
            separator=table.separator if isinstance(table, TextTable) else ",",
            out_separator=out_separator,
            missing=missing,
            dtypes=guess(table) if isinstance(table, TextTable) and not out_separator else {},
        )

    def _score(self, table: Table, plan: Plan, output: Output, workers: int) -> PredictSummary:
        manifest = self.scorer.manifest
        findings = Findings(self.source.name)
        counts = np.zeros(len(manifest.classes), dtype=np.int64)
        rows = 0
        output.header([*table.names, *plan.added])
        with ExitStack() as stack:
            scored, used = self._scored(table, plan, workers, stack)
            for answer, result in scored:
                if answer.status == "survey":
                    raise Odd
                if answer.status == "whole":
                    raise ReadWhole
                findings.add(report(answer.misfits, rows), rows)
                output.add(result)
                rows += answer.rows
                counts += np.array(answer.counts, dtype=np.int64)
                if self.progress is not None:
                    self.progress(rows, time.monotonic() - self.began)
        output.finish()
        return PredictSummary(
            rows=rows,
            output=str(self.destination),
            columns=plan.added,
            package_digest=self.scorer.digest,
            counts=dict(zip(manifest.classes, counts.tolist(), strict=True)),
            warnings=findings.warnings(),
            seconds=time.monotonic() - self.began,
            workers=used,
        )

    def _scored(
        self, table: Table, plan: Plan, workers: int, stack: ExitStack
    ) -> tuple[Iterator[Scored], int]:
        """Blocks scored, in order: here where there is only one, else by worker processes."""
        blocks: Iterator[Block] = iter(table.blocks())
        first = list(islice(blocks, 2))
        blocks = chain(first, blocks)
        if workers == 1 or len(first) < 2:
            scoring = Scoring(plan, self.scorer, outputs_of(self.scorer))
            return (scoring.score(block) for block in blocks), 1
        crew = stack.enter_context(Crew(workers, plan, self.scorer))
        return _by_crew(crew, blocks), workers


def _by_crew(crew: Crew, blocks: Iterator[Block]) -> Iterator[Scored]:
    """Keep every process at work and as few blocks in memory as that takes."""
    waiting: deque[Future[Scored]] = deque()
    for block in blocks:
        waiting.append(crew.submit(block))
        if len(waiting) > crew.size + 1:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def number_names(manifest: Manifest) -> frozenset[str]:
    """The features that are read as numbers."""
    return frozenset(f.name for f in manifest.features if f.kind in ("number", "integer"))


def scores_of(scorer: Scorer, frame: pl.DataFrame) -> Scores:
    """Score typed rows, in slices on two threads; the order of the rows is kept.

    Raises:
        DataInvalid: a value is not of its column's kind.
    """
    try:
        matrix = build(scorer.manifest.features, frame)
    except InputError as error:
        raise DataInvalid(
            "The table does not fit the signature.",
            why=error.detail,
            next_step="mend the table: package/manifest.json lists the model's columns",
        ) from error
    starts = range(0, len(matrix), _SLICE)
    if len(starts) < 2:
        return scorer.score_matrix(matrix)
    with ThreadPoolExecutor(_THREADS) as pool:
        parts = list(pool.map(lambda at: scorer.score_matrix(matrix[at : at + _SLICE]), starts))
    return Scores(
        np.concatenate([part.outputs for part in parts]),
        np.concatenate([part.labels for part in parts]),
    )


def _refuse_destination(source: Path, destination: Path) -> None:
    if destination.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"The output {destination.name} must end in .csv, .tsv or .parquet.",
            why="The ending says the form to write.",
            next_step=f"modelyard predict {source} -o scored.csv",
        )
    if destination.is_dir() or destination.resolve() == source.resolve():
        what = "is a folder" if destination.is_dir() else "is the table itself"
        raise UsageError(
            f"The output {destination} {what}.",
            why="The scores go to a file of their own.",
            next_step=f"modelyard predict {source} -o scored.csv",
        )


def _refuse_nested(table: Table, destination: Path) -> None:
    """Lists, structs and bytes have no form in CSV."""
    if isinstance(table, TextTable) or destination.suffix.lower() == ".parquet":
        return
    odd = [
        name
        for name, dtype in table.schema.items()
        if dtype.is_nested() or dtype == pl.Binary or dtype == pl.Object
    ]
    if odd:
        raise UsageError(
            f"The column {odd[0]!r} holds {table.schema[odd[0]]}, which CSV cannot hold.",
            why="The output has the columns of the table.",
            next_step=f"modelyard predict {table.path} -o {destination.with_suffix('.parquet')}",
        )
