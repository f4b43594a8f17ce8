"""One block: read, encoded, scored, put in the form of the output."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import ModelyardError
from modelyard.tables import typing as ty
from modelyard.values import Style
from modelyard.watch import texts
from modelyard.watch.blocks import ReadWhole
from modelyard.watch.columns import Encoder, Odd
from modelyard.watch.misfits import Misfit
from modelyard.watch.outputs import Outputs
from modelyard_serve.errors import PackageError
from modelyard_serve.scorer import Scorer

Dtype = Literal["Int64", "Float64", "Boolean", "String"]
Status = Literal["scored", "misfit", "survey", "whole"]

_DTYPES: dict[str, pl.DataType] = {
    "Int64": pl.Int64(),
    "Float64": pl.Float64(),
    "Boolean": pl.Boolean(),
    "String": pl.String(),
}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that one must know to score any block of a table.

    `names` are the columns of a text file and empty for frames; `added` those that are added.
    `dtypes` are the types of a text file's columns in Parquet; `styles` and they come from a survey
    of all rows where `surveyed`. `separator` and `out_separator` are of input and output; the
    latter is empty for Parquet.
    """

    package: str
    digest: str
    added: tuple[str, ...]
    cells: bool
    names: tuple[str, ...] = ()
    separator: str = ","
    out_separator: str = ""
    missing: tuple[str, ...] = ()
    dtypes: dict[str, Dtype] = {}
    styles: dict[str, Style] = {}
    surveyed: bool = False


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a block. `counts` are the rows predicted of each class.

    `survey` and `whole` ask for another start: with what all rows say, or with the table read
    whole.
    """

    status: Status = "scored"
    rows: int = 0
    counts: tuple[int, ...] = ()
    misfits: tuple[Misfit, ...] = ()


Result = bytes | pl.DataFrame
"""The block in the form of the output: bytes of CSV, or the frame (for Parquet)."""


def open_package(package: Path) -> Scorer:
    """Open a model package. Raises ModelyardError where it cannot be used."""
    try:
        return Scorer(package)
    except PackageError as error:
        raise ModelyardError(
            "The model package cannot be used.",
            why=error.detail,
            next_step="modelyard run, or name another one with --package",
        ) from error


class Scoring:
    """Scores blocks by a plan; remembers spellings from block to block, so one for each thread.

    Args:
        outputs: scores a block's matrix, here or in another process.
    """

    def __init__(self, plan: Plan, scorer: Scorer, outputs: Outputs) -> None:
        self.plan = plan
        self.scorer = scorer
        self._outputs = outputs
        self._encoder = Encoder(
            scorer.manifest.features,
            cells=plan.cells,
            missing=plan.missing,
            styles=plan.styles if plan.surveyed else None,
        )

    def score(self, block: bytes | pl.DataFrame) -> tuple[Answer, Result]:
        """Score a block: a frame, or records as text."""
        plan = self.plan
        try:
            if isinstance(block, bytes):
                frame = texts.read_cells(block, list(plan.names), plan.separator)
            else:
                frame = block
            matrix, misfits = self._encoder.encode(frame)
            if plan.names and not plan.out_separator:
                frame = typed(frame, plan.dtypes)
        except Odd:
            return Answer(status="survey"), b""
        except ReadWhole:
            return Answer(status="whole"), b""
        if any(misfit.violation(0).severity == "error" for misfit in misfits):
            return Answer(status="misfit", misfits=tuple(misfits)), b""
        columns, counts = self._added(self._outputs(matrix))
        made = frame.with_columns(columns)
        answer = Answer(
            rows=frame.height,
            counts=tuple(counts),
            misfits=tuple(misfits),
        )
        if not plan.out_separator:
            return answer, made
        text = io.BytesIO()
        seconds = [
            ty.native(series) for series in made.iter_columns() if series.dtype == pl.Duration
        ]
        made = made.with_columns(series for series in seconds if series is not None)
        made.write_csv(text, include_header=False, separator=plan.out_separator)
        return answer, text.getvalue()

    def _added(self, outputs: NDArray[np.float64]) -> tuple[list[pl.Series], list[int]]:
        """The columns that are added, and the rows of each class."""
        names = self.plan.added
        classes = self.scorer.manifest.classes
        if not classes:
            return [pl.Series(names[0], self.scorer.decide(outputs))], []
        decided = self.scorer.decided(outputs)
        made = [pl.Series(names[0], classes, dtype=pl.String).gather(pl.Series(decided))]
        for index, name in enumerate(names[1:]):
            made.append(pl.Series(name, np.ascontiguousarray(outputs[:, index])))
        return made, np.bincount(decided, minlength=len(classes)).tolist()


def typed(frame: pl.DataFrame, dtypes: dict[str, Dtype]) -> pl.DataFrame:
    """A text file's columns in the types that its first rows, or all of them, showed.

    Raises:
        Odd: a cell is of another type.
    """
    return pl.DataFrame([as_type(frame[name], dtype) for name, dtype in dtypes.items()])


def as_type(cells: pl.Series, dtype: Dtype) -> pl.Series:
    """A column of text in a type. Raises Odd where a cell is of another one."""
    if dtype == "String":
        return cells
    if dtype == "Boolean":
        words = {"true": True, "True": True, "false": False, "False": False}
        values = cells.replace_strict(words, default=None, return_dtype=pl.Boolean)
    else:
        values = cells.cast(_DTYPES[dtype], strict=False)
    if values.null_count() > cells.null_count() + int((cells == "").sum()):
        raise Odd(cells.name)
    return values
