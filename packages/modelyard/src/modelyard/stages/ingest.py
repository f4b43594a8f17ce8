"""ingest: the raw table -> typed Parquet, the schema, the record of its quality."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

from modelyard.project import Project
from modelyard.records import IngestRecord, write_json
from modelyard.tables.quality import class_counts, duplicate_rows, examine
from modelyard.tables.reading import read_table
from modelyard.tables.schema import infer
from modelyard.tables.target import words_for_nothing


def ingest(project: Project) -> IngestRecord:
    """Read `project.data`; write `project.table`, and the records `schema` and `ingest`.

    Nothing is written before the table has been read, typed and found fit.

    Raises:
        UsageError: there is no such file.
        DataInvalid: the table cannot be read or learned from (see `reading` and `schema.infer`).
    """
    settings = project.settings.data
    with ThreadPoolExecutor(1) as aside:
        # hashlib lets go of the interpreter: the digest costs nothing beside polars' waits on disk.
        digest = aside.submit(_md5, project.data)
        raw = read_table(project.data, encoding=settings.encoding, delimiter=settings.delimiter)
        rows_read = raw.frame.height
        encoding, delimiter = raw.encoding, raw.delimiter
        frame, schema = infer(raw.frame, settings, delimiter=delimiter)
        missing = rows_read - frame.height
        # A target of classes keeps such words: then only empty cells were dropped.
        words = words_for_nothing(raw.frame[settings.target], settings) if missing else {}
        if words.keys() & set(schema.classes):
            words = {}
        del raw  # its texts are no longer needed, and are most of the memory
        duplicates = duplicate_rows(frame, schema)
        record = IngestRecord(
            source=settings.path,
            source_bytes=project.data.stat().st_size,
            source_md5=digest.result(),
            encoding=encoding,
            delimiter=delimiter,
            rows_read=rows_read,
            rows=frame.height,
            target_missing=missing,
            duplicate_rows=duplicates,
            class_counts=class_counts(frame, schema),
            findings=examine(
                frame,
                schema,
                target_missing=missing,
                target_words=words,
                duplicates=duplicates,
            ),
        )
    _write_parquet(frame, project.table)
    write_json(project.record("schema"), schema)
    write_json(project.record("ingest"), record)
    return record


def _md5(path: Path) -> str:
    """The table's md5, as DVC names it; empty where there is no such file (read_table says so)."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _write_parquet(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        # lz4 is written in half the time of zstd; every stage behind reads this table once.
        frame.write_parquet(temporary, compression="lz4")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
