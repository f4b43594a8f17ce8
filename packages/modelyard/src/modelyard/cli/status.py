"""`modelyard status`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli import show
from modelyard.cli.deploy import environment


@click.command("status")
@environment()
@click.option("--context", help="Kubernetes: the kubeconfig's context.")
@click.option("--namespace", help="Kubernetes: the namespace.")
@click.option(
    "--target",
    type=click.Choice(["kubernetes", "ecs", "local"]),
    help="What runs it; modelyard.yaml, else where it was deployed last.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document.")
def command(
    env: str, context: str | None, namespace: str | None, target: str | None, as_json: bool
) -> None:
    """Show what runs in an environment: the release, its pods, and what is wrong with them."""
    from modelyard.ship.deploy import verbs
    from modelyard.ship.deploy.place import place

    where = place(
        project.load(), env, target=target, context=context, namespace=namespace, standing=True
    )
    found, line = verbs.status(where)
    if as_json:
        show.as_json({"status": found, "release": line})
        return
    click.echo(f"{env}: revision {found.revision}, {found.state}, {found.where}")
    if line is not None:
        click.echo(
            f"{line.model} {line.version} · package {line.package_digest[:12]} · "
            f"since {line.when} by {line.who}"
        )
    if found.url:
        click.echo(found.url)
    show.table(
        ["name", "version", "ready", "restarts", "since", ""],
        [
            [p.name, p.version, "yes" if p.ready else "no", str(p.restarts), p.since, p.note]
            for p in found.parts
        ],
        right=(3,),
    )
    for note in found.notes:
        click.secho(note, fg="yellow")
