"""Bad input at every door: what, why and what next, the documented exit code, nothing changed."""

from __future__ import annotations

import json
import random
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import Any

import pytest

from modelyard import cli

PROGRAM = str(Path(sys.executable).with_name("modelyard"))
HEADER = "age,income,plan,churn"
ROWS = [
    f"{20 + i * 7 % 50},{1000 + i * 37 % 900},{'abc'[i % 3]},"
    f"{'yes' if 20 + i * 7 % 50 + i % 5 > 45 else 'no'}"
    for i in range(60)
]
SMALL = (
    *("-S", "tune.trials=2", "-S", "tune.families=[linear]"),
    *("-S", "tune.folds=2", "-S", "gate.resamples=200"),
)


def table(change: Callable[[list[str], int], str], header: str = HEADER) -> bytes:
    """The good table with every row changed."""
    rows = [change(row.split(","), number) for number, row in enumerate(ROWS)]
    return "\n".join([header, *rows, ""]).encode()


GOOD = table(lambda row, i: ",".join(row))
NOISE = random.Random(1).randbytes(4000)

# What it is -> the file's bytes (None: no file), the exit code, what is said of it.
TABLES: dict[str, tuple[bytes | None, int, str]] = {
    "missing file": (None, 2, "does not exist"),
    "empty file": (b"", 4, "is empty"),
    "blank lines only": (b"\n\n   \n", 4, "is empty"),
    "header only": (HEADER.encode() + b"\n", 4, "holds a header only"),
    "target absent": (
        GOOD.replace(b"churn", b"churned"),
        4,
        "'churn' is not in the table, did you",
    ),
    "target constant": (table(lambda r, i: ",".join([*r[:3], "no"])), 4, "'churn' is constant"),
    "target empty": (table(lambda r, i: ",".join([*r[:3], ""])), 4, "has no value in any row"),
    "a class of two rows": (
        table(lambda r, i: ",".join([*r[:3], "yes" if i < 2 else "no"])),
        4,
        "fewer than 3 rows: 'yes' (2)",
    ),
    "features all missing": (
        table(lambda r, i: f",,,{r[3]}"),
        4,
        "No column is left to learn from",
    ),
    "duplicate names": (GOOD.replace(b"income", b"age"), 4, "several columns of one name: 'age'"),
    "half of UTF-16": (b"\xff\xfe" + GOOD.decode().encode("utf-16-le")[:301], 4, "is not utf-16"),
    "ragged, longer": (
        table(lambda r, i: ",".join(r) + (",9" if i in (4, 9) else "")),
        4,
        "ragged: 2 rows",
    ),
    "ragged, shorter": (
        table(lambda r, i: ",".join(r[:2] if i in (4, 9) else r)),
        4,
        "line 6 has 2; line 11 has 2",
    ),
    "binary garbage": (NOISE, 4, "is not a text table"),
    "a picture": (b"\x89PNG\r\n\x1a\n" + NOISE, 4, "is not a text table"),
    "broken gzip": (b"\x1f\x8b\x08" + NOISE[:400], 4, "cannot be read"),
    "broken Parquet": (b"PAR1" + NOISE[:400], 4, "is not a whole Parquet file"),
    "infinite values": (
        table(lambda r, i: ",".join([r[0], {5: "inf", 7: "-Infinity"}.get(i, r[1]), *r[2:]])),
        4,
        "2 values are infinite: row 6, column 'income'; row 8, column 'income'",
    ),
}


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file of a folder that a person or a tool reads, DVC's and git's scratch left out."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not {".git", "tmp", ".modelyard"} & {*path.relative_to(folder).parts}
    }


def call(folder: Path, *command: str, code: int = 0, **options: Any) -> str:
    """Run a program; returns what it said on both streams."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **options)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call modelyard here, check its exit code, return what it said."""

    def invoke(*arguments: str | Path, code: int = 0) -> str:
        kept = signal.getsignal(signal.SIGTERM)
        try:
            found = cli.invoke([str(argument) for argument in arguments])
        finally:
            signal.signal(signal.SIGTERM, kept)
        shown = capsys.readouterr()
        assert found == code, shown.out + shown.err
        if code:
            complete(shown.err)
        return shown.out + shown.err

    return invoke


