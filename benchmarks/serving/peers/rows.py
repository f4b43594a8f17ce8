"""The request of FastAPI + scikit-learn and of BentoML, and the frame that the pipeline takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import flights

CATEGORIES = list(flights.CATEGORIES)


class Row(BaseModel):
    """One flight; null is a missing value."""

    distance: float | None
    plane_built: float | None
    seats: float | None
    temp: float | None
    humid: float | None
    wind_speed: float | None
    carrier: str | None
    origin: str | None
    dest: str | None
    manufacturer: str | None
    engine_type: str | None
    month: str | None
    weekday: str | None
    hour: str | None


class Body(BaseModel):
    """Some flights."""

    rows: list[Row]


def frame_of(rows: list[Row]) -> pd.DataFrame:
    """float64 numbers, texts with NaN where they are missing (None is not imputed)."""
    values = [tuple(row.__dict__.values()) for row in rows]
    columns = dict(zip(flights.COLUMNS, zip(*values, strict=True), strict=True))
    frame = {name: np.array(columns[name], dtype="float64") for name in flights.NUMBERS}
    for name in flights.CATEGORIES:
        texts = [np.nan if text is None else text for text in columns[name]]
        frame[name] = np.array(texts, dtype=object)
    return pd.DataFrame(frame)
