"""The merge drivers, called by git itself on real branches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from modelyard import line
from modelyard.errors import UsageError
from modelyard.merging import Sides, champion, lock, merge
from modelyard.records import AuditLine, ChampionRecord
from modelyard.render.files import gitattributes
from modelyard.tools import git

DIGITS = "0123456789abcdef"


def entry(name: str, *, reads: str = "", writes: str = "", note: str = "Yes") -> str:
    """A stage's text as DVC writes it; `Yes` is a word there."""
    text = f"  {name}:\n    cmd: modelyard stage {name}\n"
    for kind, path in (("deps", reads), ("outs", writes)):
        if path:
            where, _, digit = path.partition("@")
            text += f"    {kind}:\n    - path: {where}\n      hash: md5\n      md5: {digit * 32}\n"
    return text + f"    params:\n      modelyard.yaml:\n        data:\n          positive: {note}\n"


def a_lock(*entries: str) -> bytes:
    return (lock.HEAD + "".join(entries)).encode()


INGEST, TRAIN = entry("ingest", writes="table@1"), entry("train", reads="table@1", writes="model@2")
GATE = entry("gate", reads="model@2")
BASE = a_lock(INGEST, TRAIN, GATE)


def test_an_untouched_lock_comes_back_byte_for_byte() -> None:
    assert lock.merge(BASE, BASE, BASE, "dvc.lock").content == BASE
    assert b"positive: Yes" in BASE


def test_different_stages_are_both_taken() -> None:
    ours = a_lock(entry("ingest", writes="table@1", note="No"), TRAIN, GATE)
    theirs = a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="No"), entry("export"))
    found = lock.merge(BASE, ours, theirs, "dvc.lock")
    assert not found.conflict
    assert found.content == a_lock(
        entry("ingest", writes="table@1", note="No"),
        TRAIN,
        entry("gate", reads="model@2", note="No"),
        entry("export"),
    )


def test_a_stage_that_both_changed_is_left_to_the_next_run() -> None:
    ours = a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="a"))
    theirs = a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="b"))
    found = lock.merge(BASE, ours, theirs, "dvc.lock")
    assert found.conflict
    assert found.content == a_lock(INGEST, TRAIN)
    assert "both sides ran gate" in found.message
    assert "modelyard run" in found.message


def test_a_stage_that_read_what_the_merge_replaced_is_left_to_the_next_run() -> None:
    retrained = a_lock(INGEST, entry("train", reads="table@1", writes="model@3"), GATE)
    judged = a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="stricter"))
    found = lock.merge(BASE, retrained, judged, "dvc.lock")
    assert found.conflict
    assert "gate read what the other side has replaced" in found.message
    assert list(lock.entries(found.content.decode())) == ["ingest", "train"]


def test_a_stage_that_one_side_dropped_is_dropped() -> None:
    assert lock.merge(BASE, BASE, a_lock(INGEST, TRAIN), "dvc.lock").content == a_lock(
        INGEST, TRAIN
    )
    changed = a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="No"))
    assert lock.merge(BASE, changed, a_lock(INGEST, TRAIN), "dvc.lock").conflict


def test_a_first_run_on_both_sides_has_no_base() -> None:
    found = lock.merge(b"", a_lock(INGEST), a_lock(INGEST, TRAIN), "dvc.lock")
    assert not found.conflict
    assert found.content == a_lock(INGEST, TRAIN)


@pytest.mark.parametrize(
    "broken", [b"<<<<<<< ours\n", b"[1, 2]\n", b"schema: '2.0'\n", b"\xff\xfe"]
)
def test_a_lock_that_cannot_be_read_is_a_conflict_and_keeps_ours(broken: bytes) -> None:
    found = lock.merge(BASE, BASE, broken, "dvc.lock")
    assert found.conflict
    assert found.content == BASE


def test_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'lock'"):
        merge("loc", Sides(tmp_path, tmp_path, tmp_path, "x"))


def released(version: str, digit: str, since: str) -> bytes:
    record = ChampionRecord(
        model="churn",
        version=version,
        package_digest=digit * 64,
        model_digest=digit * 64,
        run_id=digit * 32,
        data_version="v1",
        data_md5=digit * 32,
        commit=digit * 40,
        metric="roc_auc",
        value=0.8,
        since=since,
    )
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def moved(version: str, digit: str, when: str) -> bytes:
    line = AuditLine(
        action="release",
        who="Ada Example <ada@example.org>",
        when=when,
        why="better",
        model="churn",
        from_version=None,
        to_version=version,
        package_digest=digit * 64,
        run_id=digit * 32,
    )
    return msgspec.json.encode(line) + b"\n"


