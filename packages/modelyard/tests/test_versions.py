"""data add, log, diff, checkout on real git and DVC."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from modelyard import line, project
from modelyard.cli import invoke
from modelyard.errors import DataInvalid, LockHeld, ModelyardError, ToolFailed, UsageError
from modelyard.project import Project
from modelyard.records import write_json
from modelyard.registry import lineage
from modelyard.registry.lock import hold
from modelyard.scaffold.init import init
from modelyard.ship.trace import trace
from modelyard.tables.schema import infer
from modelyard.tools import dvc, git
from modelyard.versions import transaction
from modelyard.versions.add import add
from modelyard.versions.checkout import checkout
from modelyard.versions.compare import compare, newest_two
from modelyard.versions.log import current_version, log

HEADER = "customer_id,calls,plan,churn\n"


def rows(start: int, stop: int, shift: int = 0) -> str:
    return "".join(
        f"C{i:04d},{(i * 37) % 101 + shift},{'abc'[i % 3]},{'yes' if (i * 7) % 10 < 3 else 'no'}\n"
        for i in range(start, stop)
    )


V1 = HEADER + rows(0, 200)
V2 = HEADER + rows(0, 200) + rows(200, 300, shift=40)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions")
    (folder / "customers.csv").write_text(V1)
    root = folder / "churn"
    init(root, folder / "customers.csv", "churn", stages=line.stages)
    return root


@pytest.fixture
def here(template: Path, tmp_path: Path) -> Project:
    """A project with data/v1, and a recorded schema."""
    root = tmp_path / "churn"
    shutil.copytree(template, root)
    made = project.load(root)
    schema = infer(pl.read_csv(made.data), made.settings.data)[1]
    write_json(made.record("schema"), schema)
    git.commit(root, "Schema", ["records"])
    return made


@pytest.fixture
def november(tmp_path: Path) -> Path:
    path = tmp_path / "november.csv"
    path.write_text(V2)
    return path


def state(here: Project) -> tuple[object, ...]:
    """All that a data version is made of."""
    return (
        here.data.read_bytes() if here.data.is_file() else None,
        here.data_pointer.read_bytes(),
        (here.data.parent / ".gitignore").read_bytes(),
        git.head(here.root),
        [tag.name for tag in git.tags(here.root)],
        git.changed_files(here.root),
        transaction.folder(here).exists(),
    )


def test_add_makes_a_version_that_everything_agrees_on(here: Project, november: Path) -> None:
    (here.root / "notes.txt").write_text("staged by the person")
    git.add(here.root, ["notes.txt"])
    made = add(here, november, "November: more calls\n\nThe second line.")
    assert (made.version, made.tag, made.rows, made.size) == ("v2", "data/v2", 300, len(V2))
    assert made.message == "November: more calls"
    assert made.current
    assert here.data.read_text() == V2
    assert made.md5 == dvc.file_md5(november) == dvc.pointer_md5(here.data_pointer)
    assert made.commit == git.head(here.root)
    assert (here.root / dvc.STORE / "files/md5" / made.md5[:2] / made.md5[2:]).is_file()
    changed = subprocess.run(
        ["git", "show", "--format=%s", "--name-only", "HEAD"],
        cwd=here.root,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\n")
    assert changed[0] == "data: v2, November: more calls"
    assert [name for name in changed[1:] if name] == ["data/raw/customers.csv.dvc"]
    assert git.changed_files(here.root) == ["notes.txt"]
    assert not transaction.folder(here).exists()


def test_log_is_newest_first_and_marks_the_working_one(here: Project, november: Path) -> None:
    add(here, november, "November")
    found = log(here)
    assert [(v.version, v.current, v.rows) for v in found] == [
        ("v2", True, 300),
        ("v1", False, 200),
    ]
    assert current_version(here) == lineage.data_version(here) == "v2"
    checkout(here, "v1")
    assert current_version(here) == lineage.data_version(here) == "v1"


def test_a_version_without_a_run_is_traced_by_name_digest_and_commit(
    here: Project, november: Path
) -> None:
    made = add(here, november, "November")
    (newest, *_) = log(here)
    for link in (made.version, f"data/{made.version}", newest.md5, newest.commit[:9], "HEAD"):
        (chain,) = trace(here, link)
        assert (chain.data_version, chain.data_md5) == (made.version, newest.md5)
        assert (chain.data_commit, chain.run_id, chain.champion) == (newest.commit, "", False)
    assert f"since commit {newest.commit[:12]}" in dict(chain.rows())["data"]


def test_checkout_is_byte_identical_and_goes_both_ways(here: Project, november: Path) -> None:
    pointer = here.data_pointer.read_bytes()
    add(here, november, "November")
    for name, text in (("v1", V1), ("data/v2", V2), ("1", V1), ("v1", V1)):
        found = checkout(here, name)
        assert here.data.read_text() == text
        assert found.current
        assert dvc.file_md5(here.data) == dvc.pointer_md5(here.data_pointer) == found.md5
    assert here.data_pointer.read_bytes() == pointer
    # A pointer that its table does not fit would be a step of its own in DVC's status.
    assert "data/raw/customers.csv.dvc" not in dvc.status(here.root)
    assert git.changed_files(here.root) == ["data/raw/customers.csv.dvc"]


def test_checkout_of_a_version_that_is_not_there(here: Project) -> None:
    with pytest.raises(UsageError) as caught:
        checkout(here, "v7")
    assert "There are: v1" in caught.value.why


def test_checkout_keeps_unsaved_changes_unless_forced(here: Project, november: Path) -> None:
    add(here, november, "November")
    here.data.write_text(V2 + rows(300, 301))
    with pytest.raises(UsageError, match="belong to no data version"):
        checkout(here, "v1")
    with pytest.raises(UsageError, match="belong to no data version"):
        add(here, november, "Again")
    assert here.data.read_text() == V2 + rows(300, 301)
    checkout(here, "v1", force=True)
    assert here.data.read_text() == V1


def test_checkout_with_an_empty_cache_takes_the_remotes(here: Project, november: Path) -> None:
    add(here, november, "November")
    shutil.rmtree(here.root / ".dvc/cache")
    checkout(here, "v1")
    assert here.data.read_text() == V1


def test_checkout_of_what_is_lost_says_so_and_changes_nothing(
    here: Project, november: Path
) -> None:
    add(here, november, "November")
    shutil.rmtree(here.root / ".dvc/cache")
    shutil.rmtree(here.root / dvc.STORE)
    before = state(here)
    with pytest.raises(ToolFailed) as caught:
        checkout(here, "v1")
    assert "nor does the remote 'local'" in caught.value.what
    assert "customers.csv" in caught.value.why
    assert state(here) == before


def test_the_working_table_edited_in_place(here: Project) -> None:
    here.data.write_text(V2)
    made = add(here, here.data, "Edited")
    assert made.version == "v2"
    assert git.changed_files(here.root) == []
    assert checkout(here, "v1").md5 != made.md5
    assert here.data.read_text() == V1


def test_append_keeps_the_bytes_of_both(here: Project, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text(HEADER + rows(200, 300, shift=40))
    made = add(here, more, "More", append=True)
    assert made.rows == 300
    assert here.data.read_text() == V2
    with pytest.raises(UsageError, match="working table"):
        add(here, here.data, "Twice", append=True)


def test_append_of_other_orders_delimiters_and_encodings(here: Project, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_bytes("plan;churn;calls;customer_id\nc;yes;7;C9001\n".encode("utf-16"))
    add(here, more, "More", append=True)
    found = pl.read_csv(here.data)
    assert found.columns == ["customer_id", "calls", "plan", "churn"]
    assert found.row(-1) == ("C9001", 7, "c", "yes")
    assert len(found) == 201


def test_append_of_other_columns_is_refused(here: Project, tmp_path: Path) -> None:
    more = tmp_path / "more.csv"
    more.write_text("customer_id,calls,churn\nC9001,5,no\nC9002,5,yes\nC9003,5,yes\n")
    before = state(here)
    with pytest.raises(DataInvalid) as caught:
        add(here, more, "More", append=True, allow_schema_change=True)
    assert "Missing: plan" in caught.value.why
    assert state(here)[:-1] == before[:-1]


@pytest.mark.parametrize("name", ["new.parquet", "new.csv.gz"])
def test_a_table_of_another_form_takes_the_projects(
    here: Project, tmp_path: Path, name: str
) -> None:
    source = tmp_path / name
    if name.endswith("gz"):
        source.write_bytes(gzip.compress(V2.encode()))
    else:
        pl.read_csv(V2.encode()).write_parquet(source)
    add(here, source, "Another form")
    assert here.data.read_text() == V2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("customer_id,calls,churn\nC1,1,no\nC2,2,yes\n", "plan"),
        (V1.replace("C0007,", "C0007,many"), "calls"),
        (V1.replace("churn", "left"), "churn"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_with_exit_code_4(
    here: Project, tmp_path: Path, text: str, words: str
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text(text)
    before = state(here)
    with pytest.raises(DataInvalid) as caught:
        add(here, bad, "Bad")
    assert words in str(caught.value)
    assert caught.value.exit_code == 4
    assert state(here) == before


def test_a_schema_change_can_be_accepted(
    here: Project,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wider = tmp_path / "wider.csv"
    wider.write_text(
        V1.replace("churn\n", "churn,age\n")
        .replace(",yes\n", ",yes,5\n")
        .replace(",no\n", ",no,6\n")
    )
    with pytest.raises(DataInvalid, match="age"):
        add(here, wider, "Wider")
    add(here, wider, "Wider", allow_schema_change=True)
    assert compare(here, "v1", "v2").columns_added == ("age",)
    monkeypatch.chdir(here.root)
    assert invoke(["data", "diff", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema_changes"] == ["age: new column"]
    assert document["columns_added"] == ["age"]


def test_the_same_table_is_no_new_version(here: Project, tmp_path: Path, november: Path) -> None:
    same = tmp_path / "same.csv"
    same.write_text(V1)
    before = state(here)
    with pytest.raises(UsageError, match="v1 already"):
        add(here, same, "Same")
    assert state(here) == before
    add(here, november, "November")
    with pytest.raises(UsageError) as caught:
        add(here, same, "Back")
    assert caught.value.next_step == "modelyard data checkout v1"


def test_an_empty_message_and_a_missing_table(here: Project, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="message"):
        add(here, here.data, "  ")
    with pytest.raises(UsageError, match="does not exist"):
        add(here, tmp_path / "none.csv", "None")


def test_numbers_go_on_where_tags_end(here: Project, november: Path) -> None:
    git.tag(here.root, "data/v9", "By hand")
    assert add(here, november, "November").version == "v10"
    assert log(here)[1].version == "v9"
    assert log(here)[1].rows is None


def test_a_version_whose_table_lay_elsewhere(here: Project, november: Path) -> None:
    add(here, november, "November")
    text = (here.root / project.FILE).read_text()
    (here.root / project.FILE).write_text(
        text.replace("data/raw/customers.csv", "data/raw/all.csv")
    )
    here.data.rename(here.root / "data/raw/all.csv")
    here.data_pointer.unlink()
    moved = project.load(here.root)
    assert [v.version for v in log(moved)] == ["v2", "v1"]
    checkout(moved, "v1", force=True)
    assert moved.data.read_text() == V1
    assert "path: all.csv" in moved.data_pointer.read_text()


def test_compare_finds_every_row_and_the_shift(here: Project, november: Path) -> None:
    add(here, november, "November")
    found = compare(here, "v1", "v2")
    assert (found.rows_before, found.rows_after) == (200, 300)
    assert (found.added, found.removed, found.changed) == (100, 0, 0)
    assert found.shifts[0].column == "calls"
    assert newest_two(here) == ("v1", "v2")
    here.data.write_text(V2.replace("C0003,", "C0003,9"))
    assert compare(here, "v2", "working").changed == 1
    assert not list((here.state / "tmp").glob("*"))


def test_compare_needs_two(here: Project) -> None:
    with pytest.raises(UsageError, match="one data version"):
        newest_two(here)


def test_a_refused_commit_puts_everything_back(here: Project, november: Path) -> None:
    hook = here.root / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    before = state(here)
    with pytest.raises(ToolFailed, match="not today"):
        add(here, november, "November")
    assert state(here) == before
    hook.unlink()
    assert add(here, november, "November").version == "v2"


def test_a_refused_tag_takes_the_commit_back(here: Project, november: Path) -> None:
    subprocess.run(["git", "config", "tag.gpgSign", "true"], cwd=here.root, check=True)
    subprocess.run(["git", "config", "gpg.program", "false"], cwd=here.root, check=True)
    before = state(here)
    with pytest.raises(ToolFailed, match="git tag failed"):
        add(here, november, "November")
    assert state(here) == before


KILLED = """\
import os, signal, sys
from pathlib import Path
from modelyard import project
from modelyard.tools import dvc, git
from modelyard.versions import transaction
from modelyard.versions.add import add

