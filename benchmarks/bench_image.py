"""The container image: size by part, cold start, memory, build times, against other contents.

    python benchmarks/bench_image.py [--project DIR] [--rounds 5]

DIR is a project with two releases; by default the demonstration is made in a temporary folder.
Needs a container engine and the base image (tests/engine.sh, tests/base_image.sh).

Contents of other images are the unpacked files of their wheels, for the same Python and platform:
what `mlflow models build-docker` installs for this model (benchmarks/serving/peers/mlflow.txt), and
FastAPI with scikit-learn. Their images hold a base and more besides.

Cold start: from the start of the process, or of `docker run`, to the first 200 of the readiness
route, the two sides in turn.
"""

from __future__ import annotations

import argparse
import http.client
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import measure

from modelyard.project import Project, load
from modelyard.ship.image import build, run, verify
from modelyard.tools import engine as engines
from modelyard.tools import pip

PEERS = Path(__file__).parent / "serving" / "peers"
CONTENTS = {
    "mlflow models build-docker": ("mlflow.txt",),
    "FastAPI + scikit-learn": ("fastapi_sklearn.txt",),
}
SLIM, MINIMAL = "modelyard-bench:slim", "modelyard-bench:minimal"
APP = ("onnxruntime", "numpy", "granian", "other packages", "modelyard-serve", "model package")
LIMITS = {
    "slim_mb": 300,
    "minimal_mb": 150,
    "minimal_compressed_mb": 50,
    "app_to_mlflow": 0.25,
    "cold_start_ratio": 1.5,
    "idle_mb": 130,
    "new_model_seconds": 3,
}


