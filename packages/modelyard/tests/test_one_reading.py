"""One table, read for training, at the endpoint, in a batch and for drift: one matrix."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from kinds import same, write_kinds

from modelyard.errors import DataInvalid
from modelyard.models.matrix import build, raw_columns, signature
from modelyard.records import Schema
from modelyard.settings import DataSection
from modelyard.tables.reading import read_table
from modelyard.tables.schema import in_words, infer
from modelyard.watch.predict import predict
from modelyard.watch.signature import fit, texts
from modelyard_serve import csvtable
from modelyard_serve.contract import Feature, Manifest, read_manifest
from modelyard_serve.encoding import encode_column
from modelyard_serve.errors import InputError
from modelyard_serve.rows import RowReader
from modelyard_serve.scorer import Scorer

DATA = DataSection(
    path="t.csv",
    target="y",
    missing=("-999", "unknown", "1900-01-01"),
    types={"code": "category", "flagged": "category"},
)
CELLS: dict[str, list[str]] = {
    "amount": ["1.234,5", "1.234", "12,75", "7", "-999", "", "2.000.000", "-999,0"],
    "count": ["3", "-999", "12", "0", "unknown", "", "-999.0", "-9.99e2"],
    "code": ["415.0", "408.0", "510.0", "", "-999", "-999.00"],
    "flagged": ["True", "False", ""],
    "zip": ["01067", "80331", "unknown", "00501"],
    "open": ["ja", "nein", "", "unknown", "n/a"],
    "since": ["03/02/69", "28/12/99", "01/01/20", "unknown", "?"],
    "begun": ["1 Jun 2020", "3 July 2021", "12 May 1999", ""],
    "seen": ["2024-05-01", "1900-01-01", "2023-12-31", ""],
    "place": ["Köln", "NA", "", "unknown", "none"],
    "agreed": ["True", "False", "maybe", ""],
    "grade": ["1.0", "2.0", "x", ""],
}
"""Cells of each column; every one of them is in the training table."""


def lines(rows: int, seed: int) -> list[list[str]]:
    """Rows of cells; the first ones hold every cell of every column."""
    dealt = random.Random(seed)
    most = max(map(len, CELLS.values()))
    found = []
    for row in range(rows):
        picked = [
            cells[row % len(cells)] if row < most else dealt.choice(cells)
            for cells in CELLS.values()
        ]
        found.append([*picked, "yes" if dealt.random() < 0.4 else "no"])
    return found


def write(path: Path, rows: list[list[str]]) -> Path:
    """Write a table with semicolons."""
    text = "\n".join(";".join(row) for row in [[*CELLS, "y"], *rows])
    path.write_text(text + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Schema, Path, list[list[str]], Any]:
    """A schema, a package of its signature, the training rows and their matrix."""
    folder = tmp_path_factory.mktemp("one")
    rows = lines(400, 1)
    raw = read_table(write(folder / "t.csv", rows))
    frame, schema = infer(raw.frame, DATA, delimiter=raw.delimiter)
    features = signature(schema, frame)
    package = write_kinds(folder / "package", "binary", features)
    return schema, package, rows, build(features, frame)


def feature(package: Path, name: str) -> Feature:
    """A feature of the package."""
    return next(f for f in read_manifest(package).features if f.name == name)


def at_the_endpoint(manifest: Manifest, path: Path) -> np.ndarray:
    """The matrix that the endpoint makes of a table as a body of CSV."""
    names = [f.name for f in manifest.features]
    texts = csvtable.read(path.read_bytes(), names=names)
    return RowReader(manifest.features).columns(csvtable.values(manifest.features, texts))


def test_the_training_table_means_what_it_says(trained: Any) -> None:
    schema, package, _, matrix = trained
    kinds = {column.name: column.kind for column in schema.columns}
    assert kinds == {
        "amount": "number", "count": "number", "code": "category", "flagged": "category",
        "zip": "category", "open": "boolean", "since": "datetime", "begun": "datetime",
        "seen": "datetime", "place": "category", "agreed": "category", "grade": "category",
        "y": "category",
    }  # fmt: skip
    assert feature(package, "amount").style == "comma"
    assert feature(package, "count").missing == DATA.missing
    assert matrix[0, 0] == 1234.5
    assert np.isnan(matrix[4, :2]).tolist() == [True, True]
    assert set(feature(package, "code").levels) == {"408", "415", "510"}


def test_every_reader_gives_the_training_s_matrix(trained: Any, tmp_path: Path) -> None:
    _, package, rows, matrix = trained
    path = write(tmp_path / "again.csv", rows)
    manifest = read_manifest(package)
    assert same(at_the_endpoint(manifest, path), matrix)
    raw = read_table(path)
    report = fit(raw.frame, manifest, delimiter=raw.delimiter)
    assert not [v for v in report.violations if v.severity == "error"]
    assert same(build(manifest.features, report.frame), matrix)
    predict(package, path, tmp_path / "out.csv")
    found = pl.read_csv(tmp_path / "out.csv")["p_yes"].to_numpy()
    np.testing.assert_allclose(
        found, Scorer(package).score_matrix(matrix).outputs[:, 1], rtol=1e-12
    )


@pytest.mark.parametrize("column", list(CELLS))
def test_a_few_rows_mean_what_they_mean_among_many(
    trained: Any, tmp_path: Path, column: str
) -> None:
    """Rows with one cell of a column: nothing may be guessed anew from them."""
    _, package, rows, matrix = trained
    place = list(CELLS).index(column)
    manifest = read_manifest(package)
    for cell in CELLS[column]:
        some = [row for row in range(len(rows)) if rows[row][place] == cell][:5]
        path = write(tmp_path / "few.csv", [rows[row] for row in some])
        expected = matrix[some]
        assert same(at_the_endpoint(manifest, path), expected), cell
        raw = read_table(path, as_text=texts(manifest))  # as drift reads
        report = fit(raw.frame, manifest, delimiter=raw.delimiter)
        assert same(build(manifest.features, report.frame), expected), cell
        predict(package, path, tmp_path / "out.csv")
        found = pl.read_csv(tmp_path / "out.csv")["p_yes"].to_numpy()
        wanted = Scorer(package).score_matrix(expected).outputs[:, 1]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, err_msg=cell)


@pytest.mark.parametrize("style", ["plain", "thousands", "comma"])
@pytest.mark.parametrize(
    "cells",
    [
        ["1.234,5", "7,5", "12.5"],
        ["1234.56", "7,5", "8,5"],
        ["1.234", "12.5"],
        ["1,234.5", "12.5", "7"],
        ["1,234", "999"],
        ["1 234,5", "2"],
        ["12.5", "1e3", "-7"],
    ],
)
def test_later_numbers_are_read_as_the_package_says(
    tmp_path: Path, style: Any, cells: list[str]
) -> None:
    """The endpoint and a batch give one value to each cell, or both refuse it."""
    features = [
        Feature(name="amount", kind="number", style=style),
        Feature(name="n", kind="number"),
    ]
    package = write_kinds(tmp_path / "package", "regression", features)
    path = tmp_path / "t.csv"
    path.write_text("amount;n\n" + "".join(f"{cell};1\n" for cell in cells), encoding="utf-8")
    scorer = Scorer(package)
    try:
        matrix = at_the_endpoint(scorer.manifest, path)
    except InputError:
        # Numbers that were plain in training are looked at anew in a batch of another form.
        if style != "plain":
            with pytest.raises(DataInvalid):
                predict(package, path, tmp_path / "out.csv")
        return
    predict(package, path, tmp_path / "out.csv")
    found = pl.read_csv(tmp_path / "out.csv")["prediction"].to_numpy()
    np.testing.assert_allclose(found, scorer.score_matrix(matrix).outputs[:, 0], rtol=1e-12)
    raw = read_table(path, as_text={"amount"} if style != "plain" else ())
    report = fit(raw.frame, scorer.manifest, delimiter=";")
    assert same(build(scorer.manifest.features, report.frame), matrix)


def test_a_column_of_two_words_is_scored_by_a_model_that_knew_three(tmp_path: Path) -> None:
    """The gate scores the champion on rows that were typed anew: booleans, once texts."""
    data = DataSection(path="t.csv", target="y")
    was = pl.DataFrame({"c": ["Yes", "No", "Maybe"] * 30, "y": ["a", "b"] * 45})
    now = pl.DataFrame({"c": ["Yes", "No"] * 30, "y": ["a", "b"] * 30})
    features = signature(*infer(was, data)[::-1])
    typed, schema = infer(now, data)
    assert typed["c"].dtype == pl.Boolean
    spelled = in_words(typed, schema, ["c"])
    assert spelled["c"].to_list() == now["c"].to_list()
    expected = encode_column(features[0], now["c"].to_list())
    assert same(encode_column(features[0], raw_columns(features, spelled)["c"]), expected)
    assert len(np.unique(expected)) == 2


def test_a_time_that_is_a_number_is_no_feature() -> None:
    frame = pl.DataFrame(
        {
            "year": list(range(2000, 2020)) * 5,
            "x": [float(n) for n in range(100)],
            "y": ["a", "b"] * 50,
        }
    )
    typed, schema = infer(frame, DataSection(path="t.csv", target="y", time="year"))
    assert [feature.name for feature in signature(schema, typed)] == ["x"]


def test_moments_that_stand_for_nothing_are_missing_in_parquet_too(tmp_path: Path) -> None:
    days = pl.Series(["1900-01-01", "2020-02-03", "2021-04-05", None] * 20).str.to_date()
    frame = pl.DataFrame({"day": days, "y": ["a", "b"] * 40})
    frame.write_parquet(tmp_path / "t.parquet")
    data = DataSection(path="t.parquet", target="y", missing=("1900-01-01",))
    typed, schema = infer(read_table(tmp_path / "t.parquet").frame, data)
    features = signature(schema, typed)
    matrix = build(features, typed)
    assert np.isnan(matrix[::4]).all()
    assert np.isnan(matrix[3::4]).all()
    assert not np.isnan(matrix[1::4]).any()
    moments = frame["day"].to_numpy().astype("datetime64[us]")
    assert same(encode_column(features[0], moments), matrix)
    texts = days.dt.to_string("%Y-%m-%d").to_list()
    assert same(encode_column(features[0], texts), matrix)


def test_a_zero_that_is_missing_among_numbers_is_no_false(tmp_path: Path) -> None:
    """data.missing holds for every column: a typed false must not become a missing value."""
    cells = [("0", "no"), ("5", "yes"), ("7", "no"), ("9", "yes")] * 20
    text = "".join(f"{number};{flag};{'ab'[row % 2]}\n" for row, (number, flag) in enumerate(cells))
    (tmp_path / "t.csv").write_text(f"n;flag;y\n{text}")
    data = DataSection(path="t.csv", target="y", missing=("0",))
    typed, schema = infer(read_table(tmp_path / "t.csv").frame, data, delimiter=";")
    features = signature(schema, typed)
    matrix = build(features, typed)
    assert matrix[:2, 1].tolist() == [0.0, 1.0]
    assert np.isnan(matrix[0, 0])
    rows = [{"n": int(number), "flag": flag == "yes"} for number, flag in cells]
    assert same(RowReader(features).body(json.dumps({"rows": rows}).encode()), matrix)
    package = write_kinds(tmp_path / "package", "binary", features)
    assert same(at_the_endpoint(read_manifest(package), tmp_path / "t.csv"), matrix)
