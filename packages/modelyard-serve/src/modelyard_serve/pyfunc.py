"""MLflow's loader module for a model package: a frame of raw columns in, predictions out.

MLflow imports this file by name and calls `_load_pyfunc`; nothing of MLflow, pandas or pickle is
imported here. A frame is anything with `.columns` and `frame[name].to_numpy()`.
"""

from __future__ import annotations

from typing import Any

from modelyard_serve.errors import InputError
from modelyard_serve.scorer import Scorer


class PackageModel:
    """Answers `predict` as MLflow's callers expect it."""

    def __init__(self, scorer: Scorer) -> None:
        self.scorer = scorer

    def predict(self, frame: Any, params: dict[str, Any] | None = None) -> Any:
        """Return the labels; with params={"probabilities": True} the outputs, one column a class.

        Raises:
            InputError: the frame lacks columns, or a value is not of its column's kind.
        """
        if not hasattr(frame, "columns"):
            raise InputError("give a data frame with named columns")
        wanted = {feature.name for feature in self.scorer.manifest.features}
        columns = {name: _values(frame[name]) for name in frame.columns if name in wanted}
        scores = self.scorer.score(columns)
        return scores.outputs if (params or {}).get("probabilities") else scores.labels


def _values(series: Any) -> Any:
    """Return a column's values, with pandas' several kinds of missing all made None."""
    values = series.to_numpy()
    if values.dtype.kind in "fiubM":
        return values
    missing = series.isna().to_numpy()
    return [None if gone else value for value, gone in zip(values, missing, strict=True)]


def _load_pyfunc(path: str) -> PackageModel:
    return PackageModel(Scorer(path))
