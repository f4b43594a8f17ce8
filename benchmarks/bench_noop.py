"""A run with nothing to do: `modelyard run` against `dvc status` on the same project.

    python benchmarks/bench_noop.py [--rounds 7] [--rows 2000] [--project FOLDER]

Target: at most 1.3 times. Without --project a small one is made first, run once, and thrown away.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import measure

LIMIT = 1.3
KEYS = ("tune.trials=3", "tune.families=[linear, boosting]", "tune.folds=2")


def make(folder: Path, rows: int) -> Path:
    """A project on the first rows of the flights, run once."""
    table = folder / "flights.csv"
    measure.write_table_head(measure.FLIGHTS / "flights_v1_jan_apr.csv", rows, table)
    modelyard = str(measure.BIN / "modelyard")
    pairs = [word for key in KEYS for word in ("-S", key)]
    measure.run(
        [modelyard, "init", "bench", "--data", str(table), "--target", "late", *pairs], folder
    )
    measure.run([modelyard, "run"], folder / "bench")
    return folder / "bench"


def main() -> None:
    """Print the medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--project", type=Path, help="an existing project that is up to date")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        project = options.project or make(Path(scratch), options.rows)
        sides = {
            "dvc status": [str(measure.BIN / "dvc"), "status"],
            "modelyard run": [str(measure.BIN / "modelyard"), "run"],
        }
        found = measure.in_turn(sides, options.rounds, project)
    body, rows = measure.compare(found, "modelyard run", "dvc status")
    print(measure.markdown(["", "dvc status", "modelyard run", "ratio"], rows))
    print(f"\nTarget: {LIMIT} times the wall clock.")
    measure.save("noop", {"limit": LIMIT, **body})


if __name__ == "__main__":
    main()
