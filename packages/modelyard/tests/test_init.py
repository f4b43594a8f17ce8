"""scaffold: new projects and adopted ones, on real git and DVC."""

from __future__ import annotations

import shlex
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from modelyard import line, project
from modelyard.cli.init import command as init_command
from modelyard.errors import DataInvalid, ModelyardError, ToolFailed, UsageError
from modelyard.scaffold.init import init
from modelyard.scaffold.report import InitReport
from modelyard.tools import dvc, git


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 customers with an id, a date, a number, a category and the target."""
    path = tmp_path_factory.mktemp("table") / "customers.csv"
    rows = [
        f"C{i:04d},2024-{1 + i % 12:02d}-{1 + i % 28:02d},{(i * 37) % 101},"
        f"{'abc'[i % 3]},{'yes' if (i * 7) % 10 < 3 else 'no'}"
        for i in range(300)
    ]
    path.write_text("customer_id,joined,calls,plan,churn\n" + "\n".join(rows) + "\n")
    return path


def make(folder: Path, table: Path, **options: object) -> InitReport:
    return init(folder, table, "churn", stages=line.stages, **options)  # type: ignore[arg-type]


def test_a_table_in_the_projects_own_root(tmp_path: Path, table: Path) -> None:
    made = make(tmp_path / "flat", table, sections={"data": {"path": "t.csv"}})
    assert (made.root / "t.csv").read_bytes() == table.read_bytes()
    assert call(made.root, "git", "status", "--porcelain") == ""
    assert "t.csv.dvc" in call(made.root, "git", "ls-files")


def test_in_the_empty_folder_where_one_stands(
    tmp_path: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "empty"
    here.mkdir()
    monkeypatch.chdir(here)
    place = here.stat().st_ino
    make(here, table)
    assert here.stat().st_ino == place  # the same folder: the caller's shell still stands in it
    assert call(here, "git", "status", "--porcelain") == ""
    assert (Path.cwd() / "modelyard.yaml").is_file()


def call(folder: Path, *command: str) -> str:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file but git's and DVC's own."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".git", "tmp"} & set(path.relative_to(folder).parts)
    }


@pytest.fixture(scope="module")
def made(table: Path, tmp_path_factory: pytest.TempPathFactory) -> InitReport:
    return make(tmp_path_factory.mktemp("new") / "churn", table)


def test_a_new_project_is_a_clean_repository_with_its_data_tagged(
    made: InitReport, table: Path
) -> None:
    root = made.root
    assert git.changed_files(root) == []
    assert git.branch(root) == "main"
    assert git.ancestors(root)[::-1] == list(made.commits)
    assert [(tag.name, tag.commit) for tag in git.tags(root)] == [("data/v1", git.head(root))]
    assert set(made.files) <= {*snapshot(root)}
    assert (root / "data/raw/customers.csv").read_bytes() == table.read_bytes()
    assert not list(root.parent.glob(".churn.*"))


def test_a_new_project_loads_and_its_pipeline_is_the_lines(made: InitReport) -> None:
    here = project.load(made.root)
    assert here.name == "churn"
    assert here.settings.data.path == "data/raw/customers.csv"
    assert here.settings.data.task == "binary"
    assert here.settings.data.positive == "yes"
    assert here.settings.data.id == "customer_id"
    tree = yaml.safe_load((made.root / "dvc.yaml").read_text())
    names = [stage.name for stage in line.stages(here.settings.data.path)]
    assert list(tree["stages"]) == names
    assert tree["stages"]["ingest"]["deps"] == ["data/raw/customers.csv"]
    changed = dvc.status(made.root)
    assert set(changed) == set(names)


def test_the_data_is_in_the_cache_and_in_the_remote(made: InitReport) -> None:
    md5 = dvc.pointer_md5(made.root / "data/raw/customers.csv.dvc")
    assert md5
    assert dvc.cache_has(made.root, md5)
    assert (made.root / dvc.STORE / "files/md5" / md5[:2] / md5[2:]).is_file()
    assert dvc.default_remote(made.root) == "local"


def test_it_says_what_it_inferred_and_why(made: InitReport) -> None:
    said = {what: (value, why) for what, value, why in made.inferred}
    assert said["task"][0] == "binary"
    assert said["id"][0] == "customer_id"
    assert all(why for _, why in said.values())
    text = (made.root / "modelyard.yaml").read_text()
    assert f"# Here: {said['id'][1]}" in text
    assert any("git config --global user.name" in note for note in made.notes)


def test_what_a_person_says_wins(table: Path, tmp_path: Path) -> None:
    report = make(
        tmp_path / "x",
        table,
        name="leavers",
        sections={
            "data": {
                "id": None,
                "positive": "no",
                "path": "data/raw/all.csv",
                "exclude": ["joined"],
            },
            "split": {"seed": 5},
            "tune": {"budget": "5s"},
        },
        dry_run=True,
    )
    assert report.name == "leavers"
    assert "data/raw/all.csv" in report.files
    assert not {"id", "positive", "split.seed"} & {what for what, _, _ in report.inferred}
    with pytest.raises(UsageError, match="budgget"):
        make(tmp_path / "x", table, sections={"tune": {"budgget": "5s"}})
    with pytest.raises(UsageError, match="inside the project"):
        make(tmp_path / "x", table, sections={"data": {"path": "/etc/x.csv"}})
    assert not (tmp_path / "x").exists()


def test_dry_run_touches_nothing(table: Path, tmp_path: Path) -> None:
    report = make(tmp_path / "deep/churn", table, dry_run=True)
    assert "modelyard.yaml" in report.files
    assert report.commits == ()
    assert list(tmp_path.iterdir()) == []


def test_an_empty_folder_is_as_good_as_none(table: Path, tmp_path: Path) -> None:
    (tmp_path / "churn").mkdir()
    make(tmp_path / "churn", table)
    assert git.changed_files(tmp_path / "churn") == []


def test_a_folder_with_something_in_it_is_refused(table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "churn"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError) as caught:
        make(folder, table)
    assert caught.value.exit_code == 2
    assert "--adopt" in caught.value.next_step
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        make(tmp_path / "file", table)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("content", "target", "kind", "words"),
    [
        (None, "churn", UsageError, "does not exist"),
        ("", "churn", DataInvalid, "empty"),
        ("a,b\n1,2\n3,4\n", "churn", DataInvalid, "churn"),
        ("chrn,b\nyes,2\nno,4\n" * 5, "churn", DataInvalid, "chrn"),
    ],
)
def test_bad_input_leaves_nothing_behind(
    tmp_path: Path, content: str | None, target: str, kind: type[ModelyardError], words: str
) -> None:
    source = tmp_path / "in" / "table.csv"
    source.parent.mkdir()
    if content is not None:
        source.write_text(content)
    with pytest.raises(kind, match=words):
        init(tmp_path / "out", source, target, stages=line.stages)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("target", "options", "step"),
    [
        ("chrun", {}, "modelyard init NEW --data TABLE --target churn"),
        ("zzz", {}, "modelyard init NEW --data TABLE --target COLUMN"),
        ("empty", {}, "name another column: modelyard init NEW --data TABLE --target COLUMN"),
        (
            "churn",
            {"data": {"id": "customer"}},
            "modelyard init NEW --data TABLE --target churn -S data.id=VALUE",
        ),
        (
            "churn",
            {"data": {"task": "regression"}},
            "modelyard init NEW --data TABLE --target churn -S data.task=auto",
        ),
    ],
)
def test_the_next_command_is_one_of_init(
    tmp_path: Path, target: str, options: dict[str, dict[str, str]], step: str
) -> None:
    """There is no modelyard.yaml yet that a person could edit."""
    source = tmp_path / "table 1.csv"
    rows = "".join(f"{i},{'yes' if i % 3 else 'no'},{i * 7 % 11},\n" for i in range(60))
    source.write_text("customer_id,churn,calls,empty\n" + rows)
    new = tmp_path / "new"
    with pytest.raises(DataInvalid) as caught:
        init(new, source, target, stages=line.stages, sections=options)
    expected = step.replace("NEW", str(new)).replace("TABLE", f"'{source}'")
    assert caught.value.next_step == expected
    assert not new.exists()


ODD_ENDS = {
    "rare-numbers": [i % 14 for i in range(98)] + [14, 15],
    "many-numbers": [i % 7 for i in range(100)],
    "rare-texts": ["abc"[i % 3] for i in range(99)] + ["d"],
}


@pytest.mark.parametrize(
    ("kind", "infinite", "options", "takes"),
    [
        ("rare-numbers", [], [], ["data.task=regression"]),
        ("many-numbers", ["z"], [], ['data.exclude=["z"]']),
        (
            "rare-numbers",
            ["z", "it's"],
            ['data.exclude=["b"]', "split.test=0.25", "tune.trials=3", "project.name=yes-no"],
            ["data.task=regression", 'data.exclude=["b", "z", "it\'s"]'],
        ),
        ("rare-texts", [], [], []),
    ],
)
def test_the_command_that_is_advised_works(
    tmp_path: Path, kind: str, infinite: list[str], options: list[str], takes: list[str]
) -> None:
    """Each of the advised commands mends one thing and keeps what was said before."""
    columns = {"a": [i * 7 % 13 for i in range(100)], "b": [i % 5 for i in range(100)]}
    columns |= {name: ["inf", *range(99)] for name in infinite} | {"y": ODD_ENDS[kind]}
    source = tmp_path / "t.csv"
    rows = zip(*columns.values(), strict=True)
    source.write_text("\n".join(",".join(map(str, row)) for row in [tuple(columns), *rows]))
    words = ["init", str(tmp_path / "new"), "--data", str(source), "--target", "y"]
    words += [word for option in options for word in ("-S", option)]
    followed = []
    while (
        error := CliRunner().invoke(init_command, [*words[1:], "--dry-run"]).exception
    ) is not None:
        assert isinstance(error, DataInvalid)
        if "modelyard init" not in error.next_step:
            break
        before = options_of(words)
        words = shlex.split(error.next_step[error.next_step.index("modelyard init") :])[1:]
        followed += [option for option in options_of(words) if option not in before]
        assert len(followed) <= len(takes), error
        left_out = {option.partition("=")[0] for option in before}
        assert left_out <= {option.partition("=")[0] for option in options_of(words)}
    assert followed == takes
    assert (error is not None) == (kind == "rare-texts"), error


def options_of(words: list[str]) -> list[str]:
    return [word for flag, word in pairwise(words) if flag == "-S"]


def test_adopt_names_the_nearest_target_too(table: Path, tmp_path: Path) -> None:
    git.init(tmp_path)
    with pytest.raises(DataInvalid) as caught:
        init(tmp_path, table, "chrun", stages=line.stages, adopt=True)
    call_again = f"modelyard init {tmp_path} --adopt --data {table} --target churn"
    assert caught.value.next_step == call_again
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_names_that_cannot_be(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be a project's name"):
        make(tmp_path / "x", table, name="9 lives")
    with pytest.raises(UsageError, match="no letter"):
        make(tmp_path / "2024", table)
    assert make(tmp_path / "2024 – Kündigung", table, dry_run=True).name == "K-ndigung"


def test_a_failure_in_the_middle_leaves_nothing(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hooks").mkdir()
    hook = tmp_path / "hooks/pre-commit"
    hook.write_text("#!/bin/sh\necho no commits today >&2\nexit 1\n")
    hook.chmod(0o755)
    settings = tmp_path / "gitconfig"
    settings.write_text(f"[core]\n\thooksPath = {tmp_path / 'hooks'}\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(settings))
    with pytest.raises(ToolFailed, match="no commits today"):
        make(tmp_path / "out/churn", table)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_init_left_is_cleared(table: Path, tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    left = tmp_path / f".churn.{dead.pid}.modelyard-init"
    left.mkdir()
    make(tmp_path / "churn", table)
    assert [path.name for path in tmp_path.iterdir()] == ["churn"]


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """Somebody's repository with a README, a .gitignore and staged work."""
    root = tmp_path / "theirs"
    root.mkdir()
    git.init(root)
    (root / "README.md").write_text("# Theirs\n")
    (root / ".gitignore").write_text("*.log\n/model/")
    (root / "code.py").write_text("print()\n")
    git.commit(root, "Start", ["."])
    (root / "code.py").write_text("print(1)\n")
    git.add(root, ["code.py"])
    return root


