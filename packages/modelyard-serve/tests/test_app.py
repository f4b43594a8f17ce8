"""The routes translate; nothing on input becomes a 500."""

from __future__ import annotations

from pathlib import Path

import pytest
from handmade import ROW

from modelyard_serve.app import create_app
from modelyard_serve.scorer import Scorer


def test_predict_gives_what_the_scorer_gives(package: Path) -> None:
    client = create_app(package).test_client()
    answer = client.post("/v1/predict", json={"rows": [ROW, ROW]})
    assert answer.status_code == 200
    expected = Scorer(package).score_rows([ROW, ROW])
    assert answer.get_json()["probabilities"] == expected.outputs.tolist()
    assert answer.get_json()["predictions"] == ["yes", "yes"]
    assert answer.get_json()["model"]["name"] == "flights"
    assert client.get("/ping").get_json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b'{"rows": 3}', 400),
        (b'{"lines": []}', 400),
        (b'{"rows": [{"distance": NaN}]}', 400),
        (b'\xff\xfe{"rows": []}', 400),
        (b'{"rows": [{"carrier": "\xff"}]}', 400),
        (b'{"rows": []}', 422),
        (b'{"rows": [{}]}', 422),
        (b'{"rows": [{"distance": "far"}]}', 422),
        (b'{"rows": [' + b"[" * 5000 + b"]}", 400),
    ],
)
def test_bad_bodies_are_problem_documents(package: Path, body: bytes, status: int) -> None:
    answer = create_app(package).test_client().post("/v1/predict", data=body)
    assert answer.status_code == status
    assert answer.content_type == "application/problem+json"
    document = answer.get_json()
    assert document["status"] == status
    assert "Traceback" not in answer.text
