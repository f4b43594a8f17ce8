"""The stages' own verbs, the whole pipeline and the report on real projects."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.journey


def commit(yard: Any, message: str) -> None:
    yard.git("add", "--all")
    yard.git("commit", "--quiet", "-m", message)


def on_main(yard: Any) -> Any:
    yard.git("branch", "--move", "--force", "main")
    return yard


def test_lint_finds_what_is_wrong(project: Any) -> None:
    assert "✗" not in project.cli("lint").stdout
    project.edit("owners: []", "owners: ['@ada']")
    assert "CODEOWNERS" in project.cli("sync", "--check", code=1).stdout
    assert "modelyard sync" in project.cli("lint", code=1).stdout
    project.cli("sync")
    project.cli("chart")  # Helm's templates are not YAML before they are rendered
    project.git("add", "--all")
    assert "✗" not in project.cli("lint").stdout
    (project.root / "records/gate.json").write_text('{"passed": 1}\n')
    (project.root / "notes.yml").write_text("a: [\n")
    (project.root / "script.py").write_text("def (:\n")
    project.git("add", "--all")
    said = project.cli("lint", code=1).stdout
    for part in ("records/gate.json", "notes.yml", "script.py"):
        assert part in said
    project.edit("owners:", "owner:")
    assert "did you mean" in project.cli("lint", code=1).stdout


def test_test_checks_the_package_the_data_and_a_persons_tests(project: Any) -> None:
    (project.root / "tests").mkdir()
    mine = project.root / "tests/test_mine.py"
    mine.write_text("def test_it():\n    assert True\n")
    said = project.cli("test", "--junit", "ci/junit.xml").stdout
    assert "golden samples score as packed" in said
    assert "1,000 rows fit records/schema.json" in said
    suites = ET.parse(project.root / "ci/junit.xml").getroot()
    assert [suite.get("name") for suite in suites] == ["modelyard", "pytest"]
    mine.write_text("import nothing_of_this_name\n")
    said = project.cli("test", "--junit", "ci/junit.xml", code=1).stdout
    assert "pytest ended with code 2" in said
    mine.write_text("def test_it():\n    assert False\n")
    graph = project.root / "package/model.onnx"
    content = graph.read_bytes()
    graph.unlink()  # it may be a link into the cache
    graph.write_bytes(content + b"x")
    said = project.cli("test", "--junit", "ci/junit.xml", code=1).stdout
    assert "model.onnx was changed after packing" in said
    assert "pytest ended with code 1" in said
    suites = ET.parse(project.root / "ci/junit.xml").getroot()
    assert int(suites[0].get("failures") or 0) == 2


def test_a_clone_pulls_and_validates(project: Any, tmp_path: Path) -> None:
    on_main(project)
    project.tool("dvc", "remote", "add", "--force", "-d", "store", tmp_path / "store")
    commit(project, "chore: a shared remote")
    project.tool("dvc", "push", "-q")
    clone = type(project)(tmp_path / "clone")
    project.git("clone", "--quiet", ".", clone.root)
    assert "stages' outputs are here" in clone.cli("data", "pull").stdout
    assert "1,000 rows fit" in clone.cli("data", "validate").stdout
    assert "Nothing to do" in clone.cli("run", "--no-release").stdout
    lines = clone.table.read_text().splitlines(keepends=True)
    clone.table.unlink()
    clone.table.write_text("".join([lines[0].replace("tenure", "tenor"), *lines[1:]]))
    said = clone.cli("data", "validate", code=4).stderr
    assert "tenor: a column that the schema does not know" in said


def test_a_clone_without_a_shared_remote_is_told(project: Any, tmp_path: Path) -> None:
    clone = type(project)(tmp_path / "clone")
    project.git("clone", "--quiet", ".", clone.root)
    said = clone.cli("data", "pull", code=1).stderr
    assert "is a folder of the project that it was made in" in said
    assert "dvc remote add -d" in said


def test_smoke_compares_the_answers(project: Any) -> None:
    assert "20 golden samples" in project.cli("smoke").stdout
    assert "The address is empty" in project.cli("smoke", "", code=2).stderr
    assert "Nothing of use answers" in project.cli("smoke", "http://127.0.0.1:9", code=1).stderr


def test_a_refusing_gate_ends_the_pipeline_with_3(project: Any) -> None:
    on_main(project)
    project.edit("limits: {}", "limits: {roc_auc: {min: 0.99}}")
    commit(project, "feat: a limit that nothing passes")
    said = project.cli("ci", "run", "train", "smoke", code=3).stdout
    assert "the gate refused the candidate" in said
    page = (project.root / "ci/logs/latest/index.html").read_text()
    assert "exit code 3" in page
    kept = project.root / "ci/logs/latest/artifacts"
    assert (kept / "train/records/gate.json").is_file()
    # Who looks at the change sees by how much: that is when it matters most.
    project.cli("ci", "run", "train", "report", "--event", "change", code=3)
    text = (kept / "report/reports/ci.md").read_text()
    assert "## churn: the gate **refused** the candidate" in text
    assert re.search(r"- ✗ roc\\_auc 0\.\d+ is below", text)
    assert (kept / "train/reports/index.html").is_file()
    assert (kept / "train/MODEL_CARD.md").is_file()


def test_the_report_says_what_a_branch_changes(project_of_two: Any) -> None:
    yard = project_of_two
    yard.git("branch", "--force", "before", "model/v1^{commit}")
    yard.cli("ci", "report", "--base", "before", "-o", "reports/ci.md")
    text = (yard.root / "reports/ci.md").read_text()
    assert text.startswith("<!-- modelyard: report on a proposed change -->\n## churn: the gate")
    assert "| **roc_auc** | 0." in text
    assert "on the same" in text, "the gate's paired comparison"
    assert "1,000 → 1,400 rows: " in text
    assert "### Parameters: unchanged" in text
    assert "![roc](ci-plots/roc.png)" in text
    assert "xychart-beta" in (yard.root / "reports/ci-plots/roc.md").read_text()
    assert "\n```text\nroc_auc" in text
    assert (yard.root / "reports/ci-plots/roc.png").read_bytes().startswith(b"\x89PNG")
    assert "not posted: neither GitHub nor GitLab" in yard.cli("ci", "comment").stdout
    assert "There is no branch" in yard.cli("ci", "report", "--base", "nowhere", code=2).stderr
