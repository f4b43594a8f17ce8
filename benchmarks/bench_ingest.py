"""ingest against a bare Polars read-and-write of the same file: time and peak memory as ratios.

    python benchmarks/bench_ingest.py [--rows 5000000] [--rounds 3]

Both run in processes of their own, in turn, and the best round of each counts. Processor time is
shown as well: unlike the wall clock it hardly depends on what else the machine does.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = """project: {name: bench}
data: {path: data/raw/table.csv, target: late, id: order}
"""


def generate(path: Path, rows: int) -> None:
    """20 columns: id, 9 reals (one with gaps), 4 integers, 3 categories, flag, date, target."""
    import numpy as np
    import polars as pl

    rng = np.random.default_rng(0)
    columns: dict[str, object] = {"order": np.arange(rows)}
    for i in range(9):
        columns[f"real_{i}"] = np.round(rng.normal(size=rows) * 100, 3)
    for i in range(4):
        columns[f"whole_{i}"] = rng.integers(0, 10 ** (i + 1), rows)
    for i, levels in enumerate((3, 20, 300)):
        names = np.array([f"level_{level}" for level in range(levels)])
        columns[f"category_{i}"] = pl.Series(names[rng.integers(0, levels, rows)])
    columns["flag"] = pl.Series(np.array(["no", "yes"])[rng.integers(0, 2, rows)])
    days = rng.integers(0, 1000, rows).astype("timedelta64[D]")
    columns["when"] = pl.Series(np.datetime64("2020-01-01") + days).cast(pl.Date)
    columns["late"] = pl.Series(np.array(["no", "yes"])[(rng.random(rows) < 0.2).astype(int)])
    frame = pl.DataFrame(columns)
    gaps = pl.Series(rng.random(rows) < 0.05)
    frame = frame.with_columns(pl.when(gaps).then(None).otherwise(pl.col("real_1")).alias("real_1"))
    frame.write_csv(path)


def bare(root: Path) -> None:
    """What Polars alone does."""
    import polars as pl

    pl.read_csv(root / "data/raw/table.csv").write_parquet(root / "bare.parquet")


def ours(root: Path) -> None:
    """The stage."""
    from modelyard.project import load
    from modelyard.stages.ingest import ingest

    ingest(load(root))


def measured(what: str, root: Path) -> dict[str, float]:
    """Run one of the two in a process of its own."""
    out = subprocess.run(
        [sys.executable, __file__, "--child", what, "--root", str(root)],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return dict(json.loads(out.splitlines()[-1]))


def child(what: str, root: Path) -> None:
    """Measure from the first import to the last byte written."""
    start = time.perf_counter()
    {"bare": bare, "ours": ours}[what](root)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    figures = {
        "seconds": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
    }
    print(json.dumps(figures))


def main() -> None:
    """Print one line a round and the ratios of the best."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child")
    parser.add_argument("--root", type=Path)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.root)
        return
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "data/raw").mkdir(parents=True)
        (root / "modelyard.yaml").write_text(PROJECT)
        generate(root / "data/raw/table.csv", options.rows)
        rounds = [
            {what: measured(what, root) for what in ("bare", "ours")} for _ in range(options.rounds)
        ]
        for number, both in enumerate(rounds, start=1):
            print(f"round {number}: {json.dumps(both)}")
        for key, limit in (("seconds", 1.5), ("cpu", None), ("peak_mb", 2.0)):
            best = {what: min(both[what][key] for both in rounds) for what in ("bare", "ours")}
            said = f" (limit {limit})" if limit else ""
            print(
                f"{key}: bare {best['bare']:.2f}, ingest {best['ours']:.2f}, "
                f"ratio {best['ours'] / best['bare']:.2f}{said}"
            )


if __name__ == "__main__":
    main()
