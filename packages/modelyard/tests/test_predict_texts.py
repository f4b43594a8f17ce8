"""Text tables in blocks: the same records as when the file is read whole, and the same refusals."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import polars as pl
import pytest
from handmade import write_package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.errors import DataInvalid
from modelyard.watch import texts
from modelyard.watch.blocks import ReadWhole
from modelyard.watch.predict import predict
from modelyard.watch.source import WholeTable, open_table
from modelyard.watch.survey import guess, survey
from modelyard.watch.texts import TextTable, without_blank_lines

CELL = st.text(st.sampled_from('ab ,;"\n\r\té€'), max_size=8)


def cells_of(path: Path, **options: str) -> list[tuple[str | None, ...]]:
    table = TextTable(path, **options)
    return [row for block in table.blocks() for row in table.read(block).rows()]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=30),
    size=st.integers(1, 60),
    packed=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_any_size_of_block_gives_the_same_cells(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rows: list[tuple[str, str, str]],
    size: int,
    packed: bool,
    end: str,
) -> None:
    """Quoted delimiters, quotes and line ends, cut anywhere."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator=end)
    writer.writerow(["one", "two\nlines", "three"])
    writer.writerows(rows)
    body = text.getvalue().encode()
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(body) if packed else body)
    monkeypatch.setattr(texts, "BYTES", size)
    assert cells_of(path, delimiter=",") == rows


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "body",
    [
        b"a,b\n1,2\n\n\n3,4\n",
        b"\xef\xbb\xbfa,b\r\n1,2\r\n\r\n3,4",
        b"a,b\n1,2\n3,4\n\n\n",
        b'a,b\n1,2\n"3","4"\n',
        "a,b\n1,2\n3,4\n".encode("utf-16"),
    ],
)
def test_marks_blank_lines_and_encodings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, size: int
) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(body)
    monkeypatch.setattr(texts, "BYTES", size)
    assert cells_of(path) == [("1", "2"), ("3", "4")]


def test_blank_lines_within_quotes_stay() -> None:
    block = b'1,"a\n\nb"\n\n\n2,c\n\n'
    assert without_blank_lines(block, 2) == b'1,"a\n\nb"\n2,c\n'
    assert without_blank_lines(b"1\n\n2\n", 1) == b"1\n\n2\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"distance,carrier\n1,a\n2\n", "ragged"),
        (b"distance,carrier\n1,a\n2,b,c\n", "ragged"),
        (b'distance,carrier\n1,"a\n2,b\n', "never closes"),
        (b"distance,distance\n1,2\n", "several columns of one name"),
        (b"distance,carrier\n", "header only"),
        (b"", "is empty"),
        (b"PK\x03\x04....", "zip archive"),
        (gzip.compress(b"distance,carrier\n1,a\n" * 500, mtime=0)[:-20], "cannot be read"),
        (b"PAR1 no parquet", "not a whole Parquet file"),
    ],
)
def test_broken_tables_are_refused_as_ever(tmp_path: Path, body: bytes, message: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(body)
    package = write_package(tmp_path / "package")
    with pytest.raises(DataInvalid, match=message):
        predict(package, path, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_what_blocks_cannot_promise_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\r1,2\r3,4\r")
    assert isinstance(open_table(path, "auto", "auto"), WholeTable)
    path.write_bytes(b'a,b\n1,5" pipe\n3,4\n')
    table = open_table(path, "auto", "auto")
    assert isinstance(table, TextTable)
    with pytest.raises(ReadWhole):
        [table.read(block) for block in table.blocks()]


def test_types_of_parquet_from_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed by the first rows where the rest agrees, else by all rows; codes stay text."""
    path = tmp_path / "t.csv"
    rows = "".join(f"{i},{i}.5,{i:05},true,{i},\n" for i in range(100))
    path.write_text("whole,real,code,truth,late,empty\n" + rows + "1e3,7,x,maybe,1.5,6\n")
    monkeypatch.setattr(texts, "BYTES", 500)
    table = open_table(path, "auto", "auto")
    assert isinstance(table, TextTable)
    table.head = rows.encode()
    first = guess(table)
    assert first == {
        "whole": "Int64", "real": "Float64", "code": "String", "truth": "Boolean",
        "late": "Int64", "empty": "String",
    }  # fmt: skip
    all_rows, styles = survey(table, {"real": "plain", "late": "plain"}, ())
    assert all_rows == first | {
        "whole": "Float64", "truth": "String", "late": "Float64", "empty": "Int64",
    }  # fmt: skip
    assert styles == {"real": "plain", "late": "plain"}


def test_decimal_commas_are_decided_on_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1.234 alone is a fraction; with 1.234,5 further down it is more than a thousand."""
    package = write_package(tmp_path / "package")
    path = tmp_path / "t.csv"
    plain = tmp_path / "plain.csv"
    head = "distance;Größe (€);carrier;night;when\n"
    path.write_text(head + "500;1.234;MQ;no;\n" * 200 + "500;1.234,5;MQ;no;\n")
    plain.write_text(head + "500;1234;MQ;no;\n" * 200 + "500;1234.5;MQ;no;\n")
    monkeypatch.setattr(texts, "BYTES", 1000)
    made = []
    for source in (path, plain):
        predict(package, source, tmp_path / "out.parquet", workers=1)
        made.append(pl.read_parquet(tmp_path / "out.parquet")["p_yes"])
    assert made[0].equals(made[1])
