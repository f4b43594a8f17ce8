"""split on a large table, as a ratio to a bare Polars read-and-write of the same Parquet file.

    python benchmarks/bench_split.py [rows]        # 5,000,000 rows x 20 columns by default

Both are taken in one run, alternately, each in a process of its own; medians of three.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

NUMBERS, WHOLES, TEXTS = 12, 4, 3


def generate(folder: Path, rows: int) -> None:
    """A project's typed table and schema, as ingest leaves them."""
    import numpy as np
    import polars as pl

    from modelyard.records import Column, Schema, write_json

    random = np.random.default_rng(0)
    columns = {f"n{i}": random.normal(size=rows) for i in range(NUMBERS)}
    columns |= {f"i{i}": random.integers(0, 1000, rows) for i in range(WHOLES)}
    words = np.array(["alpha", "beta", "gamma delta", "épsilon", "415"])
    columns |= {f"s{i}": random.choice(words, rows) for i in range(TEXTS)}
    columns["y"] = random.choice(np.array(["no", "yes"]), rows, p=[0.8, 0.2])
    frame = pl.DataFrame(columns)
    (folder / "data/interim").mkdir(parents=True)
    frame.write_parquet(folder / "data/interim/table.parquet")
    schema = Schema(
        task="binary",
        target="y",
        classes=("no", "yes"),
        columns=tuple(Column(name=name, kind="number") for name in columns),
    )
    write_json(folder / "records/schema.json", schema)


def bare(folder: Path) -> None:
    """What nobody can do without: read the table, write a table."""
    import polars as pl

    pl.read_parquet(folder / "data/interim/table.parquet").write_parquet(folder / "copy.parquet")


def ours(folder: Path) -> None:
    """The stage itself."""
    from modelyard.project import Project, settings_from
    from modelyard.stages.split import split

    tree = {"project": {"name": "bench"}, "data": {"path": "t.csv", "target": "y"}}
    split(Project(folder, settings_from(tree, "modelyard.yaml")))


def timed(what: str, folder: Path) -> dict[str, float]:
    """Run one side in a process of its own; returns seconds and peak memory in MB."""
    answer = subprocess.run(
        [sys.executable, __file__, what, str(folder)], check=True, capture_output=True, text=True
    )
    return json.loads(answer.stdout)


def main() -> None:
    """Print the medians and the ratios as JSON."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 5_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # In a process of its own: a child's peak memory never reads below its parent's size.
        subprocess.run([sys.executable, __file__, "generate", name, str(rows)], check=True)
        found = {"bare": [], "split": []}
        for _ in range(3):
            for what in found:
                found[what].append(timed(what, folder))
    middle = {
        what: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for what, runs in found.items()
    }
    ratios = {
        f"{key}_ratio": round(middle["split"][key] / middle["bare"][key], 2)
        for key in ("seconds", "peak_mb")
    }
    print(json.dumps({"rows": rows, "columns": NUMBERS + WHOLES + TEXTS + 1} | middle | ratios))


if __name__ == "__main__":
    if sys.argv[1:2] == ["generate"]:
        generate(Path(sys.argv[2]), int(sys.argv[3]))
    elif len(sys.argv) > 2:
        import polars  # noqa: F401  (both sides pay for the import before the clock starts)

        sides = {"bare": bare, "split": ours}
        begun = time.perf_counter()
        sides[sys.argv[1]](Path(sys.argv[2]))
        seconds = time.perf_counter() - begun
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak_mb": peak}))
    else:
        main()