def test_adopt_keeps_what_is_there(theirs: Path, table: Path) -> None:
    planned = make(theirs, table, adopt=True, dry_run=True)
    assert git.changed_files(theirs) == ["code.py"]
    report = make(theirs, table, adopt=True)
    assert report.files == planned.files
    assert (theirs / "README.md").read_text() == "# Theirs\n"
    assert "README.md" in report.kept
    rules = (theirs / ".gitignore").read_text()
    assert rules.startswith("*.log\n/model/\n# modelyard\n/.modelyard/\n")
    assert rules.count("/model/") == 1
    # What they had staged is still staged and in no commit of ours.
    assert git.changed_files(theirs) == ["code.py"]
    assert call(theirs, "git", "diff", "--cached", "--name-only").split() == ["code.py"]
    assert len(git.ancestors(theirs)) == 3
    assert report.tag == "data/v1"
    assert project.load(theirs).name == "theirs"


def test_adopt_again_changes_nothing(theirs: Path, table: Path) -> None:
    make(theirs, table, adopt=True)
    before, head = snapshot(theirs), git.head(theirs)
    report = make(theirs, table, adopt=True)
    assert report.files == ()
    assert report.commits == ()
    assert snapshot(theirs) == before
    assert git.head(theirs) == head
    assert len(git.tags(theirs)) == 1


