"""`modelyard reproduce`."""

from __future__ import annotations

import click

from modelyard import project


@click.command("reproduce")
@click.option("--search", is_flag=True, help="Search again too (needs tune.trials or a grid).")
def command(search: bool) -> None:
    """Refit from the recorded study in a scratch folder, without any cache, and compare."""
    from modelyard.reproducing import reproduce

    found = reproduce(project.load(), search=search, say=lambda text: click.echo(f"  {text}"))
    click.echo(f"{'✓' if found.same_metrics else '✗'} metrics: {found.metrics_message}")
    click.echo(f"{'✓' if found.same_model else '✗'} model digest: {found.digest_message}")
    if not (found.same_metrics and found.same_model):
        raise SystemExit(1)
