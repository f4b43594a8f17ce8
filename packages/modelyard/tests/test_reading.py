"""tables/reading, tables/sniffing, tables/lines: a file -> a table, or a message that helps."""

from __future__ import annotations

import csv
import gzip
import io
import os
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.errors import DataInvalid, UsageError
from modelyard.tables import lines
from modelyard.tables.reading import Raw, read_table
from modelyard.watch import blocks
from modelyard.watch.source import open_table

FLIGHTS = Path(__file__).parents[3] / "examples/flights/flights_v1_jan_apr.csv"


@pytest.fixture
def table(tmp_path: Path):
    def read(content: bytes | str, name: str = "t.csv", **options: str) -> Raw:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path, **options)

    return read


def test_reads_a_real_table() -> None:
    raw = read_table(FLIGHTS)
    assert raw.frame.shape == (7766, 20)
    assert (raw.encoding, raw.delimiter) == ("utf-8", ",")
    assert raw.frame["distance"].dtype == pl.Int64
    assert raw.frame["temp"].dtype == pl.Float64


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiter_is_told(table, delimiter: str) -> None:
    cells = ["1", "x y", "2.5" if delimiter == "," else "2,5"]
    raw = table(delimiter.join("abc") + "\n" + delimiter.join(cells) + "\n")
    assert raw.delimiter == delimiter
    assert raw.frame.columns == ["a", "b", "c"]


def test_decimal_commas_do_not_pass_for_delimiters(table) -> None:
    raw = table("a;b\n1,5;2,5\n2,5;1,5\n")
    assert raw.delimiter == ";"
    assert raw.frame["a"].to_list() == ["1,5", "2,5"]


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("Größe;Straße\n1;Köln\n", "utf-8", "utf-8"),
        ("Größe;Straße\n1;Köln\n", "utf-8-sig", "utf-8"),
        ("Größe;Straße\n1;Köln\n", "utf-16", "utf-16"),
        ("Größe;Straße\n1;Köln\n", "utf-16-le", "utf-16-le"),
        ("Größe;Straße\n1;München\n2;Köln\n", "latin-1", "cp1252"),
        ("Preis €;Café\n1;München\n", "cp1252", "cp1252"),
        ("город;цена\nМосква;2\nКазань;4\n", "cp1251", "cp1251"),
        ("miasto;b\nŁódź Śródmieście;1\nGdańsk Główny Żółć;3\n", "cp1250", "cp1250"),
        ("東京;価格\n大阪府;2\n京都市左京区;5\n", "shift_jis", "shift_jis"),
    ],
)
def test_encoding_is_told(table, text: str, encoding: str, found: str) -> None:
    raw = table(text.encode(encoding))
    assert raw.encoding == found
    assert raw.frame.columns == text.splitlines()[0].split(";")
    cells = [str(cell) for cell in raw.frame.row(0)]
    assert cells == text.splitlines()[1].split(";")


def test_encoding_that_shows_late_in_the_file(table) -> None:
    raw = table(b"a,b\n" + b"abc,2\n" * 300_000 + "café,2\n".encode("cp1252"))
    assert raw.encoding == "cp1252"
    assert raw.frame["a"][-1] == "café"


def test_explicit_encoding_and_delimiter_win(table) -> None:
    raw = table("é,1;2\nx,3;4\n".encode("latin-1"), encoding="latin-1", delimiter=";")
    assert raw.frame.columns == ["é,1", "2"]
    assert table("a\tb\n1\t2\n", delimiter="tab").frame.row(0) == (1, 2)


@pytest.mark.parametrize("name", ["t.csv.gz", "looks-plain.csv"])
def test_gzip_by_its_first_bytes(table, name: str) -> None:
    assert table(gzip.compress(b"a,b\n1,2\n", mtime=0), name).frame.row(0) == (1, 2)


@pytest.mark.parametrize("packed", [False, True])
def test_parquet(table, packed: bool) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"a": [1, None], "ü": ["x", "y"]}).write_parquet(buffer)
    content = gzip.compress(buffer.getvalue()) if packed else buffer.getvalue()
    raw = table(content, "t.parquet.gz" if packed else "t.parquet")
    assert raw.encoding == "parquet"
    assert raw.frame.rows() == [(1, "x"), (None, "y")]


def test_quoted_newlines_doubled_quotes_and_delimiters(table) -> None:
    raw = table('a,b\n"x\ny","1,5"\n"say ""hi""",\n')
    assert raw.frame.rows() == [("x\ny", "1,5"), ('say "hi"', None)]


