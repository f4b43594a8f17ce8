"""`modelyard git setup|merge`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import project


@click.group("git")
def command() -> None:
    """What git needs to know of a project: merge drivers for dvc.lock and the champion."""


@command.command("setup")
def setup() -> None:
    """Tell this clone of the project how to merge dvc.lock, the champion and what stages write."""
    from modelyard.tools import git

    made = git.install_drivers(project.find_root())
    for name in made:
        click.echo(f"merge driver {name}: {git.DRIVERS[name]}")
    click.echo("This clone knows the merge drivers." if made else "This clone knew them already.")


@command.command("merge")
@click.argument("kind")
@click.argument("base", type=click.Path(path_type=Path, exists=True))
@click.argument("ours", type=click.Path(path_type=Path, exists=True))
@click.argument("theirs", type=click.Path(path_type=Path, exists=True))
@click.argument("path")
def merge(kind: str, base: Path, ours: Path, theirs: Path, path: str) -> None:
    """Merge one file for git, which calls this; the outcome takes the place of OURS."""
    from modelyard import merging

    found = merging.merge(kind, merging.Sides(base, ours, theirs, path))
    if found.message:
        click.echo(f"modelyard: {found.message}", err=True)
    if found.conflict:
        raise SystemExit(1)
