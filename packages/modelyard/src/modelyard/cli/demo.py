"""`modelyard demo`."""

from __future__ import annotations

import time
from pathlib import Path

import click

from modelyard.cli import show
from modelyard.cli.run import print_leaderboard
from modelyard.records import StudyRecord, read_json


@click.command("demo")
@click.argument("folder", default="demo-project", type=click.Path(path_type=Path))
@click.option("--budget", default="40s", show_default=True, help="Time of each search.")
@click.option("--replace", is_flag=True, help="Delete an earlier demonstration there first.")
def command(folder: Path, budget: str, replace: bool) -> None:
    """Tell the whole story on bundled flight data, in a project of its own."""
    from modelyard.demo import Voice, demo
    from modelyard.project import load

    started = time.monotonic()

    def chapter(text: str) -> None:
        click.echo()
        click.secho(f"{text}", bold=True)

    told = demo(
        folder,
        Voice(chapter, lambda text: click.echo(f"  {text}")),
        budget=budget,
        replace=replace,
    )
    here = load(told.root)
    click.echo()
    click.secho("git log --graph", bold=True)
    click.echo(told.graph)
    print_leaderboard(read_json(here.record("study"), StudyRecord))
    click.echo()
    for check in told.summary.gate.checks:
        mark = click.style("✓", fg="green") if check.passed else click.style("✗", fg="red")
        click.echo(f"{mark} gate: {check.message}")
    first, second = told.autumn.values()
    click.echo(
        f"★ champion {told.second.model} v{told.second.version}: on the unseen autumn "
        f"{told.second.metric} {show.number(second)}, the model before it {show.number(first)}"
    )
    for done, text in (
        (told.reverted, "data v1 reproduced its figures exactly"),
        (told.restored, "data v2 is back, figures exactly as released"),
    ):
        mark = click.style("✓", fg="green") if done else click.style("✗", fg="red")
        click.echo(f"{mark} {text}")
    image = told.image
    if image.skipped:
        click.echo(f"– image: skipped. {image.skipped}")
    else:
        mark = click.style("✓", fg="green") if image.verified else click.style("✗", fg="red")
        click.echo(f"{mark} image {image.reference}: {image.summary}, scored inside the container")
    names = ("report", "summary", "card", "bundle")
    click.echo()
    for name, path in zip(names, told.made, strict=True):
        click.echo(f"  {name:9}{folder / path.relative_to(told.root)}")
    if not image.skipped:
        click.echo(f"  {'image':9}{folder}/reports/m3-packaging/index.html")
    click.echo(
        f"  {'runs':9}{folder}/mlflow.db\n"
        f"  {'package':9}{folder}/package/\n"
        f"\nDone in {time.monotonic() - started:.0f} s. Next:\n"
        f"  cd {folder}\n"
        "  modelyard runs\n"
        "  modelyard record      (a filmed tour of up to five minutes)\n"
        "  mlflow ui --backend-store-uri sqlite:///mlflow.db"
    )
