"""`modelyard bundle`, `bundle verify`, `bundle open`."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from modelyard import project
from modelyard.cli import show


@click.group("bundle", invoke_without_command=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The zip (default: reports/NAME-bundle.zip).",
)
@click.option(
    "--data",
    type=click.Choice(["all", "current"]),
    default="all",
    show_default=True,
    help="Every data version, or the one at work alone.",
)
@click.pass_context
def command(ctx: click.Context, output: Path | None, data: str) -> None:
    """Put code, data, models, reports and logs into one zip, with a manifest of it all."""
    if ctx.invoked_subcommand is not None:
        return
    from modelyard.ship.bundle import bundle

    made = bundle(project.load(), output, data="current" if data == "current" else "all")
    click.echo(f"{made.path}  {show.size(made.size)}, {made.files} files")
    click.echo(f"  data: {', '.join(made.data) or 'the working table'}")
    click.echo(f"  manifest sha256: {made.digest}")
    for name in made.missing[:10]:
        click.echo(f"  not inside, neither cache nor remote held it: {name}")


@command.command("verify")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
def verify_command(path: Path) -> None:
    """Check every file of a bundle against its manifest; needs no project."""
    from modelyard.ship.bundle import verify

    found = verify(path)
    click.echo(
        f"✓ {path}: {len(found.manifest.files)} files, {show.size(found.size)}, as they were made"
    )
    click.echo(f"  project {found.manifest.project} at commit {found.manifest.commit[:12]}")
    click.echo(f"  manifest sha256: {found.digest}")


@command.command("open")
@click.argument("path", metavar="BUNDLE", type=click.Path(path_type=Path))
@click.argument("folder", type=click.Path(path_type=Path))
def open_command(path: Path, folder: Path) -> None:
    """Check a bundle and make a project of it again in FOLDER."""
    from modelyard.ship.bundle import unfold

    found = unfold(path, folder)
    click.echo(f"✓ {found.manifest.project} is in {folder}, data {', '.join(found.manifest.data)}")
    home = shlex.quote(str(folder / found.manifest.folder))
    click.echo(f"Next:\n  cd {home}\n  modelyard reproduce")
