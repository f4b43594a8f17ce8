"""The words of kubectl and helm, and what they mean to a person."""

from __future__ import annotations

import re

from modelyard.errors import LockHeld, ModelyardError, ToolFailed, UsageError

_KNOWN: tuple[tuple[tuple[str, ...], type[ModelyardError], str, str], ...] = (
    (
        ("another operation (install/upgrade/rollback) is in progress",),
        LockHeld,
        "Another deploy of this release is at work.",
        "wait for it to end, then: modelyard status",
    ),
    (
        ("values don't meet the specifications of the schema",),
        UsageError,
        "The chart's values do not fit its schema.",
        "mend the values file that is named, then deploy again",
    ),
    (
        ("exceeded quota", "forbidden: exceeded"),
        ToolFailed,
        "The namespace's quota does not allow these pods.",
        "kubectl describe quota ; lower replicas or resources, or ask for more",
    ),
    (
        ("context was not found", "does not exist in kubeconfig", "no context exists", 'context "'),
        UsageError,
        "There is no such context in the kubeconfig.",
        "kubectl config get-contexts ; set deploy.environments, or --context",
    ),
    (
        ("x509: ",),
        ToolFailed,
        "The cluster's certificate cannot be trusted.",
        "fetch the kubeconfig anew (aws eks update-kubeconfig, az aks get-credentials, "
        "gcloud container clusters get-credentials)",
    ),
    (
        ("client-go credential plugin that is not installed",),
        ToolFailed,
        "The program that logs in to the cluster is not installed.",
        "install the program that is named, or fetch the kubeconfig anew",
    ),
    (
        (
            "you must be logged in",
            "unauthorized",
            "expiredtoken",
            "token has expired",
            "credentials have expired",
            "getting credentials",
            "asked for the client to provide credentials",
        ),
        ToolFailed,
        "The cluster does not accept your credentials.",
        "log in again (aws sso login, az login, gcloud auth login), then run this again",
    ),
    (
        ("forbidden",),
        ToolFailed,
        "You have no right to do this in the cluster.",
        "ask for the Role of docs/how-it-works/kubernetes.md in this namespace",
    ),
    (
        ('namespaces "', "namespace not found", "create: namespaces"),
        UsageError,
        "The namespace does not exist.",
        "deploy with --create-namespace, or: kubectl create namespace NAME",
    ),
    (
        (
            "connection refused",
            "no such host",
            "i/o timeout",
            "kubernetes cluster unreachable",
            "unable to connect to the server",
            "the connection to the server",
            "no route to host",
            "no configuration has been provided",
            "context deadline exceeded (client.timeout",
        ),
        ToolFailed,
        "There is no cluster to reach.",
        "kubectl cluster-info ; set KUBECONFIG, or deploy.environments.ENV.context",
    ),
    (
        ("no matches for kind",),
        ToolFailed,
        "The cluster does not know a kind that the values ask for.",
        "install its CRDs (Prometheus operator, Gateway API), or switch it off in the values",
    ),
    (
        ("chart requires kubeversion",),
        ToolFailed,
        "The cluster's Kubernetes is too old for the chart.",
        "use a cluster of version 1.25 or newer",
    ),
)
"""Signs (lowered, the first that fits), the error, what happened, what to do."""


def translated(program: str, verb: str, output: str) -> ModelyardError:
    """The error that a program's last words stand for."""
    text = output.strip()
    lowered = text.lower()
    for signs, kind, what, next_step in _KNOWN:
        if any(sign in lowered for sign in signs):
            return kind(what, why=_why(text), next_step=next_step)
    return ToolFailed(f"`{program} {verb}` failed.", why=_why(text), next_step="modelyard status")


def _why(text: str) -> str:
    """The lines that say something, without the warnings before them."""
    lines = [
        re.sub(r"^((?i:error): |E\d{4} [\d:.]+ +\d+ \S+\] *)", "", line).strip()
        for line in text.splitlines()
        if line.strip() and not line.startswith(("WARNING", "W0", "W1", "level=", "Use --debug"))
    ]
    return " ".join(lines[-8:])[-900:] or "It gave no reason."
