"""trace walks the chain from every link; a dirty tree is no hole in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def links(chain: dict[str, Any]) -> dict[str, str]:
    return {
        "commit": chain["commit"],
        "short commit": chain["commit"][:8],
        "run": chain["run_id"],
        "package": chain["package_digest"],
        "short package": chain["package_digest"][:12],
        "prefixed package": f"sha256:{chain['package_digest']}",
        "model": chain["model_digest"],
        "data": chain["data_md5"],
        "data tag": f"data/{chain['data_version']}",
        "model tag": f"model/v{chain['version']}",
        "release commit": chain["release_commit"],
    }


@pytest.mark.parametrize("version", ["1", "2"])
def test_every_link_leads_to_the_same_chain(grown: Any, version: str) -> None:
    from modelyard import Project

    project = Project(grown.root)
    (chain,) = grown.json("trace", f"model/v{version}")
    audit = grown.audit[int(version) - 1]
    assert chain["package_digest"] == audit["package_digest"]
    assert chain["run_id"] == audit["run_id"]
    assert chain["release_commit"] == grown.git("rev-parse", f"model/v{version}^{{commit}}")
    assert chain["commit"] == grown.git("rev-parse", f"data/v{version}^{{commit}}")
    assert chain["champion"] is (version == "2")
    for name, link in links(chain).items():
        assert [found.run_id for found in project.trace(link)] == [chain["run_id"]], name
    shown = grown.cli("trace", chain["commit"][:8]).stdout
    for value in (chain["run_id"], chain["package_digest"], chain["model_digest"]):
        assert value in shown


def test_an_unknown_name_is_said_to_be_one(grown: Any) -> None:
    done = grown.cli("trace", "feedc0de", code=2)
    assert "feedc0de" in done.stderr
    assert "next:" in done.stderr


def test_a_clone_without_the_store_still_knows(grown: Any, tmp_path: Path) -> None:
    grown.git("clone", "--quiet", grown.root, tmp_path / "clone")
    clone = type(grown)(tmp_path / "clone")
    assert not (clone.root / "mlflow.db").exists()
    (whole,) = grown.json("trace", "model/v1")
    for name, link in links(whole).items():
        (found,) = clone.json("trace", link)
        assert {**found, "dirty": ""} == {**whole, "dirty": ""}, name


def test_a_dirty_tree_is_kept_as_a_patch(
    project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    project.edit("resamples: 300", "resamples: 250")
    (project.root / "notes with spaces.txt").write_text("not added to git\n")
    wanted = (project.root / "modelyard.yaml").read_bytes()
    run_id = project.json("run")["run_id"]
    monkeypatch.chdir(project.root)
    client = mlflow.MlflowClient(project.store)
    tags = client.get_run(run_id).data.tags
    assert tags["modelyard.dirty"] == "true"
    assert (project.root / "modelyard.yaml").read_bytes() == wanted
    patch = client.download_artifacts(run_id, "project/dirty.patch", str(tmp_path))

    project.git("clone", "--quiet", project.root, tmp_path / "clean")
    clean = type(project)(tmp_path / "clean")
    clean.git("checkout", "--quiet", tags["modelyard.commit"])
    clean.git("apply", patch)
    assert (clean.root / "modelyard.yaml").read_bytes() == wanted
    assert (clean.root / "notes with spaces.txt").read_text() == "not added to git\n"
    assert "dirty.patch" in project.cli("trace", run_id).stdout


def test_a_clean_run_has_no_patch(grown: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.chdir(grown.root)
    client = mlflow.MlflowClient(grown.store)
    for line in grown.audit:
        assert client.get_run(line["run_id"]).data.tags["modelyard.dirty"] == "false"
        names = [entry.path for entry in client.list_artifacts(line["run_id"], "project")]
        assert "project/dirty.patch" not in names
        assert "project/dvc.lock" in names
