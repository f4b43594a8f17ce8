"""split: frozen sides, whole groups, even classes; and the folds of a study."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.errors import DataInvalid, UsageError
from modelyard.project import Project, settings_from
from modelyard.records import SplitRecord, read_json, write_json
from modelyard.settings import DataSection
from modelyard.stages.split import split
from modelyard.tables.folds import choose_seed, deal, fold_of, split_keys
from modelyard.tables.reading import read_table
from modelyard.tables.rowhash import row_keys
from modelyard.tables.schema import infer


def table(rows: int, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    start = datetime(2024, 1, 1)
    return pl.DataFrame(
        {
            "size": random.normal(size=rows).round(3),
            "colour": random.choice(np.array(["red", "green", "blue"]), rows),
            "customer": random.integers(0, max(2, rows // 5), rows),
            "when": [start + timedelta(hours=hour) for hour in range(rows)],
            "bought": random.choice(np.array(["no", "yes"]), rows, p=[0.7, 0.3]),
        }
    )


def project(
    folder: Path, frame: pl.DataFrame, *, data: dict[str, Any] | None = None, **split_keys_: Any
) -> Project:
    tree = {
        "project": {"name": "shop"},
        "data": {"path": "data/raw/t.csv", "target": "bought", **(data or {})},
        "split": split_keys_,
    }
    made = Project(folder, settings_from(tree, "modelyard.yaml"))
    typed, schema = infer(frame, made.settings.data)
    made.table.parent.mkdir(parents=True, exist_ok=True)
    typed.write_parquet(made.table)
    write_json(made.record("schema"), schema)
    return made


def sides(made: Project) -> list[str]:
    return pl.read_parquet(made.split_table)["side"].cast(pl.String).to_list()


def test_writes_table_and_record(tmp_path: Path) -> None:
    frame = table(4000)
    made = project(tmp_path, frame)
    record = split(made)
    written = pl.read_parquet(made.split_table)
    assert written.columns == ["side", "key"]
    assert written["key"].dtype == pl.UInt64
    assert written.height == frame.height
    assert read_json(made.record("split"), SplitRecord) == record
    found = {str(k): v for k, v in written["side"].value_counts().iter_rows()}
    assert found == record.rows
    assert record.rows["test"] / 4000 == pytest.approx(0.2, abs=0.02)
    assert record.rows["valid"] / 4000 == pytest.approx(0.15, abs=0.02)
    for side in ("train", "valid", "test"):
        counted = frame.filter(written["side"].cast(pl.String) == side)["bought"].value_counts()
        assert dict(counted.iter_rows()) == record.class_counts[side]
    assert not [path for path in made.split_table.parent.iterdir() if ".part" in path.name]


def test_same_input_same_bytes(tmp_path: Path) -> None:
    made = project(tmp_path, table(500))
    split(made)
    first = made.split_table.read_bytes()
    split(made)
    assert made.split_table.read_bytes() == first


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 200), st.integers(1, 200), st.integers(0, 10_000), st.randoms())
def test_new_rows_never_move_old_ones(old: int, new: int, seed: int, shuffle: Any) -> None:
    frame = table(old + new, seed)
    order = list(range(old + new))
    shuffle.shuffle(order)
    before = deal(split_keys(frame[:old], target="bought"), seed, 0.15, 0.2)
    after = deal(split_keys(frame[order], target="bought"), seed, 0.15, 0.2)
    place = {row: index for index, row in enumerate(order)}
    assert [int(after[place[row]]) for row in range(old)] == before.tolist()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 0.4), st.floats(0.05, 0.4))
def test_duplicates_stand_together_and_shares_are_kept(
    seed: int, valid: float, test: float
) -> None:
    frame = table(3000, seed % 100).drop("when")
    relabelled = frame.with_columns(
        pl.when(pl.col("bought") == "no")
        .then(pl.lit("yes"))
        .otherwise(pl.lit("no"))
        .alias("bought")
    )
    keys = split_keys(pl.concat([frame, frame, relabelled]), target="bought")
    dealt = deal(keys, seed, valid, test).reshape(3, -1)
    assert (dealt[0] == dealt[1]).all()
    assert (dealt[0] == dealt[2]).all()
    assert (dealt[0] == 2).mean() == pytest.approx(test, abs=0.05)
    assert (dealt[0] == 1).mean() == pytest.approx(valid, abs=0.05)


def test_a_column_that_wakes_up_does_not_move_rows() -> None:
    """A constant column's role changes when new rows vary it; the sides must not."""
    old = table(300).with_columns(pl.lit(2023).alias("year"))
    new = pl.concat([old, table(50, 1).with_columns(pl.lit(2024).alias("year"))])
    assert (split_keys(old, target="bought") == split_keys(new, target="bought")[:300]).all()


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        (["Yes", "No"], "Unknown"),
        (["0.5", "1.25", "-3.0"], "n/k"),
        (["2024-01-05", "2023-12-31"], "unknown"),
        (["3", "14"], "n/k"),
        (["True", "False"], "perhaps"),
    ],
)
def test_one_odd_cell_does_not_move_rows(cells: list[str], odd: str, tmp_path: Path) -> None:
    """A column becomes one of texts by it; the older rows, and those after it, keep their sides."""
    base = (
        table(300)
        .select("size", "colour", "bought")
        .with_columns(pl.Series("c", [cells[row % len(cells)] for row in range(300)]))
    )
    keys = []
    for last in (cells[0], odd):
        frame = pl.concat([base, base[:1].with_columns(pl.lit(last).alias("c"))])
        frame.write_csv(tmp_path / "t.csv")
        raw = read_table(tmp_path / "t.csv")
        typed, schema = infer(raw.frame, DataSection(path="t.csv", target="bought"))
        kinds = {column.name: column.kind for column in schema.columns}
        keys.append(split_keys(typed, target="bought", schema=schema))
        assert (kinds["c"] in ("category", "text")) == (last == odd)
    assert (keys[0][:300] == keys[1][:300]).all()


