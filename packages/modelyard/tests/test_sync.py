"""sync: three ways, file by file, on a real repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modelyard import line, project
from modelyard.errors import UsageError
from modelyard.scaffold.generated import rendered, texts, with_renderings
from modelyard.scaffold.sync import CHANGES, compare, sync
from modelyard.tools import git

YAML = """\
project: {name: churn}
data: {path: data/raw/a.csv, target: y}
ci: {services: [github, gitlab]}
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "p"
    folder.mkdir()
    git.init(folder)
    (folder / "modelyard.yaml").write_text(YAML)
    settings = project.load(folder).settings
    for name, text in with_renderings(texts(settings, line.stages)).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    save(folder)
    return folder


def save(root: Path) -> None:
    git.add(root, ["."])
    git.commit(root, "chore: save", ["."])


def configure(root: Path, old: str, new: str) -> None:
    path = root / "modelyard.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def touched(root: Path) -> dict[str, str]:
    found = compare(project.load(root), line.stages)
    return {change.path: change.state for change in found if change.state in CHANGES}


def run(root: Path) -> dict[str, str]:
    found = sync(project.load(root), line.stages)
    return {change.path: change.state for change in found if change.state in CHANGES}


ENVIRONMENTS = ("services: [github, gitlab]", "environments: [staging, production]")


def test_a_new_project_is_up_to_date(root: Path) -> None:
    assert touched(root) == {}
    assert run(root) == {}
    assert git.changed_files(root) == []


def test_what_nobody_edited_is_rendered_anew_and_edits_are_kept(root: Path) -> None:
    makefile, workflow = root / "Makefile", root / ".github/workflows/pipeline.yml"
    makefile.write_text(makefile.read_text() + "\nmine:\n\t@echo mine\n")
    text = workflow.read_text()
    workflow.write_text(text.replace("timeout-minutes: 30", "timeout-minutes: 45", 1))
    save(root)
    configure(root, *ENVIRONMENTS)
    found = run(root)
    assert (found["Makefile"], found[".github/workflows/pipeline.yml"]) == ("merged", "merged")
    assert found[".gitlab-ci.yml"] == "updated"
    assert "mine:\n\t@echo mine" in makefile.read_text()
    assert "deploy: ##" in makefile.read_text()
    assert "timeout-minutes: 45" in workflow.read_text()
    assert "deploy-production:" in workflow.read_text()
    assert touched(root) == {}
    assert (root / ".github/protect-branch.sh").stat().st_mode & 0o100 == 0, "untouched files stay"


def test_both_changed_one_place(root: Path) -> None:
    makefile = root / "Makefile"
    makefile.write_text(makefile.read_text().replace("clean clones, with logs", "my clones"))
    save(root)
    base = root / rendered("Makefile")
    base.write_text(base.read_text().replace("clean clones, with logs", "an older word"))
    save(root)
    assert touched(root) == {"Makefile": "conflict"}
    assert run(root) == {"Makefile": "conflict"}
    text = makefile.read_text()
    assert "<<<<<<< yours" in text
    assert "my clones" in text
    assert "clean clones, with logs" in text
    # It is told until somebody has chosen, committed or not, and nothing is merged into it.
    for _ in range(2):
        assert touched(root) == {"Makefile": "conflict"}
        assert run(root) == {"Makefile": "conflict"}
        assert makefile.read_text() == text
        save(root)
    ours = re.sub(r"<<<<<<< yours\n(.*?)\|{7}.*?>>>>>>> modelyard\n", r"\1", text, flags=re.S)
    makefile.write_text(ours)
    assert "my clones" in ours
    assert touched(root) == {}
    assert run(root) == {}


def test_a_file_that_a_person_removed_stays_away(root: Path) -> None:
    (root / ".gitlab-ci.yml").unlink()
    save(root)
    configure(root, *ENVIRONMENTS)
    assert ".gitlab-ci.yml" not in run(root)
    assert not (root / ".gitlab-ci.yml").exists()
    assert touched(root) == {}


