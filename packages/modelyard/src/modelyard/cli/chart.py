"""`modelyard chart`."""

from __future__ import annotations

import sys

import click

from modelyard import project


@click.command("chart")
@click.option("--force", is_flag=True, help="Replace files that were changed by hand, too.")
@click.option("--check", is_flag=True, help="Write nothing; exit 1 where something is out of date.")
def command(force: bool, check: bool) -> None:
    """Write charts/NAME, the Helm chart of the endpoint, or bring it up to date.

    Your values stand in values-staging.yaml and values-production.yaml, which are written once.
    """
    from modelyard.ship.chart import chart

    here = project.load()
    report = chart(here, force=force, dry_run=check)
    folder = report.folder.relative_to(here.root)
    for name in report.edited:
        click.echo(f"kept as you changed it: {folder}/{name}")
    if not report.written:
        click.echo(f"{folder} is up to date")
        return
    for name in report.written:
        click.echo(f"{'out of date' if check else 'wrote'}: {folder}/{name}")
    if check:
        sys.exit(1)
