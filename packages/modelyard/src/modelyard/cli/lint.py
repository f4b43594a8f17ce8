"""`modelyard lint`."""

from __future__ import annotations

import click

from modelyard.cli import show


@click.command("lint")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(as_json: bool) -> None:
    """Check what git keeps: the project file, YAML, JSON, records, sizes, generated files."""
    from modelyard.ci.linting import lint

    show.findings(lint(), as_json)
