"""Containers: start, call a program inside, read the log, export the files, remove."""

from __future__ import annotations

import json
import re
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from modelyard.tools.engine.find import Engine

HARDENED = (
    "--read-only",
    "--cap-drop",
    "ALL",
    "--security-opt",
    "no-new-privileges",
    "--pids-limit",
    "128",
)
"""What every container of ours is started with."""

_UNITS = {"b": 1, "kb": 1e3, "kib": 2**10, "mb": 1e6, "mib": 2**20, "gb": 1e9, "gib": 2**30}


_MEMORY = """
import pathlib
for folder, usage, idle in (
    ("/sys/fs/cgroup", "memory.current", "inactive_file"),
    ("/sys/fs/cgroup/memory", "memory.usage_in_bytes", "total_inactive_file"),
):
    place = pathlib.Path(folder)
    if (place / usage).is_file():
        lines = (place / "memory.stat").read_text().splitlines()
        cache = dict(line.split() for line in lines)[idle]
        own = pathlib.Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0]
        print(int((place / usage).read_text()) - int(cache) - 1024 * int(own))
        break
"""
"""What `docker stats` counts, of the control group that the process is in, without the process."""


def start(
    engine: Engine,
    image: str,
    *,
    name: str = "",
    user: str = "",
    network: str = "",
    publish: str = "",
    memory: str = "",
    environment: Mapping[str, str] | None = None,
    volumes: Sequence[str] = (),
    entrypoint: str = "",
    command: Sequence[str] = (),
    hardened: bool = True,
) -> str:
    """Start a container in the background and return its id.

    Args:
        publish: `ADDRESS:PORT:PORT`, as the engine takes it.

    Raises:
        ToolFailed: the engine refused (the port is in use, the name is taken, ...).
    """
    words = ["create", *(HARDENED if hardened else ())]
    options = {
        "--name": name,
        "--user": user,
        "--network": network,
        "--publish": publish,
        "--memory": memory,
        "--entrypoint": entrypoint,
    }
    words += [part for option, value in options.items() if value for part in (option, value)]
    words += [part for place in volumes for part in ("--volume", place)]
    for variable, value in (environment or {}).items():
        words += ["--env", f"{variable}={value}"]
    done = engine.call([*words, image, *command])
    container = done.stdout.decode().strip().splitlines()[-1]
    try:
        engine.call(["start", container])
    except BaseException:
        # `run` would leave it behind, made and never started.
        remove(engine, container)
        raise
    return container


def state(engine: Engine, container: str) -> dict[str, Any]:
    """The engine's words on a container: Running, ExitCode, Health, ..."""
    done = engine.call(["container", "inspect", container])
    found: dict[str, Any] = json.loads(done.stdout)[0]["State"]
    return found


def names(engine: Engine) -> list[str]:
    """Every container of this machine, also one that has ended."""
    done = engine.call(["ps", "--all", "--format", "{{.Names}}"])
    return done.stdout.decode().split()


def published_port(engine: Engine, container: str, port: int) -> int:
    """The port of this machine that leads to the container's."""
    text = engine.call(["port", container, str(port)]).stdout.decode()
    return int(text.splitlines()[0].rpartition(":")[2])


def call_inside(
    engine: Engine, container: str, command: Sequence[str], stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    """Run a program inside; its exit code is the caller's to judge."""
    return engine.call(["exec", "--interactive", container, *command], stdin=stdin, check=False)


def log(engine: Engine, container: str) -> str:
    """What the container wrote, both streams."""
    done = engine.call(["logs", container])
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def memory_bytes(engine: Engine, container: str) -> int:
    """Memory in use now, as Docker counts it (without the page cache). 0 where it cannot be had.

    `podman stats` of podman 4 counts the page cache in, which was 88 MB of 139 at a first start. So
    there a Python inside, if there is one, reads what the kernel says.
    """
    if engine.name == "podman":
        asked = call_inside(engine, container, ["python3", "-S", "-c", _MEMORY])
        if asked.returncode == 0 and asked.stdout.strip():
            return int(asked.stdout)
    done = engine.call(
        ["stats", "--no-stream", "--format", "{{.MemUsage}}", container], check=False
    )
    found = re.match(r"\s*([\d.]+)\s*([A-Za-z]+)", done.stdout.decode())
    return int(float(found[1]) * _UNITS[found[2].lower()]) if found else 0


@contextmanager
def export(engine: Engine, container: str) -> Iterator[tarfile.TarFile]:
    """The container's files, as a tar archive that is read once from start to end."""
    with subprocess.Popen([engine.program, "export", container], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
            yield archive
        process.stdout.close()


def remove(engine: Engine, container: str) -> None:
    """Stop and remove a container; one that is gone already is no error."""
    engine.call(["rm", "--force", "--volumes", container], check=False)