def unpacked_mb(names: tuple[str, ...], project: Project) -> float:
    """The files in the wheels of these requirements and all that they need, in MB."""
    image = project.settings.image
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary"]
        command.append(":all:")
        command += ["--python-version", image.python, "--implementation", "cp", "--dest", folder]
        for abi in (f"cp{image.python.replace('.', '')}", "abi3", "none"):
            command += ["--abi", abi]
        for tag in pip.tags(image.platform):
            command += ["--platform", tag]
        for name in names:
            command += ["--requirement", str(PEERS / name)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return sum(
            entry.file_size
            for wheel in Path(folder).glob("*.whl")
            for entry in zipfile.ZipFile(wheel).infolist()
        ) / 1e6  # fmt: skip


def builds(project: Project) -> dict[str, float]:
    """Seconds of the engine's part of a build: everything anew, nothing new, a new model."""
    versions = sorted(path.removeprefix("v") for path in releases(project))
    old, new = f"v{versions[-2]}", f"v{versions[-1]}"

    def seconds(release: str, **options: bool) -> tuple[float, tuple[str, ...]]:
        started = time.perf_counter()
        made = build.build(project, tag=SLIM, release=release, force=True, commit=False, **options)
        return time.perf_counter() - started, made.record.layers

    anew, before = seconds(old, cache=False)
    nothing = statistics.median(seconds(old)[0] for _ in range(3))
    fresh, after = seconds(new)
    same = [one == other for one, other in zip(before, after, strict=True)]
    print(f"layers: {len(after)}, of which a new model changed {same.count(False)}")
    assert same.count(False) == 1, "a new model must touch one layer"
    return {"anew": anew, "nothing_new": nothing, "new_model": fresh}


def releases(project: Project) -> list[str]:
    """The released versions, such as v1."""
    said = subprocess.run(
        ["git", "tag", "--list", "model/v*"], cwd=project.root, capture_output=True, text=True
    )
    return [line.removeprefix("model/") for line in said.stdout.split()]


def bare_start(package: Path) -> float:
    """Seconds from the start of a bare process to its first ready answer."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "modelyard_serve", str(package), "--port", str(port)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        return until_ready(port, started)
    finally:
        process.kill()
        process.wait()


def container_start(engine: engines.Engine, reference: str) -> float:
    """Seconds from `docker run` to the container's first ready answer."""
    started = time.perf_counter()
    container = engines.start(engine, reference, publish=f"127.0.0.1::{run.PORT}")
    try:
        return until_ready(engines.published_port(engine, container, run.PORT), started)
    finally:
        engines.remove(engine, container)


def until_ready(port: int, started: float) -> float:
    """Ask until the answer is 200."""
    while time.perf_counter() - started < 120:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return time.perf_counter() - started
        except (OSError, http.client.HTTPException):
            time.sleep(0.01)
        finally:
            connection.close()
    raise SystemExit("not ready within 120 s")


def main() -> None:
    """Print the table and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--project", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    os.environ.update(measure.environment())
    with tempfile.TemporaryDirectory() as folder:
        if options.project is None:
            options.project = Path(folder) / "demo"
            measure.run([str(measure.BIN / "modelyard"), "demo", str(options.project)])
        else:
            options.project = Path(shutil.copytree(options.project, Path(folder) / "project"))
        figures = look(load(options.project), options.rounds)
    contents = figures["contents_mb"]
    rows = [
        ["slim base, unpacked, MB", f"{figures['slim_mb']:.0f}", "300"],
        ["minimal, unpacked, MB", f"{figures['minimal_mb']:.0f}", "150"],
        ["minimal, compressed, MB", f"{figures['minimal_compressed_mb']:.0f}", "50"],
        ["endpoint's own layers, MB", f"{figures['app_mb']:.0f}", ""],
        *[[f"content of {name}, MB", f"{size:.0f}", ""] for name, size in contents.items()],
        ["own layers / mlflow's content", f"{figures['app_to_mlflow']:.2f}", "0.25"],
        ["cold start, container / bare", f"{figures['cold_start_ratio']:.2f}", "1.5"],
        ["memory when idle, MB", f"{figures['idle_mb']:.0f}", "130"],
        ["build, everything anew, s", f"{figures['build']['anew']:.1f}", ""],
        ["build, nothing new, s", f"{figures['build']['nothing_new']:.1f}", ""],
        ["build, a new model, s", f"{figures['build']['new_model']:.1f}", "3"],
    ]
    print("\n" + measure.markdown(["", "measured", "target"], rows))
    measure.save("image", {**figures, "limits": LIMITS, "rounds": options.rounds})


def look(project: Project, rounds: int) -> dict[str, object]:
    """Every figure, by name."""
    engine = engines.find()
    contents = {name: unpacked_mb(files, project) for name, files in CONTENTS.items()}
    try:
        spent = builds(project)
        slim = verify.verify(project, SLIM, compressed=True)
        build.build(project, tag=MINIMAL, minimal=True, force=True, commit=False)
        minimal = verify.verify(project, MINIMAL, compressed=True)
        bare, inside = [], []
        for _ in range(rounds + 1):
            bare.append(bare_start(project.root / "image/package"))
            inside.append(container_start(engine, SLIM))
    finally:
        for reference in (SLIM, MINIMAL, "modelyard-bench:latest"):
            engine.call(["rmi", "--force", reference], check=False)
    assert slim.difference == minimal.difference == 0, "the image must score as the project does"
    app = sum(slim.parts[name] for name in APP) / 1e6
    starts = {"bare": statistics.median(bare[1:]), "container": statistics.median(inside[1:])}
    return {
        "engine": f"{engine.name} {engine.version} {engine.builder}",
        "slim_mb": slim.size / 1e6,
        "slim_compressed_mb": (slim.compressed or 0) / 1e6,
        "minimal_mb": minimal.size / 1e6,
        "minimal_compressed_mb": (minimal.compressed or 0) / 1e6,
        "app_mb": app,
        "parts_mb": {name: size / 1e6 for name, size in slim.parts.items()},
        "contents_mb": contents,
        "app_to_mlflow": app / contents["mlflow models build-docker"],
        "cold_start_seconds": starts,
        "cold_start_ratio": statistics.median(
            there / here for there, here in zip(inside[1:], bare[1:], strict=True)
        ),
        "idle_mb": slim.memory / 1e6,
        "build": spent,
    }


if __name__ == "__main__":
    main()