def test_adopt_lists_conflicts_and_writes_nothing(theirs: Path, table: Path) -> None:
    (theirs / "dvc.yaml").write_text("stages: {}\n")
    (theirs / ".gitignore").write_text("*.log\n# being edited\n")
    (theirs / "data/raw").mkdir(parents=True)
    (theirs / "data/raw/customers.csv").write_text("other\n")
    before, head = snapshot(theirs), git.head(theirs)
    with pytest.raises(UsageError) as caught:
        make(theirs, table, adopt=True)
    for name in ("dvc.yaml", ".gitignore", "data/raw/customers.csv"):
        assert name in caught.value.why
    assert snapshot(theirs) == before
    assert git.head(theirs) == head


def test_adopt_uses_a_table_that_lies_there(theirs: Path, table: Path) -> None:
    (theirs / "tables").mkdir()
    (theirs / "tables/all.csv").write_bytes(table.read_bytes())
    make(theirs, theirs / "tables/all.csv", adopt=True)
    assert project.load(theirs).settings.data.path == "tables/all.csv"
    assert (theirs / "tables/all.csv.dvc").is_file()
    assert git.changed_files(theirs) == ["code.py"]


def test_adopt_refuses_a_table_that_git_keeps(theirs: Path, table: Path) -> None:
    (theirs / "all.csv").write_bytes(table.read_bytes())
    git.commit(theirs, "Data", ["all.csv"])
    with pytest.raises(UsageError, match=r"git rm --cached all\.csv"):
        make(theirs, theirs / "all.csv", adopt=True)


