"""tools/git.py on real repositories."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from modelyard.errors import ToolFailed
from modelyard.tools import git


def call(folder: Path, *arguments: str) -> str:
    found = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return found.stdout


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit of a.txt and b.txt."""
    root = tmp_path / "repo"
    root.mkdir()
    git.init(root)
    (root / "a.txt").write_text("a\n")
    (root / "b.txt").write_text("b\n")
    git.commit(root, "Start", ["a.txt", "b.txt"])
    return root


def test_init_makes_branch_main_without_a_commit(tmp_path: Path) -> None:
    assert not git.is_repo(tmp_path)
    git.init(tmp_path)
    assert git.is_repo(tmp_path)
    assert git.branch(tmp_path) == "main"
    assert git.head(tmp_path) is None
    assert git.log_graph(tmp_path) == ""


def test_commit_takes_only_the_named_paths_and_keeps_other_staged_work(repo: Path) -> None:
    (repo / "a.txt").write_text("a2\n")
    (repo / "b.txt").write_text("b2\n")
    (repo / "new.txt").write_text("new\n")
    call(repo, "add", "b.txt")
    made = git.commit(repo, "Change a", ["a.txt", "new.txt"])
    assert call(repo, "show", "--format=", "--name-only", made).split() == ["a.txt", "new.txt"]
    assert call(repo, "diff", "--cached", "--name-only").split() == ["b.txt"]
    assert git.changed_files(repo) == ["b.txt"]


def test_commit_of_nothing_new_is_head(repo: Path) -> None:
    assert git.commit(repo, "Nothing", ["a.txt"]) == git.head(repo)
    assert len(git.ancestors(repo)) == 1


def test_commit_takes_deletions_and_odd_names(repo: Path) -> None:
    (repo / "a.txt").unlink()
    (repo / "größe *.txt").write_text("x")
    (repo / "größe 1.txt").write_text("x")
    git.commit(repo, "Odd", ["a.txt", "größe *.txt"])
    assert git.changed_files(repo) == ["größe 1.txt"]
    assert git.show(repo, "HEAD:a.txt") is None
    assert git.show(repo, "HEAD:größe *.txt") == b"x"


def test_identity_is_ours_only_where_git_has_none(repo: Path) -> None:
    assert call(repo, "log", "-1", "--format=%an <%ae>").strip() == git.user(repo)
    assert git.user(repo) == "modelyard <modelyard@localhost>"
    assert not git.has_identity(repo)
    call(repo, "config", "user.name", "Ada")
    call(repo, "config", "user.email", "ada@example.org")
    (repo / "a.txt").write_text("hers\n")
    git.commit(repo, "Hers", ["a.txt"])
    assert call(repo, "log", "-1", "--format=%an <%ae>").strip() == "Ada <ada@example.org>"


def test_undo_commit_leaves_the_working_tree_and_other_staged_work(repo: Path) -> None:
    before = git.head(repo)
    (repo / "b.txt").write_text("staged\n")
    call(repo, "add", "b.txt")
    (repo / "a.txt").write_text("a2\n")
    made = git.commit(repo, "Change a", ["a.txt"])
    assert git.undo_commit(repo, made, ["a.txt"])
    assert git.head(repo) == before
    assert (repo / "a.txt").read_text() == "a2\n"
    assert call(repo, "diff", "--cached", "--name-only").split() == ["b.txt"]


def test_undo_commit_refuses_when_somebody_has_committed_since(repo: Path) -> None:
    (repo / "a.txt").write_text("a2\n")
    made = git.commit(repo, "Change a", ["a.txt"])
    (repo / "b.txt").write_text("b2\n")
    later = git.commit(repo, "Change b", ["b.txt"])
    assert not git.undo_commit(repo, made, ["a.txt"])
    assert git.head(repo) == later


def test_undo_of_the_first_commit(tmp_path: Path) -> None:
    git.init(tmp_path)
    (tmp_path / "a.txt").write_text("a")
    made = git.commit(tmp_path, "First", ["a.txt"])
    assert git.undo_commit(tmp_path, made, ["a.txt"])
    assert git.head(tmp_path) is None
    assert git.changed_files(tmp_path) == ["a.txt"]


def test_a_tags_message_may_begin_with_a_number_sign(repo: Path) -> None:
    git.tag(repo, "data/v1", "#12: rows of May removed\n\nrows: 3")
    assert git.tags(repo)[0].message == "#12: rows of May removed\n\nrows: 3"


def test_tags_are_ordered_by_number_and_carry_message_and_commit(repo: Path) -> None:
    for number in (1, 2, 10):
        git.tag(repo, f"data/v{number}", f"Version {number}\n\nrows: {number}")
    git.tag(repo, "model/v1", "A model")
    call(repo, "tag", "data/v3")  # a light tag, made by hand
    found = git.tags(repo, "data/v*")
    assert [tag.name for tag in found] == ["data/v1", "data/v2", "data/v3", "data/v10"]
    assert found[1].message == "Version 2\n\nrows: 2"
    assert {tag.commit for tag in found} == {git.head(repo)}
    assert found[0].when.startswith("20")


