"""Rows in, scores out; golden samples checked; the decision rule."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from handmade import ROW, write_package

from modelyard_serve.contract import GOLDEN, MANIFEST, Golden, Manifest, file_digest
from modelyard_serve.errors import GoldenError, InputError, PackageError
from modelyard_serve.pyfunc import _load_pyfunc
from modelyard_serve.scorer import Scorer


def test_rows_and_columns_score_the_same(package: Path) -> None:
    scorer = Scorer(package)
    rows = scorer.score_rows([ROW, {**ROW, "carrier": None}])
    columns = scorer.score({key: [value, value] for key, value in ROW.items()})
    assert np.array_equal(rows.outputs[0], columns.outputs[1])
    assert rows.outputs[0, 1] == pytest.approx(1 / (1 + np.exp(-4.25)), abs=1e-15)
    assert rows.labels.tolist() == ["yes", "yes"]


def test_the_threshold_decides(tmp_path: Path) -> None:
    row = {"distance": 0, "Größe (€)": 0.0, "carrier": None, "night": None, "when": None}
    low = Scorer(write_package(tmp_path / "low", threshold=0.5)).score_rows([row])
    high = Scorer(write_package(tmp_path / "high", threshold=0.51)).score_rows([row])
    assert low.outputs[0, 1] == 0.5
    assert (low.labels[0], high.labels[0]) == ("yes", "no")


def test_golden_samples_hold(package: Path) -> None:
    assert Scorer(package).check_golden() <= 1e-12


def test_golden_samples_that_fail_name_the_sample(package: Path) -> None:
    golden = msgspec.json.decode((package / GOLDEN).read_bytes(), type=Golden)
    golden.scores[1] = [0.4, 0.6]
    (package / GOLDEN).write_bytes(msgspec.json.encode(golden))
    manifest = msgspec.json.decode((package / MANIFEST).read_bytes(), type=Manifest)
    manifest.files[GOLDEN] = file_digest(package / GOLDEN)
    (package / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(GoldenError, match="sample 1"):
        Scorer(package).check_golden()


def test_a_graph_of_another_width_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path / "p")
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    fewer = msgspec.structs.replace(manifest, features=manifest.features[:2])
    (folder / MANIFEST).write_bytes(msgspec.json.encode(fewer))
    with pytest.raises(PackageError, match="6 columns, the signature gives 2"):
        Scorer(folder)


def test_no_rows_and_absent_columns_are_refused(package: Path) -> None:
    scorer = Scorer(package)
    with pytest.raises(InputError, match="no rows"):
        scorer.score_rows([])
    with pytest.raises(InputError, match="carrier"):
        scorer.score_rows([{key: ROW[key] for key in ROW if key != "carrier"}])
    empty = scorer.score({key: [] for key in ROW})
    assert empty.outputs.shape == (0, 2)


def test_a_key_that_one_row_lacks_is_null(package: Path) -> None:
    scorer = Scorer(package)
    some = scorer.score_rows([ROW, {key: ROW[key] for key in ROW if key != "night"}])
    null = scorer.score_rows([{**ROW, "night": None}])
    assert some.outputs[1].tolist() == null.outputs[0].tolist()


def test_mlflows_loader_predicts_from_a_frame(package: Path) -> None:
    pandas = pytest.importorskip("pandas")
    model = _load_pyfunc(str(package))
    frame = pandas.DataFrame([ROW, {**ROW, "distance": None, "carrier": np.nan, "night": None}])
    frame["extra"] = 1
    scorer = Scorer(package)
    expected = scorer.score_rows([ROW, {**ROW, "distance": None, "carrier": None, "night": None}])
    assert model.predict(frame).tolist() == expected.labels.tolist()
    found = model.predict(frame, params={"probabilities": True})
    assert np.array_equal(found, expected.outputs)
    with pytest.raises(InputError, match="named columns"):
        model.predict([[1, 2]])
