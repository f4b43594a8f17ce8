"""What the documentation says is done as it says, in order, and nothing in it points nowhere."""

from __future__ import annotations

import importlib
import json
import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest
import requests

from modelyard import errors, project
from modelyard.cli import COMMANDS, root
from modelyard.render.reference import keys

HOME = Path(__file__).resolve().parents[1]
DOCS = HOME / "docs"
CHURN = HOME / "examples/churn/wa_churn.csv"
PAGES = sorted(
    [
        *HOME.glob("*.md"),
        *HOME.glob("packages/*/README.md"),
        # The notes are parts of the verbs' pages, and are read there.
        *(page for page in DOCS.rglob("*.md") if page.parent.name != "notes"),
    ]
)
SMALL = "-S tune.trials=3 -S 'tune.families=[linear, boosting]' -S tune.folds=2"


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The environment of a person on a new machine who put the commands on the PATH."""
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig"),
        "GIT_CONFIG_NOSYSTEM": "1",
        "NO_COLOR": "1",
    }


def fenced(page: Path, language: str = "") -> list[tuple[int, str]]:
    """The fenced blocks of a page in one language: the line that each starts on, its text."""
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    start, inside = 0, ""
    for number, line in enumerate(lines, start=1):
        if not line.startswith("```"):
            continue
        if not start:
            start, inside = number + 1, line.removeprefix("```").strip()
            continue
        if inside == language:
            found.append((start, "\n".join(lines[start - 1 : number - 1])))
        start = 0
    assert start == 0, f"{page.name}: the fence at line {start - 1} is never closed"
    return found


def typed(block: str) -> list[str]:
    """The commands of a block, comments and outputs left out.

    A block that shows outputs marks its commands by `$ `.
    """
    lines = block.splitlines()
    if any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    commands = []
    for line in lines:
        for part in re.sub(r"\s+#\s.*$", "", line).split(" ; "):
            if part.strip():
                commands.append(part.strip())
    return commands


def own_data_commands() -> list[str]:
    """The README's commands under "Your own data"."""
    text = (HOME / "README.md").read_text(encoding="utf-8")
    after = text.split("## Your own data", 1)[1]
    return typed(re.search(r"```\n(.*?)```", after, re.DOTALL)[1])  # type: ignore[index]


def customers(folder: Path, name: str, start: int, stop: int) -> Path:
    """Some lines of the churn table under its header."""
    lines = CHURN.read_text(encoding="utf-8").splitlines(keepends=True)
    path = folder / name
    path.write_text("".join([lines[0], *lines[start:stop]]), encoding="utf-8")
    return path


