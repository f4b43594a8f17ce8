"""ingest and split of a large CSV against a bare Polars read-and-write of the same file.

    python benchmarks/bench_ingest.py [--rows 5000000] [--rounds 3]

Targets: at most 1.5 times the wall clock and twice the peak memory. The bare side reads the CSV and
writes Parquet; ours runs both stages, one after the other, in one process (`modelyard run` gives
each a process of its own: their start is bench_overhead's matter). Each side is a process of its
own, measured from its start to its end, imports included. Processor time hardly depends on what
else the machine does; the wall clock does.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import measure

LIMITS = {"seconds": 1.5, "peak_mb": 2.0}
PROJECT = """project: {name: bench}
data: {path: data/raw/table.csv, target: late, id: order}
"""


def generate(root: Path, rows: int) -> None:
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
    (root / "data/raw").mkdir(parents=True)
    frame.write_csv(root / "data/raw/table.csv")
    (root / "modelyard.yaml").write_text(PROJECT)


def bare(root: Path) -> None:
    """What nobody can do without: read the table, write a table."""
    import polars as pl

    pl.read_csv(root / "data/raw/table.csv").write_parquet(root / "bare.parquet")


def ingest(root: Path) -> None:
    """The first stage."""
    from modelyard.project import load
    from modelyard.stages.ingest import ingest as stage

    stage(load(root))


def split(root: Path) -> None:
    """The second stage, on what the first one left."""
    from modelyard.project import load
    from modelyard.stages.split import split as stage

    stage(load(root))


def both(root: Path) -> None:
    """The two stages."""
    ingest(root)
    split(root)


WORK = {"bare": bare, "ingest": ingest, "split": split, "both": both}


def main() -> None:
    """Print the medians and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--do", choices=(*WORK, "generate"), help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.do == "generate":
        return generate(options.root, options.rows)
    if options.do:
        return WORK[options.do](options.root)
    with tempfile.TemporaryDirectory() as folder:
        own = [sys.executable, __file__, "--root", folder, "--rows", str(options.rows), "--do"]
        measure.run([*own, "generate"])
        megabytes = (Path(folder) / "data/raw/table.csv").stat().st_size / 1e6
        found = measure.in_turn({name: [*own, name] for name in WORK}, options.rounds)
    keys = ("seconds", "cpu", "peak_mb")
    body, rows = measure.compare(found, "both", "bare", keys)
    for row, key in zip(rows, keys, strict=True):
        parts = [f"{measure.medians(found[name])[key]:.3g}" for name in ("ingest", "split")]
        row[2:2] = parts
        row.append(f"{LIMITS[key]:g}" if key in LIMITS else "")
    head = ["", "bare", "ingest alone", "split alone", "both", "both / bare", "target"]
    print(f"{options.rows:,} rows x 20 columns, {megabytes:,.0f} MB of CSV\n")
    print(measure.markdown(head, rows))
    parts = {name: measure.medians(found[name]) for name in ("ingest", "split")}
    said = {"rows": options.rows, "columns": 20, "csv_mb": megabytes, "limits": LIMITS}
    measure.save("ingest", json.loads(json.dumps(said | body | {"parts": parts})))
    return None


if __name__ == "__main__":
    main()
