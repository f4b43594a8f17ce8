"""`modelyard trace`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli import show


@click.command("trace")
@click.argument("what")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(what: str, as_json: bool) -> None:
    """Walk the lineage from a commit, run, package, model or image digest, or a version."""
    from modelyard.ship.trace import trace

    chains = trace(project.load(), what)
    if as_json:
        show.as_json(chains)
        return
    for index, chain in enumerate(chains):
        if index:
            click.echo()
        for name, value in chain.rows():
            click.echo(f"  {name:<14} {value}")