@pytest.mark.journey
def test_the_readmes_commands_work_in_their_order(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    first = customers(tmp_path, "customers.csv", 1, 601)
    where, said = tmp_path, {}
    for command in own_data_commands():
        if command.startswith("cd "):
            where = where / command.removeprefix("cd ")
            # What a person would lay beside the project while they work in it.
            customers(where, "new.csv", 601, 701)
            customers(where, "customers-november.csv", 1, 701)
            continue
        if command.startswith("modelyard init"):
            command += f" {SMALL}"
        verb = " ".join(command.split()[:3])
        if command == "modelyard serve":
            said[verb] = _while_it_serves(where, surroundings)
            continue
        if "trace" in command:
            said["trace"] = _trace_from_every_end(where, command, surroundings)
            continue
        said[verb] = _bash(command, where, surroundings)

    def answer(start: str) -> str:
        return next(text for verb, text in said.items() if verb.startswith(start))

    assert "churn v1 is the champion" in answer("modelyard run")
    assert re.search(r"^\* .*passed", answer("modelyard runs"), re.MULTILINE)
    scored = (where / "scored.csv").read_text(encoding="utf-8").splitlines()
    assert len(scored) == 101
    assert scored[0].endswith(",prediction,p_No,p_Yes")
    assert json.loads(answer("modelyard serve"))["model"]["version"] == "1"
    assert "data/v2: November" in answer("modelyard data add")
    assert re.search(r"^\* +v2 .*November", answer("modelyard data log"), re.MULTILINE)
    assert "600 → 700: 100 added, 0 removed" in answer("modelyard data diff")
    assert "is v1" in answer("modelyard data checkout")
    here = project.load(where)
    assert here.data.read_bytes() == first.read_bytes()
    assert "✗" not in answer("modelyard doctor")


def _bash(command: str, where: Path, surroundings: dict[str, str]) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=where, env=surroundings, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _while_it_serves(where: Path, surroundings: dict[str, str]) -> str:
    """`modelyard serve` on a free port: what it answers to its own example, until SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["modelyard", "serve"],
        cwd=where,
        env=surroundings | {"PORT": str(port), "MODELYARD_DRAIN_SECONDS": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(300):
            try:
                requests.get(f"{address}/v2/health/ready", timeout=5).raise_for_status()
                break
            except requests.ConnectionError:
                assert server.poll() is None, "the server ended before it was ready"
                time.sleep(0.1)
        row = requests.get(f"{address}/v1/model", timeout=10).json()["example"]
        answer = requests.post(f"{address}/v1/predict", json={"rows": [row]}, timeout=10)
        assert answer.status_code == 200, answer.text
        assert "form" in requests.get(address, timeout=10).text
    finally:
        server.terminate()
        said, _ = server.communicate(timeout=30)
    assert server.returncode == 0
    assert "serving the champion, version 1" in said
    assert f'"address":"{address}"' in said
    return answer.text


def _trace_from_every_end(where: Path, command: str, surroundings: dict[str, str]) -> str:
    """`trace <commit | run | …>`: each of the named ends leads to the same run."""
    pattern = re.search(r"<(.*)>", command)
    assert pattern, "the README says what trace takes"
    ends = [end.strip() for end in pattern[1].split("|")]
    champion = json.loads((where / "records/champion.json").read_text())
    values = {
        "commit": champion["commit"],
        "run": champion["run_id"],
        "package digest": champion["package_digest"],
        "data version": champion["data_version"],
    }
    assert set(ends) == set(values)
    answers = {_bash(f"modelyard trace {values[end]}", where, surroundings) for end in ends}
    assert len(answers) == 1
    (answer,) = answers
    assert champion["run_id"] in answer
    return answer


@pytest.mark.journey
def test_the_notebooks_cells_run_in_their_order(
    tmp_path: Path, surroundings: dict[str, str]
) -> None:
    page = DOCS / "tutorials/notebook.md"
    cells = fenced(page, "python")
    assert len(cells) >= 5
    customers(tmp_path, "customers.csv", 1, 601)
    customers(tmp_path, "customers-november.csv", 1, 701)
    customers(tmp_path, "new.csv", 601, 701)
    script = (
        "import json, sys\n"
        "page, cells = json.load(sys.stdin)\n"
        "names = {'__name__': '__main__'}\n"
        "for line, cell in cells:\n"
        "    exec(compile('\\n' * (line - 1) + cell, page, 'exec'), names)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps([str(page), cells]),
        cwd=tmp_path,
        env=surroundings,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert (tmp_path / "churn/package/manifest.json").is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in _anchors(file)):
            broken.append(target)
    assert not broken


def _anchors(page: Path) -> set[str]:
    """The headings of a page as links name them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_every_command_has_its_page_and_no_page_is_left_over() -> None:
    index = (DOCS / "verbs/index.md").read_text(encoding="utf-8")
    for name, help_line in COMMANDS.items():
        assert f"[`{name}`]({name}.md) | {help_line} |" in index
    pages = {path.stem for path in (DOCS / "verbs").glob("*.md")} - {"index"}
    assert pages == set(COMMANDS)
    notes = {path.stem for path in (DOCS / "verbs/notes").glob("*.md")}
    assert notes <= set(COMMANDS), "a note without its verb is shown nowhere"


CODES = {
    "README.md": HOME / "README.md",
    "the verbs": DOCS / "verbs/index.md",
    "the help": None,
}


@pytest.mark.parametrize("place", CODES)
def test_every_exit_code_is_documented(place: str) -> None:
    path = CODES[place]
    text = path.read_text(encoding="utf-8") if path else (root.help or "")
    sentence = re.search(r"Exit codes: (.*?130 interrupted)", text, re.DOTALL)
    assert sentence
    told = {int(number) for number in re.findall(r"\b\d+\b", sentence[1])}
    assert told == {0, *_exit_codes(errors.ModelyardError)}


def _exit_codes(kind: type[errors.ModelyardError]) -> set[int]:
    return {kind.exit_code}.union(*(_exit_codes(child) for child in kind.__subclasses__()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_commands_on_a_page_exist_with_their_options(page: Path) -> None:
    for line, block in fenced(page):
        for command in typed(block):
            words = command.split()
            if words[0] == "modelyard" and len(words) > 1 and words[1] in COMMANDS:
                wrong = _wrong_options(words[1:])
                assert not wrong, f"{page.name}, block at line {line}: {command}: {wrong}"


def _wrong_options(words: list[str]) -> set[str]:
    """The options among the words that the command which they name does not take."""
    command = importlib.import_module(f"modelyard.cli.{words[0]}").command
    if isinstance(command, click.Group) and len(words) > 1 and words[1] in command.commands:
        command = command.commands[words[1]]
    known = {option for param in command.params for option in param.opts}
    used = {word.split("=")[0] for word in words if re.fullmatch(r"--?[a-zA-Z][\w-]*(=.*)?", word)}
    return used - known - {"-h", "--help"}


def test_keys_that_pages_set_exist() -> None:
    known = {key.path for key in keys()}
    used = {
        key
        for page in PAGES
        # There --set is of helm and eksctl.
        if "clouds" not in page.relative_to(HOME).parts and page.name != "kubernetes.md"
        for key in re.findall(r"(?:-S|--set) '?([\w.]+)=", page.read_text(encoding="utf-8"))
    }
    used -= {"section.key", "KEY", "key"}
    assert used, "the pages show how to override a key"
    # A key may go on below a mapping: data.types.COLUMN.
    assert {".".join(key.split(".")[:2]) for key in used} <= known


def test_acceptance_names_tests_that_exist() -> None:
    """`test_file.py::name` in the table is a test, with or without its `test_`."""
    text = (DOCS / "acceptance.md").read_text(encoding="utf-8")
    named = re.findall(r"(test_\w+\.py)(?:::(\w+))?", text)
    assert named
    folders = (HOME / "tests", *HOME.glob("packages/*/tests"))
    files = {path.name: path for folder in folders for path in folder.glob("test_*.py")}
    missing = [
        f"{file}::{name}"
        for file, name in named
        if file not in files or (name and f"def {name}(" not in files[file].read_text("utf-8"))
    ]
    assert not missing
