"""dvc.yaml, rendered from the line's stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modelyard.render.engine import fill


@dataclass(frozen=True)
class StageSpec:
    """One stage of dvc.yaml. Paths are relative to the project.

    `params` are sections, watched in modelyard.yaml and in overrides.yaml. `outs` go to DVC's
    cache; `plain_outs`, `metrics` and `plots` are kept in git.
    """

    name: str
    cmd: str
    deps: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    plain_outs: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()


def dvc_yaml(stages: Sequence[StageSpec]) -> str:
    """The content of dvc.yaml."""
    return fill("dvc.yaml.j2", stages=stages)
