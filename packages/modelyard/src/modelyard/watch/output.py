"""A file that appears when all blocks are written, and not before.

Blocks go to a hidden file beside it, which is renamed at the end. It is locked while its process
lives: what a killed process left is known by its lock being free, and removed by the next run.
"""

from __future__ import annotations

import contextlib
import fcntl
import glob
import io
import os
import queue
import secrets
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
from polars.io.plugins import register_io_source

from modelyard.errors import ModelyardError, UsageError

ROW_GROUP = 131_072
"""Rows of one row group of Parquet."""


class Output:
    """CSV, TSV or Parquet by the destination's suffix; there once `finish` was called.

    Raises:
        UsageError: the place cannot be written to.
        ModelyardError: writing failed on the way, as on a full disk.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = destination
        self.separator = {".tsv": "\t", ".csv": ","}.get(destination.suffix.lower(), "")
        self._file: int | None = None
        self._parquet: _Parquet | None = None

    def __enter__(self) -> Output:
        try:
            self.destination.parent.mkdir(parents=True, exist_ok=True)
            sweep(self.destination)
            self.part, self._file = _claim(self.destination)
        except OSError as error:
            raise UsageError(
                f"The output {self.destination} cannot be written.",
                why=str(error),
                next_step="choose another place: -o scored.csv",
            ) from error
        return self

    def header(self, names: list[str]) -> None:
        """Write the header of CSV; Parquet has none."""
        if self.separator:
            text = io.BytesIO()
            empty = pl.DataFrame(schema=dict.fromkeys(names, pl.String))
            empty.write_csv(text, separator=self.separator)
            self._write(text.getvalue())

    def add(self, block: bytes | pl.DataFrame) -> None:
        """Write one block: bytes of CSV, or a frame for Parquet."""
        if isinstance(block, bytes):
            self._write(block)
            return
        if self._parquet is None:
            self._parquet = _Parquet(self.part, block.schema)
        with self._telling():
            self._parquet.add(block)

    def start_again(self) -> None:
        """Forget what was written."""
        if self._parquet is not None:
            self._parquet.abandon()
            self._parquet = None
        assert self._file is not None
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)

    def finish(self) -> None:
        """Let the file appear."""
        assert self._file is not None
        with self._telling():
            if self._parquet is not None:
                self._parquet.close()
            os.fsync(self._file)
            self.part.replace(self.destination)

    def __exit__(self, *_: object) -> None:
        if self._parquet is not None:
            self._parquet.abandon()
        self.part.unlink(missing_ok=True)
        if self._file is not None:
            os.close(self._file)

    def _write(self, text: bytes) -> None:
        assert self._file is not None
        left = memoryview(text)
        with self._telling():
            while left:
                left = left[os.write(self._file, left) :]

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (OSError, pl.exceptions.PolarsError) as error:
            raise ModelyardError(
                f"The output {self.destination} could not be written.",
                why=str(error).partition("\n")[0],
                next_step=f"df -h {self.destination.parent}",
            ) from error


def sweep(destination: Path) -> None:
    """Remove what killed runs left beside a destination; what a living one writes is left alone."""
    for path in destination.parent.glob(f".{glob.escape(destination.name)}.*.part"):
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDWR)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
            finally:
                os.close(file)


def _claim(destination: Path) -> tuple[Path, int]:
    """Make and lock a new file beside the destination."""
    while True:
        path = destination.with_name(f".{destination.name}.{secrets.token_hex(4)}.part")
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A sweep may have come between making and locking it.
        if path.exists() and path.stat().st_ino == os.fstat(file).st_ino:
            return path, file
        os.close(file)


class _Parquet:
    """One Parquet file written from blocks: polars' writer draws them from a queue in a thread."""

    def __init__(self, path: Path, schema: pl.Schema) -> None:
        self._path = path
        self._schema = schema
        self._queue: queue.Queue[pl.DataFrame | None] = queue.Queue(2)
        self._abandoned = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._sink, daemon=True)
        self._thread.start()

    def add(self, frame: pl.DataFrame | None) -> None:
        """Write one block more. Raises what the writer raised."""
        while True:
            if self._error is not None:
                raise self._error
            try:
                self._queue.put(frame, timeout=0.5)
                return
            except queue.Full:
                continue

    def close(self) -> None:
        """Finish the file. Raises what the writer raised."""
        self.add(None)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Stop the writer, if it still works; the file is not whole."""
        self._abandoned = True
        while self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._queue.put_nowait(None)
            self._thread.join(0.05)

    def _sink(self) -> None:
        try:
            source = register_io_source(self._frames, schema=self._schema)
            source.sink_parquet(self._path, maintain_order=True, row_group_size=ROW_GROUP)
        except BaseException as error:  # told to the thread that adds blocks
            self._error = error

    def _frames(self, *_: Any) -> Iterator[pl.DataFrame]:
        while (frame := self._queue.get()) is not None and not self._abandoned:
            yield frame
