"""`modelyard predict` as a program: killed, interrupted, watched; whole or not at all."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import psutil
import pytest
from handmade import write_package
from test_predict import table

from modelyard.cli import invoke
from modelyard.watch.output import Output, sweep

MANY = 1_500_000
PROGRAM = Path(sys.executable).with_name("modelyard")


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_package(tmp_path_factory.mktemp("model") / "package")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows enough to be caught in the middle of them."""
    path = tmp_path_factory.mktemp("data") / "large.parquet"
    write_large(path, MANY)
    return path


def write_large(path: Path, rows: int) -> None:
    part = table(10_000).drop("remark")
    many = pl.concat([part.lazy()] * (rows // part.height)).with_columns(nr=pl.int_range(pl.len()))
    many.sink_parquet(path)


def start(source: Path, out: Path, package: Path, **options: object) -> subprocess.Popen[bytes]:
    """Start the command with two workers; what is started with & ignores SIGINT: undo that."""
    return subprocess.Popen(
        [PROGRAM, "predict", source, "-o", out, "--package", package, "--workers", "2"],
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        **options,  # type: ignore[call-overload]
    )


def until_writing(process: subprocess.Popen[bytes], folder: Path) -> list[psutil.Process]:
    """Wait until some of the output is on disk; returns the workers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if any(part.stat().st_size > 100_000 for part in folder.glob(".*.part")):
            return psutil.Process(process.pid).children(recursive=True)
        time.sleep(0.01)
    raise AssertionError(f"nothing was written (exit code {process.poll()})")


@pytest.mark.parametrize("name", ["out.parquet", "out.csv"])
def test_killed_in_the_middle_then_again(
    tmp_path: Path, package: Path, large: Path, name: str
) -> None:
    out = tmp_path / name
    process = start(large, out, package)
    workers = until_writing(process, tmp_path)
    assert len(workers) == 2
    process.kill()
    process.wait()
    assert not out.exists()
    assert len(list(tmp_path.iterdir())) == 1, "what was written lies hidden beside it"
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive, "workers end with the process that started them"
    assert start(large, out, package).wait(timeout=100) == 0
    assert [entry.name for entry in tmp_path.iterdir()] == [name], "the leftover is gone"
    scored = pl.scan_parquet(out) if name.endswith("parquet") else pl.scan_csv(out)
    numbers = scored.select("nr").collect()["nr"]
    assert numbers.equals(pl.Series("nr", range(MANY))), "every row once, in order"


def test_interrupted(tmp_path: Path, package: Path, large: Path) -> None:
    """Ctrl-C goes to the whole group, as a terminal sends it."""
    out = tmp_path / "out.parquet"
    out.write_text("what stood here before")
    process = start(large, out, package, start_new_session=True, stderr=subprocess.PIPE)
    workers = until_writing(process, tmp_path)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert b"Stopped" in said
    assert b"Traceback" not in said
    assert [entry.name for entry in tmp_path.iterdir()] == ["out.parquet"]
    assert out.read_text() == "what stood here before"
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_ended_by_sigterm(tmp_path: Path, package: Path, large: Path) -> None:
    """As `kill`, a supervisor or a pipeline that is cancelled ends it."""
    process = start(large, tmp_path / "out.parquet", package, stderr=subprocess.PIPE)
    workers = until_writing(process, tmp_path)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert b"Stopped" in said
    assert b"Traceback" not in said
    assert not list(tmp_path.iterdir())
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert not alive


def test_a_worker_that_is_killed_is_told(tmp_path: Path, package: Path, large: Path) -> None:
    process = start(large, tmp_path / "out.parquet", package, stderr=subprocess.PIPE)
    until_writing(process, tmp_path)[0].kill()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 1
    assert b"A worker process ended by itself" in said
    assert b"--workers 1" in said
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_table(tmp_path: Path, package: Path) -> None:
    peaks = []
    for rows in (200_000, 2_000_000):
        write_large(tmp_path / f"{rows}.parquet", rows)
        process = start(tmp_path / f"{rows}.parquet", tmp_path / "out.parquet", package)
        peaks.append(peak_of(process))
        assert process.returncode == 0
    assert peaks[1] < 1.15 * peaks[0], [round(peak / 1e6) for peak in peaks]


def peak_of(process: subprocess.Popen[bytes]) -> int:
    """The most resident bytes that a process and its children had together, by looking often."""
    peak = 0
    root = psutil.Process(process.pid)
    while process.poll() is None:
        total = 0
        try:
            for one in (root, *root.children(recursive=True)):
                total += one.memory_info().rss
        except psutil.NoSuchProcess:
            continue
        peak = max(peak, total)
        time.sleep(0.01)
    return peak


def test_a_living_run_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "o[u]t.csv"
    dead = tmp_path / ".o[u]t.csv.0badcafe.part"
    dead.write_text("half")
    other = tmp_path / ".other.csv.0badcafe.part"
    other.write_text("another's")
    with Output(out) as output:
        assert not dead.exists()
        sweep(out)
        assert output.part.exists()
        output.add(b"a\n")
        output.finish()
    assert out.read_text() == "a\n"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [other.name, out.name]


def test_a_script_need_not_guard_its_main_module(
    tmp_path: Path, package: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """And a file in the working folder that is called like one of ours is in nobody's way."""
    write_large(tmp_path / "t.parquet", 200_000)
    script = tmp_path / "script.py"
    script.write_text(
        "from pathlib import Path\n"
        "from modelyard.watch.predict import predict\n"
        f"package = Path({str(package)!r})\n"
        "print(predict(package, Path('t.parquet'), Path('o.parquet'), workers=2).rows)"
    )
    (tmp_path / "modelyard_serve.py").write_text("raise SystemExit('in the way')")
    script = script.rename(tmp_path_factory.mktemp("elsewhere") / "script.py")
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True)
    assert done.stdout == b"200000\n", done.stderr


def test_errors_in_later_blocks_name_the_rows_of_the_file(
    tmp_path: Path, package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = table(100_000).with_columns(pl.col("night").fill_null("no"))
    frame[77_777, "night"] = "perhaps"
    frame[88_888, "night"] = "perhaps"
    for name in ("t.parquet", "t.csv"):
        path = tmp_path / name
        frame.write_parquet(path) if name == "t.parquet" else frame.write_csv(path)
        words = ["predict", str(path), "-o", str(tmp_path / "o.csv"), "--package", str(package)]
        assert invoke([*words, "--workers", "2"]) == 4
        said = capfd.readouterr().err
        assert "night: " in said
        assert "row 77778: 'perhaps'" in said
        assert not (tmp_path / "o.csv").exists()


def test_json_and_bad_workers(
    tmp_path: Path, package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "t.csv"
    table(50).write_csv(path)
    words = ["predict", str(path), "-o", str(tmp_path / "o.csv"), "--package", str(package)]
    assert invoke([*words, "--json"]) == 0
    found = msgspec.json.decode(capfd.readouterr().out)
    assert found["rows"] == sum(found["counts"].values()) == 50
    assert found["columns"] == ["prediction", "p_no", "p_yes"]
    assert found["workers"] == 1
    assert invoke([*words, "--workers", "0"]) == 2
    assert "0 workers" in capfd.readouterr().err


def test_progress_is_drawn_on_a_terminal(tmp_path: Path, package: Path, large: Path) -> None:
    ours, theirs = pty.openpty()
    process = start(large, tmp_path / "o.parquet", package, stderr=theirs, stdout=theirs)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65_536):
            said += part
    except OSError:  # how Linux tells that the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert b" rows/s" in said
    assert f"{MANY:,} rows scored".encode() in said


def test_lists_have_no_form_in_csv(
    tmp_path: Path, package: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    frame = table(20).with_columns(tags=pl.Series([["a"]] * 20), level=pl.Series([1] * 20))
    frame = frame.with_columns(pl.col("carrier").cast(pl.Categorical))
    frame.write_parquet(tmp_path / "t.parquet")
    words = ["predict", str(tmp_path / "t.parquet"), "--package", str(package), "-o"]
    assert invoke([*words, str(tmp_path / "o.csv")]) == 2
    assert "'tags' holds List(String), which CSV cannot hold" in capfd.readouterr().err
    assert invoke([*words, str(tmp_path / "o.parquet")]) == 0
    made = pl.read_parquet(tmp_path / "o.parquet")
    assert made.select(frame.columns).equals(frame)
    assert made.schema["tags"] == pl.List(pl.String)
    assert np.isfinite(made["p_yes"].to_numpy()).all()
