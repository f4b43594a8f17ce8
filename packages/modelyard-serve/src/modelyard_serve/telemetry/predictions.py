"""The prediction log: what was asked and answered, as lines of JSON in files that rotate.

A row is written as the model saw it: a category that the model does not know is "(other)", a moment
is its parts. Each worker writes files of its own, so that no lock stands in the way of an answer.
"""

from __future__ import annotations

import random
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from modelyard_serve.contract import Manifest
from modelyard_serve.served import Predicted
from modelyard_serve.settings import Settings, check_mask

SUFFIX = ".jsonl"


class PredictionLog:
    """Appends sampled requests to `predictions-<worker>.jsonl`; closed files get a number.

    Raises:
        SettingsError: the mask names a column that the model does not have.
    """

    def __init__(self, settings: Settings, manifest: Manifest, version: str, worker: int) -> None:
        check_mask(settings, (feature.name for feature in manifest.features))
        self._folder = Path(settings.prediction_log)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / f"predictions-{worker}{SUFFIX}"
        self._share = settings.prediction_log_sample
        self._bytes = settings.prediction_log_bytes
        self._files = settings.prediction_log_files
        self._masked = frozenset(settings.prediction_log_mask)
        self._manifest = manifest
        self._version = version
        self._queue: deque[tuple[str, str, Predicted, int]] = deque(maxlen=10_000)
        self._random = random.Random()  # noqa: S311 - a sample, not a secret

    def add(self, moment: str, request_id: str, found: Predicted, start: int = 0) -> None:
        """Keep a request for the next `flush`, if the sample takes it.

        Of a stream each part is one: `start` is the number of its first row.
        """
        if self._share >= 1 or self._random.random() < self._share:
            self._queue.append((moment, request_id, found, start))

    def flush(self) -> None:
        """Write what was kept; rotate a file that has grown too long."""
        lines: list[dict[str, Any]] = []
        while self._queue:
            moment, request_id, found, start = self._queue.popleft()
            for place, row in enumerate(found.matrix.tolist()):
                line: dict[str, Any] = {
                    "time": moment,
                    "request_id": request_id,
                    "row": start + place,
                    "model": self._manifest.name,
                    "version": self._version,
                    "input": self._readable(row),
                    "prediction": found.labels[place],
                }
                if self._manifest.classes:
                    line["probabilities"] = found.lists[place]
                lines.append(line)
        if lines:
            with self._path.open("ab") as file:
                file.write(msgspec.json.Encoder().encode_lines(lines))
            if self._path.stat().st_size >= self._bytes:
                self._rotate()

    def _readable(self, row: list[float]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        at = 0
        for feature in self._manifest.features:
            cells = row[at : at + feature.width]
            at += feature.width
            if feature.name in self._masked:
                continue
            cell = cells[0] if cells else None
            if cell is None or cell != cell:
                found[feature.name] = None
            elif feature.kind == "category":
                found[feature.name] = feature.levels[int(cell) - 1] if cell else "(other)"
            elif feature.kind == "boolean":
                found[feature.name] = bool(cell)
            elif feature.kind == "datetime":
                found[feature.name] = dict(zip(feature.parts, cells, strict=True))
            else:
                found[feature.name] = cell
        return found

    def _rotate(self) -> None:
        """predictions-0.jsonl becomes predictions-0.1.jsonl, and so on; the oldest goes."""
        stem = self._path.name.removesuffix(SUFFIX)
        for number in range(self._files, 0, -1):
            old = self._folder / f"{stem}.{number}{SUFFIX}"
            if old.exists():
                if number == self._files:
                    old.unlink()
                else:
                    old.replace(self._folder / f"{stem}.{number + 1}{SUFFIX}")
        self._path.replace(self._folder / f"{stem}.1{SUFFIX}")