def test_show_is_relative_to_the_folder(repo: Path) -> None:
    below = repo / "sub"
    below.mkdir()
    (below / "c.bin").write_bytes(b"\0\r\n\xff")
    git.commit(below, "Sub", ["c.bin"])
    assert git.show(below, "HEAD:c.bin") == b"\0\r\n\xff"
    assert git.show(repo, "HEAD:sub/c.bin") == b"\0\r\n\xff"
    assert git.show(repo, "HEAD:c.bin") is None
    (below / "d.txt").write_text("d")
    (repo / "a.txt").write_text("outside")
    assert git.changed_files(below) == ["d.txt"]


def test_merge_is_never_a_fast_forward(repo: Path) -> None:
    git.switch(repo, "data/november", create=True)
    (repo / "a.txt").write_text("november\n")
    tip = git.commit(repo, "November", ["a.txt"])
    git.switch(repo, "main")
    merged = git.merge_no_ff(repo, "data/november", "Bring November in")
    assert call(repo, "rev-list", "--parents", "-1", merged).split()[1:][1] == tip
    assert git.is_ancestor(repo, tip, "HEAD")
    assert "Bring November in" in git.log_graph(repo)


def test_merge_conflict_is_taken_back(repo: Path) -> None:
    git.switch(repo, "other", create=True)
    (repo / "a.txt").write_text("theirs\n")
    git.commit(repo, "Theirs", ["a.txt"])
    git.switch(repo, "main")
    (repo / "a.txt").write_text("ours\n")
    before = git.commit(repo, "Ours", ["a.txt"])
    with pytest.raises(ToolFailed, match="conflict"):
        git.merge_no_ff(repo, "other", "Merge")
    assert git.head(repo) == before
    assert git.changed_files(repo) == []


def test_credentials_never_go_into_a_patch(repo: Path) -> None:
    (repo / "deep").mkdir()
    for name in (".env", "gha-creds-1a2b.json", "deep/.env.production", "deep/server.key"):
        (repo / name).write_text("API_KEY=sekret123\n")
    (repo / "notes.txt").write_text("plain\n")
    patch = git.diff_patch(repo)
    assert b"notes.txt" in patch
    assert b"sekret123" not in patch
    assert b".env" not in patch


@pytest.mark.parametrize("with_commit", [True, False])
def test_patch_recreates_a_dirty_tree(repo: Path, tmp_path: Path, with_commit: bool) -> None:
    if not with_commit:
        repo = tmp_path / "unborn"
        repo.mkdir()
        git.init(repo)
    # Settings that change what a patch looks like must not matter.
    call(repo, "config", "diff.noprefix", "true")
    call(repo, "config", "diff.renames", "copies")
    binary = bytes(range(256)) * 50
    (repo / ".gitignore").write_text("ignored/\n")
    (repo / "ignored").mkdir()
    (repo / "ignored/x").write_text("x")
    (repo / "records").mkdir()
    (repo / "records/own.json").write_text("{}")
    (repo / "a.txt").unlink(missing_ok=True)
    (repo / "b.txt").write_bytes(b"b\r\nno newline at the end")
    (repo / "new dir").mkdir()
    (repo / "new dir/größe.bin").write_bytes(binary)
    (repo / "run.sh").write_text("#!/bin/sh\n")
    (repo / "run.sh").chmod(0o755)
    call(repo, "add", "b.txt")
    index = (repo / ".git/index").read_bytes()
    objects = sorted(path.name for path in (repo / ".git/objects").rglob("*"))
    patch = git.diff_patch(repo, exclude=["records"])
    assert (repo / ".git/index").read_bytes() == index
    assert sorted(path.name for path in (repo / ".git/objects").rglob("*")) == objects
    assert not list((repo / ".git").glob("modelyard-patch-*"))

    clean = tmp_path / "clean"
    if with_commit:
        call(tmp_path, "clone", "--quiet", str(repo), "clean")
    else:
        clean.mkdir()
        git.init(clean)
    git.apply_patch(clean, patch)
    assert not (clean / "a.txt").exists()
    assert (clean / "b.txt").read_bytes() == b"b\r\nno newline at the end"
    assert (clean / "new dir/größe.bin").read_bytes() == binary
    assert os.access(clean / "run.sh", os.X_OK)
    assert not (clean / "records").exists()
    assert not (clean / "ignored").exists()


def test_patch_of_a_clean_tree_is_empty(repo: Path) -> None:
    assert git.diff_patch(repo) == b""
    git.apply_patch(repo, b"")


def test_a_failure_carries_gits_own_words_and_the_next_command(tmp_path: Path) -> None:
    with pytest.raises(ToolFailed) as caught:
        git.commit(tmp_path, "x", ["a"])
    assert "not a git repository" in caught.value.why
    assert caught.value.next_step.startswith("git init")
    assert git.head(tmp_path) is None


def test_a_hooks_environment_does_not_lead_us_astray(
    repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git.init(other)
    monkeypatch.setenv("GIT_DIR", str(repo / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repo / ".git/index"))
    assert git.head(other) is None


def test_missing_git_is_said(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolFailed, match="git program is missing"):
        git.rev_parse(repo, "HEAD")
