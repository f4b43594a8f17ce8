"""FastAPI + onnxruntime: the skl2onnx graph, one tensor a column, orjson, no validation.

uvicorn --workers 1 fastapi_onnx:app

Written for speed: pydantic, which would check the rows as modelyard does, is left out; the handler
runs in the event loop, without a hop to a thread.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import orjson
from fastapi import FastAPI, Request, Response

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import flights

options = ort.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = ort.InferenceSession(
    str(flights.CACHE / "pipeline.onnx"), options, providers=["CPUExecutionProvider"]
)
app = FastAPI()


@app.post("/predict")
async def predict(request: Request) -> Response:
    """Probabilities of both classes, one pair a row."""
    rows = orjson.loads(await request.body())["rows"]
    feeds = {
        name: np.array([row[name] for row in rows], dtype=np.float32).reshape(-1, 1)
        for name in flights.NUMBERS
    }
    for name in flights.CATEGORIES:
        texts = [row[name] or "missing" for row in rows]
        feeds[name] = np.array(texts, dtype=object).reshape(-1, 1)
    probabilities = session.run(["probabilities"], feeds)[0]
    body = orjson.dumps({"probabilities": probabilities}, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, media_type="application/json")
