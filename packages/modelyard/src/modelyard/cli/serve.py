"""`modelyard serve`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import project


@click.command("serve")
@click.option(
    "--package", type=click.Path(path_type=Path), help="A package other than the champion's."
)
@click.option("--host", help="Address to listen at; HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port; PORT, else 8080.")
@click.option(
    "--workers", type=click.IntRange(1, 512), help="Worker processes; WEB_CONCURRENCY, else 1."
)
def command(package: Path | None, host: str | None, port: int | None, workers: int | None) -> None:
    """Serve the champion over HTTP until Ctrl-C; / is a page to try it."""
    from modelyard.ship import serve

    what = serve.released(project.load()) if package is None else serve.Served(package, "")
    click.echo(f"serving {what.shown}")
    serve.replace_process(what, host=host, port=port, workers=workers)
