"""`modelyard sync`."""

from __future__ import annotations

import click

from modelyard import line, project

SAID = {
    "new": ("written", "green"),
    "updated": ("updated", "green"),
    "merged": ("updated, your edits kept", "green"),
    "conflict": ("conflict: both sides stand between markers", "red"),
    "removed": ("removed: rendered no more", "yellow"),
}


@click.command("sync")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where something would change.")
@click.option("--diff", is_flag=True, help="Show what changes.")
def command(check: bool, diff: bool) -> None:
    """Bring the generated files up to date with modelyard.yaml and this version; edits are kept."""
    from modelyard.scaffold import sync

    here = project.load()
    changes = sync.compare(here, line.stages) if check else sync.sync(here, line.stages)
    touched = [change for change in changes if change.state in sync.CHANGES]
    for change in touched:
        text, colour = SAID[change.state]
        click.secho(f"  {change.path:<40} ", nl=False)
        click.secho(f"would be {text}" if check else text, fg=colour)
        if diff:
            click.echo(change.diff())
    kept = [change.path for change in changes if change.state == "yours"]
    for path in kept:
        click.echo(f"  {path:<40} yours, left alone")
    if not touched:
        click.echo(f"{len(changes)} files are up to date.")
    if (check and touched) or any(change.state == "conflict" for change in touched):
        raise SystemExit(1)
