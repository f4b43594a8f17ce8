"""`modelyard ci run|report|comment`."""

from __future__ import annotations

from pathlib import Path

import click

from modelyard import line, project
from modelyard.cli import show


@click.group("ci")
def command() -> None:
    """The pipeline: run it on this machine, and report on a proposed change."""


@command.command("run")
@click.argument("stages", nargs=-1, metavar="[STAGE]...")
@click.option("--file", help="The pipeline file; .gitlab-ci.yml, else .github/workflows/pipeline.yml.")
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option(
    "--event",
    type=click.Choice(["push", "change", "schedule"]),
    help="What it runs for; a push on the protected branch, a proposed change on any other.",
)
@click.option(
    "--variable",
    "pairs",
    multiple=True,
    metavar="NAME=VALUE",
    help="What is set at the service, secrets too; NAME alone takes it from the environment.",
)
@click.option("--committed", is_flag=True, help="Run HEAD, although there are uncommitted changes.")
@click.option("--keep", is_flag=True, help="Leave the clones where they are.")
@click.option("--json", "as_json", is_flag=True, help="End with a JSON document.")
def run(
    stages: tuple[str, ...],
    file: str | None,
    until: str | None,
    event: str | None,
    pairs: tuple[str, ...],
    committed: bool,
    keep: bool,
    as_json: bool,
) -> None:
    """Run the jobs of the pipeline file in order, each in a clean clone; logs go to ci/logs.

    The exit code is the first failing job's.
    """
    from modelyard.ci import running
    from modelyard.ci.variables import given

    here = project.load()
    line.install_signal_handlers()
    done = running.run(
        here,
        stages,
        file=file,
        until=until,
        event=event,  # type: ignore[arg-type]
        variables=given(pairs),
        committed=committed,
        keep=keep,
        say=click.echo,
    )
    if as_json:
        show.as_json(done)
    else:
        click.echo()
        show.table(
            ["stage", "job", "", "seconds", ""],
            [[j.stage, j.name, j.state, f"{j.seconds:.1f}", j.reason[:80]] for j in done.jobs],
            right=(3,),
        )
        click.echo(f"\n  logs  ci/logs/{done.id}/index.html")
    if done.exit_code:
        raise SystemExit(done.exit_code)
