"""`modelyard rollback`."""

from __future__ import annotations

import click

from modelyard import project


@click.command("rollback")
@click.argument("version", default="")
@click.option("-m", "--message", default="", help="Why: kept in the audit line.")
def command(version: str, message: str) -> None:
    """Make VERSION (the one before, without an argument) the champion again.

    The old package is fetched, its digests and golden samples are checked, then the alias moves.
    """
    from modelyard.ship.rollback import rollback

    made = rollback(project.load(), version, why=message)
    click.secho(f"★ {made.model} v{made.version} is the champion again", fg="green", bold=True)
    click.echo(f"  package {made.package_digest[:12]} · data {made.data_version}")
