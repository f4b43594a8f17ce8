"""`modelyard releases`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli import show


@click.command("releases")
@click.option("--env", help="Only those of one environment.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(env: str | None, as_json: bool) -> None:
    """List every deploy and rollback, the newest first; * marks what is live."""
    from modelyard.ship.deploy import history, verbs

    here = project.load()
    found = verbs.releases(here, env)
    if as_json:
        show.as_json(found)
        return
    if not found:
        click.echo("Nothing was deployed yet. Next: modelyard deploy --env staging")
        return
    live = {
        line.environment: line.number
        for name in {line.environment for line in found}
        if (line := history.live(here, name)) is not None
    }
    show.table(
        ["", "no.", "when", "environment", "what", "version", "package", "by", "endpoint"],
        [
            [
                "*" if live.get(line.environment) == line.number else "",
                str(line.number),
                line.when[:16],
                line.environment,
                line.action if line.outcome == "live" else f"{line.action} failed",
                line.version,
                line.package_digest[:12],
                line.who.partition(" <")[0],
                line.url or line.where or line.why[:60],
            ]
            for line in found
        ],
        right=(1,),
    )
