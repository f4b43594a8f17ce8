"""Deploys that must not happen: what is refused, with which words and which exit code."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import kube_tools
import msgspec
import pytest

from modelyard.records import ImageRecord

BUILT = {"reference": "churn:1", "image_id": "sha256:" + "1" * 64}


@pytest.fixture
def world(project: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A project with one release and an image's record, real helm and kubectl, and no cluster."""
    monkeypatch.setenv("PATH", str(kube_tools.folder("new")), prepend=":")
    config = tmp_path / "kubeconfig"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
                "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1"}}],
                "contexts": [{"name": "nowhere", "context": {"cluster": "c", "user": "u"}}],
                "users": [{"name": "u", "user": {"token": "none"}}],
            }
        )
    )  # fmt: skip
    monkeypatch.setenv("KUBECONFIG", str(config))
    digest = project.record("champion")["package_digest"]
    record(project, package_digest=digest)
    return project


def record(project: Any, **more: str) -> None:
    """Write the image's record as `image build` does, as far as a deploy reads it."""
    (project.root / "records/image.json").write_text(json.dumps({**BUILT, **more}))


def test_no_cluster(world: Any) -> None:
    done = world.cli("deploy", "--env", "staging", code=1)
    assert "There is no cluster to reach." in done.stderr
    assert "127.0.0.1:1 was refused" in done.stderr
    assert "KUBECONFIG" in done.stderr


def test_a_context_that_is_not_there(world: Any) -> None:
    done = world.cli("deploy", "--env", "staging", "--context", "elsewhere", code=2)
    assert "no such context" in done.stderr


def test_no_kubeconfig(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")
    done = world.cli("deploy", code=1)
    assert "no current context" in done.stderr


def test_production_wants_a_word(world: Any) -> None:
    world.edit(
        "  uri:", "  experiment: null\n  uri:"
    )  # a file that was edited by hand is no hindrance
    done = world.cli("deploy", "--env", "production", "--target", "local", code=2)
    assert "This would deploy to production" in done.stderr
    assert "--yes" in done.stderr


def test_an_image_of_another_package(world: Any) -> None:
    record(world, package_digest="f" * 64)
    done = world.cli("deploy", "--env", "staging", code=3)
    assert "not the one that the gate judged" in done.stderr
    assert "modelyard image build" in done.stderr


def test_after_a_rollback_the_champions_earlier_image_is_taken(world: Any) -> None:
    digest = world.record("champion")["package_digest"]
    empty: dict[Any, Any] = {str: "", int: 0, bool: False, float: 0.0}
    fields = msgspec.structs.fields(ImageRecord)
    blank = {field.name: empty.get(field.type, ()) for field in fields if field.required}
    known = {**blank, **BUILT, "labels": {}}
    lines = [json.dumps({**known, "package_digest": found}) for found in (digest, "f" * 64)]
    (world.root / "records/images.jsonl").write_text("\n".join(lines) + "\n")
    record(world, package_digest="f" * 64)
    # It gets as far as the cluster, which is not there.
    assert "There is no cluster" in world.cli("deploy", "--env", "staging", code=1).stderr


def test_no_image(world: Any) -> None:
    (world.root / "records/image.json").unlink()
    done = world.cli("deploy", code=1)
    assert "No image was built yet." in done.stderr


def test_an_environment_that_is_mistyped(world: Any) -> None:
    done = world.cli("deploy", "--env", "stagin", code=2)
    assert "did you mean 'staging'?" in done.stderr


def test_nothing_to_go_back_to(world: Any) -> None:
    done = world.cli("rollback", "--env", "staging", code=2)
    assert "nothing in staging to go back to" in done.stderr
    assert "Nothing was deployed yet" in world.cli("releases").stdout


def test_a_version_and_an_environment_do_not_go_together(world: Any) -> None:
    done = world.cli("rollback", "v1", "--env", "staging", code=2)
    assert "do not go together" in done.stderr


def test_the_chart_is_kept_up_to_date_and_edits_are_kept(world: Any) -> None:
    assert "out of date" in world.cli("chart", "--check", code=1).stdout
    world.cli("chart")
    world.cli("chart", "--check")
    folder = world.root / "charts/churn"
    mine = folder / "values-staging.yaml"
    mine.write_text("replicas: 7\n")
    ours = folder / "templates/service.yaml"
    ours.write_text(ours.read_text() + "# mine\n")
    assert "kept as you changed it" in world.cli("chart").stdout
    assert mine.read_text() == "replicas: 7\n"
    assert ours.read_text().endswith("# mine\n")
    world.cli("chart", "--force")
    assert "# mine" not in ours.read_text()
    assert mine.read_text() == "replicas: 7\n"
    helm = kube_tools.folder("new") / "helm"
    done = subprocess.run(
        [helm, "lint", folder, "--set", f"image.repository=a/b,image.digest=sha256:{'a' * 64}",
         "-f", folder / "values-production.yaml"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_what_touched_nothing_leaves_no_record(world: Any) -> None:
    before = world.snapshot()
    world.cli("deploy", "--env", "staging", code=1)
    assert "Nothing was deployed yet" in world.cli("releases").stdout
    assert world.snapshot() == before


def test_a_broken_line_of_the_audit_is_told_before_the_rollout(world: Any) -> None:
    path = world.root / "records/deployments.jsonl"
    path.write_text("\n<<<<<<< HEAD\n")
    for verb in (("deploy",), ("releases",), ("rollback", "--env", "staging")):
        said = world.cli(*verb, code=1).stderr
        assert "Line 2 of records/deployments.jsonl cannot be read." in said
        assert "git checkout HEAD -- records/deployments.jsonl" in said
    assert path.read_text() == "\n<<<<<<< HEAD\n"
