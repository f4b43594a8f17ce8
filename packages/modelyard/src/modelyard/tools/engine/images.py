"""Images: build, look at, save, remove."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from modelyard.errors import ToolFailed
from modelyard.tools.engine.find import Engine, translated


@dataclass(frozen=True)
class Image:
    """An image in the engine's store. `layers` are the digests of the unpacked layers, in order."""

    id: str
    tags: tuple[str, ...]
    digests: tuple[str, ...]
    size: int
    platform: str
    user: str
    created: str
    layers: tuple[str, ...]
    labels: Mapping[str, str]
    entrypoint: tuple[str, ...]
    health: tuple[str, ...]


def image(engine: Engine, reference: str) -> Image | None:
    """Look at an image, or return None where the engine's store has none of that name."""
    done = engine.call(["image", "inspect", reference], check=False)
    if done.returncode != 0:
        text = done.stderr.lower()
        if b"no such" in text or b"not known" in text or b"not found" in text:
            return None
        raise translated(engine.name, "image inspect", done.stdout + done.stderr)
    body = json.loads(done.stdout)[0]
    config = body.get("Config") or {}
    # Docker has it in the configuration, podman beside it.
    health = (config.get("Healthcheck") or body.get("Healthcheck") or {}).get("Test") or ()
    return Image(
        id="sha256:" + body["Id"].removeprefix("sha256:"),
        tags=tuple(body.get("RepoTags") or ()),
        digests=tuple(body.get("RepoDigests") or ()),
        size=int(body.get("Size") or 0),
        platform=f"{body.get('Os', '')}/{body.get('Architecture', '')}",
        user=config.get("User") or "",
        created=body.get("Created", ""),
        layers=tuple(body["RootFS"]["Layers"]),
        labels=dict(config.get("Labels") or {}),
        entrypoint=tuple(config.get("Entrypoint") or ()),
        health=tuple(health),
    )


def secure(engine: Engine, reference: str, platform: str) -> Image:
    """Return an image, fetched from its registry where the engine's store does not have it.

    Raises:
        ToolFailed: it is neither here nor to be fetched.
    """
    found = image(engine, reference)
    if found is not None:
        return found
    done = engine.call(["pull", "--quiet", "--platform", platform, reference], check=False)
    found = image(engine, reference) if done.returncode == 0 else None
    if found is not None:
        return found
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    raise ToolFailed(
        f"The base image {reference} is not on this machine and cannot be fetched.",
        why=said[-1] if said else "The engine gave no reason.",
        next_step=f"{engine.name} pull {reference}, or set image.base in modelyard.yaml "
        "to an image with Python that is here",
    )


def build_command(
    engine: Engine,
    context: Path,
    tag: str,
    *,
    arguments: Mapping[str, str],
    labels: Mapping[str, str],
    platform: str,
    cache: bool,
) -> list[str]:
    """The words after the program's name. No network: everything is in the context."""
    command = ["build", "--network", "none", "--tag", tag, "--platform", platform]
    if engine.builder == "buildah":
        # Docker's form keeps HEALTHCHECK; the timestamp is buildah's way to equal layers.
        epoch = arguments.get("SOURCE_DATE_EPOCH", "0")
        command += ["--format", "docker", "--pull=never", "--timestamp", epoch]
    if engine.builder == "classic":
        # Its --platform needs an experimental engine; it builds for the engine's own platform.
        command = [word for word in command if word not in ("--platform", platform)]
    if engine.builder == "buildkit":
        command += ["--progress", "plain"]
    if not cache:
        command.append("--no-cache")
    for name, value in sorted(arguments.items()):
        command += ["--build-arg", f"{name}={value}"]
    for name, value in sorted(labels.items()):
        command += ["--label", f"{name}={value}"]
    return [*command, str(context)]


def build(
    engine: Engine, command: Sequence[str], say: Callable[[str], None] = lambda line: None
) -> None:
    """Build an image. Raises ToolFailed with the engine's own words."""
    engine.call(command, say=say)


def remove_image(engine: Engine, reference: str) -> None:
    """Remove a name, and the image where it was its last."""
    engine.call(["rmi", reference])


@contextmanager
def save(engine: Engine, reference: str) -> Iterator[IO[bytes]]:
    """The image as the engine's archive, a stream."""
    with subprocess.Popen([engine.program, "save", reference], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield process.stdout
        process.stdout.close()
