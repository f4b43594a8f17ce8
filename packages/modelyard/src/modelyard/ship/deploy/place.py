"""Which environment is meant, and whether the person meant it."""

from __future__ import annotations

import msgspec

from modelyard.errors import UsageError, nearest
from modelyard.project import Project, budget_seconds
from modelyard.render.chart import chart_name
from modelyard.settings import Environment
from modelyard.ship.deploy import history
from modelyard.ship.deploy.target import Place

USUAL = ("staging", "production")
"""Environments that exist without being declared in modelyard.yaml."""
GUARDED = "production"
"""The environment that nothing touches without the person's word."""


def place(
    project: Project,
    name: str,
    *,
    target: str | None = None,
    context: str | None = None,
    namespace: str | None = None,
    create_namespace: bool = False,
    timeout: str | None = None,
    standing: bool = False,
) -> Place:
    """Resolve an environment: flag, then modelyard.yaml, then the default.

    Args:
        standing: it is about what serves there now: an environment that modelyard.yaml does not
            declare has the target that its last release was brought to.

    Raises:
        UsageError: there is no such environment.
        ModelyardError: `standing`, and the releases' file cannot be read.
    """
    declared = project.settings.deploy.environments
    if name not in declared and name not in USUAL:
        raise UsageError(
            f"There is no environment {name!r}{nearest(name, (*declared, *USUAL)) or '.'}",
            why=f"modelyard.yaml declares: {', '.join(declared) or 'none'}; "
            f"{' and '.join(USUAL)} exist without being declared.",
            next_step="set deploy.environments in modelyard.yaml",
        )
    settings = declared.get(name, Environment())
    if standing and target is None and name not in declared:
        now = history.live(project, name)
        target = now.target if now else None
    if target is not None:
        settings = msgspec.structs.replace(settings, target=target)
    seconds = budget_seconds(timeout or project.settings.deploy.timeout)
    assert seconds is not None, "deploy.timeout has a default"
    return Place(
        project=project,
        name=name,
        target=settings.target,
        settings=settings,
        seconds=max(1, int(seconds)),
        context=context or settings.context,
        namespace=namespace or settings.namespace or f"{chart_name(project.name)}-{name}",
        create_namespace=create_namespace,
    )


def confirm(where: Place, shown: str, *, yes: bool, what: str) -> None:
    """Refuse to touch production without the person's word.

    Raises:
        UsageError: it is production, and --yes was not given.
    """
    if where.name == GUARDED and not yes:
        raise UsageError(
            f"This would {what} production: {shown}.",
            why="Production is only touched when somebody says so.",
            next_step="look at it with --dry-run, then give --yes",
        )