def test_a_service_that_is_taken_out_takes_its_files_along(root: Path) -> None:
    (root / ".gitlab/CODEOWNERS").write_text("* @ada\n")
    save(root)
    configure(root, "services: [github, gitlab]", "services: [github]")
    found = run(root)
    assert found[".gitlab-ci.yml"] == "removed"
    assert not (root / ".gitlab-ci.yml").exists()
    assert (root / ".gitlab/CODEOWNERS").read_text() == "* @ada\n", "an edited one is yours now"
    assert touched(root) == {}


def test_a_file_that_was_there_before_is_left_alone(root: Path) -> None:
    (root / rendered("Makefile")).unlink()
    (root / "Makefile").write_text("all:\n\ttrue\n")
    save(root)
    assert touched(root) == {}
    run(root)
    assert (root / "Makefile").read_text() == "all:\n\ttrue\n"


def test_rules_get_the_lines_that_they_lack(root: Path) -> None:
    for name in (".gitattributes", ".gitignore"):
        (root / rendered(name)).unlink()
        (root / name).write_text("# mine\n*.x binary\n")
    save(root)
    assert touched(root) == {".gitattributes": "merged", ".gitignore": "merged"}
    run(root)
    text = (root / ".gitattributes").read_text()
    assert text.startswith("# mine\n*.x binary\n")
    assert "dvc.lock merge=modelyard-lock" in text
    assert touched(root) == {}


def test_changes_that_are_not_committed_are_not_merged_into(root: Path) -> None:
    (root / "Makefile").write_text("x:\n")
    configure(root, *ENVIRONMENTS)
    with pytest.raises(UsageError, match="Makefile has changes that are not committed"):
        run(root)
    assert (root / "Makefile").read_text() == "x:\n"


def test_killed_in_the_middle_it_goes_on(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from modelyard.scaffold import sync as module

    makefile = root / "Makefile"
    makefile.write_text(makefile.read_text() + "# mine\n")
    save(root)
    configure(root, *ENVIRONMENTS)
    save(root)
    write = module.write_bytes
    monkeypatch.setattr(
        module, "write_bytes", lambda path, b: write(path, b) if path.suffix != ".base" else 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        run(root)
    monkeypatch.undo()
    save(root)
    run(root)
    assert touched(root) == {}
    assert makefile.read_text().count("# mine") == 1
    assert "<<<<" not in makefile.read_text()


@pytest.mark.parametrize("target", ["../away.yml", "../no/such.yml", ".gitlab-ci.yml", "ops"])
def test_a_link_that_leads_elsewhere_is_refused(root: Path, target: str) -> None:
    path = root / ".gitlab-ci.yml"
    text = path.read_text()
    (root.parent / "away.yml").write_text(text)
    (root / "ops").mkdir()
    (root / "ops/x").write_text("x")
    path.unlink()
    (root / ".rendered/.gitlab-ci.yml.base").unlink()
    path.symlink_to(target)
    configure(root, *ENVIRONMENTS)
    save(root)
    if target == "../away.yml":
        (root / ".rendered/.gitlab-ci.yml.base").write_text(text)
    with pytest.raises(UsageError, match=r"\.gitlab-ci\.yml is a link that leads to no file"):
        run(root)
    assert (root.parent / "away.yml").read_text() == text
    assert not (root.parent / "no").exists()
    assert path.is_symlink()


def test_what_a_link_leads_to_has_to_be_committed_too(root: Path) -> None:
    path = root / ".gitlab-ci.yml"
    path.rename(root / "pipeline.yml")
    path.symlink_to("pipeline.yml")
    configure(root, *ENVIRONMENTS)
    save(root)
    with (root / "pipeline.yml").open("a") as file:
        file.write("# mine\n")
    with pytest.raises(UsageError, match="has changes that are not committed"):
        run(root)
    assert "# mine" in (root / "pipeline.yml").read_text()


def test_a_file_that_is_a_link_stays_one(root: Path) -> None:
    path, shared = root / ".gitlab-ci.yml", root / "ops/pipeline.yml"
    shared.parent.mkdir()
    path.rename(shared)
    path.symlink_to("ops/pipeline.yml")
    configure(root, *ENVIRONMENTS)
    save(root)
    assert run(root)[".gitlab-ci.yml"] == "updated"
    assert path.is_symlink()
    assert "deploy-production" in shared.read_text()
    assert touched(root) == {}
