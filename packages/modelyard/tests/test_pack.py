"""pack: the native scores are told from features of any name."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from modelyard.errors import ModelyardError
from modelyard.records import Schema
from modelyard.stages.pack import _golden, _native, _refuse_mixed
from modelyard.stages.train import _with_scores
from modelyard_serve.contract import Feature

CLASSES = {1: (), 2: ("no", "yes"), 11: tuple("abcdefghijk")}


@pytest.mark.parametrize("outputs", list(CLASSES))
@pytest.mark.parametrize(
    "names", [("age", "bmi"), ("s0", "s1"), ("s1", "s2"), ("s_0", "s0"), ("s10", "s12", "s")]
)
def test_features_may_be_called_as_scores_are(names: tuple[str, ...], outputs: int) -> None:
    schema = Schema(task="regression", target="y", classes=CLASSES[outputs], columns=())
    features = tuple(Feature(name=name, kind="number") for name in names)
    frame = pl.DataFrame({name: [1.5 + place, None] for place, name in enumerate(names)})
    native = np.arange(2.0 * outputs).reshape(2, outputs)
    written = _with_scores(frame, native)
    assert written.select(names).equals(frame)
    _refuse_mixed(written, features, schema)
    assert np.array_equal(_native(written, schema), native)
    golden = _golden(features, written, native)
    assert golden.rows == frame.to_dicts()
    assert golden.scores == native.tolist()


def test_scores_that_an_earlier_training_wrote_over_a_feature_are_refused() -> None:
    schema = Schema(task="regression", target="y", columns=())
    features = tuple(Feature(name=name, kind="number") for name in ("s0", "s1"))
    with pytest.raises(ModelyardError, match="do not fit the model") as caught:
        _refuse_mixed(pl.DataFrame({"s0": [0.5], "s1": [1.0]}), features, schema)
    assert caught.value.next_step == "modelyard run --force"
