"""The image's parts that need no engine: files, wheels, the scan, the checks."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from modelyard import project as projects
from modelyard.errors import ModelyardError
from modelyard.project import Project
from modelyard.render.image import compose_file, image_files, lock_file
from modelyard.ship.image import scan, wheels

Golden = Callable[[str, str], None]

SETTINGS = projects.settings_from(
    {"project": {"name": "churn"}, "data": {"path": "data/raw/t.csv", "target": "y"}}, "test"
)


def test_the_files_that_are_left(golden: Golden) -> None:
    made = image_files("churn", base="python:3.11-slim", python="3.11")
    golden("Dockerfile", made["image/Dockerfile"])
    golden("image_dockerignore", made["image/.dockerignore"])
    golden("image_minimal.txt", made["image/minimal.py"])
    compile(made["image/minimal.py"], "minimal.py", "exec")


def test_the_dockerfile_is_plain() -> None:
    text = image_files("churn", base="python:3.11-slim", python="3.11")["image/Dockerfile"]
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    last_stage = "\n".join(lines).rpartition("\nFROM ")[2]
    assert "--mount" not in "\n".join(lines)
    assert "\nRUN " not in last_stage
    for wanted in ('ENTRYPOINT ["', "USER 10001:10001", "STOPSIGNAL SIGTERM", 'CMD ["python3"'):
        assert wanted in last_stage


def test_compose(golden: Golden) -> None:
    text = compose_file("churn", mlflow="3.17.2")
    golden("compose.yaml", text)
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"endpoint", "mlflow", "postgres"}
    assert services["postgres"]["profiles"] == ["postgres"]
    assert services["endpoint"]["read_only"] is True


def test_the_lock_is_read_as_it_is_written(tmp_path: Path) -> None:
    here = Project(tmp_path, SETTINGS)
    path = wheels.lock_path(here)
    path.parent.mkdir()
    pins = {"numpy": ("2.4.6", "a" * 64), "flask": ("3.1.3", "b" * 64)}
    path.write_text(lock_file(pins, python="3.11", platform="linux/amd64"))
    assert wheels.locked(here) == pins
    path.write_text(lock_file(pins, python="3.12", platform="linux/amd64"))
    with pytest.raises(ModelyardError, match="does not fit") as caught:
        wheels.locked(here)
    assert caught.value.next_step == "modelyard image lock"
    path.write_text(path.read_text().replace("3.12", "3.11") + "pandas==1.0\n")
    with pytest.raises(ModelyardError, match="does not fit"):
        wheels.locked(here)


def test_the_wheel_of_modelyard_serve(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first, second = wheels.serve_wheel(tmp_path / "a"), wheels.serve_wheel(tmp_path / "b")
    assert first == second
    path = tmp_path / "a" / first.file
    names = zipfile.ZipFile(path).namelist()
    assert "modelyard_serve/page/page.html" in names
    assert not [name for name in names if "__pycache__" in name]
    # pip takes it, and its command is there.
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", path],
        check=True,
    )
    said = subprocess.run([python, "-m", "modelyard_serve", "--version"], capture_output=True)
    assert said.returncode != 0 or said.stdout.strip()
    assert (tmp_path / "env/bin/modelyard-serve").is_file()


def archive(*members: tuple[str, int, int]) -> tarfile.TarFile:
    """A container's files: name, size, mode."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name, size, mode in members:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = size, mode
            made.addfile(entry, io.BytesIO(b"x" * size))
    packed.seek(0)
    return tarfile.open(fileobj=packed)


def test_the_scan_sums_by_part() -> None:
    found = scan.scan(
        archive(
            ("usr/bin/python3.11", 100, 0o755),
            ("app/lib/numpy/core.so", 30, 0o644),
            ("app/lib/numpy.libs/blas.so", 12, 0o644),
            ("app/lib/flask/app.py", 7, 0o644),
            ("app/serve/modelyard_serve/app.py", 5, 0o644),
            ("app/package/model.onnx", 3, 0o644),
        )
    )
    assert found.forbidden == []
    assert found.parts == {
        "base": 100,
        "onnxruntime": 0,
        "numpy": 42,
        "granian": 0,
        "other packages": 7,
        "modelyard-serve": 5,
        "model package": 3,
    }


@pytest.mark.parametrize(
    ("name", "mode", "why"),
    [
        ("app/package/model.pkl", 0o644, "runs code"),
        ("app/lib/pandas-2.0.dist-info", 0o644, "must not have"),
        ("app/lib/scikit_learn-1.9.1.dist-info", 0o644, "must not have"),
        ("usr/bin/gcc", 0o755, "a compiler"),
        ("app/lib/x.so", 0o4755, "runs as another user"),
        ("app/package/model.onnx", 0o666, "others may write"),
        ("root/.cache/pip/http/1", 0o644, "pip's cache"),
    ],
)
def test_the_scan_names_what_must_not_be_there(name: str, mode: int, why: str) -> None:
    (found,) = scan.scan(archive((name, 1, mode))).forbidden
    assert name in found
    assert why in found


def test_compressed_size() -> None:
    assert scan.compressed_size(io.BytesIO(b"a" * 10_000_000)) < 20_000
