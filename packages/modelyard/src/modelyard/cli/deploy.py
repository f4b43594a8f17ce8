"""`modelyard deploy`."""

from __future__ import annotations

from collections.abc import Callable

import click

from modelyard import project
from modelyard.cli import show


def environment(needed: bool = False) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The option --env, as every verb of environments has it."""
    return click.option(
        "--env",
        "env",
        default=None if needed else "staging",
        show_default=not needed,
        help="The environment: staging, production, or one of modelyard.yaml.",
    )


@click.command("deploy")
@environment()
@click.option(
    "--target",
    type=click.Choice(["kubernetes", "ecs", "local"]),
    help="What runs it; deploy.environments of modelyard.yaml, else kubernetes.",
)
@click.option("--image", help="The image, where it is not the recorded one: NAME@sha256:…")
@click.option("--context", help="Kubernetes: the kubeconfig's context.")
@click.option("--namespace", help="Kubernetes: the namespace; NAME-ENVIRONMENT by default.")
@click.option("--create-namespace", is_flag=True, help="Kubernetes: make the namespace.")
@click.option("--timeout", help="How long the rollout may take, such as 5m.")
@click.option("--dry-run", is_flag=True, help="Look at everything, change nothing.")
@click.option("--yes", is_flag=True, help="Yes, production.")
@click.option("--canary", is_flag=True, help="Judge it on a share of the live traffic first.")
@click.option("--shadow", is_flag=True, help="A canary that is asked, but never answers.")
@click.option(
    "--canary-share", type=click.IntRange(1, 50), default=10, show_default=True,
    help="Percent of the traffic.",
)  # fmt: skip
@click.option("--canary-time", default="2m", show_default=True, help="How long it is watched.")
@click.option(
    "--agreement", type=click.FloatRange(0, 1), default=0.9, show_default=True,
    help="Least share of rows that both models predict alike.",
)  # fmt: skip
@click.option(
    "--least", type=click.IntRange(1), default=50, show_default=True,
    help="Fewer requests to the canary than this prove nothing.",
)  # fmt: skip
def command(
    env: str,
    target: str | None,
    image: str | None,
    context: str | None,
    namespace: str | None,
    create_namespace: bool,
    timeout: str | None,
    dry_run: bool,
    yes: bool,
    canary: bool,
    shadow: bool,
    canary_share: int,
    canary_time: str,
    agreement: float,
    least: int,
) -> None:
    """Bring the champion's image to an environment, prove it there, record it.

    The image must be the one that the gate judged. A rollout that fails leaves the old release
    serving and says why, in the words of what failed.
    """
    from modelyard.ship.deploy import verbs
    from modelyard.ship.deploy.place import place
    from modelyard.ship.deploy.target import Canary

    where = place(
        project.load(), env, target=target, context=context, namespace=namespace,
        create_namespace=create_namespace, timeout=timeout,
    )  # fmt: skip
    if dry_run:
        found = verbs.dry_run(where, image=image)
        click.echo(found.steps)
        click.echo(f"would deploy {found.version} ({found.image}) to {found.where}")
        return
    trial = None
    if canary or shadow:
        seconds = project.budget_seconds(canary_time)
        assert seconds is not None, "it has a default"
        trial = Canary(seconds, canary_share, shadow, 0.01, 1.5, agreement, least)
    made = verbs.deploy(where, image=image, yes=yes, trial=trial, say=click.echo)
    click.secho(
        f"★ {made.model} {made.version} is live in {made.environment}", fg="green", bold=True
    )
    click.echo(f"  {made.url or made.where} · package {made.package_digest[:12]} · "
               f"{made.seconds:.0f} s · deploy/{made.environment}/{made.number}")  # fmt: skip
    if worst := made.figures.get("golden_difference"):
        click.echo(f"  golden samples differ by {show.number(worst, 9)} at most")
