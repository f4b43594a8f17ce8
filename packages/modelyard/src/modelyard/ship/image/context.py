"""The build's context: image/ filled with everything that the Dockerfile names."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.records import ChampionRecord, Wheel, write_bytes
from modelyard.registry import champion
from modelyard.render.image import compose_file, image_files
from modelyard.ship.image import choose, wheels

KEPT = ("image/Dockerfile", "image/.dockerignore", "image/.gitignore", "image/minimal.py")
COMPOSE = "compose.yaml"


@dataclass(frozen=True)
class Context:
    """A folder that the engine builds from, and what went into it."""

    folder: Path
    wheels: tuple[Wheel, ...]
    written: tuple[str, ...]
    differing: tuple[str, ...]


def name_of(project: Project) -> str:
    """The image's name: what modelyard.yaml says, else the project's in small letters."""
    return project.settings.image.name or project.name.lower().strip("-_")


def render(project: Project, *, anew: bool = False) -> list[str]:
    """Write the files of image/ and compose.yaml that are missing; returns their paths.

    Args:
        anew: write those of image/ over what is there.
    """
    image = project.settings.image
    texts = image_files(name_of(project), base=image.base, python=image.python)
    written = []
    for path, text in texts.items():
        place = project.root / path
        if place.exists() and not (anew and place.read_text(encoding="utf-8") != text):
            continue
        write_bytes(place, text.encode())
        written.append(path)
    if not any((project.root / name).exists() for name in (COMPOSE, "docker-compose.yml")):
        text = compose_file(name_of(project), mlflow=version("mlflow"))
        write_bytes(project.root / COMPOSE, text.encode())
        written.append(COMPOSE)
    return written


def assemble(project: Project, release: ChampionRecord) -> Context:
    """Fill image/ for a release: its package, modelyard-serve, the locked wheels.

    The folders are built beside their places and renamed, so a killed build leaves whole ones.

    Raises:
        ModelyardError: the package is not the judged one, or there is no room on the disk.
        ToolFailed: a wheel is not to be had, or not the locked one.
    """
    package = choose.judged_package(project, release)
    written = render(project)
    folder = project.root / "image"
    with _room():
        if not wheels.lock_path(project).is_file():
            wheels.lock(project)
            written.append("image/requirements.lock")
        with _replacing(folder / "wheels") as part:
            found = wheels.dependencies(project, part)
        with _replacing(folder / "serve") as part:
            found.append(wheels.serve_wheel(part))
        with _replacing(folder / "package") as part:
            for entry in sorted(package.iterdir()):
                shutil.copyfile(entry, part / entry.name)
    # The bytes that the engine gets, not those that were meant to be copied.
    if fault := champion.fault(folder / "package", release.package_digest):
        raise ModelyardError(
            "The package changed while it was copied into image/.",
            why=f"{fault}.",
            next_step="modelyard image build",
        )
    differing = wheels.differing(wheels.locked(project))
    return Context(folder, tuple(found), tuple(written), tuple(differing))


@contextmanager
def _replacing(place: Path) -> Iterator[Path]:
    """A new empty folder that takes the place of an old one when it is whole."""
    part = place.with_name(f".{place.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        shutil.rmtree(place, ignore_errors=True)
        part.rename(place)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise ModelyardError(
            "There is no room on the disk for the image's context.",
            why=str(error),
            next_step="free some disk space, then: modelyard image build",
        ) from error