def test_the_id_decides_where_there_is_one(tmp_path: Path) -> None:
    frame = table(600).with_columns(pl.int_range(600).alias("nr"))
    made = project(tmp_path, frame, data={"id": "nr"})
    split(made)
    before = sides(made)
    changed = frame.with_columns((pl.col("size") + 1).alias("size"))
    split(project(tmp_path, changed, data={"id": "nr"}))
    assert sides(made) == before


def test_rows_without_an_id_are_dealt_by_content(tmp_path: Path) -> None:
    frame = table(600).with_columns(
        pl.when(pl.int_range(600) % 2 == 0).then(None).otherwise(pl.int_range(600)).alias("nr")
    )
    record = split(project(tmp_path, frame, data={"id": "nr"}))
    assert record.rows["test"] == pytest.approx(120, abs=45)
    assert any("300 rows have no nr" in note for note in record.notes)


@pytest.mark.parametrize("kind", ["group", "stratified"])
def test_groups_are_never_parted(tmp_path: Path, kind: str) -> None:
    frame = table(1000)
    made = project(tmp_path, frame, data={"group": "customer"}, kind=kind)
    split(made)
    both = frame.with_columns(pl.Series("side", sides(made)))
    assert both.group_by("customer").agg(pl.col("side").n_unique())["side"].max() == 1


@pytest.mark.parametrize(
    ("roles", "excluded"),
    [
        ({"time": "when"}, ["when"]),
        ({"id": "nr", "time": "when"}, ["nr", "when"]),
        ({"group": "customer"}, ["customer"]),
    ],
)
@pytest.mark.parametrize("kind", ["stratified", "time"])
def test_what_no_model_sees_may_still_name_group_and_order_rows(
    tmp_path: Path, roles: dict[str, str], excluded: list[str], kind: str
) -> None:
    frame = table(1000).with_columns(pl.int_range(1000).alias("nr"))
    cuts = {"kind": kind, "valid_from": "2024-01-25", "test_from": "2024-02-01"}
    data: dict[str, Any] = {"time": "when", **roles} if kind == "time" else roles
    made = project(tmp_path, frame, data={**data, "exclude": excluded}, **cuts)
    split(made)
    keys = pl.read_parquet(made.split_table)["key"].to_numpy()
    content = [name for name in frame.columns if name not in ("bought", *excluded)]
    named = roles.get("group") or roles.get("id")
    assert (keys == row_keys(frame, [named] if named else content)).all()
    if kind == "time":
        late = (frame["when"] >= datetime(2024, 2, 1)).to_list()
        assert [side == "test" for side in sides(made)] == late


