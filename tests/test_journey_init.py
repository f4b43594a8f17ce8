"""init: what a project consists of before its first run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.journey


def files(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".git" not in path.relative_to(root).parts
    }


def test_init_leaves_a_clean_repository_with_a_first_data_version(
    folder: Any, tables: Path
) -> None:
    said = folder.cli("init", "churn", "--data", tables / "customers.csv", "--target", "churn")
    made = type(folder)(folder.root / "churn")
    assert made.git("status", "--porcelain") == ""
    assert made.git("tag", "--list") == "data/v1"
    assert made.git("log", "-1", "--format=%an") == "Ada Example"
    assert made.table.read_bytes() == (tables / "customers.csv").read_bytes()
    tracked = made.git("ls-files").splitlines()
    assert {"modelyard.yaml", "dvc.yaml", ".gitignore", "README.md"} <= set(tracked)
    assert "data/raw/customers.csv" not in tracked
    assert "data/raw/customers.csv.dvc" in tracked
    # What was inferred is said, with its ground, on the screen and beside the key.
    assert "binary" in said.stdout
    text = (made.root / "modelyard.yaml").read_text()
    assert sum(line.lstrip().startswith("#") for line in text.splitlines()) > 20
    tree = yaml.safe_load(text)
    assert tree["data"]["target"] == "churn"
    assert tree["data"]["task"] == "binary"
    assert made.tool("dvc", "status").returncode == 0
    for name, content in files(made.root).items():
        if ".dvc" not in name and content.isascii():
            assert str(folder.root).encode() not in content, f"{name} names its own place"


def test_dry_run_writes_nothing(folder: Any, tables: Path) -> None:
    said = folder.cli(
        "init", "churn", "--data", tables / "customers.csv", "--target", "churn", "--dry-run"
    )
    assert list(folder.root.iterdir()) == []
    for name in ("modelyard.yaml", "dvc.yaml", "data/raw/customers.csv", ".gitignore"):
        assert name in said.stdout


def test_a_folder_that_exists_is_left_alone(folder: Any, tables: Path) -> None:
    (folder.root / "churn").mkdir()
    (folder.root / "churn/thesis.txt").write_text("mine")
    done = folder.cli(
        "init", "churn", "--data", tables / "customers.csv", "--target", "churn", code=2
    )
    assert "--adopt" in done.stderr
    assert files(folder.root / "churn") == {"thesis.txt": b"mine"}


def test_adopt_never_overwrites(folder: Any, tables: Path) -> None:
    (folder.root / "README.md").write_text("# My own words\n")
    (folder.root / ".gitignore").write_text("secret.txt\n")
    (folder.root / "train.py").write_text("print('old ways')\n")
    folder.git("init", "-b", "trunk")
    folder.git("add", ".")
    folder.git("commit", "-m", "my work")
    (folder.root / "README.md").write_text("# My own words, not committed yet\n")
    before = files(folder.root)

    dry = ("init", "--adopt", "--data", tables / "customers.csv", "--target", "churn", "--dry-run")
    folder.cli(*dry)
    assert files(folder.root) == before
    folder.cli(*dry[:-1])

    after = files(folder.root)
    assert after["README.md"] == before["README.md"]
    assert after["train.py"] == before["train.py"]
    assert "secret.txt" in after[".gitignore"].decode().splitlines()
    assert "/.modelyard/" in after[".gitignore"].decode().splitlines()
    assert "data/v1" in folder.git("tag", "--list").splitlines()
    assert folder.git("branch", "--show-current") == "trunk"
    # The person's uncommitted line is still the only thing that is not committed.
    assert folder.git("status", "--porcelain").split() == ["M", "README.md"]
    assert folder.json("data", "log")[0]["version"] == "v1"


def test_settings_given_to_init_are_written_and_hold(released: Any) -> None:
    tree = yaml.safe_load((released.root / "modelyard.yaml").read_text())
    assert tree["tune"]["trials"] == 3
    assert tree["tune"]["budget"] is None
    study = released.record("study")
    assert (study["trials_wanted"], study["folds"]) == (3, 2)
    assert {trial["family"] for trial in study["trials"]} == {"baseline", "linear", "boosting"}