def test_stray_quotes_are_read_as_they_stand(table) -> None:
    assert table('size,b\n5" pipe,2\nx"y,3\n').frame["size"].to_list() == ['5" pipe', 'x"y']


def test_codes_keep_their_zeros(table) -> None:
    assert table("zip,n\n02134,1\n12345,2\n").frame["zip"].to_list() == ["02134", "12345"]


@pytest.mark.parametrize("odd", ["٣٤", "１２", "३.५"])
def test_digits_of_another_script_are_text(table, odd: str) -> None:
    frame = table(f"a,b,c\n1,2,x\n{odd},3,y\n5,{odd},z\n").frame
    assert frame["a"].to_list() == ["1", odd, "5"]
    assert frame["b"].to_list() == ["2", "3", odd]


def test_type_that_changes_late(table) -> None:
    raw = table("a,b\n" + "1,2\n" * 12_000 + "x,2.5\n")
    assert raw.frame["a"].dtype == pl.String
    assert raw.frame["b"][-1] == 2.5


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(table, end: str) -> None:
    assert table(f"a,b{end}1,2{end}3,4{end}").frame.rows() == [(1, 2), (3, 4)]


def test_blank_lines_are_no_rows_but_empty_cells_are(table) -> None:
    assert table("a,b\n1,2\n\n3,4\n,\n\n\n").frame.rows() == [(1, 2), (3, 4), (None, None)]


def test_empty_column_names_are_called_by_place(table) -> None:
    assert table(",b,\n1,2,3\n").frame.columns == ["column_1", "b", "column_3"]


