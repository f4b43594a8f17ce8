"""`modelyard runs`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli import show


@click.command("runs")
@click.option("-n", "--number", "count", default=20, show_default=True, help="Runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(count: int, as_json: bool) -> None:
    """List the runs, best first; * marks the champion's."""
    from modelyard.ship.track import ranked_runs

    here = project.load()
    runs = ranked_runs(here, count)
    if as_json:
        show.as_json(runs)
        return
    if not runs:
        click.echo("No run is recorded yet. Next: modelyard run")
        return
    show.table(
        ["", "run", "started", runs[0].metric, "family", "data", "gate", "version"],
        [
            [
                "*" if entry.champion else "",
                entry.run_id[:8],
                entry.started,
                show.number(entry.value),
                entry.family,
                entry.data_version,
                entry.gate,
                f"v{entry.version}" if entry.version else "",
            ]
            for entry in runs
        ],
        right=(3,),
    )
