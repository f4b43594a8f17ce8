"""The other two tasks, from their own tables to a release."""

from __future__ import annotations

import csv
import json
import math
import random
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey

FEW = ("-S", "tune.trials=2", "-S", "tune.families=[linear]", "-S", "tune.folds=2")


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def penguins(path: Path) -> Path:
    """Three species that differ in two measures; an island, a sex, and some blanks."""
    dice = random.Random(3)
    middles = {"Adelie": (39, 190), "Chinstrap": (49, 196), "Gentoo": (47, 217)}
    rows = []
    for number in range(330):
        species = ("Adelie", "Adelie", "Gentoo", "Chinstrap")[number % 4]
        bill, flipper = middles[species]
        rows.append(
            {
                "species": species,
                "island": dice.choice(("Biscoe", "Dream", "Torgersen – süd")),
                "bill_mm": round(dice.gauss(bill, 2.5), 1) if number % 17 else "",
                "flipper_mm": round(dice.gauss(flipper, 6)),
                "sex": dice.choice(("male", "female", "NA")),
            }
        )
    return write(path, rows)


def rents(path: Path) -> Path:
    """A rent by size, district and date."""
    dice = random.Random(5)
    rows = []
    for number in range(360):
        size, district = dice.uniform(25, 140), dice.choice("ABCD")
        rent = 9.5 * size + 60 * "ABCD".index(district) + dice.gauss(0, 60)
        rows.append(
            {
                "flat": f"F{number:05d}",
                "size": f"{size:.1f}",
                "district": district if number % 23 else "",
                "balcony": dice.choice(("yes", "no")),
                "listed": f"2024-{1 + number % 12:02d}-{1 + number % 28:02d}",
                "s1": number % 7,  # as train calls scores
                "count": "xyz"[number % 3],  # as polars calls counts
                "rent": f"{rent:.2f}",
            }
        )
    return write(path, rows)


def test_three_classes(folder: Any) -> None:
    table = penguins(folder.root / "penguins.csv")
    folder.cli("init", "birds", "--data", table, "--target", "species", *FEW)
    project = type(folder)(folder.root / "birds")
    project.cli("run")
    schema = project.record("schema")
    assert schema["task"] == "multiclass"
    assert sorted(schema["classes"]) == ["Adelie", "Chinstrap", "Gentoo"]
    assert project.record("champion")["metric"] == "log_loss"
    metrics, baseline = json.loads(project.metrics), project.record("evaluate")["baseline"]
    assert metrics["log_loss"] < 0.6 * baseline["log_loss"]
    assert metrics["accuracy"] > 0.8
    assert len(project.record("evaluate")["confusion"]) == 3

    project.cli("predict", table, "-o", folder.root / "scored.csv")
    scored = list(csv.DictReader((folder.root / "scored.csv").open(newline="")))
    assert len(scored) == 330
    for row in scored:
        shares = {name: float(row[f"p_{name}"]) for name in schema["classes"]}
        assert math.isclose(sum(shares.values()), 1.0, abs_tol=1e-9)
        assert row["prediction"] == max(shares, key=lambda name: shares[name])
    assert sum(row["prediction"] == row["species"] for row in scored) > 250


def test_a_number(folder: Any) -> None:
    table = rents(folder.root / "rents.csv")
    folder.cli("init", "flats", "--data", table, "--target", "rent", *FEW)
    project = type(folder)(folder.root / "flats")
    project.cli("run")
    schema = project.record("schema")
    assert schema["task"] == "regression"
    kinds = {column["name"]: column["kind"] for column in schema["columns"]}
    assert (kinds["listed"], kinds["balcony"], kinds["size"]) == ("datetime", "boolean", "number")
    features = json.loads((project.root / "package/manifest.json").read_bytes())["features"]
    assert "flat" not in {feature["name"] for feature in features}, "a name is no feature"
    champion = project.record("champion")
    assert champion["metric"] == "rmse"
    assert champion["value"] < 0.5 * project.record("evaluate")["baseline"]["rmse"]
    assert (project.root / "plots/residuals.csv").is_file()
    # Smaller is better: the best run is the first.
    assert project.json("runs")[0]["champion"]

    others = {"s1": "3", "count": "y"}
    unlabelled = write(
        folder.root / "new.csv",
        [
            {"size": "50", "district": "A", "balcony": "no", "listed": "2024-05-05", **others},
            {"size": "100", "district": "A", "balcony": "no", "listed": "2024-05-05", **others},
            {"size": "", "district": "Z", "balcony": "", "listed": "", **others},
        ],
    )
    project.cli("predict", unlabelled, "-o", folder.root / "scored.csv")
    scored = list(csv.DictReader((folder.root / "scored.csv").open(newline="")))
    small, large, blank = (float(row["prediction"]) for row in scored)
    assert 300 < large - small < 650
    assert math.isfinite(blank)
