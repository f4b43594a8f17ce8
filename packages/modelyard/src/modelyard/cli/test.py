"""`modelyard test`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard.cli import show


@click.command("test")
@click.option("--junit", type=click.Path(path_type=Path), help="Write a JUnit file here.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(junit: Path | None, as_json: bool) -> None:
    """Run the doctor, the packages' golden samples, the data against its schema, and tests/."""
    from modelyard.ci.testing import examine

    show.findings(examine(report=junit), as_json)
