"""`modelyard init`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import line
from modelyard.project import parse_overrides


@click.command("init")
@click.argument("name", default="")
@click.option("--data", type=click.Path(path_type=Path), required=True, help="The table.")
@click.option("--target", required=True, help="The column to predict.")
@click.option("--adopt", is_flag=True, help="Work inside the git repository that is here.")
@click.option("--dry-run", is_flag=True, help="List what would be written, and write nothing.")
@click.option(
    "-S",
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Write this value into modelyard.yaml, such as -S tune.budget=5m.",
)
def command(
    name: str, data: Path, target: str, adopt: bool, dry_run: bool, pairs: tuple[str, ...]
) -> None:
    """Make a project NAME from a table: a git repository with its data under DVC."""
    from modelyard.scaffold.init import init

    if not name and not adopt:
        raise click.UsageError("Give the project a NAME, or --adopt the repository that is here.")
    made = init(
        name or ".",
        data,
        target,
        stages=line.stages,
        adopt=adopt,
        dry_run=dry_run,
        sections=parse_overrides(pairs),
    )
    click.secho("Would write:" if dry_run else f"Made {made.root}", bold=True)
    for path in made.files:
        if not path.startswith(".rendered/"):
            click.echo(f"  {path}")
    click.echo("  .rendered/ (the generated files once more, for modelyard sync)")
    click.secho("Inferred:", bold=True)
    for what, value, why in made.inferred:
        click.echo(f"  {what:<10} {value}  ({why})" if why else f"  {what:<10} {value}")
    for note in made.notes:
        click.echo(f"  note: {note}")
    if not dry_run:
        where = "" if adopt else f"cd {name}  ·  "
        click.echo(f"Next:  {where}modelyard run")
