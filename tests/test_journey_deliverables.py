"""Card, summary, report and bundle of a released project; and the project rebuilt from the zip."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def test_from_a_release_to_a_zip_and_back(project_of_two: Any, tmp_path: Path) -> None:
    here = project_of_two
    here.cli("data", "diff", "v1", "v2")
    assert here.cli("card").stdout.strip() == "MODEL_CARD.md"
    assert here.cli("summary").stdout.strip() == "reports/summary.pdf"
    assert here.cli("report").stdout.strip() == "reports/index.html"
    page = (here.root / "reports/index.html").read_text(encoding="utf-8")
    linked = set(re.findall(r'href="([^"#][^"]*)"', page))
    assert linked == {"summary.pdf"}
    assert all((here.root / "reports" / path).is_file() for path in linked)
    assert "What changed, v1 to v2" in page
    assert "summary.pdf" in page

    # What is written about a model makes no tree dirty: the next run is the same run.
    here.cli("run")
    said = here.cli("bundle").stdout
    assert "data: v1, v2" in said
    path = here.root / "reports/churn-bundle.zip"
    names = zipfile.ZipFile(path).namelist()
    for wanted in ("README.md", "manifest.json", "code/project.bundle", "code/project.tar",
                   "model/mlflow.db", "model/package/model.onnx", "reports/index.html",
                   "reports/summary.pdf", "reports/MODEL_CARD.md", "state/runs.json"):  # fmt: skip
        assert wanted in names, wanted
    assert any(name.endswith(".whl") for name in names)
    first = manifest(path)
    here.cli("bundle")
    assert files(manifest(path)) == files(first)

    assert "as they were made" in here.cli("bundle", "verify", path).stdout
    there = type(here)(tmp_path / "elsewhere")
    here.cli("bundle", "open", path, there.root)
    assert there.metrics == here.metrics
    assert there.git("tag", "--list") == here.git("tag", "--list")
    assert there.table.read_bytes() == here.table.read_bytes()
    assert there.git("status", "--porcelain") == here.git("status", "--porcelain")
    said = there.cli("reproduce").stdout
    assert said.count("✓") == 2
    there.cli("data", "checkout", "v1")
    assert len(there.json("runs")) == len(here.json("runs"))
    here.cli("bundle", "open", path, there.root, code=2)


def manifest(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(zipfile.ZipFile(path).read("manifest.json"))
    return found


def files(body: dict[str, Any]) -> dict[str, Any]:
    """Without git's packing, whose bytes may differ, and the store, which a run may touch."""
    left_out = ("code/project.bundle", "model/mlflow.db")
    return {name: entry for name, entry in body["files"].items() if name not in left_out}


def test_a_bundle_does_not_write_through_a_link(project: Any, tmp_path: Path) -> None:
    """Its history is a stranger's: a link in it may lead anywhere."""
    victim, path = tmp_path / "victim", tmp_path / "linked.zip"
    shutil.move(project.root / "reports", victim)
    (project.root / "reports").symlink_to(victim)
    project.git("add", "--force", "reports")
    project.git("commit", "-m", "a link")
    project.cli("bundle", "-o", path, "--data", "current")
    shutil.rmtree(victim)
    victim.mkdir()
    said = project.cli("bundle", "open", path, tmp_path / "opened", code=1).stderr
    assert "outside of its folder" in said
    assert list(victim.iterdir()) == []
    assert not (tmp_path / "opened").exists()


def test_a_project_in_a_folder_of_a_repository_comes_back_there(
    folder: Any, tables: Path, tmp_path: Path
) -> None:
    folder.git("init", "-b", "main")
    ml = type(folder)(folder.root / "teams/ml")
    ml.root.mkdir(parents=True)
    ml.cli("init", "--adopt", "--data", tables / "customers.csv", "--target", "churn")
    path = tmp_path / "a bundle.zip"
    ml.cli("bundle", "-o", path)
    said = ml.cli("bundle", "open", path, tmp_path / "opened").stdout
    home = type(folder)(tmp_path / "opened/teams/ml")
    assert f"cd {home.root}" in said
    assert home.table.read_bytes() == ml.table.read_bytes()
    pointer = "data/raw/customers.csv.dvc"
    assert home.tool("dvc", "status", pointer).stdout.strip().endswith("up to date.")
    readme = zipfile.ZipFile(path).read("README.md").decode()
    assert "bundle verify '../a bundle.zip'" in readme
    assert "cd ml/teams/ml\n../../../venv/bin/modelyard reproduce" in readme


def test_a_shallow_clone_is_not_bundled(project: Any, tmp_path: Path) -> None:
    project.git("clone", "--quiet", "--depth", "1", f"file://{project.root}", tmp_path / "shallow")
    clone = type(project)(tmp_path / "shallow")
    said = clone.cli("bundle", code=2).stderr
    assert "git fetch --unshallow" in said


