"""What moved a prediction, and what another value would give: against single scorings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from handmade import FEATURES, ROW, write_package
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard_serve.contract import read_golden
from modelyard_serve.errors import InputError, Problem
from modelyard_serve.explain import explain, what_if
from modelyard_serve.scorer import Scorer

GOLDEN_PACKAGE = Path(__file__).resolve().parents[3] / "contract" / "format-1"
TYPICAL = {feature.name: feature.typical for feature in FEATURES}


@pytest.fixture(scope="module")
def golden() -> Scorer:
    return Scorer(GOLDEN_PACKAGE)


def score(scorer: Scorer, row: dict[str, Any], output: int = 1) -> float:
    return float(scorer.score_rows([row]).outputs[0, output])


def test_each_effect_is_a_difference_of_two_scorings(golden: Scorer) -> None:
    features = {feature.name: feature for feature in golden.manifest.features}
    for row in read_golden(GOLDEN_PACKAGE).rows:
        found = explain(golden, row)
        assert found.output == "Yes"
        assert found.prediction == golden.score_rows([row]).labels[0]
        assert found.score == pytest.approx(score(golden, row), abs=1e-12)
        assert {effect.feature for effect in found.effects} == set(features)
        for effect in found.effects:
            other = score(golden, {**row, effect.feature: features[effect.feature].typical})
            assert effect.effect == pytest.approx(found.score - other, abs=1e-12)
            assert effect.value == row[effect.feature]
        sizes = [abs(effect.effect) for effect in found.effects]
        assert sizes == sorted(sizes, reverse=True)


def test_the_typical_row_is_the_starting_point_and_has_no_effects(golden: Scorer) -> None:
    typical = {feature.name: feature.typical for feature in golden.manifest.features}
    found = explain(golden, typical)
    assert found.typical_score == pytest.approx(score(golden, typical), abs=1e-12)
    assert {effect.effect for effect in found.effects} == {0.0}


def test_a_datetime_moves_all_of_its_parts_at_once(package: Path) -> None:
    scorer = Scorer(package)
    found = {effect.feature: effect for effect in explain(scorer, ROW).effects}
    other = score(scorer, {**ROW, "when": TYPICAL["when"]})
    assert found["when"].effect == pytest.approx(score(scorer, ROW) - other, abs=1e-12)
    assert found["when"].effect != 0


def test_a_column_without_a_typical_value_is_compared_with_null(tmp_path: Path) -> None:
    bare = tuple(msgspec.structs.replace(feature, typical=None) for feature in FEATURES)
    scorer = Scorer(write_package(tmp_path / "p", features=bare))
    found = {effect.feature: effect for effect in explain(scorer, ROW).effects}
    other = score(scorer, {**ROW, "distance": None})
    assert found["distance"].typical is None
    assert found["distance"].effect == pytest.approx(score(scorer, ROW) - other, abs=1e-12)


def test_the_model_is_asked_once(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = Scorer(package)
    shapes: list[tuple[int, ...]] = []
    ask = scorer.score_matrix

    def counted(matrix: Any) -> Any:
        shapes.append(matrix.shape)
        return ask(matrix)

    monkeypatch.setattr(scorer, "score_matrix", counted)
    explain(scorer, ROW)
    what_if(scorer, ROW, "distance")
    assert shapes == [(7, 6), (26, 6)]


def test_several_classes_are_explained_by_the_predicted_one(tmp_path: Path) -> None:
    scorer = Scorer(write_package(tmp_path / "p", task="multiclass", threshold=None, positive=None))
    low = {"distance": -9000, "Größe (€)": 0.0, "carrier": None, "night": None, "when": None}
    assert explain(scorer, ROW).output == "yes"
    found = explain(scorer, low)
    assert (found.output, found.prediction) == ("no", "no")
    assert found.score == pytest.approx(score(scorer, low, 0), abs=1e-12)
    assert what_if(scorer, low, "distance").output == "no"


@pytest.mark.parametrize("feature", ["tenure", "total_charges", "contract"])
def test_what_if_scores_the_row_with_each_value(golden: Scorer, feature: str) -> None:
    row = read_golden(GOLDEN_PACKAGE).rows[0]
    found = what_if(golden, row, feature, points=9)
    wanted = [score(golden, {**row, feature: value}) for value in found.values]
    assert np.allclose(found.scores, wanted, rtol=0, atol=1e-12)
    assert found.score == pytest.approx(score(golden, row), abs=1e-12)
    described = next(f for f in golden.manifest.features if f.name == feature)
    if described.kind == "category":
        assert found.values == described.levels
    else:
        assert (found.values[0], found.values[-1]) == (described.minimum, described.maximum)
        assert len(found.values) == 9


def test_a_whole_number_is_walked_in_whole_numbers(golden: Scorer) -> None:
    row = read_golden(GOLDEN_PACKAGE).rows[0]
    assert what_if(golden, row, "partner").values == (0, 1)
    assert all(type(value) is int for value in what_if(golden, row, "tenure").values)


def test_a_boolean_has_two_values(package: Path) -> None:
    assert what_if(Scorer(package), ROW, "night").values == (False, True)


@pytest.mark.parametrize(
    ("feature", "words"),
    [("when", "it is a date"), ("Größe (€)", "range is not known"), ("nonsense", "no column")],
)
def test_what_cannot_be_walked_along_is_refused(package: Path, feature: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        what_if(Scorer(package), ROW, feature)
    assert caught.value.problems[0].column == feature


CELLS = st.one_of(
    st.none(), st.booleans(), st.text(max_size=8), st.integers(), st.floats(), st.just([1])
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.dictionaries(st.sampled_from(sorted(ROW)), CELLS, max_size=3))
def test_exotic_rows_are_treated_as_the_scorer_treats_them(
    package: Path, changes: dict[str, Any]
) -> None:
    scorer, row = Scorer(package), {**ROW, **changes}
    wanted = said(lambda: score(scorer, row))
    for found in (
        said(lambda: explain(scorer, row).score),
        said(lambda: what_if(scorer, row, "distance").score),
    ):
        assert found == (wanted if isinstance(wanted, list) else pytest.approx(wanted, abs=1e-12))


def said(ask: Callable[[], float]) -> float | list[Problem]:
    """The score, or the problems for which the row was refused."""
    try:
        return ask()
    except InputError as refused:
        return refused.problems


def test_a_row_that_lacks_a_column_is_refused_as_by_the_scorer(package: Path) -> None:
    row = {name: ROW[name] for name in ROW if name != "carrier"}
    with pytest.raises(InputError, match="carrier"):
        explain(Scorer(package), row)
    with pytest.raises(InputError, match="carrier"):
        what_if(Scorer(package), row, "distance")
