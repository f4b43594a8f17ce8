"""What /metrics tells of the features: counts by the package's bins, unseen values, the index."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from handmade import ROW, write_package
from prometheus_client.parser import text_string_to_metric_families
from wsgi import call

from modelyard_serve.app import create_app
from modelyard_serve.contract import (
    MANIFEST,
    REFERENCE,
    ColumnReference,
    Manifest,
    Reference,
    file_digest,
)
from modelyard_serve.settings import Settings
from modelyard_serve.telemetry.metrics import _chance, _psi

REFERENCES = (
    ColumnReference(
        name="distance", edges=(100.0, 500.0, 1000.0, 5000.0), shares=(0.25, 0.5, 0.25)
    ),
    ColumnReference(name="carrier", levels=("B6", "MQ"), shares=(0.6, 0.3, 0.1), missing_share=0.2),
    ColumnReference(name="night", levels=("no", "yes"), shares=(0.7, 0.3, 0.0)),
)
Labels = frozenset[tuple[str, str]]


@pytest.fixture
def app(tmp_path: Path) -> Any:
    """The application of the hand-made package, with a reference for three of its columns."""
    folder = write_package(tmp_path / "package")
    reference = Reference(rows=1000, columns=REFERENCES)
    (folder / REFERENCE).write_bytes(msgspec.json.encode(reference))
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    files = {**manifest.files, REFERENCE: file_digest(folder / REFERENCE)}
    changed = msgspec.structs.replace(manifest, files=files)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(changed))
    return create_app(folder, Settings(log_level="error"))


def send(app: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Have rows predicted, three a request."""
    for start in range(0, len(rows), 3):
        body = msgspec.json.encode({"rows": rows[start : start + 3]})
        reply = call(app, "POST", "/v1/predict", body, {"content-type": "application/json"})
        assert reply.status == 200, reply.body


def told(app: Any, name: str) -> dict[Labels, float]:
    """The samples of one metric, by their labels."""
    text = call(app, "GET", "/metrics").body.decode()
    return {
        frozenset(sample.labels.items()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def counts(app: Any, feature: str) -> dict[str, float]:
    """One feature's values by bin."""
    found = (dict(labels) | {"n": value} for labels, value in _values(app))
    return {str(one["bin"]): float(one["n"]) for one in found if one["feature"] == feature}


def _values(app: Any) -> list[tuple[Labels, float]]:
    return list(told(app, "modelyard_feature_values_total").items())


def test_values_fall_into_the_packages_bins(app: Any) -> None:
    # Edges belong to the bin above them; the outer bins are open; null is a bin of its own.
    distances = (-7, 499, 500, 999.5, 1000, 99_999, None)
    carriers = ("B6", "MQ", "MQ", "never seen", "", None, None)
    nights = (True, "yes", False, "no", "no", None, None)
    rows = [
        ROW | {"distance": distance, "carrier": carrier, "night": night}
        for distance, carrier, night in zip(distances, carriers, nights, strict=True)
    ]
    send(app, rows)

    assert counts(app, "distance") == {
        "below 500": 2, "500 to 1000": 2, "from 1000": 2, "(missing)": 1,
    }  # fmt: skip
    assert counts(app, "carrier") == {"B6": 1, "MQ": 2, "(other)": 1, "(missing)": 3}
    assert counts(app, "night") == {"no": 3, "yes": 2, "(other)": 0, "(missing)": 2}
    unseen = told(app, "modelyard_feature_unseen_total")
    assert unseen == {frozenset({("feature", "carrier")}): 1}


def test_predictions_are_counted_by_class_and_by_tenths(app: Any) -> None:
    rows = [ROW, {**ROW, "distance": None, "Größe (€)": None, "carrier": "?", "night": None}]
    send(app, rows)
    reply = call(
        app, "POST", "/v1/predict", msgspec.json.encode({"rows": rows}),
        {"content-type": "application/json"},
    )  # fmt: skip
    answer = msgspec.json.decode(reply.body)

    by_class = told(app, "modelyard_predictions_total")
    for name in ("no", "yes"):
        expected = 2 * answer["predictions"].count(name)
        assert by_class[frozenset({("class", name)})] == expected
    tenths = told(app, "modelyard_scores_total")
    for place, name in enumerate(answer["classes"]):
        for tenth in range(10):
            low = tenth / 10
            inside = [p[place] for p in answer["probabilities"] if low <= p[place] < low + 0.1]
            assert tenths[frozenset({("class", name), ("bin", f"{low:.1f}")})] == 2 * len(inside)


def test_the_index_is_told_from_a_hundred_rows_on_and_is_the_formulas(app: Any) -> None:
    index = "modelyard_feature_psi"
    send(app, [ROW] * 99)
    assert told(app, index) == {}
    send(app, [ROW | {"distance": 600}] * 101)

    # 101 of 200 distances in the middle bin, 99 in the last; the floor of a share is half a row.
    before, after = (0.25, 0.5, 0.25), (0.0, 101 / 200, 99 / 200)
    floor = 0.5 / 200
    by_hand = sum(
        (max(new, floor) - max(old, floor)) * math.log(max(new, floor) / max(old, floor))
        for old, new in zip(before, after, strict=True)
    )
    assert told(app, index)[frozenset({("feature", "distance")})] == pytest.approx(by_hand)
    bound = told(app, "modelyard_feature_psi_chance")[frozenset({("feature", "distance")})]
    assert by_hand > bound


def test_rows_from_the_same_distribution_stay_below_the_bound_of_chance() -> None:
    draw = np.random.default_rng(7)
    shares = np.array([0.3, 0.25, 0.2, 0.15, 0.08, 0.02])
    above = 0
    for _ in range(2000):
        reference = draw.multinomial(2000, shares) / 2000
        live = draw.multinomial(500, shares) / 500
        above += _psi(reference, live, 0.5 / 500) > _chance(len(shares), 2000, 500)
    assert above <= 8  # one in a thousand is meant: 2, and not beyond what luck does to it


def test_many_requests_are_counted_as_they_come_and_none_is_lost(app: Any) -> None:
    # More than the queue keeps before it counts, so both ways of counting are taken.
    rows = [ROW | {"distance": 400 + place} for place in range(900)]
    send(app, rows)
    expected = {"below 500": 100, "500 to 1000": 500, "from 1000": 300, "(missing)": 0}
    assert counts(app, "distance") == expected
