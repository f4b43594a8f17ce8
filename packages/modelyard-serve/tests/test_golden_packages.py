"""Every FORMAT ever written is read, and still gives its golden answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelyard_serve.contract import FORMAT, read_manifest, read_reference
from modelyard_serve.scorer import Scorer

CONTRACT = Path(__file__).resolve().parents[3] / "contract"


@pytest.mark.parametrize("number", range(1, FORMAT + 1))
def test_golden_package(number: int) -> None:
    package = CONTRACT / f"format-{number}"
    manifest = read_manifest(package)
    assert manifest.format == number
    scorer = Scorer(package)
    assert scorer.check_golden() <= 1e-9
    reference = read_reference(package)
    names = {feature.name for feature in manifest.features if feature.kind != "datetime"}
    assert names <= {column.name for column in reference.columns}


def test_the_golden_model_is_the_one_that_was_packed() -> None:
    """The model's digest must not depend on how this version happens to encode a struct."""
    expected = (CONTRACT / "format-1.digest").read_text().strip()
    assert read_manifest(CONTRACT / "format-1").model_digest == expected
