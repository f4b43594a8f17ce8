"""deploy: a gated image goes to a target, is proved there, is recorded, and can be taken back."""

from __future__ import annotations

from modelyard.ship.deploy import ecs, kubernetes, local
from modelyard.ship.deploy.target import Target

TARGETS: dict[str, Target] = {
    "kubernetes": kubernetes.TARGET,
    "ecs": ecs.TARGET,
    "local": local.TARGET,
}
"""Every target; one file each."""
