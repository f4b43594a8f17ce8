"""`modelyard report`."""

from __future__ import annotations

import click

from modelyard import project


@click.command("report")
@click.option("--refresh", is_flag=True, help="Read the list of runs from the tracking store anew.")
def command(refresh: bool) -> None:
    """Write reports/index.html from the records; nothing is computed anew."""
    from modelyard.reporting import report

    here = project.load()
    path = report(here, refresh=refresh)
    click.echo(str(path.relative_to(here.root)))
