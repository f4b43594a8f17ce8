"""split: deal every row to train, valid or test, for good.

The side hangs on a hash of the row, its id or its group, and a salt (`split.seed`): rows that come
later never move earlier ones, so a model is never judged on what an earlier one learned from.
Stratification by a hash holds in expectation; `modelyard init` picks a salt whose sides are even,
and a side that is off all the same is noted here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from modelyard.errors import DataInvalid, UsageError, capped
from modelyard.project import Project
from modelyard.records import Schema, SplitRecord, read_json, write_json
from modelyard.tables.folds import SIDES, choose_seed, class_counts, deal, split_keys
from modelyard.tables.rowhash import Keys

MIN_ROWS = 20
UNEVEN = 0.2
"""A class whose share on a side is off by more than this part of its usual share is noted."""

Sides = NDArray[np.uint8]


def split(project: Project) -> SplitRecord:
    """Write `data/interim/split.parquet` (side, key: a row a table row) and `records/split.json`.

    Raises:
        DataInvalid: fewer than 20 rows, an empty side, or a class that train or test lacks.
        UsageError: split.valid_from and split.test_from are no moments, or in the wrong order.
    """
    settings = project.settings.split
    schema = read_json(project.record("schema"), Schema)
    frame = _read(project, schema)
    if frame.height < MIN_ROWS:
        raise DataInvalid(
            f"The table has {frame.height} rows; at least {MIN_ROWS} are needed.",
            why="Fewer cannot be dealt to train, valid and test so that a figure means anything.",
            next_step="modelyard data add TABLE --append -m 'more rows'",
        )
    keys = _keys(project, schema, frame)
    codes = _codes(schema, frame)
    notes: list[str] = []
    cuts: tuple[str, ...] = ()
    if settings.kind == "time":
        sides = _by_time(project, frame, notes)
        cuts = (str(settings.valid_from), str(settings.test_from))
    else:
        sides = deal(keys, settings.seed, settings.valid, settings.test)
    counts = class_counts(sides, codes, max(1, len(schema.classes)))
    _refuse_useless(project, schema, counts, keys, codes)
    notes += _notes(project, schema, frame, keys, sides, counts)
    record = SplitRecord(
        kind=settings.kind,
        rows={side: int(n) for side, n in zip(SIDES, counts.sum(axis=1), strict=True)},
        class_counts={
            side: dict(zip(schema.classes, map(int, row), strict=True))
            for side, row in zip(SIDES, counts, strict=True)
            if schema.classes
        },
        seed=settings.seed,
        cuts=cuts,
        notes=tuple(notes),
    )
    _write(project.split_table, sides, keys)
    write_json(project.record("split"), record)
    return record


def _read(project: Project, schema: Schema) -> pl.DataFrame:
    """The columns that the keys, the classes and the times need."""
    data = project.settings.data
    # What no model may see can still name, group or order the rows.
    left_out = set(data.exclude) - {data.id, data.group, data.time}
    if project.settings.split.kind != "time" and (data.id or data.group):
        named = (data.id, data.group, schema.target)
        lonely = pl.read_parquet(project.table, columns=[name for name in named if name])
        if not lonely[_named(project)].null_count():  # type: ignore[index]
            return lonely
    columns = [column.name for column in schema.columns if column.name not in left_out]
    return pl.read_parquet(project.table, columns=columns)


def _named(project: Project) -> str | None:
    """The column that keys the rows, if one does."""
    data = project.settings.data
    return data.group or data.id


def _keys(project: Project, schema: Schema, frame: pl.DataFrame) -> Keys:
    data = project.settings.data
    return split_keys(
        frame,
        target=schema.target,
        id_column=data.id,
        group=data.group,
        excluded=data.exclude,
        schema=schema,
    )


def _codes(schema: Schema, frame: pl.DataFrame) -> NDArray[np.int64]:
    """Class codes; all zero for a regression."""
    if not schema.classes:
        return np.zeros(frame.height, dtype=np.int64)
    index = {name: code for code, name in enumerate(schema.classes)}
    return frame[schema.target].replace_strict(index, return_dtype=pl.Int64).to_numpy()


def _by_time(project: Project, frame: pl.DataFrame, notes: list[str]) -> Sides:
    """Rows from test_from on are test, from valid_from on valid, all before train."""
    settings = project.settings.split
    name = project.settings.data.time
    assert name is not None
    values = frame[name]
    if not (values.dtype.is_numeric() or values.dtype.is_temporal()):  # an excluded one may be text
        raise DataInvalid(
            f"The time column {name!r} holds values that are no dates.",
            why=f"Its values are {capped(map(repr, values.drop_nulls().unique().sort()), 5)}.",
            next_step="mend them, or set split.kind: stratified in modelyard.yaml",
        )
    valid_from = _moment(settings.valid_from, values, "split.valid_from")
    test_from = _moment(settings.test_from, values, "split.test_from")
    if not valid_from < test_from:
        raise UsageError(
            f"split.valid_from {settings.valid_from} is not before split.test_from "
            f"{settings.test_from}.",
            why="Rows are dealt in the order train, valid, test.",
            next_step="edit split in modelyard.yaml",
        )
    code = (values >= valid_from).cast(pl.UInt8) + (values >= test_from).cast(pl.UInt8)
    missing = values.null_count()
    if missing:
        notes.append(f"{missing} rows have no {name}; they stand in train")
    notes.append(
        "Rows are dealt by time: rows that are equal but for their time may stand on two sides"
    )
    sides: Sides = code.fill_null(0).to_numpy().astype(np.uint8)
    return sides


def _moment(text: str | None, values: pl.Series, key: str) -> Any:
    """Read a cut in the type of the time column."""
    assert text is not None
    try:
        if values.dtype.is_numeric():
            return float(text)
        found = datetime.fromisoformat(text.strip())
    except ValueError as error:
        low, high = values.cast(pl.String)[[values.arg_min() or 0, values.arg_max() or 0]]
        kind = "a number" if values.dtype.is_numeric() else "a date, such as 2024-09-01"
        raise UsageError(
            f"{key}: {text!r} is not {kind}.",
            why=f"The time column {values.name} reaches from {low} to {high}.",
            next_step="edit split in modelyard.yaml",
        ) from error
    return found.astimezone(UTC).replace(tzinfo=None) if found.tzinfo else found


def _refuse_useless(
    project: Project, schema: Schema, counts: NDArray[np.int64], keys: Keys, codes: Any
) -> None:
    """Refuse an empty side, and a class that cannot be learned or judged."""
    empty = [side for side, row in zip(SIDES, counts, strict=True) if not row.sum()]
    if empty:
        raise DataInvalid(
            f"No row stands in {capped(empty)}.",
            why=f"{counts.sum()} rows of {len(np.unique(keys))} different keys were dealt "
            f"by {project.settings.split.kind}.",
            next_step=_better(project, schema, keys, codes),
        )
    if not schema.classes:
        return
    for side in ("train", "test"):
        row = counts[SIDES.index(side)]
        lost = [name for name, count in zip(schema.classes, row, strict=True) if not count]
        if lost:
            rows = {n: int(c) for n, c in zip(schema.classes, counts.sum(axis=0), strict=True)}
            raise DataInvalid(
                f"No row in {side} is of the class {capped(map(repr, lost))}.",
                why="Rows of each class: "
                + capped(f"{name} {count}" for name, count in rows.items())
                + ". A class must be learned in train and judged in test.",
                next_step=_better(project, schema, keys, codes),
            )


def _better(project: Project, schema: Schema, keys: Keys, codes: Any) -> str:
    """A command that mends the split: a salt that works, where there is one."""
    settings = project.settings.split
    if settings.kind == "time":
        return "move split.valid_from and split.test_from in modelyard.yaml"
    seed = choose_seed(keys, codes, settings.valid, settings.test, tries=512)
    counts = class_counts(
        deal(keys, seed, settings.valid, settings.test), codes, max(1, len(schema.classes))
    )
    if counts.sum(axis=1).all() and counts[[0, 2]].all():
        return f"set split.seed: {seed} in modelyard.yaml, which gives every side its classes"
    return "add rows, merge rare classes, or raise split.valid and split.test in modelyard.yaml"


def _notes(
    project: Project,
    schema: Schema,
    frame: pl.DataFrame,
    keys: Keys,
    sides: Sides,
    counts: NDArray[np.int64],
) -> Iterator[str]:
    """What a person should know of this split."""
    settings, data = project.settings.split, project.settings.data
    if data.group and settings.kind in ("stratified", "random"):
        yield f"Rows are dealt by {data.group}, as data.group says: a group is never parted"
    named = _named(project)
    if named and frame[named].null_count():
        yield (f"{frame[named].null_count()} rows have no {named}; they are dealt by their content")
    if settings.kind == "time":
        parted = _parted(keys, sides)
        if parted:
            yield f"{parted} {'groups' if named else 'rows that come twice'} stand on several sides"
    if not schema.classes:
        return
    whole = counts.sum(axis=0) / counts.sum()
    for side, row in zip(SIDES, counts, strict=True):
        shares = row / row.sum()
        for name, share, usual in zip(schema.classes, shares, whole, strict=True):
            if not share:
                yield f"{side} has no row of class {name}"
            elif usual and abs(share / usual - 1) > UNEVEN:
                yield f"{side} has {share:.1%} of class {name}, the table {usual:.1%}"


def _parted(keys: Keys, sides: Sides) -> int:
    """How many keys stand on more than one side."""
    both = np.unique(np.stack([keys, sides.astype(np.uint64)], axis=1), axis=0)[:, 0]
    return int((np.unique(both, return_counts=True)[1] > 1).sum())


def _write(path: Path, sides: Sides, keys: Keys) -> None:
    """Write the table whole or not at all."""
    names = pl.Series(SIDES, dtype=pl.Enum(SIDES))
    frame = pl.DataFrame({"side": names.gather(sides), "key": keys})
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        frame.write_parquet(part, compression="lz4", statistics=False)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
