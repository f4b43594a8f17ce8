"""`modelyard predict`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import project


@click.command("predict")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="CSV or Parquet."
)
@click.option(
    "--package", type=click.Path(path_type=Path), help="A package other than the champion's."
)
def command(table: Path, output: Path, package: Path | None) -> None:
    """Score TABLE with the champion; the output has its columns and the predictions."""
    from modelyard.ship.champion import package_to_use, reading_options
    from modelyard.watch.predict import predict

    here = None if package else project.load()
    chosen = package if here is None else package_to_use(here)
    assert chosen is not None
    summary = predict(chosen, table, output, **reading_options(here))
    click.echo(f"{summary.rows:,} rows scored into {output}")
    for warning in summary.warnings:
        click.secho(f"  {warning}", fg="yellow", err=True)
