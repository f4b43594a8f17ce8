"""`modelyard card`."""

from __future__ import annotations

import click

from modelyard import project


@click.command("card")
def command() -> None:
    """Write MODEL_CARD.md from the records; what you wrote in it stays."""
    from modelyard.cli.show import deliverable
    from modelyard.reporting import card

    here = project.load()
    deliverable(here, *card(here))
