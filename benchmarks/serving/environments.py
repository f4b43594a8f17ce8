"""The environments under .cache/serving: one for each peer, one with modelyard-serve alone."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import flights
from servers import ENVIRONMENTS, PEERS, inherited

UV = Path(sys.executable).with_name("uv")
SERVE = flights.ROOT / "packages/modelyard-serve"
LOCK = flights.ROOT / "requirements.lock"


def prepare(packed: str) -> None:
    """Make an environment unless it is there and its requirements are as they were.

    modelyard-serve is installed anew each time, as a wheel of the code as it is now, with the
    versions of requirements.lock.
    """
    folder = ENVIRONMENTS / packed
    if packed == "modelyard":
        versions = folder / "constraints.txt"
        wanted = _constraints()
        if not versions.is_file() or versions.read_text() != wanted:
            _uv("venv", "--clear", "--python", sys.executable, str(folder))
            versions.write_text(wanted)
        _install(folder, "-c", str(versions), "--reinstall-package", "modelyard-serve", str(SERVE))
        return
    requirements = PEERS / f"{packed}.txt"
    stamp = folder / "digest.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return
    _uv("venv", "--clear", "--python", "3.11", str(folder))
    _install(folder, "-r", str(requirements))
    stamp.write_text(digest)


def models() -> None:
    """Make our packages and the peers' model, unless they are there."""
    if not (flights.CACHE / "package").is_dir():
        _run([sys.executable, str(Path(__file__).with_name("ours.py"))])
    if not (flights.CACHE / "pipeline.json").is_file():
        prepare("train")
        python = ENVIRONMENTS / "train/bin/python"
        _run([str(python), str(Path(__file__).with_name("pipeline.py"))])
    if not (flights.CACHE / "package_same").is_dir():
        _run([sys.executable, str(Path(__file__).with_name("folded.py"))])


def weight(packed: str) -> tuple[float, int]:
    """MB in site-packages without byte code, and the number of distributions there."""
    (site,) = (ENVIRONMENTS / packed / "lib").glob("python*/site-packages")
    files = (path for path in site.rglob("*") if path.is_file() and not path.is_symlink())
    size = sum(path.stat().st_size for path in files if path.suffix != ".pyc")
    return size / 1e6, len(list(site.glob("*.dist-info")))


def _constraints() -> str:
    """The lock's versions without its hashes."""
    lines = LOCK.read_text().splitlines()
    return "".join(line.rstrip(" \\") + "\n" for line in lines if line and line[0].isalnum())


def _install(folder: Path, *words: str) -> None:
    _uv("pip", "install", "--python", str(folder / "bin/python"), *words)


def _uv(*words: str) -> None:
    _run([str(UV), *words])


def _run(command: list[str]) -> None:
    done = subprocess.run(command, env=inherited(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")


def expected() -> list[list[float]]:
    """The pipeline's probabilities for the rows that every peer is checked on."""
    found: list[list[float]] = json.loads((flights.CACHE / "expected.json").read_text())[
        "probabilities"
    ]
    return found


def native() -> list[list[float]]:
    """LightGBM's own probabilities for the same rows, from the booster that was packed."""
    import lightgbm

    from modelyard_serve.contract import read_manifest
    from modelyard_serve.encoding import encode

    rows = flights.sample(300)
    columns = {name: [row[name] for row in rows] for name in flights.COLUMNS}
    matrix = encode(read_manifest(flights.CACHE / "package").features, columns)
    booster = lightgbm.Booster(model_file=str(flights.CACHE / "booster.lightgbm.txt"))
    return [[1 - late, late] for late in booster.predict(matrix, num_threads=1).tolist()]
