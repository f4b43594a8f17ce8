"""The walls of the house, checked from outside: what installs alone, what starts light."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVE = ROOT / "packages" / "modelyard-serve"
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def run(*command: str, **options: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(list(command), capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the serve half's wheel and what it asks for.

    A shared development environment hides leaks; an empty one does not.
    """
    folder = tmp_path_factory.mktemp("alone")
    source = folder / "source"
    shutil.copytree(SERVE, source, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=source)
    run(UV, "venv", "--quiet", "--python", sys.executable, str(folder / "venv"))
    python = folder / "venv" / "bin" / "python"
    # The lock without its hashes is a list of constraints: the same versions as everywhere.
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^([\w.-]+==[^\\\n]+?)\s*\\?$", lock, re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(pins) + "\n")
    (wheel,) = folder.glob("*.whl")
    install(python, str(wheel))
    return python


def install(python: Path, *packages: str) -> None:
    """Install into the environment of `python`, in the versions of the lock."""
    constraints = str(python.parents[2] / "constraints.txt")
    run(UV, "pip", "install", "--quiet", "--python", str(python), "-c", constraints, *packages)


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
    size = sum(file.stat().st_size for file in packages.rglob("*") if file.is_file())
    assert size <= 170e6, f"{size / 1e6:.0f} MB"


LONG = ("test_soak.py", "test_fuzz.py", "test_openapi_live.py")


@pytest.mark.journey
def test_serve_passes_its_suite_alone(alone: Path, tmp_path: Path) -> None:
    """After the test above: what tests need is installed beside, and nothing of the build half.

    What asks the same things for longer (soak, fuzz, every operation of the document) is left out.
    """
    install(
        alone, "pytest", "pytest-timeout", "hypothesis", "onnx", "jsonschema", "schemathesis",
        "openapi-spec-validator",
    )  # fmt: skip
    done = run(
        str(alone), "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp",
        str(tmp_path / "work"), str(SERVE / "tests"),
        *(f"--ignore={SERVE / 'tests' / name}" for name in LONG), cwd=ROOT,
        env=os.environ | {
            "MODELYARD_FUZZ_EXAMPLES": "25",
            "PATH": f"{alone.parent}{os.pathsep}{os.environ['PATH']}",
        },
    )  # fmt: skip
    assert re.search(r"\d+ passed", done.stdout), done.stdout[-2000:]


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