class Branches:
    """A small repository with the project's attributes and drivers."""

    def __init__(self, root: Path, *, drivers: bool = True) -> None:
        self.root = root
        root.mkdir()
        git.init(root)
        if drivers:
            git.install_drivers(root)
        (root / ".gitattributes").write_text(gitattributes(line.STAGES))

    def commit(self, message: str, **files: bytes) -> None:
        for name, content in files.items():
            path = self.root / name.replace("__", "/").replace("_", ".")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        git.add(self.root, ["."])
        git.commit(self.root, message, ["."])

    def merge(self, branch: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
        }
        return subprocess.run(
            ["git", "merge", "--no-ff", "-m", "Merge", branch],
            cwd=self.root,
            env=env,
            capture_output=True,
            text=True,
        )

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()


FIRST = released("1", "1", "2026-01-01T00:00:00+00:00")
LINE = moved("1", "1", "2026-01-01T00:00:00+00:00")


def test_git_merges_two_stages_through_the_driver(tmp_path: Path) -> None:
    repo = Branches(tmp_path / "r")
    repo.commit("start", dvc_lock=BASE, records__champion_json=FIRST)
    git.switch(repo.root, "feat/gate", create=True)
    repo.commit("gate", dvc_lock=a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="No")))
    git.switch(repo.root, "main")
    repo.commit(
        "ingest", dvc_lock=a_lock(entry("ingest", writes="table@1", note="No"), TRAIN, GATE)
    )
    done = repo.merge("feat/gate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert repo.read("dvc.lock").count(b"positive: No") == 2
    assert git.changed_files(repo.root) == []


def test_git_says_what_to_run_where_both_ran_a_stage(tmp_path: Path) -> None:
    repo = Branches(tmp_path / "r")
    repo.commit("start", dvc_lock=BASE, metrics_json=b'{"auc": 1}\n')
    git.switch(repo.root, "feat/gate", create=True)
    repo.commit(
        "a",
        dvc_lock=a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="a")),
        metrics_json=b'{"auc": 2}\n',
    )
    git.switch(repo.root, "main")
    repo.commit(
        "b",
        dvc_lock=a_lock(INGEST, TRAIN, entry("gate", reads="model@2", note="b")),
        metrics_json=b'{"auc": 3}\n',
    )
    done = repo.merge("feat/gate")
    assert done.returncode == 1
    assert "both sides ran gate" in done.stderr
    assert "CONFLICT (content): Merge conflict in dvc.lock" in done.stdout
    assert b"<<<<" not in repo.read("dvc.lock")
    assert repo.read("metrics.json") == b'{"auc": 3}\n', "whole, and ours"
    assert git.is_merging(repo.root)


def test_releases_of_two_branches_stay_told_and_the_later_one_stands(tmp_path: Path) -> None:
    repo = Branches(tmp_path / "r")
    repo.commit("start", records__champion_json=FIRST, records__audit_jsonl=LINE)
    early, late = "2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00"
    git.switch(repo.root, "feat/late", create=True)
    repo.commit(
        "late",
        records__champion_json=released("2", "3", late),
        records__audit_jsonl=LINE + moved("2", "3", late),
    )
    git.switch(repo.root, "main")
    repo.commit(
        "early",
        records__champion_json=released("2", "2", early),
        records__audit_jsonl=LINE + moved("2", "2", early),
    )
    done = repo.merge("feat/late")
    assert done.returncode == 1
    assert "both sides have released a model" in done.stderr
    assert repo.read("records/champion.json") == released("2", "3", late)
    assert repo.read("records/audit.jsonl") == LINE + moved("2", "2", early) + moved("2", "3", late)


def test_a_release_of_one_side_is_taken() -> None:
    later = released("2", "2", "2026-02-01T00:00:00+00:00")
    for ours, theirs in ((FIRST, later), (later, FIRST)):
        found = champion.merge(FIRST, ours, theirs, "records/champion.json")
        assert (found.content, found.conflict) == (later, False)
    assert champion.merge(FIRST, b"{", later, "records/champion.json").conflict


def test_a_clone_is_told_once(tmp_path: Path) -> None:
    repo = Branches(tmp_path / "r", drivers=False)
    assert git.missing_drivers(repo.root) == list(git.DRIVERS)
    assert git.install_drivers(repo.root) == list(git.DRIVERS)
    assert git.install_drivers(repo.root) == []
