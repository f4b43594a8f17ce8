"""The engine's room: which program is chosen, and what its words become. Programs stand in here;
`tests/test_journey_image.py` has the real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelyard.errors import ToolFailed
from modelyard.tools import engine as engines
from modelyard.tools.engine.find import translated


def program(folder: Path, name: str, script: str) -> Path:
    """A program on a PATH of its own."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return folder


def path_of(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Only these folders, and those of the shell's own tools."""
    monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), "/nowhere"]))


ANSWERS = 'case "$1" in version) echo "{client} 28.0";; buildx) {buildx};; esac'


def test_no_engine_is_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path_of(monkeypatch, tmp_path)
    with pytest.raises(ToolFailed, match="No container engine is installed") as caught:
        engines.find()
    assert "docker and podman" in caught.value.why
    assert "install" in caught.value.next_step


def test_a_client_with_its_builder_is_preferred(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bare = program(tmp_path / "a", "docker", ANSWERS.format(client="28.2.2", buildx="exit 1"))
    whole = program(
        tmp_path / "b", "docker", ANSWERS.format(client="28.2.2", buildx="echo buildx v0.20")
    )
    path_of(monkeypatch, bare, whole)
    found = engines.find()
    assert (found.program, found.builder) == (str(whole / "docker"), "buildkit")
    path_of(monkeypatch, bare)
    found = engines.find()
    assert (found.builder, found.environment) == ("classic", {"DOCKER_BUILDKIT": "0"})


def test_an_old_client_has_its_builder_inside(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = program(
        tmp_path / "a", "docker", ANSWERS.format(client="20.10.24+dfsg1", buildx="exit 1")
    )
    path_of(monkeypatch, old)
    assert engines.find().builder == "buildkit"


def test_podman_where_docker_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    program(
        tmp_path / "a",
        "docker",
        "echo 'Cannot connect to the Docker daemon at unix://' >&2; exit 1",
    )
    path_of(monkeypatch, tmp_path / "a")
    with pytest.raises(ToolFailed, match="The docker engine does not run") as caught:
        engines.find()
    assert "start docker" in caught.value.next_step
    program(tmp_path / "a", "podman", "echo 5.0")
    found = engines.find()
    assert (found.name, found.builder) == ("podman", "buildah")
    with pytest.raises(ToolFailed, match="does not run"):
        engines.find("docker")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (
            "Got permission denied while trying to connect to the Docker daemon socket at "
            "unix:///var/run/docker.sock",
            "You may not speak to the docker engine",
        ),
        (
            "failed to copy: write /var/lib/docker/tmp/x: no space left on device",
            "There is no room on the disk of the docker engine.",
        ),
        (
            "Bind for 127.0.0.1:8080 failed: port is already allocated",
            "The port is in use already.",
        ),
        ("something else went wrong", "`docker build` failed."),
    ],
)
def test_words_of_the_engine(words: str, what: str) -> None:
    error = translated("docker", "build", f"step 1\n{words}\n".encode())
    assert what in error.what
    assert words in error.why
    assert error.next_step


def test_the_next_step_is_of_the_engine_that_spoke() -> None:
    words = b"Error: creating container storage: that name is already in use\n"
    assert translated("podman", "create", words).next_step.startswith("podman ps -a ; podman rm")
