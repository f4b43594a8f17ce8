"""A cluster as the kubeconfig names it: find the programs, call them, forward a port."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from modelyard.errors import ToolFailed, UsageError
from modelyard.tools.kubernetes.said import translated

CALL_SECONDS = 60
"""A call that only asks is given up after this."""


@dataclass(frozen=True)
class Cluster:
    """A context and a namespace of it, and the programs that speak to it."""

    context: str
    namespace: str
    kubectl_program: str
    helm_program: str
    helm_major: int

    def kubectl(
        self,
        *words: str,
        check: bool = True,
        stdin: str | None = None,
        seconds: float = CALL_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl in the namespace. Raises what its words stand for."""
        command = [
            self.kubectl_program,
            "--context",
            self.context,
            "--namespace",
            self.namespace,
            *words,
        ]
        return run(command, words[0], check=check, stdin=stdin, seconds=seconds)

    def helm(
        self, *words: str, check: bool = True, seconds: float = CALL_SECONDS
    ) -> subprocess.CompletedProcess[str]:
        """Run helm in the namespace. Raises what its words stand for."""
        return run(self.helm_command(*words), words[0], check=check, seconds=seconds)

    def helm_command(self, *words: str) -> list[str]:
        """The whole command line of a helm call."""
        return [
            self.helm_program,
            *words,
            "--kube-context",
            self.context,
            "--namespace",
            self.namespace,
        ]

    def get(self, kind: str, *words: str) -> list[dict[str, Any]]:
        """The objects of a kind, as they stand in the cluster."""
        said = self.kubectl("get", kind, "-o", "json", *words).stdout
        body: dict[str, Any] = json.loads(said)
        items: list[dict[str, Any]] = body.get("items", [body])
        return items

    def forward(self, service: str, port: int) -> Forward:
        """A way from this machine to a Service, open while the `with` block runs."""
        return Forward(self, service, port)


def connect(context: str | None, namespace: str) -> Cluster:
    """Find kubectl, helm and the context, and see that the cluster answers.

    Args:
        context: of the kubeconfig; the current one where None.

    Raises:
        ToolFailed: a program is missing, or the cluster does not answer.
        UsageError: there is no such context, or none is chosen.
    """
    kubectl, helm = _program("kubectl"), _program("helm")
    if context is None:
        done = run([kubectl, "config", "current-context"], "config", check=False)
        context = done.stdout.strip()
        if done.returncode != 0 or not context:
            raise ToolFailed(
                "There is no cluster to reach.",
                why="The kubeconfig has no current context.",
                next_step="set KUBECONFIG, or: kubectl config use-context NAME",
            )
    version = run([helm, "version", "--template", "{{.Version}}"], "version").stdout
    found = re.search(r"v(\d+)\.", version)
    cluster = Cluster(context, namespace, kubectl, helm, int(found[1]) if found else 3)
    cluster.kubectl("version", "-o", "json", "--request-timeout", "15s")
    return cluster


def run(
    command: Sequence[str],
    verb: str,
    *,
    check: bool = True,
    stdin: str | None = None,
    seconds: float = CALL_SECONDS,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end. Raises what its words stand for."""
    name = command[0].rpartition("/")[2]
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, timeout=seconds, env=environment
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(
            f"`{name} {verb}` did not end within {seconds:.0f} s.",
            why="The cluster may be slow, or not be there.",
            next_step="kubectl cluster-info",
        ) from error
    if check and done.returncode != 0:
        raise translated(name, verb, done.stderr or done.stdout)
    return done


class Forward:
    """`kubectl port-forward` to a Service; `url` is valid inside the `with` block."""

    def __init__(self, cluster: Cluster, service: str, port: int) -> None:
        self._cluster, self._service, self._port = cluster, service, port
        self._process: subprocess.Popen[str] | None = None
        self.url = ""

    def __enter__(self) -> Forward:
        cluster = self._cluster
        command = [
            cluster.kubectl_program,
            "--context",
            cluster.context,
            "--namespace",
            cluster.namespace,
            "port-forward",
            "--address",
            "127.0.0.1",
            self._service,
            f":{self._port}",
        ]
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        # A forward that never opens must not hold the command for ever.
        alarm = threading.Timer(30, self._process.kill)
        alarm.start()
        said = []
        try:
            for line in self._process.stdout:
                said.append(line)
                if found := re.search(r"127\.0\.0\.1:(\d+) ->", line):
                    self.url = f"http://127.0.0.1:{found[1]}"
                    threading.Thread(target=self._drain, daemon=True).start()
                    return self
        finally:
            alarm.cancel()
        self._end()
        raise translated("kubectl", "port-forward", "".join(said))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def _drain(self) -> None:
        """Read on, or the program would stop once the pipe is full."""
        assert self._process is not None
        assert self._process.stdout is not None
        for _ in self._process.stdout:
            pass

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise ToolFailed(
            f"{name} is not installed.",
            why="It was looked for on the PATH.",
            next_step=f"install {name}, then: modelyard doctor",
        )
    return found


def refuse_name(name: str, what: str) -> None:
    """Refuse what Kubernetes would refuse as a name. Raises UsageError."""
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", name):
        raise UsageError(
            f"{name!r} cannot be a {what}.",
            why="Kubernetes takes small letters, digits and hyphens, at most 63.",
            next_step="set deploy.environments in modelyard.yaml",
        )