def test_a_damaged_bundle_is_refused(project: Any, tmp_path: Path) -> None:
    path = tmp_path / "churn.zip"
    project.cli("bundle", "-o", path, "--data", "current")
    whole = path.read_bytes()
    changed = tmp_path / "changed.zip"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            body = old.read(name)
            if name == "code/project.tar":
                continue
            new.writestr(name, body + b" " if name == "README.md" else body)
        new.writestr("extra.txt", "x")
    said = project.cli("bundle", "verify", changed, code=4).stderr
    for words in ("README.md was changed", "code/project.tar is missing", "extra.txt is not in"):
        assert words in said
    project.cli("bundle", "open", changed, tmp_path / "opened", code=4)
    assert not (tmp_path / "opened").exists()
    for body in (whole[: len(whole) // 2], b"no zip"):
        changed.write_bytes(body)
        assert "damaged" in project.cli("bundle", "verify", changed, code=4).stderr
    assert "There is no file" in project.cli("bundle", "verify", tmp_path / "no.zip", code=2).stderr


def test_whoever_has_only_the_zip_gets_the_same_model(project: Any, tmp_path: Path) -> None:
    """The README's own commands, in a new environment; MODELYARD_REBUILD=pip installs as it says.

    Otherwise uv installs the same files from the same lock, out of its cache: seconds, not minutes.
    """
    place = tmp_path / "elsewhere"
    (place / "unzipped").mkdir(parents=True)
    project.cli("bundle", "-o", place / "churn.zip", "--data", "current")
    shutil.unpack_archive(place / "churn.zip", place / "unzipped")
    readme = (place / "unzipped/README.md").read_text(encoding="utf-8")
    commands = readme.split("```")[1].strip().splitlines()
    assert commands[0] == "python3 -m venv venv"
    pip, uv = "venv/bin/python -m pip install", Path(sys.executable).with_name("uv")
    if os.environ.get("MODELYARD_REBUILD") != "pip":
        assert [pip in command for command in commands].count(True) == 1
        if not uv.is_file():
            pytest.skip("needs uv, or MODELYARD_REBUILD=pip (a minute and a half)")
        commands = [
            line.replace(pip, f"{uv} pip install --python venv/bin/python") for line in commands
        ]
    # Nothing of this environment is on the way: one program, python3, and those of the system.
    programs = tmp_path / "bin"
    programs.mkdir()
    base = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    (programs / "python3").write_text(f'#!/bin/sh\nexec {base} "$@"\n')
    (programs / "python3").chmod(0o755)
    world = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    world["PATH"] = f"{programs}:/usr/bin:/bin"
    seconds = {}
    for number in range(len(commands)):
        # Each in the shell that a person types them into: `cd` counts for those that follow.
        moved = " && ".join(line for line in commands[:number] if line.startswith("cd "))
        line = " && ".join(part for part in (moved, commands[number]) if part)
        started = time.monotonic()
        done = subprocess.run(
            ["bash", "-ec", line], cwd=place / "unzipped", env=world, capture_output=True, text=True
        )
        seconds[commands[number].replace(str(uv), "uv")] = time.monotonic() - started
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    for line, took in seconds.items():
        print(f"{took:6.1f} s  {line}")
    said = done.stdout
    assert said.count("✓") == 2
    assert f"{len(json.loads(project.metrics))} figures are equal" in said
    assert project.record("pack")["model_digest"][:16] in said
    at = "import modelyard, modelyard_serve; print(modelyard.__file__, modelyard_serve.__file__)"
    where = subprocess.run(
        [place / "unzipped/venv/bin/python", "-c", at], env=world, capture_output=True, text=True
    ).stdout.split()
    assert len(where) == 2
    assert all(path.startswith(str(place / "unzipped/venv/")) for path in where)


def test_data_that_is_nowhere_is_said_and_no_zip_is_left(project_of_two: Any) -> None:
    here = project_of_two
    pointer = here.git("show", "data/v1:data/raw/customers.csv.dvc")
    md5 = re.search(r"md5: ([0-9a-f]{32})", pointer)[1]  # type: ignore[index]
    for base in (".dvc/cache", ".dvc-store"):
        (here.root / base / "files/md5" / md5[:2] / md5[2:]).unlink(missing_ok=True)
    said = here.cli("bundle", code=1).stderr
    assert "the table of data/v1" in said
    assert "--data current" in said
    assert not (here.root / "reports/churn-bundle.zip").exists()
    assert "data: v2" in here.cli("bundle", "--data", "current").stdout


def test_before_the_first_run(folder: Any, tables: Path) -> None:
    folder.cli("init", "churn", "--data", tables / "customers.csv", "--target", "churn")
    here = type(folder)(folder.root / "churn")
    page = here.cli("report").stdout
    assert "reports/index.html" in page
    text = (here.root / "reports/index.html").read_text(encoding="utf-8")
    assert "There has been no run yet" in text
    for verb in ("card", "summary", "record"):
        said = here.cli(verb, code=1).stderr
        assert "evaluate.json is missing" in said
        assert "modelyard run" in said
    assert "data: v1" in here.cli("bundle").stdout


def test_without_browser_or_ffmpeg_the_recording_names_them(project: Any, tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "bash"):
        found = subprocess.run(["which", name], capture_output=True, text=True).stdout.strip()
        (programs / name).symlink_to(found)
    yard = subprocess.run(["which", "modelyard"], capture_output=True, text=True).stdout.strip()
    done = subprocess.run(
        [yard, "record"], cwd=project.root, env=os.environ | {"PATH": str(programs)},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    for words in ("Xvfb", "xterm", "ffmpeg", "chromium", "apt-get install"):
        assert words in done.stderr
    assert not (project.root / "reports/recording.mp4").exists()
