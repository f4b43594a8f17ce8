"""Batch scoring: equal to the endpoint's scorer, in order, whole or not at all."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from handmade import write_package

from modelyard.errors import DataInvalid, ModelyardError, UsageError
from modelyard.tables.typing import native
from modelyard.watch import blocks, source, texts
from modelyard.watch.predict import predict
from modelyard.watch.source import open_table
from modelyard_serve.contract import read_golden
from modelyard_serve.scorer import Scorer


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("model") / "package")


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    """Raw rows with everything that is legal: gaps, unseen levels, and columns of no concern."""
    random = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "nr": np.arange(rows),
            "distance": random.integers(50, 6000, rows),
            "Größe (€)": random.normal(1.5, 1, rows).round(3),
            "carrier": random.choice(np.array(["MQ", "B6", "XX", "415"]), rows),
            "night": random.choice(np.array(["no", "yes"]), rows),
            "when": [f"2013-01-{1 + d:02} {h:02}:30" for d, h in random.integers(0, 24, (rows, 2))],
            "remark": ['a "quoted", odd one'] * rows,
        }
    )
    for name in ("distance", "Größe (€)", "carrier", "night", "when"):
        gone = pl.Series(random.random(rows) < 0.1)
        frame = frame.with_columns(pl.when(gone).then(None).otherwise(pl.col(name)).alias(name))
    return frame


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks so small that a table of some thousand rows has several."""
    monkeypatch.setattr(source, "ROWS", 4000)
    monkeypatch.setattr(source, "READ_ROWS", 8000)
    monkeypatch.setattr(texts, "BYTES", 200_000)


def as_the_endpoint(package: Path, frame: pl.DataFrame) -> tuple[list[str], np.ndarray]:
    scores = Scorer(package).score_rows(frame.to_dicts())
    return scores.labels.tolist(), scores.outputs


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet", "t.csv.gz"])
@pytest.mark.parametrize("output", ["out.csv", "out.tsv", "out.parquet"])
def test_equal_to_the_endpoint(tmp_path: Path, package: Path, name: str, output: str) -> None:
    frame = table(300)
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.write_parquet(path)
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    else:
        frame.write_csv(path, separator="\t" if name.endswith("tsv") else ",")
    summary = predict(package, path, tmp_path / "made" / output)
    made = tmp_path / "made" / output
    separator = "\t" if output.endswith("tsv") else ","
    scored = (
        pl.read_parquet(made)
        if output.endswith("parquet")
        else pl.read_csv(made, separator=separator)
    )
    labels, outputs = as_the_endpoint(package, frame)
    assert summary.rows == scored.height == 300
    assert scored.columns == [*frame.columns, "prediction", "p_no", "p_yes"]
    assert scored["nr"].to_list() == list(range(300)), "the order of the rows is kept"
    assert scored["prediction"].to_list() == labels
    assert (scored.select("p_no", "p_yes").to_numpy() == outputs).all()
    assert scored["remark"].unique().to_list() == ['a "quoted", odd one']
    assert summary.counts == {"no": labels.count("no"), "yes": labels.count("yes")}
    assert [entry.name for entry in (tmp_path / "made").iterdir()] == [output]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("output", ["csv", "parquet"])
