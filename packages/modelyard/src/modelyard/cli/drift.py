"""`modelyard drift`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import project
from modelyard.cli import show


@click.command("drift")
@click.argument("table", type=click.Path(path_type=Path))
@click.option(
    "--package", type=click.Path(path_type=Path), help="A package other than the champion's."
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(table: Path, package: Path | None, as_json: bool) -> None:
    """Compare TABLE with the data that the champion was trained on (PSI of every column)."""
    from modelyard.ship.champion import package_to_use, reading_options
    from modelyard.watch.drift import drift

    here = None if package else project.load()
    chosen = package if here is None else package_to_use(here)
    assert chosen is not None
    found = drift(chosen, table, **reading_options(here))
    if as_json:
        show.as_json(found)
        return
    print_drift(found)


def print_drift(found: object, columns: int = 6) -> None:
    """The verdict and the columns that moved most."""
    from modelyard.watch.drift import DriftRecord

    assert isinstance(found, DriftRecord)
    colour = {"none": "green", "moderate": "yellow", "strong": "red"}[found.verdict]
    click.echo("drift: ", nl=False)
    click.secho(found.verdict, fg=colour, bold=True, nl=False)
    click.echo(f" ({found.rows:,} rows; PSI above 0.1 is moderate, above 0.25 strong)")
    show.table(
        ["  column", "PSI"],
        [[f"  {c.column}", f"{c.psi:.3f}"] for c in found.columns[:columns]],
        right=(1,),
    )
