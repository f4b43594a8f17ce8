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
@click.option(
    "--file", help="The pipeline file; .gitlab-ci.yml, else .github/workflows/pipeline.yml."
)
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option(
    "--event",
    type=click.Choice(["push", "change", "schedule", "manual"]),
    help="What it runs for; a push on the protected branch, a proposed change on any other. "
    "A manual start takes its inputs from --variable.",
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


@command.command("report")
@click.option("--base", help="The branch to compare with; ci.branch by default.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("reports/ci.md"),
    show_default=True,
    help="Where it goes; its plots lie beside it.",
)
@click.option("--print", "printed", is_flag=True, help="Print it too.")
def report(base: str | None, output: Path, printed: bool) -> None:
    """Write what this branch changes, in Markdown: metrics, gate, data, parameters, size, plots."""
    from modelyard.ci import proposal

    here = project.load()
    text = proposal.write(here, base or here.settings.ci.branch, output.absolute())
    click.echo(text if printed else str(output))


@command.command("comment")
@click.argument("report", type=click.Path(path_type=Path), default=Path("reports/ci.md"))
def comment(report: Path) -> None:
    """Post REPORT as the one comment of a proposed change; the next one updates it.

    Without a token, or on a fork, it says why it was not posted, and the exit code is 0.
    """
    import os

    from modelyard.ci.comment import comment as post

    made = post(report, os.environ)
    if made.why:
        click.echo(f"not posted: {made.why}; the report is {report}")
    else:
        click.echo(f"{made.done} {made.url}".rstrip())
