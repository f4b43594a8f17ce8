"""tools/dvc on a real repository with a real local remote."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard.errors import ToolFailed
from modelyard.tools import dvc, git

PIPELINE = """\
stages:
  count:
    cmd: python count.py
    deps: [count.py, data/table.csv]
    params:
    - modelyard.yaml: [data]
    outs:
    - big.bin
    - parts
    - records/count.json: {cache: false}
    metrics:
    - metrics.json: {cache: false}
"""
# Every call leaves another stamp: what came back from the cache shows by its stamp.
COUNT = """\
import json, pathlib, time, sys
text = pathlib.Path("data/table.csv").read_text()
if "bad" in text:
    sys.exit("a bad table")
stamp = time.time_ns()
pathlib.Path("records").mkdir(exist_ok=True)
pathlib.Path("big.bin").write_bytes(text.encode() * 3)
pathlib.Path("parts/deep").mkdir(parents=True)
pathlib.Path("parts/one").write_text(text)
pathlib.Path("parts/deep/two").write_text(text * 2)
pathlib.Path("records/count.json").write_text(json.dumps({"stamp": stamp}))
pathlib.Path("metrics.json").write_text(json.dumps({"rows": len(text.splitlines())}))
print("counted", flush=True)
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a tracked table, a pipeline and a remote; copied for each test."""
    root = tmp_path_factory.mktemp("dvc") / "template"
    root.mkdir()
    git.init(root)
    dvc.init(root)
    dvc.remote_add_default(root)
    (root / ".gitignore").write_text("/.dvc-store/\n")
    (root / "data").mkdir()
    (root / "data/table.csv").write_text("x\n1\n")
    dvc.add(root, root / "data/table.csv")
    (root / "count.py").write_text(COUNT)
    (root / "modelyard.yaml").write_text("data: {target: x}\n")
    (root / "dvc.yaml").write_text(PIPELINE)
    git.commit(root, "Start", ["."])
    return root


@pytest.fixture
def repo(template: Path, tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    shutil.copytree(template, root, symlinks=True)
    return root


def stamp(root: Path) -> int:
    return int(json.loads((root / "records/count.json").read_text())["stamp"])


def table(root: Path, text: str) -> None:
    (root / "data/table.csv").write_text(text)
    dvc.add(root, root / "data/table.csv")


def test_init_is_quiet_about_the_person_and_portable(repo: Path) -> None:
    text = (repo / ".dvc/config").read_text()
    assert "analytics = False" in text
    assert "check_update = False" in text
    assert "url = ../.dvc-store" in text
    assert dvc.default_remote(repo) == "local"
    assert dvc.is_set_up(repo)
    assert not dvc.is_set_up(repo / "data")


def test_pointer_and_cache_without_importing_dvc(repo: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from modelyard.tools import dvc;"
        f"root = Path({str(repo)!r});"
        "md5 = dvc.pointer_md5(root / 'data/table.csv.dvc');"
        "assert dvc.cache_has(root, md5) and not dvc.cache_has(root, '0' * 32);"
        "assert dvc.file_md5(root / 'data/table.csv') == md5;"
        "assert dvc.pointer_md5(root / 'none.dvc') is None;"
        "assert 'dvc.repo' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("content", [b"", b"outs:\n- md5: ab", b"\xff\xfe", b"a: [", None])
def test_half_a_pointer_is_none(content: bytes | None) -> None:
    assert dvc.read_pointer(content) is None


def test_reproduce_runs_then_rests(repo: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert dvc.reproduce(repo) == ["count"]
    assert capfd.readouterr().out == "counted\n"
    assert dvc.status(repo) == {}
    assert dvc.lock_hash(repo)
    assert dvc.reproduce(repo) == []
    assert capfd.readouterr() == ("", "")
    assert dvc.reproduce(repo, force=True) == ["count"]


def test_stage_finds_programs_beside_python(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (repo / "dvc.yaml").read_text()
    (repo / "dvc.yaml").write_text(
        text.replace("python count.py", "command -v modelyard > found && python3 count.py")
    )
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    dvc.reproduce(repo)
    assert Path((repo / "found").read_text().strip()).parent == Path(sys.executable).parent
    assert os.environ["PATH"] == "/usr/bin:/bin"


def test_an_earlier_table_brings_its_results_back_without_a_run(repo: Path) -> None:
    dvc.reproduce(repo)
    first = stamp(repo)
    table(repo, "x\n1\n2\n")
    dvc.reproduce(repo)
    assert stamp(repo) != first
    table(repo, "x\n1\n")
    told: list[str] = []
    assert dvc.reproduce(repo, restored=told.append) == ["count"]
    assert told == ["count"]
    assert stamp(repo) == first
    assert json.loads((repo / "metrics.json").read_text()) == {"rows": 2}


def test_an_output_that_was_lost_or_edited_comes_back(repo: Path) -> None:
    dvc.reproduce(repo)
    first = stamp(repo)
    (repo / "records/count.json").write_text("edited")
    (repo / "metrics.json").unlink()
    dvc.reproduce(repo)
    assert stamp(repo) == first
    assert (repo / "metrics.json").is_file()


def test_push_and_fetch(repo: Path) -> None:
    dvc.reproduce(repo)
    git.commit(repo, "Run", ["."])
    assert dvc.push(repo, run_cache=True) >= 2
    old = dvc.pointer_md5(repo / "data/table.csv.dvc")
    table(repo, "x\n1\n2\n")
    dvc.reproduce(repo)
    shutil.rmtree(repo / ".dvc/cache")
    assert old is not None
    assert not dvc.cache_has(repo, old)
    assert dvc.fetch(repo, old)
    assert not dvc.fetch(repo, "0" * 32)
    dvc.restore_file(repo, old, repo / "data/table.csv")
    assert (repo / "data/table.csv").read_text() == "x\n1\n"


def folder_md5(repo: Path) -> str:
    md5 = dvc.output_md5((repo / "dvc.lock").read_bytes(), "parts")
    assert md5 is not None
    assert md5.endswith(".dir")
    return md5


def content(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def test_an_earlier_folder_comes_from_the_remote(repo: Path, tmp_path: Path) -> None:
    dvc.reproduce(repo)
    md5 = folder_md5(repo)
    assert dvc.share(repo) >= 4
    assert dvc.share(repo) == 0
    table(repo, "x\n1\n2\n")
    dvc.reproduce(repo)
    assert folder_md5(repo) != md5
    shutil.rmtree(repo / ".dvc/cache")
    dvc.bring_folder(repo, md5, tmp_path / "got")
    assert content(tmp_path / "got") == {"one": "x\n1\n", "deep/two": "x\n1\nx\n1\n"}


@pytest.mark.parametrize("which", ["the list", "a file"])
def test_what_the_cache_holds_damaged_is_fetched_again(
    repo: Path, tmp_path: Path, which: str
) -> None:
    dvc.reproduce(repo)
    dvc.share(repo)
    md5 = folder_md5(repo)
    damaged = md5 if which == "the list" else dvc.file_md5(repo / "parts/one")
    kept = dvc.cached_file(repo, damaged)
    assert kept
    kept.chmod(0o644)
    kept.write_text("[]")
    dvc.bring_folder(repo, md5, tmp_path / "got")
    assert content(tmp_path / "got") == content(repo / "parts")
    stored = repo / ".dvc-store/files/md5" / damaged[:2] / damaged[2:]
    for path in (kept, stored):
        path.chmod(0o644)
        path.write_text("[]")
    with pytest.raises(ToolFailed, match="list of its files" if which == "the list" else "one"):
        dvc.bring_folder(repo, md5, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_share_takes_lost_outputs_from_the_working_tree(repo: Path, tmp_path: Path) -> None:
    dvc.reproduce(repo)
    md5 = folder_md5(repo)
    shutil.rmtree(repo / ".dvc/cache/files")
    dvc.share(repo)
    assert dvc.status(repo) == {}
    shutil.rmtree(repo / ".dvc/cache/files")
    dvc.bring_folder(repo, md5, tmp_path / "got")
    assert content(tmp_path / "got") == content(repo / "parts")


def test_share_without_a_remote_and_with_one_that_fails(repo: Path) -> None:
    dvc.reproduce(repo)
    (repo / ".dvc/config").write_text("[core]\n    analytics = false\n")
    assert dvc.share(repo) == 0
    dvc.remote_add_default(repo, "store")
    shutil.rmtree(repo / "store")
    (repo / "store").write_text("a file where the remote's folder was")
    with pytest.raises(ToolFailed) as caught:
        dvc.share(repo)
    assert caught.value.why


@pytest.mark.parametrize("lock", [None, b"", b"[]", b"stages: {a: 1}", b"a: [", b"stages: {a: {}}"])
def test_half_a_lock_has_no_output(lock: bytes | None) -> None:
    assert dvc.output_md5(lock, "package") is None


def test_pull_brings_a_deleted_cache_back(repo: Path) -> None:
    dvc.push(repo)
    shutil.rmtree(repo / ".dvc/cache")
    (repo / "data/table.csv").unlink()
    dvc.pull(repo)
    assert (repo / "data/table.csv").read_text() == "x\n1\n"
    (repo / "data/table.csv").write_text("edited")
    dvc.checkout(repo, ["data/table.csv"], force=True)
    assert (repo / "data/table.csv").read_text() == "x\n1\n"


def test_cache_deleted_and_no_remote_copy(repo: Path) -> None:
    shutil.rmtree(repo / ".dvc/cache")
    (repo / "data/table.csv").unlink()
    with pytest.raises(ToolFailed) as caught:
        dvc.pull(repo)
    assert "data/table.csv" in caught.value.what
    assert "dvc pull" in caught.value.next_step
    with pytest.raises(ToolFailed, match="does not hold"):
        dvc.restore_file(repo, "0" * 32, repo / "data/table.csv")
    assert not (repo / "data/table.csv").exists()


def test_a_damaged_cache_never_reaches_the_working_tree(repo: Path) -> None:
    md5 = dvc.pointer_md5(repo / "data/table.csv.dvc")
    assert md5
    kept = dvc.cached_file(repo, md5)
    assert kept
    kept.chmod(0o644)
    kept.write_text("other")
    with pytest.raises(ToolFailed, match="damaged"):
        dvc.restore_file(repo, md5, repo / "data/table.csv")
    assert (repo / "data/table.csv").read_text() == "x\n1\n"
    assert [path.name for path in (repo / "data").iterdir() if "part" in path.name] == []


def test_a_failing_stage_says_its_command(repo: Path) -> None:
    table(repo, "bad\n")
    with pytest.raises(ToolFailed) as caught:
        dvc.reproduce(repo)
    assert "python count.py" in caught.value.what
    assert not (repo / "records/count.json").exists()


def test_missing_dependency_missing_section_and_broken_pipeline(repo: Path) -> None:
    (repo / "modelyard.yaml").write_text("project: {name: x}\n")
    with pytest.raises(ToolFailed) as caught:
        dvc.reproduce(repo)
    assert "missing section" in caught.value.next_step
    shutil.copyfile(repo / "count.py", repo / "kept.py")
    (repo / "count.py").unlink()
    with pytest.raises(ToolFailed, match=r"count\.py"):
        dvc.reproduce(repo)
    (repo / "dvc.yaml").write_text("stages: [")
    with pytest.raises(ToolFailed) as caught:
        dvc.reproduce(repo)
    assert "git checkout HEAD -- dvc.yaml" in caught.value.next_step


def test_another_dvc_at_work_is_said(repo: Path) -> None:
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time, zc.lockfile;"
            f"lock = zc.lockfile.LockFile({str(repo / '.dvc/tmp/lock')!r});"
            "print('held', flush=True); time.sleep(60)",
        ],
        stdout=subprocess.PIPE,
    )
    try:
        assert holder.stdout
        holder.stdout.readline()
        with pytest.raises(ToolFailed) as caught:
            dvc.reproduce(repo)
    finally:
        holder.kill()
        holder.wait()
    assert "lock" in caught.value.why
    assert "wait for the other" in caught.value.next_step


def test_a_folder_without_dvc_is_said(tmp_path: Path) -> None:
    git.init(tmp_path)
    with pytest.raises(ToolFailed) as caught:
        dvc.status(tmp_path)
    assert "dvc init" in caught.value.next_step


@pytest.mark.parametrize(
    ("url", "plugin", "command"),
    [
        ("s3://team-dvc/churn", "dvc-s3", "pip install 'modelyard[s3]'"),
        ("gs://team-dvc", "dvc-gs", "pip install 'modelyard[gs]'"),
        ("azure://team-dvc", "dvc-azure", "pip install 'modelyard[azure]'"),
        ("ssh://host/store", "dvc-ssh", "pip install dvc-ssh"),
        ("webdavs://host/store", "dvc-webdav", "pip install dvc-webdav"),
        ("https://host/store", None, ""),
        ("/mnt/store", None, ""),
    ],
)
def test_what_a_remote_needs_beside_dvc(
    repo: Path, url: str, plugin: str | None, command: str
) -> None:
    (repo / ".dvc/config.local").write_text(
        f"[core]\n    remote = team\n['remote \"team\"']\n    url = {url}\n"
    )
    assert dvc.remote_url(repo) == url
    assert dvc.remote_plugin(repo) == dvc.missing_plugin(repo) == plugin
    if plugin:
        assert dvc.install_plugin(plugin) == command
        with pytest.raises(ToolFailed) as caught:
            dvc.push(repo)
        assert plugin in caught.value.why
        assert caught.value.next_step.startswith("modelyard doctor")


def test_without_a_remote_nothing_is_needed(repo: Path) -> None:
    (repo / ".dvc/config").write_text("[core]\n    analytics = False\n")
    assert dvc.remote_url(repo) == ""
    assert dvc.missing_plugin(repo) is None