def test_adopt_below_the_repositorys_root(theirs: Path, table: Path) -> None:
    below = theirs / "models/churn"
    below.mkdir(parents=True)
    make(below, table, adopt=True)
    assert git.changed_files(theirs) == ["code.py"]
    assert git.show(below, "data/v1:data/raw/customers.csv.dvc") is not None
    assert project.load(below).root == below


def test_adopt_below_the_root_writes_no_pipeline_and_says_so(theirs: Path, table: Path) -> None:
    below = theirs / "models/churn"
    below.mkdir(parents=True)
    report = make(below, table, adopt=True)
    assert not [name for name in report.files if ".github" in name or "gitlab" in name]
    assert project.load(below).settings.ci.services == ()
    (note,) = (note for note in report.notes if "pipeline" in note)
    assert note.startswith("No pipeline is written: GitHub and GitLab read them only")
    assert "cd models/churn && make lint" in note
    assert make(below, table, adopt=True).files == ()


def test_adopt_below_the_root_with_services_that_are_told(theirs: Path, table: Path) -> None:
    below = theirs / "models/churn"
    below.mkdir(parents=True)
    report = make(below, table, adopt=True, sections={"ci": {"services": ["gitlab"]}})
    assert ".gitlab-ci.yml" in report.files
    assert any("are read by no service" in note for note in report.notes)


@pytest.mark.parametrize(("of_origin", "branch"), [(None, "master"), ("trunk", "trunk")])
def test_adopt_protects_the_branch_that_there_is(
    theirs: Path, table: Path, of_origin: str | None, branch: str
) -> None:
    call(theirs, "git", "branch", "--move", "master")
    if of_origin:
        ref = f"refs/remotes/origin/{of_origin}"
        call(theirs, "git", "update-ref", ref, "HEAD")
        call(theirs, "git", "symbolic-ref", "refs/remotes/origin/HEAD", ref)
    report = make(theirs, table, adopt=True)
    assert project.load(theirs).settings.ci.branch == branch
    assert any(what == "ci.branch" and value == branch for what, value, _ in report.inferred)
    workflow = yaml.safe_load((theirs / ".github/workflows/pipeline.yml").read_text())
    assert workflow[True]["push"]["branches"] == [branch]  # to YAML, `on` is true
    git.switch(theirs, "feat/x", create=True)
    assert make(theirs, table, adopt=True).files == ()


def test_adopt_takes_a_table_beside_the_repository(
    theirs: Path, table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (theirs.parent / "t.csv").write_bytes(table.read_bytes())
    monkeypatch.chdir(theirs)
    make(Path(), Path("../t.csv"), adopt=True)
    assert project.load(theirs).settings.data.path == "data/raw/t.csv"
    assert (theirs / "data/raw/t.csv").read_bytes() == table.read_bytes()


def test_adopt_that_fails_puts_everything_back(theirs: Path, table: Path) -> None:
    hook = theirs / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    # The first commit passes, the second, of the data, is refused.
    hook.write_text("#!/bin/sh\n! git diff --cached --name-only | grep -q csv.dvc\n")
    hook.chmod(0o755)
    before, head = snapshot(theirs), git.head(theirs)
    with pytest.raises(ToolFailed):
        make(theirs, table, adopt=True)
    assert snapshot(theirs) == before
    assert git.head(theirs) == head
    assert git.tags(theirs) == []
    assert call(theirs, "git", "status", "--porcelain").splitlines() == ["M  code.py"]
    hook.unlink()
    make(theirs, table, adopt=True)


def test_adopt_outside_a_repository(table: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make(tmp_path, table, adopt=True)
    assert "git init" in caught.value.next_step


def test_missing_git_is_said(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ToolFailed, match="git program is missing"):
        make(tmp_path / "churn", table)
    assert list(tmp_path.iterdir()) == []
