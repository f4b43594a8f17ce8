"""`modelyard config`."""

from __future__ import annotations

import json

import click

from modelyard import project


@click.command("config")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of modelyard.yaml.")
@click.option("--markdown", is_flag=True, help="Print the reference page.")
def command(schema: bool, markdown: bool) -> None:
    """List every key of modelyard.yaml: type, default, meaning."""
    if schema:
        click.echo(json.dumps(project.json_schema(), indent=2))
        return
    from modelyard.render.reference import keys, markdown_page

    if markdown:
        click.echo(markdown_page(), nl=False)
        return
    for key in keys():
        click.secho(key.path, bold=True, nl=False)
        click.echo(f"  {key.type}" + (f" = {key.default}" if key.default is not None else ""))
        click.echo(f"    {key.description}")
