"""Nothing needs the internet at run time, and nothing tries: no telemetry, ours or a vendor's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODELYARD = str(Path(sys.executable).with_name("modelyard"))


def sealed(trace: Path, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without a network, noting every attempt to connect."""
    return subprocess.run(
        [
            *(
                "strace",
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-e",
                "trace=connect,sendto",
                "-o",
                str(trace),
            ),
            *("unshare", "--net", *command),
        ],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )


def attempts(trace: Path) -> list[str]:
    """The lines that name an internet address."""
    return [line for line in trace.read_text().splitlines() if "AF_INET" in line]


@pytest.mark.journey
def test_a_whole_run_opens_no_connection(tmp_path: Path) -> None:
    for program in ("strace", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install strace util-linux")
    if subprocess.run(["unshare", "--net", "true"], capture_output=True).returncode:
        pytest.skip("this user may not make a network namespace")
    trace = tmp_path / "trace"
    table = tmp_path / "table.csv"
    lines = (ROOT / "examples" / "churn" / "wa_churn.csv").read_text().splitlines()
    table.write_text("\n".join(lines[:400]) + "\n")
    small = ["-S", "tune.trials=3", "-S", "tune.folds=2", "-S", "tune.families=[linear, boosting]"]
    for command in (
        ["init", "sealed", "--data", str(table), "--target", "churn", *small],
        ["run"],
        ["predict", str(table), "-o", "scored.csv"],
        ["runs"],
        ["doctor"],
    ):
        folder = tmp_path if command[0] == "init" else tmp_path / "sealed"
        done = sealed(trace, MODELYARD, *command, cwd=folder)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        assert attempts(trace) == [], command


def test_the_trace_would_see_an_attempt(tmp_path: Path) -> None:
    """The check above is worth something: a connection that is tried is noted."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    trace = tmp_path / "trace"
    program = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    sealed(trace, sys.executable, "-c", program, cwd=tmp_path)
    if "AF_INET" not in trace.read_text():
        pytest.skip("this user may not make a network namespace")
    assert len(attempts(trace)) == 1
