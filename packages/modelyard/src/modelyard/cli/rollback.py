"""`modelyard rollback`."""

from __future__ import annotations

import click

from modelyard import project
from modelyard.cli.deploy import environment
from modelyard.errors import UsageError


@click.command("rollback")
@click.argument("version", default="")
@click.option("-m", "--message", default="", help="Why: kept in the audit line.")
@environment(needed=True)
@click.option("--yes", is_flag=True, help="With --env: yes, production.")
@click.option("--target", type=click.Choice(["kubernetes", "ecs", "local"]), help="With --env.")
@click.option("--context", help="With --env, Kubernetes: the kubeconfig's context.")
@click.option("--namespace", help="With --env, Kubernetes: the namespace.")
@click.option("--timeout", help="With --env: how long it may take, such as 5m.")
def command(
    version: str,
    message: str,
    env: str | None,
    yes: bool,
    target: str | None,
    context: str | None,
    namespace: str | None,
    timeout: str | None,
) -> None:
    """Make VERSION (the one before, without an argument) the champion again.

    The old package is fetched, its digests and golden samples are checked, then the alias moves.

    With --env it is the endpoint that goes back: to what that environment served before, proved
    there like a deploy. The champion stays.
    """
    if env is not None:
        if version:
            raise UsageError(
                "VERSION and --env do not go together.",
                why="An environment goes back to what it served before.",
                next_step=f"modelyard rollback --env {env}",
            )
        _endpoint(env, message, yes, target, context, namespace, timeout)
        return
    from modelyard.ship.rollback import rollback

    made = rollback(project.load(), version, why=message)
    click.secho(f"★ {made.model} v{made.version} is the champion again", fg="green", bold=True)
    click.echo(f"  package {made.package_digest[:12]} · data {made.data_version}")


def _endpoint(
    env: str,
    message: str,
    yes: bool,
    target: str | None,
    context: str | None,
    namespace: str | None,
    timeout: str | None,
) -> None:
    from modelyard.ship.deploy import verbs
    from modelyard.ship.deploy.place import place

    where = place(
        project.load(),
        env,
        target=target,
        context=context,
        namespace=namespace,
        timeout=timeout,
        standing=True,
    )
    made = verbs.rollback(where, yes=yes, why=message, say=click.echo)
    click.secho(
        f"★ {made.model} {made.version} is live in {made.environment} again", fg="green", bold=True
    )
    click.echo(f"  {made.url or made.where} · package {made.package_digest[:12]}")
