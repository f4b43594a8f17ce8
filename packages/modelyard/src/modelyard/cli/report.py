"""`modelyard report`."""

from __future__ import annotations

import click

from modelyard import project


@click.command("report")
def command() -> None:
    """Write reports/index.html from the records; nothing is computed anew."""
    from modelyard.registry import lineage
    from modelyard.report import html

    here = project.load()
    path = html.write(here, {"lineage": lineage.collect(here).tags()})
    click.echo(str(path.relative_to(here.root)))
