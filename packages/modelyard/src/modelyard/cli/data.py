"""`modelyard data add|log|diff|checkout|pull|validate`."""

from __future__ import annotations

from pathlib import Path

import click
from msgspec.structs import asdict

from modelyard import project
from modelyard.cli import show


@click.group("data")
def command() -> None:
    """Data versions: each is a DVC hash at a git tag data/vN."""


@command.command("add")
@click.argument("table", type=click.Path(path_type=Path))
@click.option("-m", "--message", required=True, help="What is new in this version.")
@click.option("--append", is_flag=True, help="Add the rows to the present ones.")
@click.option("--allow-schema-change", is_flag=True, help="Accept new, lost or retyped columns.")
def add(table: Path, message: str, append: bool, allow_schema_change: bool) -> None:
    """Check TABLE against the schema and make it the next data version."""
    from modelyard.versions.add import add as add_version

    made = add_version(
        project.load(), table, message, append=append, allow_schema_change=allow_schema_change
    )
    click.echo(f"data/{made.version}: {message} (md5 {made.md5[:12]}, commit {made.commit[:8]})")
    click.echo("Next:  modelyard data diff  ·  modelyard run")


@command.command("log")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def log(as_json: bool) -> None:
    """List the data versions, newest first; * marks the working one."""
    from modelyard.versions.log import log as versions_log

    versions = versions_log(project.load())
    if as_json:
        show.as_json(versions)
        return
    show.table(
        ["", "version", "when", "md5", "size", "message"],
        [
            [
                "*" if entry.current else "",
                entry.version,
                entry.when[:16].replace("T", " "),
                entry.md5[:12],
                f"{entry.size / 1e6:.1f} MB" if entry.size else "–",
                entry.message,
            ]
            for entry in versions
        ],
    )


@command.command("diff")
@click.argument("old", default="")
@click.argument("new", default="")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def diff(old: str, new: str, as_json: bool) -> None:
    """Compare two data versions: rows, schema, and how far every column moved.

    Without arguments, the two newest versions.
    """
    from modelyard.versions.compare import compare, newest_two

    here = project.load()
    if not old or not new:
        older, newer = newest_two(here)
        old, new = old or older, new or newer
    found = compare(here, old, new)
    if as_json:
        show.as_json(asdict(found) | {"schema_changes": found.schema_changes})
        return
    print_diff(old, new, found)


def print_diff(old: str, new: str, found: object, columns: int = 8) -> None:
    """Rows, schema changes, the columns that moved most."""
    from modelyard.tables.diff import TableDiff

    assert isinstance(found, TableDiff)
    click.secho(f"{old} → {new}", bold=True)
    click.echo(
        f"  rows     {found.rows_before:,} → {found.rows_after:,}: "
        f"{found.added:,} added, {found.removed:,} removed, {found.changed:,} changed"
    )
    for note in found.notes:
        click.echo(f"  note     {note}")
    for change in found.schema_changes:
        click.echo(f"  schema   {change}")
    if found.shifts:
        click.echo()
        show.table(
            ["  column", "PSI", "before", "after"],
            [
                [f"  {shift.column}", f"{shift.psi:.3f}", shift.before, shift.after]
                for shift in found.shifts[:columns]
            ],
            right=(1,),
        )
        left = len(found.shifts) - columns
        if left > 0:
            click.echo(f"  … and {left} columns that moved less")


@command.command("checkout")
@click.argument("version")
@click.option("--force", is_flag=True, help="Discard changes of the working table.")
def checkout(version: str, force: bool) -> None:
    """Make the working data byte-identical to VERSION (such as v1)."""
    from modelyard.versions.checkout import checkout as checkout_version

    found = checkout_version(project.load(), version, force=force)
    click.echo(f"The working data is {found.version} (md5 {found.md5[:12]}): {found.message}")
    click.echo("Next:  modelyard run")


@command.command("pull")
def pull() -> None:
    """Bring the table from DVC's cache or remote, and of the stages' outputs what is there."""
    from modelyard.versions.pull import pull as pull_data

    pull_data(project.load(), click.echo)


@command.command("validate")
def validate() -> None:
    """Hold the working table against the recorded schema; exit code 4 where it does not fit."""
    from modelyard.versions.validate import validate as validate_data

    found = validate_data(project.load())
    for warning in found.warnings:
        click.echo(f"! {warning}")
    click.echo(f"✓ {found.rows:,} rows fit {found.against}")
