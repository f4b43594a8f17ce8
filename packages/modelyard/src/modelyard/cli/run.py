"""`modelyard run`."""

from __future__ import annotations

import click

from modelyard import line, project
from modelyard.cli import show
from modelyard.records import StudyRecord, read_if_there


@click.command("run")
@click.option(
    "-S",
    "--set",
    "pairs",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a key for this run, such as -S tune.budget=30s.",
)
@click.option("--no-release", is_flag=True, help="Do not move the champion.")
@click.option("--force", is_flag=True, help="Run every stage, and search anew.")
@click.option("-m", "--message", default="", help="Why: kept in the audit line and the tag.")
@click.option("--json", "as_json", is_flag=True, help="End with a JSON document.")
def command(
    pairs: tuple[str, ...], no_release: bool, force: bool, message: str, as_json: bool
) -> None:
    """Run what is out of date: ingest, split, tune, train, evaluate, pack, gate, release."""
    here = project.load()
    line.install_signal_handlers()
    summary = line.run(
        here,
        overrides=project.parse_overrides(pairs),
        release=not no_release,
        force=force,
        why=message,
        say=lambda text: click.echo(f"  {text}"),
    )
    if as_json:
        show.as_json(summary)
        return
    print_summary(here, summary)


def print_summary(here: project.Project, summary: line.RunSummary) -> None:
    """The leaderboard, the verdict, where things lie, what to type next."""
    if not summary.ran and summary.released is None:
        click.echo("Nothing to do: every stage is up to date.")
    study = read_if_there(here.record("study"), StudyRecord)
    if study and summary.ran:
        print_leaderboard(study)
    click.echo()
    for check in summary.gate.checks:
        mark = click.style("✓", fg="green") if check.passed else click.style("✗", fg="red")
        click.echo(f"{mark} gate: {check.message}")
    if summary.released:
        made = summary.released
        click.secho(f"★ {made.model} v{made.version} is the champion", fg="green", bold=True)
    elif summary.champion:
        click.echo(f"★ champion: {summary.champion.model} v{summary.champion.version}")
    if summary.note:
        click.echo(summary.note)
    relative = summary.report.relative_to(here.root)
    click.echo(
        f"\n  report   {relative}\n"
        f"  package  {here.package.relative_to(here.root)}/\n"
        f"  runs     {here.settings.track.uri}"
    )
    uri = here.settings.track.uri
    last = f"mlflow ui --backend-store-uri {uri}" if uri.startswith("sqlite") else uri
    click.echo(f"\nNext:  modelyard runs  ·  modelyard predict TABLE.csv -o scored.csv  ·  {last}")


def print_leaderboard(study: StudyRecord, rows: int = 6) -> None:
    """The best trial of each family, then the runners-up."""
    complete = [trial for trial in study.trials if trial.score is not None]
    ranked = sorted(complete, key=lambda t: t.score or 0.0, reverse=study.direction == "maximize")
    firsts = {trial.family: trial for trial in reversed(ranked)}
    kept = [t for t in ranked if firsts[t.family] is t]
    kept = (kept + [t for t in ranked if t not in kept])[:rows]
    kept.sort(key=ranked.index)
    click.echo()
    show.table(
        ["rank", "family", study.metric, "folds", "seconds", "trial"],
        [
            [
                str(ranked.index(trial) + 1),
                trial.family,
                show.number(trial.score),
                f"{min(trial.folds):.4g} … {max(trial.folds):.4g}" if trial.folds else "",
                f"{trial.seconds:.1f}",
                str(trial.number),
            ]
            for trial in kept
        ],
        right=(0, 2, 4, 5),
    )
