"""The benchmark's table: 6 numbers and 8 categories of the demo's flights, missing values included.

Standard library only: the peers' environments import it too.
"""

from __future__ import annotations

import csv
import random
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "examples/flights/flights_v2_jan_aug.csv"
CACHE = ROOT / "benchmarks/.cache"
TABLE = CACHE / "flights.csv"

NUMBERS = ("distance", "plane_built", "seats", "temp", "humid", "wind_speed")
CATEGORIES = (
    "carrier",
    "origin",
    "dest",
    "manufacturer",
    "engine_type",
    "month",
    "weekday",
    "hour",
)
COLUMNS = (*NUMBERS, *CATEGORIES)
TARGET = "late"
POSITIVE = "yes"

TREES = 300
LEAVES = 31
RATE = 0.05
SEED = 7

Cell = str | float | None


def cache() -> Path:
    """Return the folder of everything that the benchmark makes; git does not see it."""
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    return CACHE


def write_table() -> Path:
    """Write the table: the demo's columns, with the departure's moment as three categories."""
    cache()
    with SOURCE.open(newline="") as source, TABLE.open("w", newline="") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow([*COLUMNS, TARGET])
        for row in csv.DictReader(source):
            moment = datetime.fromisoformat(row["scheduled"])
            row["month"] = moment.strftime("%b")
            row["weekday"] = moment.strftime("%a")
            row["hour"] = moment.strftime("h%H")
            writer.writerow([row[name] for name in (*COLUMNS, TARGET)])
    return TABLE


def read_rows() -> list[dict[str, Cell]]:
    """Every row of the table as JSON would carry it: numbers, texts, None where a cell is empty."""
    with TABLE.open(newline="") as source:
        return [_typed(row) for row in csv.DictReader(source)]


def read_labels() -> list[int]:
    """1 for each late flight of the table, 0 for the others."""
    with TABLE.open(newline="") as source:
        return [int(row[TARGET] == POSITIVE) for row in csv.DictReader(source)]


def sample(count: int, seed: int = SEED) -> list[dict[str, Cell]]:
    """Rows drawn with replacement, always the same ones."""
    return random.Random(seed).choices(read_rows(), k=count)


def changed(count: int = 8000, seed: int = SEED) -> list[dict[str, Cell]]:
    """Rows with values taken out, categories that were never seen, and numbers from elsewhere.

    No empty texts: to us they are missing, as a table's empty cells are; to the pipeline unseen.
    """
    random_ = random.Random(seed)
    table = read_rows()
    rows = []
    for _ in range(count):
        row = dict(random_.choice(table))
        for name in COLUMNS:
            fate = random_.random()
            if fate < 0.15:
                row[name] = None
            elif fate < 0.3:
                if name in NUMBERS:
                    row[name] = random_.choice([0.0, -1e6, 1e9, random_.gauss(0.0, 1000.0)])
                else:
                    row[name] = random_.choice(["never seen", " ", "missing"])
        rows.append(row)
    return rows


def _typed(row: dict[str, str]) -> dict[str, Cell]:
    typed: dict[str, Cell] = {}
    for name in COLUMNS:
        text = row[name]
        typed[name] = None if text == "" else float(text) if name in NUMBERS else text
    return typed
