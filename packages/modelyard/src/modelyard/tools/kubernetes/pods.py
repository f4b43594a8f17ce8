"""Pods: their states, their logs, and why one of them is not ready, in its own words."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from modelyard.tools.kubernetes.cluster import Cluster

LOG_LINES = 5
"""How many of its last lines a container that died is quoted with."""


@dataclass(frozen=True)
class PodState:
    """One pod. `image` is the id that the node runs, `trouble` why it is not ready."""

    name: str
    track: str
    version: str
    phase: str
    ready: bool
    restarts: int
    node: str
    image: str
    started: str
    trouble: str = ""


def pods(cluster: Cluster, selector: str) -> list[PodState]:
    """The pods of a selector, those that are being deleted left out."""
    found = [
        pod
        for pod in cluster.get("pods", "-l", selector)
        if "deletionTimestamp" not in pod["metadata"]
    ]
    return [_state(pod) for pod in sorted(found, key=lambda pod: str(pod["metadata"]["name"]))]


def words(cluster: Cluster, selector: str) -> list[str]:
    """Why the pods of a selector are not ready: a line for each reason, the same one once."""
    found: dict[str, None] = {}
    for state in pods(cluster, selector):
        if state.ready:
            continue
        text = state.trouble or f"{state.phase}, and not ready"
        if "exit code" in text or "CrashLoop" in text:
            if last := _last_words(cluster, state.name):
                text += f"; it said: {last}"
        elif not state.trouble or state.phase == "Running":
            text = _event(cluster, "Pod", state.name) or text
        found[f"{state.name}: {text}"] = None
    if not found:
        # Where no pod was made at all (quota, admission), the ReplicaSet says why.
        for entry in cluster.get("replicasets", "-l", selector):
            wanted = entry["spec"].get("replicas", 0)
            if wanted and entry.get("status", {}).get("replicas", 0) < wanted:
                name = entry["metadata"]["name"]
                if text := _event(cluster, "ReplicaSet", name):
                    found[f"{name}: {text}"] = None
    return list(found)


def logs(
    cluster: Cluster, selector: str, *, lines: int, follow: bool, since: str = ""
) -> Iterator[str]:
    """The pods' lines, each behind its pod's name, until they end or the person stops."""
    command = [
        cluster.kubectl_program, "--context", cluster.context, "--namespace", cluster.namespace,
        "logs", "-l", selector, "--tail", str(lines), "--prefix", "--max-log-requests", "50",
    ]  # fmt: skip
    command += ["--follow"] if follow else []
    command += ["--since", since] if since else []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield line.rstrip("\n")
        finally:
            process.terminate()


def remove_workload(cluster: Cluster, name: str) -> None:
    """Remove a Deployment; one that is not there is no error."""
    cluster.kubectl("delete", "deployment", name, "--ignore-not-found", "--wait=true", seconds=120)


def _state(pod: dict[str, Any]) -> PodState:
    status, labels = pod.get("status", {}), pod["metadata"].get("labels", {})
    containers = status.get("containerStatuses") or []
    first = containers[0] if containers else {}
    conditions = {entry["type"]: entry for entry in status.get("conditions", [])}
    return PodState(
        name=pod["metadata"]["name"],
        track=labels.get("modelyard.dev/track", ""),
        version=labels.get("app.kubernetes.io/version", ""),
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready", {}).get("status") == "True",
        restarts=sum(int(entry.get("restartCount", 0)) for entry in containers),
        node=pod["spec"].get("nodeName", ""),
        image=str(first.get("imageID", "")),
        started=status.get("startTime", ""),
        trouble=_trouble(first, conditions),
    )


def _trouble(container: dict[str, Any], conditions: dict[str, Any]) -> str:
    """What keeps a pod from being ready, as far as its status tells."""
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', '')}: {scheduled.get('message', '')}"
    died = container.get("lastState", {}).get("terminated") or container.get("state", {}).get(
        "terminated"
    )
    waiting = container.get("state", {}).get("waiting") or {}
    text = ""
    if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
        text = f"{waiting['reason']}: {waiting.get('message', '')}".rstrip(": ")
    if died:
        why = f"{died.get('reason', '')}, exit code {died.get('exitCode')}"
        text = f"{text.partition(':')[0]} ({why})" if text else why
    return text


def _last_words(cluster: Cluster, pod: str) -> str:
    for more in (("--previous",), ()):
        done = cluster.kubectl("logs", pod, "--tail", str(LOG_LINES), *more, check=False)
        if done.returncode == 0 and done.stdout.strip():
            return " | ".join(done.stdout.strip().splitlines())
    return ""


def _event(cluster: Cluster, kind: str, name: str) -> str:
    """The last warning about an object."""
    found = [
        entry
        for entry in cluster.get(
            "events", "--field-selector", f"involvedObject.kind={kind},involvedObject.name={name}"
        )
        if entry.get("type") == "Warning"
    ]
    found.sort(key=lambda entry: str(entry.get("lastTimestamp") or entry.get("eventTime") or ""))
    return f"{found[-1].get('reason', '')}: {found[-1].get('message', '')}" if found else ""
