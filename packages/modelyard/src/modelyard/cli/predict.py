"""`modelyard predict`."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from modelyard import project
from modelyard.cli import show

_EVERY = 0.2
"""Seconds between two drawings of the line of progress."""


@click.command("predict")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="CSV or Parquet."
)
@click.option(
    "--package", type=click.Path(path_type=Path), help="A package other than the champion's."
)
@click.option("--workers", type=int, help="Processes that score; by default one a processor.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(
    table: Path, output: Path, package: Path | None, workers: int | None, as_json: bool
) -> None:
    """Score TABLE with the champion; the output has its columns and the predictions."""
    from modelyard.ship.champion import package_to_use, reading_options
    from modelyard.watch.predict import predict

    here = None if package else project.load()
    chosen = package if here is None else package_to_use(here)
    assert chosen is not None
    line = _Line()
    try:
        summary = predict(
            chosen,
            table,
            output,
            workers=workers,
            progress=line.draw if line.live else None,
            **reading_options(here),
        )
    finally:
        line.clear()
    if as_json:
        show.as_json(summary)
        return
    pace = f" in {summary.seconds:.1f} s, {summary.rows_per_second:,.0f} rows/s"
    click.echo(f"{summary.rows:,} rows scored into {output}" + (pace if line.drawn else ""))
    for warning in summary.warnings:
        click.secho(f"  {warning}", fg="yellow", err=True)


class _Line:
    """The line of progress, on a terminal: rows so far and rows a second."""

    def __init__(self) -> None:
        self.live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self.drawn = False
        self._last = 0.0

    def draw(self, rows: int, seconds: float) -> None:
        """Draw it anew, a few times a second."""
        now = time.monotonic()
        if now - self._last < _EVERY:
            return
        self._last, self.drawn = now, True
        pace = rows / max(seconds, 1e-9)
        click.echo(f"\r\x1b[2K{rows:,} rows · {pace:,.0f} rows/s", err=True, nl=False)

    def clear(self) -> None:
        """Take it away."""
        if self.drawn:
            click.echo("\r\x1b[2K", err=True, nl=False)
