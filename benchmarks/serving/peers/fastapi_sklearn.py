"""FastAPI + scikit-learn: a typed body, a frame, the pipeline.

uvicorn --workers 1 fastapi_sklearn:app
"""

from __future__ import annotations

import joblib
from fastapi import FastAPI
from rows import Body, flights, frame_of

app = FastAPI()
model = joblib.load(flights.CACHE / "pipeline.joblib")


@app.post("/predict")
def predict(body: Body) -> dict[str, list[list[float]]]:
    """Probabilities of both classes, one pair a row."""
    return {"probabilities": model.predict_proba(frame_of(body.rows)).tolist()}