def deadly(module, name, after):
    real = getattr(module, name)
    def wrapped(*arguments, **options):
        if after:
            real(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)
    setattr(module, name, wrapped)

where, name, after, table, append = sys.argv[1:]
deadly({"dvc": dvc, "git": git, "transaction": transaction}[where], name, after == "after")
add(project.load(Path.cwd()), Path(table), "November", append=append == "append")
"""


@pytest.mark.parametrize(
    ("where", "name", "after"),
    [
        ("transaction", "_link", "after"),
        ("dvc", "add", "before"),
        ("dvc", "add", "after"),
        ("git", "commit", "before"),
        ("git", "commit", "after"),
        ("git", "tag", "after"),
    ],
)
@pytest.mark.parametrize("append", ["append", "replace"])
def test_killed_at_any_moment_it_can_be_run_again(
    here: Project, tmp_path: Path, where: str, name: str, after: str, append: str
) -> None:
    table = tmp_path / "november.csv"
    table.write_text(HEADER + rows(200, 300, shift=40) if append == "append" else V2)
    died = subprocess.run(
        [sys.executable, "-c", KILLED, where, name, after, str(table), append], cwd=here.root
    )
    assert died.returncode == -signal.SIGKILL
    made = add(here, table, "November", append=append == "append")
    assert made.version == "v2"
    assert here.data.read_text() == V2
    assert [version.version for version in log(here)] == ["v2", "v1"]
    assert len(git.ancestors(here.root)) == 4
    assert git.changed_files(here.root) == []
    assert not transaction.folder(here).exists()
    checkout(here, "v1")
    assert here.data.read_text() == V1


def test_what_a_killed_add_left_never_takes_a_persons_later_work(
    here: Project, november: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", KILLED, "dvc", "add", "before", str(november), "replace"],
        cwd=here.root,
    )
    here.data.write_text(V1 + rows(900, 901))
    made = add(here, here.data, "Mine")
    assert made.rows == 201
    assert here.data.read_text() == V1 + rows(900, 901)


def test_locks_that_a_killed_git_left_are_removed_and_nobody_elses(here: Project) -> None:
    """git itself never takes them away: a run that died in `git commit` could not be run again."""
    inside = here.root / ".git"
    now = time.time()
    died = {"pid": 4_000_000, "command": "modelyard run", "since": now - 100}
    left = [inside / "index.lock", inside / "HEAD.lock", inside / "refs/heads/main.lock"]
    older = inside / "packed-refs.lock"
    for path in (*left, older):
        path.touch()
    os.utime(older, (now - 200, now - 200))

    with hold(here, "modelyard run"):  # nobody died: such locks are of a git that works
        assert all(path.exists() for path in left)
    here.state.joinpath("lock").write_text(json.dumps(died))
    with subprocess.Popen(
        ["git", "cat-file", "--batch"], cwd=here.root, stdin=subprocess.PIPE
    ) as git_:
        with hold(here, "modelyard run"):
            assert all(path.exists() for path in left)
        assert git_.stdin is not None
        git_.stdin.close()
        git_.wait()
    here.state.joinpath("lock").write_text(json.dumps(died))
    with hold(here, "modelyard run"):
        assert [path for path in left if path.exists()] == []
        assert older.exists()
    older.unlink()
    (here.root / "notes.txt").write_text("x")
    git.commit(here.root, "It works again", ["notes.txt"])


def test_two_at_once(here: Project, november: Path) -> None:
    with hold(here, "modelyard run"), pytest.raises(LockHeld, match="modelyard run"):
        add(here, november, "November")


def test_outside_a_repository(here: Project, november: Path) -> None:
    shutil.rmtree(here.root / ".git")
    with pytest.raises(ModelyardError, match="not in a git repository"):
        log(here)
    with pytest.raises(ModelyardError, match="not in a git repository"):
        add(here, november, "November")