def test_an_excluded_time_column_of_words_cuts_nothing(tmp_path: Path) -> None:
    frame = table(100).with_columns(when=pl.Series(["soon", "late"] * 50))
    cuts = {"kind": "time", "valid_from": "2024-01-25", "test_from": "2024-02-01"}
    made = project(tmp_path, frame, data={"time": "when", "exclude": ["when"]}, **cuts)
    with pytest.raises(DataInvalid, match="holds values that are no dates") as refused:
        split(made)
    assert "'late', 'soon'" in refused.value.why


def test_time_cuts(tmp_path: Path) -> None:
    frame = table(1000)
    made = project(
        tmp_path,
        frame,
        data={"time": "when"},
        kind="time",
        valid_from="2024-01-25",
        test_from="2024-02-01 12:00",
    )
    record = split(made)
    expected = [
        "test"
        if t >= datetime(2024, 2, 1, 12)
        else "valid"
        if t >= datetime(2024, 1, 25)
        else "train"
        for t in frame["when"]
    ]
    assert sides(made) == expected
    assert record.cuts == ("2024-01-25", "2024-02-01 12:00")
    assert any("by time" in note for note in record.notes)


def test_time_cuts_that_make_no_sense(tmp_path: Path) -> None:
    data = {"time": "when"}
    made = project(
        tmp_path, table(100), data=data, kind="time", valid_from="soon", test_from="2024-02-01"
    )
    with pytest.raises(UsageError, match=r"split\.valid_from: 'soon' is not a date"):
        split(made)
    made = project(
        tmp_path,
        table(100),
        data=data,
        kind="time",
        valid_from="2024-02-02",
        test_from="2024-02-01",
    )
    with pytest.raises(UsageError, match="is not before"):
        split(made)
    made = project(
        tmp_path,
        table(100),
        data=data,
        kind="time",
        valid_from="2030-01-01",
        test_from="2030-02-01",
    )
    with pytest.raises(DataInvalid, match="No row stands in valid, test") as refused:
        split(made)
    assert "valid_from" in refused.value.next_step


def test_fifty_rows_work_and_fifteen_do_not(tmp_path: Path) -> None:
    record = split(project(tmp_path, table(50)))
    assert all(record.rows.values())
    with pytest.raises(DataInvalid, match="15 rows; at least 20"):
        split(project(tmp_path, table(15)))


def test_a_class_that_test_lacks_is_refused_with_a_salt_that_works(tmp_path: Path) -> None:
    rare = table(60).with_columns(pl.Series("bought", ["yes", "yes", "yes", *["no"] * 57]))
    keys = split_keys(rare, target="bought")
    lacking = next(seed for seed in range(50) if not (deal(keys, seed, 0.15, 0.2)[:3] == 2).any())
    made = project(tmp_path, rare, seed=lacking)
    with pytest.raises(DataInvalid, match="No row in test is of the class 'yes'") as refused:
        split(made)
    assert refused.value.exit_code == 4
    assert not made.split_table.exists()
    seed = int(refused.value.next_step.split("split.seed: ")[1].split()[0])
    assert split(project(tmp_path, rare, seed=seed)).class_counts["test"]["yes"] >= 1


def test_uneven_sides_are_noted(tmp_path: Path) -> None:
    frame = table(80)
    keys = split_keys(frame, target="bought")
    codes = (frame["bought"] == "yes").cast(pl.Int64).to_numpy()

    def off(seed: int) -> float:
        return abs(codes[deal(keys, seed, 0.15, 0.2) == 2].mean() / codes.mean() - 1)

    worst = max(range(30), key=off)
    record = split(project(tmp_path, frame, seed=worst))
    assert any(note.startswith("test has") for note in record.notes)


