"""The bytes of a version: any version's from the cache or the remote, a new one's from a table."""

from __future__ import annotations

import gzip
import io
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.errors import DataInvalid, ModelyardError, ToolFailed, capped
from modelyard.project import Project
from modelyard.registry.data_versions import DataVersion
from modelyard.tools import dvc

if TYPE_CHECKING:
    import polars as pl

    from modelyard.tables.reading import Raw

GZIP, PARQUET = b"\x1f\x8b", b"PAR1"


def bring(project: Project, version: DataVersion) -> None:
    """Have the version's content in the cache, from the remote if need be.

    Raises:
        ToolFailed: neither the cache nor the remote holds it.
    """
    if dvc.cache_has(project.root, version.md5):
        return
    why = ""
    try:
        if dvc.fetch(project.root, version.md5):
            return
    except ModelyardError as error:
        why = f" {error.why}"
    remote = dvc.default_remote(project.root)
    nor = f"nor does the remote {remote!r}" if remote else "and there is no remote"
    raise ToolFailed(
        f"The table of {version.version} is lost here: DVC's cache does not hold it, {nor}.",
        why=f"It was {version.message!r}, {version.size:,} bytes, md5 {version.md5[:12]}, of "
        f"{version.when[:10]}.{why}",
        next_step="dvc push on a machine that has it, then dvc fetch here; or put the file back: "
        "modelyard data add FILE -m MESSAGE",
    )


def read(project: Project, path: Path, as_text: Collection[str] = ()) -> Raw:
    """Read a table as the project's settings say, the columns `as_text` without looking closer."""
    from modelyard.tables.reading import read_table

    data = project.settings.data
    return read_table(path, encoding=data.encoding, delimiter=data.delimiter, as_text=as_text)


def replacement(project: Project, source: Path, raw: Raw, part: Path) -> None:
    """Write `source` in the form of the project's table to `part`: byte for byte if it has it."""
    with source.open("rb") as file:
        there = _form(file.read(4))
    wanted = _form_of(project.data.name)
    if wanted == there:
        shutil.copyfile(source, part)
    elif (wanted, there) == ("csv.gz", "csv"):
        part.write_bytes(gzip.compress(source.read_bytes(), mtime=0))
    elif (wanted, there) == ("csv", "csv.gz"):
        part.write_bytes(gzip.decompress(source.read_bytes()))
    else:
        told = project.settings.data
        usual = "\t" if ".tsv" in project.data.name.lower() else ","
        write(
            raw.frame,
            wanted,
            part,
            encoding="utf-8" if told.encoding == "auto" else told.encoding,
            delimiter=usual if told.delimiter == "auto" else told.delimiter,
        )


def joined(project: Project, present: Raw, further: Raw, source: Path, part: Path) -> None:
    """Write the present rows and the further ones below them to `part`.

    Where both are CSV with the same header line, the bytes of both stay as they are.

    Raises:
        DataInvalid: the columns differ.
    """
    old, new = present.frame.columns, further.frame.columns
    if set(old) != set(new):
        raise DataInvalid(
            f"{source.name} cannot be appended: its columns are not those of the present table.",
            why=f"Missing: {capped(c for c in old if c not in new) or 'none'}; "
            f"new: {capped(c for c in new if c not in old) or 'none'}.",
            next_step="modelyard data add WHOLE-TABLE --allow-schema-change -m MESSAGE",
        )
    wanted = _form_of(project.data.name)
    if wanted != "parquet":
        first, second = _plain_bytes(project.data), _plain_bytes(source)
        header, _, rest = second.partition(b"\n")
        same = first.partition(b"\n")[0].rstrip(b"\r") == header.rstrip(b"\r")
        # An odd number of quotes: a header name spans lines, and `rest` would start within it.
        if same and header.count(b'"') % 2 == 0 and present.encoding == further.encoding:
            gap = b"" if first.endswith(b"\n") else b"\n"
            whole = first + gap + rest
            part.write_bytes(gzip.compress(whole, mtime=0) if wanted == "csv.gz" else whole)
            return
    frame = _below(present.frame, further.frame.select(old), source.name)
    write(frame, wanted, part, present.encoding, present.delimiter)


def write(frame: pl.DataFrame, form: str, part: Path, encoding: str, delimiter: str) -> None:
    """Write a table as Parquet, or as CSV in an encoding, plain or gzip."""
    if form == "parquet":
        frame.write_parquet(part)
        return
    buffer = io.BytesIO()
    frame.write_csv(buffer, separator=delimiter or ",")
    content = buffer.getvalue()
    if encoding not in ("", "parquet", "utf-8", "ascii"):
        content = content.decode("utf-8").encode(encoding)
    part.write_bytes(gzip.compress(content, mtime=0) if form == "csv.gz" else content)


def _below(old: pl.DataFrame, new: pl.DataFrame, name: str) -> pl.DataFrame:
    """Both tables' rows; a column keeps the present type, or becomes text where it cannot."""
    import polars as pl

    columns = []
    for series in new.get_columns():
        present = old[series.name]
        try:
            columns.append(series.cast(present.dtype, strict=True))
        except pl.exceptions.PolarsError:
            try:
                text = present.cast(pl.String, strict=True)
                columns.append(series.cast(pl.String, strict=True))
            except pl.exceptions.PolarsError as error:
                raise DataInvalid(
                    f"{name}: column {series.name!r} is {series.dtype}, not {present.dtype}.",
                    why=str(error).splitlines()[0],
                    next_step="mend the column, then run this again",
                ) from error
            old = old.with_columns(text)
    return pl.concat([old, pl.DataFrame(columns)])


def _plain_bytes(path: Path) -> bytes:
    content = path.read_bytes()
    return gzip.decompress(content) if content.startswith(GZIP) else content


def _form(head: bytes) -> str:
    if head.startswith(PARQUET):
        return "parquet"
    return "csv.gz" if head.startswith(GZIP) else "csv"


def _form_of(name: str) -> str:
    """The form that a file's name promises."""
    lowered = name.lower()
    if lowered.endswith((".parquet", ".pq")):
        return "parquet"
    return "csv.gz" if lowered.endswith(".gz") else "csv"
