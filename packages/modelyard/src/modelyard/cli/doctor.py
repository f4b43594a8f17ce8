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
    findings = checks.examine()
    if as_json:
        show.as_json(findings)
    else:
        marks = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red")}
        for finding in findings:
            mark, colour = marks[finding.state]
            click.secho(mark, fg=colour, nl=False)
            click.echo(f" {finding.name:<14} {finding.message}")
            if finding.fix:
                click.echo(f"     fix: {finding.fix}")
    if any(finding.state == "error" for finding in findings):
        raise SystemExit(1)
