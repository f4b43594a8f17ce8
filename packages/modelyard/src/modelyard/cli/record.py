"""`modelyard record`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import project


@click.command("record")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The film (default: reports/recording.mp4).",
)
@click.option(
    "--longest",
    type=click.FloatRange(30, 298),
    default=298.0,
    show_default=True,
    help="Seconds at the most.",
)
def command(output: Path | None, longest: float) -> None:
    """Film a guided tour of the project: a real browser, a real terminal, captions, a voice."""
    from modelyard.reporting import record

    here = project.load()
    film = record(here, output, longest=longest, say=lambda text: click.echo(f"  {text}"))
    click.echo(
        f"{film.path}  {film.seconds:.0f} s, {film.captions} captions"
        + ("" if film.voice else ", no voice: espeak-ng is not installed")
    )
    for text in film.skipped:
        click.echo(f"  left out: {text}")
