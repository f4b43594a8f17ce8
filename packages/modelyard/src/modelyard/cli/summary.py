"""`modelyard summary`."""

from __future__ import annotations

import click

from modelyard import project


@click.command("summary")
def command() -> None:
    """Write the one-page summary: its words in SUMMARY.md, the page in reports/summary.pdf."""
    from modelyard.cli.show import deliverable
    from modelyard.reporting import summary

    here = project.load()
    deliverable(here, *summary(here))
