"""The walls of the house, checked from outside: what installs alone, what starts light."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import serve_alone
from serve_alone import ROOT, UV


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(list(command), capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the serve half's wheel and what it asks for."""
    return serve_alone.environment(tmp_path_factory.mktemp("alone") / "venv")


@pytest.mark.journey
def test_serve_installs_imports_and_scores_alone(alone: Path, tmp_path: Path) -> None:
    from handmade import write_package

    package = write_package(tmp_path / "package")
    program = f"""
import json, sys
from modelyard_serve.app import create_app
from modelyard_serve.pyfunc import _load_pyfunc
from modelyard_serve.scorer import Scorer
scorer = Scorer({str(package)!r})
scorer.check_golden()
client = create_app({str(package)!r}).test_client()
heavy = {{"pandas", "polars", "sklearn", "mlflow", "optuna", "dvc", "joblib", "lightgbm", "scipy"}}
print(json.dumps({{
    "ping": client.get("/ping").status_code,
    "heavy": sorted(heavy & set(sys.modules)),
    "modelyard": "modelyard" in sys.modules,
}}))
"""
    done = run(str(alone), "-c", program, cwd=tmp_path)
    assert json.loads(done.stdout) == {"ping": 200, "heavy": [], "modelyard": False}
    installed = json.loads(
        run(UV, "pip", "list", "--python", str(alone), "--format", "json").stdout
    )
    names = {entry["name"].lower() for entry in installed}
    assert not names & {"pandas", "polars", "scikit-learn", "mlflow", "optuna", "dvc", "modelyard"}
    assert len(names) <= 16, sorted(names)  # fifteen, and the serve half itself
    (packages,) = (alone.parents[1] / "lib").glob("python*/site-packages")
    # Without bytecode: whether an installer compiles is its own choice.
    installed_files = (file for file in packages.rglob("*") if file.is_file())
    size = sum(file.stat().st_size for file in installed_files if file.suffix != ".pyc")
    assert size <= 170e6, f"{size / 1e6:.0f} MB"


def imported(program: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after `program`."""
    code = f"{program}\nimport sys\nprint(*sorted(n for n in sys.modules if '.' not in n))"
    return set(run(sys.executable, "-c", code).stdout.splitlines()[-1].split())


HEAVY = {
    "mlflow", "dvc", "optuna", "sklearn", "lightgbm", "pandas", "polars", "numpy", "onnx",
    "onnxruntime", "matplotlib", "scipy", "pydantic", "jinja2", "yaml",
}  # fmt: skip


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["frobnicate"]])
def test_light_commands_import_nothing_heavy(arguments: list[str]) -> None:
    program = f"""
import contextlib, io
from modelyard.cli import invoke
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    invoke({arguments!r})
"""
    assert not imported(program) & HEAVY


@pytest.mark.parametrize("name", ["config", "data", "stage", "run", "doctor", "trace"])
def test_a_commands_help_imports_no_estimator_and_no_tracker(name: str) -> None:
    program = f"""
import contextlib, io
from modelyard.cli import invoke
with contextlib.redirect_stdout(io.StringIO()):
    invoke([{name!r}, "--help"])
"""
    heavy = HEAVY - {"yaml", "jinja2"}
    assert not imported(program) & heavy


def test_no_file_of_the_project_names_this_machine() -> None:
    """What git keeps speaks of the project alone."""
    listed = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    home = str(Path.home())
    found = []
    for name in filter(None, listed):
        path = ROOT / name
        if not path.is_file() or path.suffix in {".csv", ".parquet", ".png"}:
            continue
        text = path.read_text(encoding="utf-8", errors="ignore")
        if str(ROOT) + "/" in text or (len(home) > 5 and home + "/" in text):
            found.append(name)
    assert found == []