def complete(text: str) -> None:
    """An error as it must be: what, why, the next command, no traceback."""
    assert "Traceback" not in text
    assert "not expected" not in text
    heads = [line.split(":")[0].strip() for line in text.splitlines() if ":" in line]
    wanted = [head for head in heads if head in ("Error", "why", "next")]
    assert wanted == ["Error", "why", "next"], text


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which nothing was run."""
    folder = tmp_path_factory.mktemp("fresh")
    (folder / "good.csv").write_bytes(GOOD)
    call(folder, PROGRAM, "init", "small", "--data", "good.csv", "--target", "churn")
    return folder / "small"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 50 rows whose model was released."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "fifty.csv").write_bytes(b"\n".join(GOOD.splitlines()[:51]) + b"\n")
    call(folder, PROGRAM, "init", "small", "--data", "fifty.csv", "--target", "churn")
    call(folder / "small", PROGRAM, "run", *SMALL)
    return folder / "small"


@pytest.fixture
def project(fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the fresh project, as the current folder."""
    shutil.copytree(fresh, tmp_path / "small", symlinks=True)
    monkeypatch.chdir(tmp_path / "small")
    return tmp_path / "small"


@pytest.fixture
def released(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished project, as the current folder."""
    shutil.copytree(finished, tmp_path / "small", symlinks=True)
    monkeypatch.chdir(tmp_path / "small")
    return tmp_path / "small"


# -- tables ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", TABLES)
def test_init_refuses_the_table_and_makes_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    content, code, words = TABLES[what]
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("table.csv").write_bytes(content)
    before = snapshot(tmp_path)
    assert words in say("init", "new", "--data", "table.csv", "--target", "churn", code=code)
    assert snapshot(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == list(before)


@pytest.mark.parametrize("what", TABLES)
def test_data_add_refuses_the_table_and_keeps_the_version(
    what: str, project: Path, say: Callable[..., str]
) -> None:
    content, code, words = TABLES[what]
    if content is not None:
        (project.parent / "table.csv").write_bytes(content)
    before = snapshot(project), call(project, "git", "log", "--all", "--oneline")
    said = say("data", "add", project.parent / "table.csv", "-m", "bad", code=code)
    assert words in said
    assert (snapshot(project), call(project, "git", "log", "--all", "--oneline")) == before
    assert call(project, "git", "tag", "--list") == "data/v1\n"
    assert call(project, "git", "status", "--porcelain") == ""


@pytest.mark.parametrize("what", TABLES)
def test_ingest_refuses_the_table_and_keeps_the_last_outputs(
    what: str, project: Path, say: Callable[..., str]
) -> None:
    content, code, words = TABLES[what]
    say("stage", "ingest")
    (project / "data/raw/good.csv").unlink()
    if content is not None:
        (project / "data/raw/good.csv").write_bytes(content)
    before = snapshot(project)
    assert words in say("stage", "ingest", code=code)
    assert snapshot(project) == before


def test_an_encoding_that_does_not_fit_names_the_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(GOOD.replace(b",b,", b",\xe9,"))
    command = ("init", "new", "--data", "t.csv", "--target", "churn")
    said = say(*command, "-S", "data.encoding=utf-8", code=4)
    assert "t.csv, line 3: byte 0xe9 is not utf-8 text" in said
    assert "data.encoding 'utf-99' is not an encoding" in say(
        *command, "-S", "data.encoding=utf-99", code=2
    )
    say(*command)  # and by itself it is told


def test_an_infinite_number_to_predict_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(table(lambda r, i: ",".join([*r[:3], str(i + 0.5) if i else "INF"])))
    assert "infinite in row 1" in say("init", "n", "--data", "t.csv", "--target", "churn", code=4)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("data.time=age", "The time column 'age' holds values that are no dates"),
        ("data.types.age=datetime", "Column 'age' is not all datetime: 20 values do not parse"),
    ],
)
def test_dates_that_do_not_parse_are_shown_ten_at_the_most(
    option: str,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[..., str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(
        table(lambda r, i: ",".join([f"2024-01-{1 + i % 28:02d}" if i % 3 else "some day", *r[1:]]))
    )
    said = say("init", "n", "--data", "t.csv", "--target", "churn", "-S", option, code=4)
    assert words in said
    assert said.count("'some day'") == 10
    assert "and 10 more" in said
    assert not Path("n").exists()
    say("init", "n", "--data", "t.csv", "--target", "churn")  # unasked it is a category


@pytest.mark.parametrize("rows", [10_000, 30_000])
def test_ten_thousand_distinct_texts_are_left_out_or_capped_and_it_is_said(
    rows: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ["shop,age,churn"]
    for i in range(rows):
        late = "yes" if i * 7 % 31 + i % 5 > 17 else "no"
        lines.append(f"shop {i % 10_000 * 7919 % 10_007},{i * 7 % 31},{late}")
    Path("t.csv").write_text("\n".join([*lines, ""]))
    said = say("init", "n", "--data", "t.csv", "--target", "churn")
    monkeypatch.chdir("n")
    say("stage", "ingest")
    column = json.loads(Path("records/schema.json").read_bytes())["columns"][0]
    findings = json.loads(Path("records/ingest.json").read_bytes())["findings"]
    assert column["name"] == "shop"
    if rows == 10_000:  # every row has its own: a name, nothing to learn from
        assert column["role"] == "id"
        assert "levels" not in column
        assert re.search(r"^  id +shop +\(.+\)$", said, re.MULTILINE)
    else:
        assert len(column["levels"]) == 1000
        assert "10000 categories" in column["reason"]
        (found,) = [found for found in findings if found["column"] == "shop"]
        assert found["kind"] == "high-cardinality"
        assert found["figure"] == 10_000


# -- small and wide --------------------------------------------------------------------------------


@pytest.mark.journey
def test_fifty_rows_go_all_the_way(finished: Path) -> None:
    records = {path.stem: json.loads(path.read_bytes()) for path in finished.glob("records/*.json")}
    assert records["ingest"]["rows"] == 50
    assert any(found["kind"] == "few-rows" for found in records["ingest"]["findings"])
    assert sum(records["split"]["rows"].values()) == 50
    assert min(records["split"]["rows"].values()) > 0
    assert records["gate"]["passed"]
    assert records["champion"]["version"] == "1"
    manifest = json.loads((finished / "package/manifest.json").read_bytes())
    assert manifest["lineage"]["dirty"] == "false"
    call(finished, PROGRAM, "predict", "data/raw/fifty.csv", "-o", str(finished.parent / "out.csv"))
    assert len((finished.parent / "out.csv").read_text().splitlines()) == 51


@pytest.mark.journey
def test_fifteen_hundred_columns_are_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    draw = random.Random(3)
    lines = [",".join(["churn", *(f"c{number}" for number in range(1500))])]
    for _ in range(200):
        cells = [round(draw.random(), 3) for _ in range(1500)]
        lines.append(",".join(["yes" if cells[7] > 0.5 else "no", *map(str, cells)]))
    Path("wide.csv").write_text("\n".join(lines) + "\n")
    options = ("-S", "tune.trials=2", "-S", "tune.families=[boosting]", "-S", "tune.folds=2")
    say("init", "wide", "--data", "wide.csv", "--target", "churn", *options)
    monkeypatch.chdir("wide")
    say("stage", "ingest")
    say("stage", "split")
    call(Path.cwd(), PROGRAM, "stage", "tune")
    study = json.loads(Path("records/study.json").read_bytes())
    assert [trial["state"] for trial in study["trials"]] == ["complete", "complete"]
    assert study["chosen"][0]["family"] == "boosting"
    assert study["score"] > 0.9


# -- places ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_name_that_is_taken_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("good.csv").write_bytes(GOOD)
    if kind == "folder":
        Path("new").mkdir()
        Path("new/thesis.txt").write_text("years of work")
    else:
        Path("new").write_text("years of work")
    before = snapshot(tmp_path)
    said = say("init", "new", "--data", "good.csv", "--target", "churn", code=2)
    assert "exists and is" in said
    assert "overwrites nothing" in said
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    "arguments", [["run"], ["data", "log"], ["data", "add", "t.csv", "-m", "x"]]
)
def test_a_project_outside_git_says_how_to_begin(
    arguments: list[str], project: Path, say: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    (project / "t.csv").write_bytes(GOOD)
    shutil.rmtree(project / ".git")
    before = snapshot(project)
    said = say(*arguments, code=2)
    assert "is not in a git repository" in said
    assert "git init -b main" in said
    assert snapshot(project) == before


def test_a_repository_without_a_commit_says_how_to_begin(
    project: Path, say: Callable[..., str]
) -> None:
    shutil.rmtree(project / ".git")
    call(project, "git", "init", "--quiet")
    assert "has no commit yet" in say("run", code=2)


@pytest.mark.journey
def test_a_dirty_tree_is_recorded_with_a_patch_that_applies(released: Path) -> None:
    (released / "README.md").write_text("changed by hand\n")
    (released / "notes.txt").write_text("new\n")
    call(released, PROGRAM, "run", *SMALL, "-S", "gate.resamples=300")
    with sqlite3.connect(released / "mlflow.db") as store:
        query = "SELECT value, COUNT(*) FROM tags WHERE key = 'modelyard.dirty' GROUP BY value"
        assert dict(store.execute(query).fetchall()) == {"false": 1, "true": 1}
    (patch,) = (released / "mlartifacts").rglob("dirty.patch")
    assert call(released, "git", "status", "--porcelain", "README.md", "notes.txt")
    shutil.copyfile(patch, released.parent / "dirty.patch")
    call(released, "git", "checkout", "--quiet", "README.md")
    (released / "notes.txt").unlink()
    call(released, "git", "apply", str(released.parent / "dirty.patch"))
    assert (released / "README.md").read_text() == "changed by hand\n"
    assert (released / "notes.txt").read_text() == "new\n"


# -- what the tools keep ---------------------------------------------------------------------------


@pytest.mark.journey
def test_a_deleted_dvc_cache_is_filled_again(released: Path) -> None:
    """The table comes from the remote, the stages run again, and nothing is released anew."""
    raw, metrics = (released / "data/raw/fifty.csv"), (released / "metrics.json").read_bytes()
    content = raw.read_bytes()
    model = json.loads((released / "records/pack.json").read_bytes())["model_digest"]
    shutil.rmtree(released / ".dvc/cache")
    raw.unlink()
    call(released, PROGRAM, "run", *SMALL)
    assert raw.read_bytes() == content
    assert (released / "metrics.json").read_bytes() == metrics
    assert json.loads((released / "records/pack.json").read_bytes())["model_digest"] == model
    assert call(released, "git", "tag", "--list", "model/*") == "model/v1\n"
    assert (
        call(released, str(Path(PROGRAM).with_name("dvc")), "status").strip()
        == "Data and pipelines are up to date."
    )


@pytest.mark.journey
def test_a_table_that_is_nowhere_is_said_and_nothing_else_is_touched(released: Path) -> None:
    shutil.rmtree(released / ".dvc/cache")
    shutil.rmtree(released / ".dvc-store")
    (released / "data/raw/fifty.csv").unlink()
    before = snapshot(released)
    said = call(released, PROGRAM, "run", *SMALL, code=4)
    complete(said)
    assert "fifty.csv" in said
    assert "modelyard data" in said
    assert snapshot(released) == before


@contextmanager
def locked(database: Path) -> Iterator[int]:
    """Another process that holds the store's write lock; yields its number."""
    program = (
        "import sqlite3, sys\n"
        "store = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "store.execute('BEGIN EXCLUSIVE')\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    try:
        yield holder.pid
    finally:
        holder.communicate()


@pytest.mark.parametrize("arguments", [["run", *SMALL], ["runs"]], ids=["run", "runs"])
def test_a_locked_store_names_who_locks_it(
    arguments: list[str], released: Path, say: Callable[..., str]
) -> None:
    before = snapshot(released)
    with locked(released / "mlflow.db") as holder:
        said = say(*arguments, code=1)
    assert "The MLflow store mlflow.db is locked." in said
    assert f"(process {holder})" in said
    assert snapshot(released) == before


@pytest.mark.parametrize("arguments", [["run", *SMALL], ["runs"]], ids=["run", "runs"])
def test_a_store_of_a_newer_mlflow_is_left_alone(
    arguments: list[str], released: Path, say: Callable[..., str]
) -> None:
    store = sqlite3.connect(released / "mlflow.db")
    with store:
        store.execute("UPDATE alembic_version SET version_num = 'f00dfeed'")
    store.close()
    before = snapshot(released)
    said = say(*arguments, code=1)
    assert "was written by a newer MLflow" in said
    assert "f00dfeed" in said
    assert "pip install --upgrade mlflow" in said
    assert snapshot(released) == before


# -- a disk that is full ---------------------------------------------------------------------------


def tiny_files() -> None:
    """In a child: no file may grow beyond 200 bytes, as on a disk with no room."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))


@pytest.mark.journey
@pytest.mark.parametrize("stage", ["ingest", "split", "evaluate", "pack", "gate"])
def test_a_full_disk_leaves_a_stages_outputs_as_they_were(stage: str, released: Path) -> None:
    before = snapshot(released)
    with chdir(released):
        done = subprocess.run(
            [PROGRAM, "stage", stage],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=tiny_files,
        )
    assert done.returncode == 1
    complete(done.stderr)
    assert "free some disk space" in done.stderr
    assert snapshot(released) == before


@pytest.mark.journey
def test_a_disk_that_fills_up_while_packing_costs_neither_package_nor_champion(
    released: Path,
) -> None:
    package = snapshot(released / "package")
    pipeline = (released / "dvc.yaml").read_text()
    command = "cmd: modelyard stage pack"
    assert command in pipeline
    limited = pipeline.replace(command, "cmd: ulimit -f 1; modelyard stage pack")
    (released / "dvc.yaml").write_text(limited)
    said = call(released, PROGRAM, "run", *SMALL, code=1)
    complete(said)
    assert "The package could not be written." in said
    assert "free some disk space" in said
    assert snapshot(released / "package") == package
    assert (released / "records/pack.json").is_file()
    assert not list(released.glob(".package.*"))
    out = str(released.parent / "out.csv")
    call(released, PROGRAM, "predict", "data/raw/fifty.csv", "-o", out)
    (released / "dvc.yaml").write_text(pipeline)
    call(released, PROGRAM, "run", *SMALL)
    assert snapshot(released / "package") == package
    assert call(released, "git", "tag", "--list", "model/*") == "model/v1\n"