def test_blocks_give_what_the_whole_gives(
    tmp_path: Path, package: Path, suffix: str, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = table(25_000)
    path = tmp_path / f"big.{suffix}"
    frame.write_csv(path) if suffix == "csv" else frame.write_parquet(path, row_group_size=7000)
    whole, parts = tmp_path / f"whole.{output}", tmp_path / f"parts.{output}"
    one = predict(package, path, whole)
    small_blocks(monkeypatch)
    assert len(list(open_table(path, "auto", "auto").blocks())) > 3
    two = predict(package, path, parts, workers=2)
    assert (one.workers, two.workers) == (1, 2)
    assert two.rows == one.rows == 25_000
    read = pl.read_csv if output == "csv" else pl.read_parquet
    assert read(parts).equals(read(whole))
    assert len(two.warnings) == len(one.warnings) > 0


@pytest.mark.parametrize(
    "text",
    [
        "distance,carrier\n1,a\n\n2,b\n3,c\n",
        "distance;carrier\n1;é\n".encode("cp1252").decode("latin-1"),
        "distance,carrier\n" + "1,a\n" * 11_000 + "n/a,b\n",
        "distance,distance\n1,2\n",
    ],
)
def test_what_blocks_cannot_promise_is_read_whole(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises((blocks.ReadWhole, DataInvalid)):
        list(blocks.each(path, numbers={"distance"}, large=1))


def test_blocks_read_as_the_table_is_read(tmp_path: Path) -> None:
    """Codes with leading zeros, quoted newlines, numbers that turn out to be fractions."""
    from modelyard.tables.reading import read_table

    path = tmp_path / "t.csv"
    rows = "".join(f'{i:05},"line\nbreak {i}",{i}.5,{i}\n' for i in range(20_000))
    path.write_text("code,text,number,whole\n" + rows, encoding="utf-8")
    parts = pl.concat([block.frame for block in blocks.each(path, large=1)])
    assert parts.equals(read_table(path).frame)
    assert parts["code"][1] == "00001"
    late = tmp_path / "late.csv"
    late.write_text("code,whole\n" + "501,1\n" * 250_000 + "0042,1\n", encoding="utf-8")
    parts = pl.concat([block.frame for block in blocks.each(late, as_text={"code"}, large=1)])
    assert parts["code"][-1] == "0042"


def test_lost_column_and_wrong_type_are_refused(tmp_path: Path, package: Path) -> None:
    frame = table(20)
    out = tmp_path / "out.csv"
    out.write_text("what stood here before")
    path = tmp_path / "t.csv"
    frame.drop("carrier", "when").write_csv(path)
    with pytest.raises(DataInvalid, match="does not fit") as refused:
        predict(package, path, out)
    assert refused.value.exit_code == 4
    assert "carrier: the column is not in the table" in refused.value.why
    assert "when" in refused.value.why
    frame.with_columns(
        pl.when(pl.col("nr") == 7).then(pl.lit("far")).otherwise(pl.lit("12")).alias("distance")
    ).write_csv(path)
    with pytest.raises(DataInvalid) as refused:
        predict(package, path, out)
    assert "row 8: 'far'" in refused.value.why
    assert out.read_text() == "what stood here before"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.csv", "t.csv"]


def test_unseen_and_out_of_range_are_warned_of(tmp_path: Path, package: Path) -> None:
    path = tmp_path / "t.csv"
    table(200).write_csv(path)
    summary = predict(package, path, tmp_path / "out.csv")
    assert any("carrier" in line and "'XX'" in line for line in summary.warnings)
    assert any("distance" in line and "outside" in line for line in summary.warnings)
    assert not any("remark" in line or "nr" in line.split(":")[0] for line in summary.warnings)


def test_spellings_of_missing_are_told(tmp_path: Path, package: Path) -> None:
    path = tmp_path / "t.csv"
    frame = table(30).with_columns(pl.lit("unknown").alias("distance"))
    frame.write_csv(path)
    with pytest.raises(DataInvalid):
        predict(package, path, tmp_path / "out.csv")
    predict(package, path, tmp_path / "out.csv", missing=["unknown"])
    labels, _ = as_the_endpoint(package, frame.with_columns(pl.lit(None).alias("distance")))
    assert pl.read_csv(tmp_path / "out.csv")["prediction"].to_list() == labels


def test_a_scored_table_is_scored_again(tmp_path: Path, package: Path) -> None:
    path = tmp_path / "t.csv"
    table(20).write_csv(path)
    predict(package, path, tmp_path / "once.csv")
    summary = predict(package, tmp_path / "once.csv", tmp_path / "twice.csv")
    assert summary.columns == ("prediction_", "p_no_", "p_yes_")
    twice = pl.read_csv(tmp_path / "twice.csv")
    assert twice["prediction"].to_list() == twice["prediction_"].to_list()


@pytest.mark.parametrize("workers", [1, 2])
def test_durations_are_written_in_seconds(
    tmp_path: Path, package: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As training reads them; Parquet keeps them as they are."""
    small_blocks(monkeypatch)
    path = tmp_path / "t.parquet"
    spans = pl.duration(milliseconds=pl.col("nr") * 100 + 250)
    frame = table(9000).with_columns(took=spans, distance=pl.duration(seconds="distance"))
    frame = frame.with_columns(pl.when(pl.col("nr") != 3).then("took").alias("took"))
    frame.write_parquet(path)
    predict(package, path, tmp_path / "out.csv", workers=workers)
    found = pl.read_csv(tmp_path / "out.csv")
    for name in ("took", "distance"):
        trained_on = native(frame[name])
        assert trained_on is not None
        assert found[name].to_list() == trained_on.to_list()
    assert found["took"][:4].to_list() == [0.25, 0.35, pytest.approx(0.45), None]
    predict(package, path, tmp_path / "out.parquet", workers=workers)
    kept = pl.read_parquet(tmp_path / "out.parquet")
    assert kept["took"].to_list() == frame["took"].to_list()
    assert kept["p_yes"].to_list() == found["p_yes"].to_list()


def test_bad_calls(tmp_path: Path, package: Path) -> None:
    path = tmp_path / "t.csv"
    table(20).write_csv(path)
    with pytest.raises(UsageError, match=r"must end in \.csv"):
        predict(package, path, tmp_path / "out.xlsx")
    with pytest.raises(UsageError, match="is the table itself"):
        predict(package, path, path)
    with pytest.raises(UsageError, match="does not exist"):
        predict(package, tmp_path / "none.csv", tmp_path / "out.csv")
    with pytest.raises(ModelyardError, match="package cannot be used"):
        predict(tmp_path, path, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_surprise_in_a_late_block_starts_again(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word in a column of numbers, far down: what was written is dropped, all rows are asked."""
    frame = table(30_000)
    path = tmp_path / "t.csv"
    odd = frame.with_columns(pl.col("distance").cast(pl.String))
    odd[29_000, "distance"] = "n/a"
    odd.write_csv(path)
    small_blocks(monkeypatch)
    assert predict(package, path, tmp_path / "out.parquet").rows == 30_000
    frame[29_000, "distance"] = None
    labels, _ = as_the_endpoint(package, frame)
    assert pl.read_parquet(tmp_path / "out.parquet")["prediction"].to_list() == labels
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out.parquet", "t.csv"]


def test_trees_answer_to_the_bit_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows are sorted for the trees' sake and cut into blocks; each keeps its own score."""
    trees = Path(__file__).parents[3] / "contract/format-1"
    rows = read_golden(trees).rows
    random = np.random.default_rng(3)
    rows = [rows[place] for place in random.integers(0, len(rows), 9000)]
    frame = pl.DataFrame(rows, infer_schema_length=None)
    frame.write_parquet(tmp_path / "t.parquet")
    small_blocks(monkeypatch)
    summary = predict(trees, tmp_path / "t.parquet", tmp_path / "o.parquet", workers=1)
    made = pl.read_parquet(tmp_path / "o.parquet")
    scores = Scorer(trees).score_rows(rows)
    assert (made.select(summary.columns[1:]).to_numpy() == scores.outputs).all()
    assert made["prediction"].to_list() == scores.labels.tolist()
    alone = np.concatenate([Scorer(trees).score_rows([row]).outputs for row in rows[:20]])
    assert (scores.outputs[:20] == alone).all()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_block_of_blank_lines_has_no_rows(
    tmp_path: Path, package: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(3000).write_csv(tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines(keepends=True)
    gap = "\n" * 300_000
    (tmp_path / "t.csv").write_text("".join(lines[:1500]) + gap + "".join(lines[1500:]))
    monkeypatch.setattr(texts, "BYTES", 100_000)
    assert b"" in list(open_table(tmp_path / "t.csv", "auto", "auto").blocks())
    predict(package, tmp_path / "t.csv", tmp_path / "o.csv", workers=workers)
    assert pl.read_csv(tmp_path / "o.csv")["nr"].to_list() == list(range(3000))


def test_a_wide_table_is_read_in_fewer_rows(
    tmp_path: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(1000).write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(source, "CELLS", 700)
    blocks_read = list(open_table(tmp_path / "t.parquet", "auto", "auto").blocks())
    assert [len(block) for block in blocks_read] == [100] * 10
    assert predict(package, tmp_path / "t.parquet", tmp_path / "o.csv", workers=1).rows == 1000