def test_empty_column_names_in_parquet_too(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pl.DataFrame({"": [1], "b": [2], " ": [3]}).write_parquet(path)
    assert read_table(path).frame.columns == ["column_1", "b", "column_3"]
    assert open_table(path, "auto", "auto").names == ["column_1", "b", "column_3"]
    (block,) = blocks.each(path)
    assert block.frame.columns == ["column_1", "b", "column_3"]
    with pytest.raises(blocks.ReadWhole):
        list(blocks.each(path, large=1))


@pytest.mark.parametrize("name", ["*", "^a.*$", "^$"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_name_that_means_several_columns_is_refused(
    tmp_path: Path, name: str, ending: str
) -> None:
    path = tmp_path / f"t.{ending}"
    frame = pl.DataFrame({"a": [1], name: [2]})
    frame.write_csv(path) if ending == "csv" else frame.write_parquet(path)
    with pytest.raises(DataInvalid, match="names cannot be used") as caught:
        read_table(path)
    assert repr(name) in caught.value.what
    assert "rename" in caught.value.next_step


@pytest.mark.parametrize("name", ["a*", "^a", "a$", "$", "^", "**"])
def test_other_odd_names_are_names(tmp_path: Path, name: str) -> None:
    path = tmp_path / "t.csv"
    pl.DataFrame({"a": [1], name: [2]}).write_csv(path)
    assert read_table(path).frame.columns == ["a", name]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing.csv does not exist"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(UsageError, match="is a folder"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"a,b\n", "holds a header only"),
        (b"a,b", "holds a header only"),
        (b"\na,b\n1,2\n", "begins with an empty line"),
        (b"a,a,b,b\n1,2,3,4\n", "several columns of one name: 'a', 'b'"),
        (b"a,b,c\n1,2,3\n4,5\n6\n", "2 rows do not have the header's 3 fields"),
        (b"a,b\n1,2\n4,5,6\n", "1 row does not have the header's 2 fields"),
        (b'a,b,c\n1,"2,\n",3\n4,5\n6,"",\n', "line 4 has 2"),
        (b'a,b\n1,2\n"x,2\nc,3\n', "opens in or after line 3 never closes"),
        (b"PK\x03\x04rest", "Excel workbook"),
        (b"%PDF-1.7", "is a PDF"),
        (b"PAR1" + b"x" * 50, "not a whole Parquet file"),
        (b"a,b\n\x00\x01\x02,2\n", "is not a text table"),
        (gzip.compress(b"a,b\n1,2\n" * 100, mtime=0)[:-20], "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_refused(table, content: bytes, message: str) -> None:
    with pytest.raises(DataInvalid, match=message) as caught:
        table(content)
    assert caught.value.exit_code == 4
    assert caught.value.why
    assert "t.csv" in caught.value.what


def test_random_bytes_are_refused(table) -> None:
    with pytest.raises(DataInvalid):
        table(os.urandom(5000))


def test_ragged_lines_are_named_ten_at_the_most(table) -> None:
    with pytest.raises(DataInvalid) as caught:
        table("a,b,c\n" + "1,2,3\n" * 5 + "1,2\n" * 25)
    assert caught.value.why.count("line ") == 10
    assert "line 7 has 2" in caught.value.why
    assert "15 more lines" in caught.value.why


def test_wrong_explicit_encoding_names_the_line(table) -> None:
    with pytest.raises(DataInvalid, match=r"line 2: byte 0xe9 is not utf-8"):
        table(b"a,b\ncaf\xe9,2\n", encoding="utf-8")
    with pytest.raises(UsageError, match="'klingon' is not an encoding"):
        table("a,b\n1,2\n", encoding="klingon")
    with pytest.raises(UsageError, match="not one plain character"):
        table("a,b\n1,2\n", delimiter="ab")


CELL = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=12
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=8),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
)
def test_text_survives_writing_and_reading(tmp_path: Path, rows, delimiter: str) -> None:
    """What the csv module writes comes back, cell for cell; only "" may come back as null."""
    rows = [("ä" + a, b, "z" + c) for a, b, c in rows]  # never a number, a date, a blank line
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        writer.writerows([("one", "two", "three"), *rows])
    frame = read_table(path, delimiter=delimiter).frame
    assert frame.columns == ["one", "two", "three"]
    assert frame["one"].to_list() == [row[0] for row in rows]
    assert frame["three"].to_list() == [row[2] for row in rows]
    if frame["two"].dtype == pl.String:
        assert [cell or "" for cell in frame["two"].to_list()] == [row[1] for row in rows]


def _late(first: str, last: str, name: str = "t.csv") -> str:
    """A table whose column says something else only below the rows looked at first."""
    rows = "\n".join(f"{first},{row}" for row in range(12_000))
    return f"code,n\n{rows}\n{last},-1\n"


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_codes_far_down_keep_their_zeros(table, name: str) -> None:
    content = _late("501", "0042").encode()
    frame = table(gzip.compress(content) if name.endswith("gz") else content, name).frame
    assert frame.schema == {"code": pl.String, "n": pl.Int64}
    assert frame["code"][-1] == "0042"
    assert frame["code"][0] == "501"


@pytest.mark.parametrize("where", ["first", "last"])
def test_numbers_that_64_bits_do_not_hold_are_codes(table, where: str) -> None:
    long = "98765432109876543210"
    cells = (long, "7") if where == "first" else ("7", long)
    frame = table(_late(*cells)).frame
    assert frame.schema == {"code": pl.String, "n": pl.Int64}
    assert {frame["code"][0], frame["code"][-1]} == {long, "7"}


def test_nineteen_digits_that_fit_are_a_number(table) -> None:
    frame = table("id,n\n9223372036854775807,1\n").frame
    assert frame.schema == {"id": pl.Int64, "n": pl.Int64}


def test_columns_are_left_as_text_where_asked(table) -> None:
    frame = table("a;b\n1.234;2\n5.678;3\n", as_text={"a"}).frame
    assert frame["a"].to_list() == ["1.234", "5.678"]
    assert frame["b"].dtype == pl.Int64


def test_late_codes_among_stray_quotes_keep_their_zeros(table) -> None:
    rows = "".join(f"501,{row},x\n" for row in range(12_000))
    frame = table(f'code,n,s\n{rows}0042,1,ab"c\n').frame
    assert frame["code"][-1] == "0042"
    assert frame["s"][-1] == 'ab"c'


@pytest.mark.parametrize("place", [0, 1, 4095, 262_143, 262_144, 262_145, 524_287, 600_000])
@pytest.mark.parametrize("cell", [b",05", b"\n07", b'"09'])
def test_a_zero_before_a_digit_is_seen_wherever_a_block_ends(place: int, cell: bytes) -> None:
    filled = bytearray(b"1" * 600_100)
    assert not lines.leading_zeros(bytes(filled), ",")
    filled[place : place + 3] = cell
    assert lines.leading_zeros(bytes(filled), ",")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.5,0,10\n0,0.25,0", False),
        ("2024-01-05,00", True),
        ("0042,1", True),
        ("a0,b00\n1,2", False),
        ("", False),
        ("0", False),
    ],
)
def test_a_zero_alone_or_within_a_field_is_none(text: str, found: bool) -> None:
    assert lines.leading_zeros(text.encode(), ",") == found


def test_a_parquet_file_without_columns_is_told_plainly(tmp_path: Path) -> None:
    pl.DataFrame().write_parquet(tmp_path / "t.parquet")
    with pytest.raises(DataInvalid, match=r"t\.parquet has no columns"):
        read_table(tmp_path / "t.parquet")
