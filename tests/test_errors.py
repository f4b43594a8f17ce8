"""Errors: each has its exit code, says what, why and what next, and shows no traceback unasked."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelyard import cli, errors
from modelyard.errors import ModelyardError

ROOT = Path(__file__).resolve().parents[1]
CODES = {
    0: "ok",
    1: "error",
    2: "usage",
    3: "gate refused",
    4: "data invalid",
    130: "interrupted",
    143: "terminated",
}
CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, ModelyardError)
]
MINIMAL = "project: {name: small}\ndata: {path: data/raw/t.csv, target: churn}\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a modelyard.yaml, as the current one."""
    (tmp_path / "modelyard.yaml").write_text(MINIMAL)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_codes_in_the_table_are_the_ones_that_are_promised() -> None:
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", errors.__doc__ or "", re.MULTILINE)
    said = {int(code): text for code, text in rows}
    assert set(said) == set(CODES)
    for code, words in CODES.items():
        assert set(words.split()) <= set(said[code].split()), said[code]


@pytest.mark.parametrize("place", ["README.md", "modelyard --help"])
def test_the_readme_and_the_help_say_the_same_codes(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if place == "README.md":
        text = (ROOT / place).read_text()
    else:
        assert cli.invoke(["--help"]) == 0
        text = capsys.readouterr().out
    sentence = re.search(r"Exit codes:([^.]+)\.", " ".join(text.split()))
    assert sentence, f"{place} does not say the exit codes"
    said = {int(code): words for code, words in re.findall(r"(\d+) ([a-z ]+)", sentence[1])}
    assert said == CODES


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_class_has_a_documented_code_and_a_name_of_its_own(kind: type) -> None:
    assert kind.exit_code in CODES
    assert [other.__name__ for other in CLASSES if other.name == kind.name] == [kind.__name__]
    assert (kind.__doc__ or "").strip().endswith(".")


def test_a_code_beyond_1_means_one_thing() -> None:
    meaning = {
        code: {kind.__name__ for kind in CLASSES if kind.exit_code == code}
        for code in CODES
        if 1 < code < 143  # not an error: a kind of KeyboardInterrupt
    }
    assert meaning == {
        2: {"UsageError", "NotAProject"},  # a command in a folder where it cannot be given
        3: {"GateRefused"},
        4: {"DataInvalid"},
        130: {"Interrupted"},
    }


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_error_as_text_holds_its_three_parts(kind: type[ModelyardError]) -> None:
    assert str(kind("It broke.", why="It was old.", next_step="mend it")).splitlines() == [
        "It broke.",
        "It was old.",
        "Next: mend it",
    ]
    assert str(kind("It broke.")) == "It broke."


def test_every_error_that_is_raised_says_why_and_what_next() -> None:
    names = {kind.__name__ for kind in CLASSES}
    dumb = []
    for path in sorted(Path(errors.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in names:
                given = {keyword.arg for keyword in node.keywords}
                if not given >= {"why", "next_step"}:
                    dumb.append(f"{path.name}:{node.lineno} {ast.unparse(node.args[0])}")
    assert dumb == []


def test_the_program_prints_what_why_and_next_to_stderr(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("modelyard")), "runs"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    what, why, after = done.stderr.splitlines()
    assert what == f"Error: There is no modelyard.yaml in {tmp_path} or above it."
    assert why.startswith("  why:  ")
    assert after.startswith("  next: ")
    assert "modelyard init" in after


@pytest.mark.parametrize("verbose", [False, True])
def test_a_traceback_is_shown_only_when_asked(
    here: Path, verbose: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "modelyard.yaml").write_text("project: {name: [")
    assert cli.invoke([*(["-v"] if verbose else []), "data", "log"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Error: modelyard.yaml is not valid YAML." in said.err
    assert ("Traceback" in said.err) == verbose


def test_what_nobody_expected_is_one_line_and_a_way_to_more(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / ".modelyard").write_text("a file where a folder must be")
    assert cli.invoke(["run"]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert said[0].startswith("Error: FileExistsError: ")
    assert "modelyard -v" in said[1]
    with pytest.raises(FileExistsError):  # -v: Python's own traceback
        cli.invoke(["-v", "run"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["run", "--forse"], "--force"),
        (["predict"], "Missing argument 'TABLE'"),
        (["stage", "bake"], "'ingest'"),
        (["init", "--data", "t.csv", "--target", "churn"], "NAME"),
        (["init", "new"], "--data"),
        (["run", "-S", "tune.trials"], "section.key=value"),
        (["run", "-S", "trials=3"], "section.key=value"),
        (["run", "-S", "tune.trials=["], "not YAML"),
        (["run", "-S", "tume.trials=3"], "did you mean 'tune'?"),
        (["run", "-S", "tune.trails=3"], "did you mean 'trials'?"),
        (["run", "-S", "gate.limits.f1.mim=3"], "did you mean 'min'?"),
        (["run", "-S", "tune.budget=3s", "-S", "tune.budget.x=3"], "goes below a key"),
        (["run", "-S", "tune.trials=many"], "tune.trials"),
        (["run", "-S", "tune.budget=soon"], "tune.budget"),
        (["run", "-S", "tune.families=[linear, forrest]"], "tune.families"),
        (["run", "-S", "split.test=0.9"], "less than 20 %"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_usage_errors_exit_with_2_and_leave_no_trace(
    here: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert "Traceback" not in said.err
    left = {path.name for path in here.iterdir()} - {".modelyard"}
    assert left == {"modelyard.yaml"}


def test_a_mistyped_override_does_not_spoil_the_next_command(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.invoke(["run", "-S", "tune.trials=many"]) == 2
    assert "Error: -S: tune.trials" in capsys.readouterr().err
    assert cli.invoke(["runs"]) == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"project: {name: [", "is not valid YAML"),
        (b"project: {name: a}\ndata: {path: a.csv, path: b.csv}", "'path' is there twice"),
        (b"project: {name: a}\nproject: {name: b}", "'project' is there twice, first in line 1"),
        (b"project: {name: caf\xe9}", "is not valid YAML"),
        (b"- a\n- list\n", "must hold sections"),
        (b"", "must hold sections"),
        (MINIMAL.encode() + b"tume: {}\n", "unknown key 'tume', did you mean 'tune'?"),
        (MINIMAL.encode() + b"tune: {trails: 3}\n", "'tune.trails', did you mean 'trials'?"),
        (MINIMAL.encode() + b"tune: 5\n", "tune"),
        (MINIMAL.encode() + b"tune: {folds: three}\n", "tune.folds"),
        (b"project: {name: small}\n", "data"),
        (MINIMAL.encode() + b"split: {kind: time}\n", "split.kind: time needs"),
        (b"project: {name: small}\ndata: {path: /etc/t.csv, target: churn}\n", "data.path"),
    ],
)
@pytest.mark.parametrize("arguments", [["run"], ["run", "-S", "tune.trials=3"], ["data", "log"]])
def test_a_broken_project_file_exits_with_2_and_is_named(
    here: Path, text: bytes, words: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "modelyard.yaml").write_bytes(text)
    assert cli.invoke(arguments) == 2
    said = capsys.readouterr().err
    assert "modelyard.yaml" in said
    assert words in said
    assert "Traceback" not in said


def test_overrides_that_were_edited_by_hand_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "overrides.yaml").write_text("tune: {folds: 1}\n")
    assert cli.invoke(["runs"]) == 2
    said = capsys.readouterr().err
    assert "overrides.yaml: tune.folds" in said
    assert "edit overrides.yaml" in said


def test_a_reader_that_goes_away_is_no_error() -> None:
    program = Path(sys.executable).with_name("modelyard")
    shown = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{program}' config --schema | head -c 20 >/dev/null"],
        capture_output=True,
        text=True,
    )
    assert shown.returncode == 0
    assert shown.stderr == ""


def test_a_long_list_is_cut_at_ten_and_counted() -> None:
    assert errors.capped(range(10)) == ", ".join(map(str, range(10)))
    assert errors.capped(range(1000)).endswith("8, 9 and 990 more")


@pytest.mark.parametrize(
    ("word", "offered"),
    [("chrun", ", did you mean 'churn'?"), ("CHURN", ", did you mean 'churn'?"), ("zzz", "")],
)
def test_the_nearest_name_is_offered_only_if_it_is_near(word: str, offered: str) -> None:
    assert errors.nearest(word, ["age", "churn"]) == offered
