"""The image by a real engine: built without network, run hardened, asked, looked into, traced."""

from __future__ import annotations

import html
import json
import os
import shutil
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from images import docker, forget, free_port, layers, needs_engine, removed

pytestmark = [pytest.mark.journey, needs_engine]

NAME = "modelyard-test-churn"
TAG = f"{NAME}:1"
SETTING = f"\nimage:\n  name: {NAME}\n"


@pytest.fixture(scope="module")
def built(released: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A project with a release and its image. Only to be read; `yard` is a copy."""
    made = released.copy(tmp_path_factory.mktemp("image") / "churn")
    with (made.root / "modelyard.yaml").open("a") as file:
        file.write(SETTING)
    made.git("commit", "-qam", "name the image")
    forget(TAG, f"{TAG}-minimal", f"{NAME}:2", f"{NAME}:latest")
    made.cli("image", "build")
    yield made
    forget(TAG, f"{TAG}-minimal", f"{NAME}:2", f"{NAME}:latest")


@pytest.fixture
def yard(built: Any, tmp_path: Path) -> Any:
    """A copy of the project whose image is built."""
    return built.copy(tmp_path / "churn")


def test_it_says_what_it_is(built: Any) -> None:
    record = built.record("image")
    labels = json.loads(docker("image", "inspect", TAG))[0]["Config"]["Labels"]
    champion = built.record("champion")
    assert labels["org.opencontainers.image.version"] == champion["version"]
    assert labels["org.opencontainers.image.revision"] == champion["commit"]
    assert labels["org.opencontainers.image.created"] == champion["since"]
    assert labels["dev.modelyard.package.digest"] == champion["package_digest"]
    assert labels["dev.modelyard.data.version"] == champion["data_version"] == "v1"
    assert labels["dev.modelyard.run"] == champion["run_id"]
    assert record["labels"] == labels
    # Files and records are committed, the filled folders are not.
    assert built.git("status", "--porcelain") == ""
    listed = built.git("ls-files", "image", "records", "compose.yaml").split()
    assert {"image/Dockerfile", "image/requirements.lock", "compose.yaml"} <= set(listed)
    assert {"records/image.json", "records/images.jsonl", "records/image.cdx.json"} <= set(listed)
    assert not any("wheels" in path or "package/" in path for path in listed)


def test_trace_walks_from_the_image_to_the_data(built: Any) -> None:
    digest = built.record("image")["image_id"]
    for name in (digest, digest.removeprefix("sha256:")[:12], TAG):
        chains = built.json("trace", name)
        assert [chain["data_version"] for chain in chains] == ["v1"]
        assert chains[0]["commit"] == built.record("champion")["commit"]
        assert [TAG, digest] in chains[0]["images"]


def test_the_bill_of_materials_lists_every_wheel_and_the_package(built: Any) -> None:
    bill = json.loads((built.root / "records/image.cdx.json").read_bytes())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    named = {part["name"]: part for part in bill["components"]}
    wheels = {path.name for path in (built.root / "image").glob("*/*.whl")}
    assert wheels == {wheel["file"] for wheel in built.record("image")["wheels"]}
    assert {wheel["name"] for wheel in built.record("image")["wheels"]} == set(named) - {"churn"}
    assert named["churn"]["type"] == "machine-learning-model"
    digest = built.record("champion")["package_digest"]
    assert named["churn"]["hashes"] == [{"alg": "SHA-256", "content": digest}]


def test_verify_scores_inside_and_looks_at_every_file(yard: Any) -> None:
    said = yard.cli("image", "verify").stdout
    check = yard.record("image-check")
    assert check["passed"]
    assert check["difference"] == 0
    assert check["golden_rows"] > 0
    assert check["rows"] == yard.record("split")["rows"]["test"]
    assert {"--read-only", "none", "12345:12345", "no-new-privileges"} <= set(check["flags"])
    assert sum(check["parts"].values()) > 100e6
    assert check["parts"]["model package"] > 0
    for text in ("onnxruntime", "user 10001:10001", "records/image.cdx.json", "✓ predictions"):
        assert text in said
    inside = set(check["packages"])
    assert inside.isdisjoint({"scikit-learn", "pandas", "mlflow", "joblib", "cloudpickle", "pip"})


def test_a_budget_that_is_broken_fails(yard: Any) -> None:
    yard.edit(f"  name: {NAME}\n", f"  name: {NAME}\n  size_mb: 50\n")
    said = yard.cli("image", "verify", code=1).stdout
    assert "✗ size" in said
    assert "budget 50" in said
    assert not yard.record("image-check")["passed"]


def test_equal_inputs_give_equal_layers(yard: Any) -> None:
    before = layers(TAG)
    yard.cli("image", "build", "--no-cache")
    assert layers(TAG) == before


def test_a_layer_has_one_order_however_it_is_sorted(built: Any, tmp_path: Path) -> None:
    """By name or by path, as engines do by what they have already: the digest hangs on it."""
    docker("save", "-o", tmp_path / "image.tar", TAG)
    with tarfile.open(tmp_path / "image.tar") as image:
        listed = json.loads(image.extractfile("manifest.json").read())[0]["Layers"]
        for place in listed[-2:]:  # modelyard-serve and the model
            with tarfile.open(fileobj=image.extractfile(place)) as layer:
                names = layer.getnames()
            assert len(names) > 5
            assert sorted(names) == sorted(names, key=lambda name: name.split("/"))


def test_the_dockerfile_builds_without_modelyard(built: Any) -> None:
    with removed(f"{NAME}:classic"):
        words = ["build", "--quiet", "--network", "none", "-t", f"{NAME}:classic", "image"]
        built.tool("env", "DOCKER_BUILDKIT=0", "docker", *words)
        # The classic builder gives the same layers as the builder that modelyard chose.
        assert layers(f"{NAME}:classic") == layers(TAG)


def test_minimal_has_no_shell_and_the_same_answers(yard: Any) -> None:
    yard.cli("image", "build", "--minimal")
    said = yard.cli("image", "verify", "--compressed").stdout
    check = yard.record("image-check")
    assert check["passed"], said
    assert "✓ shell: has no shell" in said
    assert check["size"] <= 150e6
    assert check["compressed"] <= 50e6
    assert check["difference"] == 0
    docker("run", "--rm", "--entrypoint", "/bin/sh", f"{TAG}-minimal", "-c", "true", code=127)


def test_a_new_model_touches_only_its_layer(project_of_two: Any, built: Any) -> None:
    old = layers(TAG)
    with (project_of_two.root / "modelyard.yaml").open("a") as file:
        file.write(SETTING)
    shutil.copytree(built.root / "image", project_of_two.root / "image", dirs_exist_ok=True)
    project_of_two.cli("image", "build")
    new = layers(f"{NAME}:2")
    assert len(new) == len(old)
    assert new[:-1] == old[:-1]
    assert new[-1] != old[-1]
    # An earlier release can be built from here too.
    project_of_two.cli("image", "build", "--release", "v1", "--tag", TAG, "--force")
    assert layers(TAG) == old


def test_run_answers_and_stops_softly(built: Any) -> None:
    port = free_port()
    said = built.cli("image", "run", "--detach", "--port", port).stdout
    container = said.split()[1].rstrip(",")
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/ready") as answer:
            assert answer.status == 200
        taken = built.cli("image", "run", "--detach", "--port", port, code=1).stderr
        assert "The port is in use already." in taken
        # What could not be started is not left behind.
        assert docker("ps", "--all", "--quiet", "--filter", f"ancestor={TAG}").split() == [
            container
        ]
        docker("stop", "--time", "20", container)
        state = json.loads(docker("container", "inspect", container))[0]["State"]
        assert state["ExitCode"] == 0
    finally:
        subprocess.run(["docker", "rm", "-f", container], capture_output=True)


def test_a_tag_that_another_image_holds_is_kept(yard: Any) -> None:
    with removed(f"{NAME}:taken"):
        docker("tag", "python:3.11-slim", f"{NAME}:taken")
        said = yard.cli("image", "build", "--tag", f"{NAME}:taken", code=2).stderr
        assert "exists already, for another image" in said
        assert "--force" in said
        yard.cli("image", "build", "--tag", f"{NAME}:taken", "--force")
        assert layers(f"{NAME}:taken") == layers(TAG)


@pytest.mark.parametrize("victim", ["model.onnx", "manifest.json"])
def test_a_package_that_was_changed_is_refused(yard: Any, victim: str) -> None:
    path = yard.root / "package" / victim
    path.chmod(0o644)
    content = path.read_bytes()
    path.unlink()  # it may be a link into DVC's cache
    path.write_bytes(content[:-2] + b" " + content[-1:])
    said = yard.cli("image", "build", code=1).stderr
    assert "package/ is not what the gate judged" in said
    assert victim in said
    assert "dvc checkout" in said


def test_a_wheel_that_was_changed_is_refused(yard: Any, tmp_path: Path) -> None:
    lock = yard.root / "image/requirements.lock"
    text = lock.read_text()
    digest = text.partition("--hash=sha256:")[2][:64]
    lock.write_text(text.replace(digest, "0" * 64))
    said = yard.cli("image", "build", code=1).stderr
    assert "not the one that image/requirements.lock names" in said


def test_a_base_image_that_is_nowhere(yard: Any) -> None:
    yard.edit(f"  name: {NAME}\n", f"  name: {NAME}\n  base: localhost:9/nowhere:1\n")
    said = yard.cli("image", "build", code=1).stderr
    assert "The base image localhost:9/nowhere:1 is not on this machine" in said
    assert "image.base" in said


def test_a_platform_without_wheels(yard: Any) -> None:
    yard.edit(f"  name: {NAME}\n", f"  name: {NAME}\n  python: '3.29'\n")
    said = yard.cli("image", "build", code=1).stderr
    assert "modelyard image lock" in said
    said = yard.cli("image", "lock", code=1).stderr
    assert "Python 3.29 on linux/amd64 are not to be had" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_is_full(yard: Any) -> None:
    folder = yard.root / "image"
    keep = folder.with_name("kept")
    folder.rename(keep)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("this machine does not let a test mount a small disk")
    try:
        shutil.copy(keep / "requirements.lock", folder)
        said = yard.cli("image", "build", code=1).stderr
        assert "There is no room on the disk for the image's context." in said
        assert not list(folder.glob(".*.part"))
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_signature(yard: Any) -> None:
    yard.edit(f"  name: {NAME}\n", f"  name: {NAME}\n  sign: cp $IMAGE_RECORD signed-$IMAGE_ID\n")
    yard.cli("image", "build")
    record = yard.record("image")
    signed = yard.root / f"signed-{record['image_id']}"
    assert json.loads(signed.read_bytes())["package_digest"] == record["package_digest"]
    yard.edit("sign: cp $IMAGE_RECORD signed-$IMAGE_ID", "sign: cosign-of-nowhere sign $IMAGE")
    said = yard.cli("image", "build", code=1).stderr
    assert "built and not signed: cosign-of-nowhere cannot be started" in said
    assert yard.record("image") == record  # what is not signed is not noted, so not deployed


def test_an_edited_dockerfile_is_kept(yard: Any) -> None:
    path = yard.root / "image/Dockerfile"
    path.write_text(path.read_text() + "LABEL mine=yes\n")
    yard.cli("image", "build")
    assert yard.record("image")["labels"]["mine"] == "yes"
    assert path.read_text().endswith("LABEL mine=yes\n")


def test_report_shows_the_page_from_inside(yard: Any) -> None:
    yard.cli("image", "report")
    page = html.unescape((yard.root / "reports/m3-packaging/index.html").read_text())
    assert "equal the project's exactly" in page
    assert "onnxruntime" in page
    assert '"event":"ready"' in page
    if shutil.which("chromium"):
        assert (yard.root / "reports/m3-packaging/page.png").stat().st_size > 10_000
