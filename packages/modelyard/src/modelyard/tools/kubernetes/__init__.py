"""Kubernetes, by its programs: kubectl and helm."""

from modelyard.tools.kubernetes.cluster import Cluster, Forward, connect
from modelyard.tools.kubernetes.helm import (
    Revision,
    history,
    lint,
    rollback,
    test,
    uninstall,
    upgrade,
    values_of,
)
from modelyard.tools.kubernetes.pods import (
    PodState,
    logs,
    pods,
    remove_workload,
    words,
)
from modelyard.tools.kubernetes.said import translated

__all__ = [
    "Cluster",
    "Forward",
    "PodState",
    "Revision",
    "connect",
    "history",
    "lint",
    "logs",
    "pods",
    "remove_workload",
    "rollback",
    "test",
    "translated",
    "uninstall",
    "upgrade",
    "values_of",
    "words",
]
