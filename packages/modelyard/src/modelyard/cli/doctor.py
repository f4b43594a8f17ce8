"""`modelyard doctor`."""

from __future__ import annotations

import click

from modelyard import checks
from modelyard.cli import show


@click.command("doctor")
@click.option("--fix", is_flag=True, help="First mend what needs no decision: merge drivers.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(fix: bool, as_json: bool) -> None:
    """Check git, DVC, MLflow, the disk, versions, the project file and the locks."""
    for done in checks.mend() if fix else ():
        click.echo(f"fixed: {done}", err=as_json)
    show.findings(checks.examine(), as_json)