def test_choose_seed_evens_the_sides() -> None:
    frame = table(400)
    keys = split_keys(frame, target="bought")
    codes = (frame["bought"] == "yes").cast(pl.Int64).to_numpy()
    best = choose_seed(keys, codes, 0.15, 0.2)
    assert best == choose_seed(keys[::-1], codes[::-1], 0.15, 0.2)

    def off(seed: int) -> float:
        dealt = deal(keys, seed, 0.15, 0.2)
        return max(abs(codes[dealt == side].mean() - codes.mean()) for side in range(3))

    assert off(best) < 0.03
    assert off(best) < np.median([off(seed) for seed in range(64)])


def test_choose_seed_evens_a_regression() -> None:
    keys = row_keys(pl.DataFrame({"x": np.arange(400)}), ["x"])
    values = np.random.default_rng(1).lognormal(size=400)

    def off(seed: int) -> float:
        dealt = deal(keys, seed, 0.15, 0.2)
        return max(abs(values[dealt == side].mean() - values.mean()) for side in range(3))

    assert off(choose_seed(keys, values, 0.15, 0.2)) < np.median([off(s) for s in range(64)])


# Folds


def test_folds_are_even_in_size_and_class() -> None:
    random = np.random.default_rng(0)
    keys = random.integers(0, 2**63, 1003).astype(np.uint64)
    y = (random.random(1003) < 0.1).astype(np.int64)
    fold = fold_of(keys, y, 5, 0)
    sizes = np.bincount(fold)
    assert sizes.max() - sizes.min() <= 1
    ones = np.bincount(fold, weights=y)
    assert ones.max() - ones.min() <= 1
    assert (fold_of(keys, y, 5, 0) == fold).all()
    assert (fold_of(keys, y, 5, 1) != fold).any()
    order = random.permutation(1003)
    assert (fold_of(keys[order], y[order], 5, 0) == fold[order]).all()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2)), min_size=2, max_size=200),
    st.integers(2, 10),
    st.booleans(),
)
def test_equal_keys_share_a_fold(rows: list[tuple[int, int]], folds: int, classes: bool) -> None:
    keys = np.array([key for key, _ in rows], dtype=np.uint64)
    y = np.array([code for _, code in rows]) if classes else None
    if len(set(keys.tolist())) < 2:
        with pytest.raises(DataInvalid):
            fold_of(keys, y, folds, 0)
        return
    fold = fold_of(keys, y, folds, 0)
    assert fold.dtype == np.int8
    for key in set(keys.tolist()):
        assert len(set(fold[keys == key].tolist())) == 1
    assert 2 <= len(set(fold.tolist())) <= folds


def test_few_of_a_class_lower_the_number_of_folds() -> None:
    y = np.array([1] * 3 + [0] * 97)
    fold = fold_of(np.arange(100, dtype=np.uint64), y, 5, 0)
    assert fold.max() == 2
    assert all(y[fold == index].sum() == 1 for index in range(3))


def test_time_folds_follow_one_another() -> None:
    random = np.random.default_rng(0)
    order = np.datetime64("2024-01-01") + random.integers(0, 60, 2000).astype("timedelta64[D]")
    order = order.astype("datetime64[us]")
    order[:5] = np.datetime64("NaT")
    y = random.integers(0, 2, 2000)
    fold = fold_of(np.arange(2000, dtype=np.uint64), y, 4, 0, order)
    assert set(fold.tolist()) == {-1, 0, 1, 2, 3}
    assert (fold[:5] == -1).all()
    known = ~np.isnat(order)
    for index in range(4):
        assert order[known & (fold == index)].min() > order[known & (fold < index)].max()
    sizes = np.bincount(fold + 1)
    assert sizes.min() > 2000 / 5 * 0.8


def test_time_folds_know_every_class_first() -> None:
    """The earliest model must have seen both classes, and each fold must hold both."""
    y = np.array([0] * 500 + [0, 1] * 250)
    fold = fold_of(np.arange(1000, dtype=np.uint64), y, 5, 0, np.arange(1000).astype(float))
    assert set(y[fold == -1].tolist()) == {0, 1}
    for index in range(int(fold.max()) + 1):
        assert set(y[fold == index].tolist()) == {0, 1}


def test_one_moment_falls_back_to_keys() -> None:
    fold = fold_of(np.arange(100, dtype=np.uint64), None, 5, 0, np.zeros(100))
    assert np.bincount(fold).tolist() == [20] * 5
