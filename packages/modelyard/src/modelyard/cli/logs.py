"""`modelyard logs`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli.deploy import environment


@click.command("logs")
@environment()
@click.option("-n", "--lines", default=50, show_default=True, help="Lines of each pod.")
@click.option("-f", "--follow", is_flag=True, help="Go on until Ctrl-C.")
@click.option("--since", default="", help="Only newer ones, such as 10m.")
@click.option("--context", help="Kubernetes: the kubeconfig's context.")
@click.option("--namespace", help="Kubernetes: the namespace.")
@click.option(
    "--target",
    type=click.Choice(["kubernetes", "ecs", "local"]),
    help="What runs it; modelyard.yaml, else where it was deployed last.",
)
def command(
    env: str,
    lines: int,
    follow: bool,
    since: str,
    context: str | None,
    namespace: str | None,
    target: str | None,
) -> None:
    """Print what an environment's endpoint writes, each line behind its pod's name."""
    from modelyard.ship.deploy import verbs
    from modelyard.ship.deploy.place import place

    where = place(
        project.load(), env, target=target, context=context, namespace=namespace, standing=True
    )
    for line in verbs.logs(where, lines=lines, follow=follow, since=since):
        click.echo(line)
