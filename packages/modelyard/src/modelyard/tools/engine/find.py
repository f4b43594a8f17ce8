"""Which engine answers, and how it builds."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelyard.errors import ToolFailed

NAMES = ("docker", "podman")
"""Tried in this order."""

ASK_SECONDS = 20
"""An engine that says nothing for so long counts as one that does not answer."""


@dataclass(frozen=True)
class Engine:
    """An engine that answered. `builder` is what `build` will use: buildkit, classic or buildah."""

    name: str
    program: str
    version: str
    builder: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(
        self,
        arguments: Sequence[str],
        *,
        check: bool = True,
        stdin: bytes = b"",
        timeout: float | None = None,
        say: Callable[[str], None] | None = None,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the program; with `say`, each line that it prints is handed on as it comes.

        Raises:
            ToolFailed: it ended with another code than 0 (unless `check` is false).
        """
        command = [self.program, *arguments]
        environment = {**os.environ, **self.environment}
        if say is None:
            done = subprocess.run(
                command, input=stdin, capture_output=True, env=environment, timeout=timeout
            )
        else:
            done = _streamed(command, environment, say)
        if check and done.returncode != 0:
            raise translated(self.name, arguments[0], done.stdout + done.stderr)
        return done


def find(wanted: str = "auto") -> Engine:
    """Return the engine that is wanted, or with `auto` the first that answers.

    Raises:
        ToolFailed: none is installed, none runs, or the person may not speak to it.
    """
    names = NAMES if wanted == "auto" else (wanted,)
    troubles = []
    for name in names:
        answered = []
        for program in _programs(name):
            try:
                answered.append(_ask(name, program))
            except ToolFailed as error:
                troubles.append(error)
                continue
            if answered[-1].builder != "classic":
                return answered[-1]
        if answered:
            return answered[0]
    if troubles:
        raise troubles[0]
    raise ToolFailed(
        "No container engine is installed.",
        why=f"{' and '.join(names)} were looked for on the PATH.",
        next_step="install Docker or podman (Debian: apt-get install docker.io), "
        "then: modelyard doctor",
    )


def _programs(name: str) -> list[str]:
    """Every program of this name on the PATH, in order: the first may be a client that lacks its
    builder, with a whole one behind it."""
    places = os.environ.get("PATH", os.defpath).split(os.pathsep)
    found = [shutil.which(name, path=place) for place in places if place]
    return list(dict.fromkeys(program for program in found if program))


def _ask(name: str, program: str) -> Engine:
    form = "{{.Client.Version}} {{.Server.Version}}" if name == "docker" else "{{.Client.Version}}"
    try:
        done = subprocess.run(
            [program, "version", "--format", form], capture_output=True, timeout=ASK_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(
            f"{name} does not answer.",
            why=f"`{program} version` said nothing for {ASK_SECONDS} s.",
            next_step=f"restart the engine (systemctl restart {name})",
        ) from error
    said = done.stdout.decode("utf-8", "replace").split()
    if done.returncode != 0 or not said:
        raise translated(name, "version", done.stdout + done.stderr)
    builder, environment = "buildah", dict[str, str]()
    if name == "docker":
        builder, environment = _builder(program, said[0])
    return Engine(name, program, said[-1], builder, environment)


def _builder(program: str, client: str) -> tuple[str, dict[str, str]]:
    """BuildKit where this client can use it: through buildx, or up to version 22 by itself."""
    plugin = subprocess.run([program, "buildx", "version"], capture_output=True)
    if plugin.returncode == 0 and b"buildx" in plugin.stdout:
        return "buildkit", {"DOCKER_BUILDKIT": "1"}
    major = client.split(".")[0]
    if major.isdigit() and int(major) < 23:
        return "buildkit", {"DOCKER_BUILDKIT": "1"}
    return "classic", {"DOCKER_BUILDKIT": "0"}


def translated(name: str, verb: str, output: bytes) -> ToolFailed:
    """The engine's words as what happened, why, and what to do."""
    text = output.decode("utf-8", "replace").strip()
    lowered = text.lower()
    last = text.splitlines()[-1].strip() if text else "It gave no reason."
    for signs, what, next_step in _KNOWN:
        if any(sign in lowered for sign in signs):
            why = next(
                line.strip()
                for line in text.splitlines()
                if any(sign in line.lower() for sign in signs)
            )
            return ToolFailed(
                what.format(name=name), why=why, next_step=next_step.format(name=name)
            )
    return ToolFailed(f"`{name} {verb}` failed.", why=last, next_step="modelyard doctor")


_KNOWN = (
    (
        ("permission denied while trying to connect", "dial unix", "got permission denied"),
        "You may not speak to the {name} engine, or its socket is not there.",
        "sudo usermod -aG docker $USER and log in again, or start the engine: "
        "sudo systemctl start docker",
    ),
    (
        ("cannot connect to the docker daemon", "is the docker daemon running"),
        "The {name} engine does not run.",
        "sudo systemctl start docker (or: sudo dockerd &)",
    ),
    (
        ("no space left on device", "disk quota exceeded"),
        "There is no room on the disk of the {name} engine.",
        "{name} system df ; {name} system prune, then run this again",
    ),
    (
        ("port is already allocated", "address already in use"),
        "The port is in use already.",
        "modelyard image run --port ANOTHER",
    ),
    (
        ("is already in use by container", "that name is already in use"),
        "A container of this name is there already.",
        "{name} ps -a ; {name} rm -f NAME, or give another --name",
    ),
    (
        ("exec format error", "does not match the detected host platform"),
        "The engine cannot run this platform.",
        "set image.platform in modelyard.yaml to the engine's own, or install its emulation",
    ),
)
"""Words of the engines (docker 20 to 28, podman 4 and 5), lowered, and what they mean."""


def _streamed(
    command: Sequence[str], environment: Mapping[str, str], say: Callable[[str], None]
) -> subprocess.CompletedProcess[bytes]:
    kept: list[bytes] = []
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            kept.append(line)
            say(line.decode("utf-8", "replace").rstrip())
    return subprocess.CompletedProcess(command, process.returncode, b"".join(kept), b"")
