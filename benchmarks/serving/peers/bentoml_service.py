"""BentoML: one service, one worker, a typed list of rows.

bentoml serve bentoml_service:Flights
"""

from __future__ import annotations

import bentoml
import joblib
from rows import Row, flights, frame_of


@bentoml.service(workers=1, traffic={"timeout": 60})
class Flights:
    """The pipeline."""

    def __init__(self) -> None:
        self.model = joblib.load(flights.CACHE / "pipeline.joblib")

    @bentoml.api
    def predict(self, rows: list[Row]) -> dict[str, list[list[float]]]:
        """Probabilities of both classes, one pair a row."""
        return {"probabilities": self.model.predict_proba(frame_of(rows)).tolist()}
