"""The image in a registry: pushed under a tag that never moves, named by the registry's digest."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import images
import pytest

from modelyard.errors import GateRefused, ToolFailed
from modelyard.ship.deploy.published import pushed, verified
from modelyard.ship.deploy.target import Shipment
from modelyard.tools import engine as engines

PROGRAM = shutil.which("docker-registry")
NAME = "modelyard-test/registry"

pytestmark = [
    pytest.mark.journey,
    images.needs_engine,
    pytest.mark.skipif(PROGRAM is None, reason="no docker-registry (Debian: docker-registry)"),
]


@contextmanager
def registry(folder: Path, port: str, *, refuses: bool = False) -> Iterator[None]:
    """A registry on this machine; with `refuses` it gives what it has and takes nothing."""
    assert PROGRAM is not None
    refusing = "true" if refuses else "false"
    config = folder / "registry.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'store'}}}, "
        f"maintenance: {{readonly: {{enabled: {refusing}}}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    with (folder / "registry.log").open("ab") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
    try:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        else:
            raise AssertionError((folder / "registry.log").read_text())
        yield
    finally:
        process.terminate()
        process.wait()


def image_of(content: bytes, tag: str) -> str:
    """An image of one file, without a base; returns its id."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("model")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    engine = engines.find()
    engine.call(["import", "-", f"{NAME}:{tag}"], stdin=packed.getvalue())
    found = engines.image(engine, f"{NAME}:{tag}")
    assert found is not None
    return found.id


def shipment(folder: Path, tag: str, image_id: str) -> Shipment:
    return Shipment(
        model="churn",
        version="3",
        package_digest="ab" * 32,
        run_id="",
        package=folder,
        reference=NAME,
        tag=tag,
        digest="",
        image_id=image_id,
    )


def test_what_is_pushed_is_named_by_digest_and_comes_back(tmp_path: Path) -> None:
    port = images.free_port()
    repository = f"127.0.0.1:{port}/team/churn"
    target = f"{repository}:3-{'ab' * 6}"
    engine = engines.find()
    said: list[str] = []
    with images.removed(f"{NAME}:one", f"{NAME}:two", target):
        what = shipment(tmp_path, "one", image_of(b"the model", "one"))
        other = shipment(tmp_path, "two", image_of(b"another model", "two"))
        with registry(tmp_path, port):
            first = pushed(engine, what, repository, said.append)
            assert said == [f"push {target}"]
            assert first.digest.startswith("sha256:")
            assert first.shown == f"{repository}@{first.digest}"
            assert pushed(engine, what, repository, said.append) == first

            images.forget(first.shown, target)
            assert engines.image(engine, first.shown) is None
            verified(engine, first)  # is fetched by its digest, and is the one that was judged
            with pytest.raises(GateRefused, match="not the one that the gate judged"):
                verified(engine, replace(first, image_id=other.image_id))

        said.clear()
        with registry(tmp_path, port, refuses=True):
            # As a repository whose tags never move: what is there already counts as pushed.
            assert pushed(engine, what, repository, said.append) == first
            assert said == [f"push {target}", "the registry has it"]
            with pytest.raises(ToolFailed, match="push"):
                pushed(engine, other, repository, said.append)


def test_a_registry_that_does_not_answer(tmp_path: Path) -> None:
    port = images.free_port()
    repository = f"127.0.0.1:{port}/team/churn"
    with images.removed(f"{NAME}:one", f"{repository}:3-{'ab' * 6}"):
        what = shipment(tmp_path, "one", image_of(b"the model", "one"))
        with pytest.raises(ToolFailed) as refused:
            pushed(engines.find(), what, repository, lambda line: None)
        assert "127.0.0.1" in refused.value.why
        assert refused.value.next_step
